//! Whoever keeps a lab's traces.

use std::collections::BTreeSet;
use std::fmt;

use super::Error;
use super::jaeger::Jaeger;
use super::trace::Trace;
use super::zipkin::Zipkin;

/// A server that keeps traces.
#[derive(Clone, Debug)]
pub enum Tracing {
    /// Zipkin.
    Zipkin(Zipkin),
    /// Jaeger.
    Jaeger(Jaeger),
}

impl Tracing {
    /// The names of all services that sent spans.
    ///
    /// # Errors
    /// As [`Zipkin::services`].
    pub async fn services(&self) -> Result<Vec<String>, Error> {
        match self {
            Self::Zipkin(zipkin) => zipkin.services().await,
            Self::Jaeger(jaeger) => jaeger.services().await,
        }
    }

    /// The ids of the traces of requests to this URL; of more than 200 it does not find all.
    ///
    /// # Errors
    /// As [`Zipkin::services`].
    pub async fn traces_of_url(&self, url: &str) -> Result<BTreeSet<String>, Error> {
        match self {
            Self::Zipkin(zipkin) => zipkin.traces_of_url(url).await,
            Self::Jaeger(jaeger) => jaeger.traces_of_url(url).await,
        }
    }

    /// The trace of the request that had this `x-request-id`, a UUID.
    ///
    /// # Errors
    /// As [`Zipkin::services`].
    pub async fn trace_of_request(&self, request_id: &str) -> Result<Option<Trace>, Error> {
        match self {
            Self::Zipkin(zipkin) => zipkin.trace_of_request(request_id).await,
            Self::Jaeger(jaeger) => jaeger.trace_of_request(request_id).await,
        }
    }
}

/// The name that it has for people.
impl fmt::Display for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zipkin(_) => "Zipkin",
            Self::Jaeger(_) => "Jaeger",
        })
    }
}
