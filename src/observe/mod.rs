//! What a running lab shows: typed clients of Prometheus, Grafana, Zipkin, Jaeger and istiod, reached
//! through the API server's service proxy, as `kubectl proxy` does. Every exchange can be kept as evidence. Also how
//! proxies' access logs read.

mod access_log;
pub mod envoy;
pub mod grafana;
mod graph;
pub mod istiod;
pub mod jaeger;
pub mod prometheus;
pub mod proxy;
pub mod snapshot;
pub mod trace;
pub mod tracing;
pub mod zipkin;

use std::time::Duration;

use thiserror::Error;

use crate::error::{Failure, Kind};

pub use access_log::AccessLine;
pub use proxy::{Answer, Exchange, Inside, Proxy, Service, Tls};

/// Why an observation could not be made.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server did not answer.
    #[error("{request}: the API server can't be asked")]
    Unreachable {
        /// Method, service and path.
        request: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The connection broke while the answer was read.
    #[error("{request}: the answer broke off")]
    BrokenOff {
        /// Method, service and path.
        request: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("{request}: no answer within {}", humantime::format_duration(*limit))]
    Deadline {
        /// Method, service and path.
        request: String,
        /// The limit.
        limit: Duration,
    },
    /// The request can't be put into words of HTTP.
    #[error("{request}: not a valid request")]
    Request {
        /// Method, service and path.
        request: String,
        /// Why.
        source: http::Error,
    },
    /// A status that means failure.
    #[error("{request}: status {status}{}", excerpt(body))]
    Status {
        /// Method, service and path.
        request: String,
        /// The HTTP status.
        status: u16,
        /// The answer's text.
        body: String,
    },
    /// The service understood the question and says that it is wrong, such as a query that does not
    /// parse. Asking again does not help.
    #[error("{request}: {reason}")]
    Refused {
        /// Method, service and path.
        request: String,
        /// In the service's words.
        reason: String,
    },
    /// The answer is not what the service's API documents.
    #[error("{request}: unexpected answer: {reason}{}", excerpt(body))]
    Shape {
        /// Method, service and path.
        request: String,
        /// What is wrong with it.
        reason: String,
        /// The answer's text.
        body: String,
    },
}

impl Error {
    /// Whether the same question will get the same error however often it is asked.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Request { .. })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Unreachable { .. } | Error::BrokenOff { .. } | Error::Status { .. } => Kind::Unavailable,
            Error::Deadline { .. } => Kind::TimedOut,
            Error::Refused { .. } => Kind::BadInput,
            Error::Request { .. } | Error::Shape { .. } => Kind::Unexpected,
        };
        Self::new(kind, error)
    }
}

/// The beginning of an answer's text, on a line of its own.
fn excerpt(body: &str) -> String {
    let text = body.trim();
    if text.is_empty() { String::new() } else { format!("\n  | {}", proxy::cut(text, 500).replace('\n', "\n  | ")) }
}
