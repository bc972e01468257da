//! What the control port answers: what came back of the requests, calls or connections of an order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use serde::Serialize;

/// How much of an answer's body is kept.
const KEPT_BODY: usize = 16 * 1024;

/// What came back.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// How many requests, calls or connections there were.
    pub(crate) sent: u32,
    /// How many answers had each HTTP status.
    pub(crate) codes: BTreeMap<u16, u32>,
    /// How many gRPC calls ended with each of gRPC's own statuses.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) grpc: BTreeMap<u16, u32>,
    /// How many TCP connections ended how.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) connections: BTreeMap<String, u32>,
    /// How many requests got no answer, by error text.
    pub(crate) errors: BTreeMap<String, u32>,
    /// From the first request to the last answer.
    pub(crate) elapsed_ms: u128,
    /// The first answers.
    pub(crate) answers: Vec<Answer>,
}

/// One answer.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    /// Its HTTP status; 0 where the protocol is not HTTP.
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    /// Cut off after 16 KiB.
    pub(crate) body: String,
    pub(crate) elapsed_ms: u128,
}

impl Answer {
    /// An answer to what was asked at `begin`.
    pub(crate) fn new(status: u16, headers: &HeaderMap, body: &[u8], begin: Instant) -> Self {
        let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Self {
            status,
            headers: headers.iter().map(header).collect(),
            body: String::from_utf8_lossy(&body[..body.len().min(KEPT_BODY)]).into_owned(),
            elapsed_ms: begin.elapsed().as_millis(),
        }
    }
}

impl Report {
    /// Keeps an answer if fewer than `most` are kept.
    pub(crate) fn keep(&mut self, answer: Answer, most: usize) {
        if self.answers.len() < most {
            self.answers.push(answer);
        }
    }

    /// Counts one that got no answer.
    pub(crate) fn failed(&mut self, error: String) {
        *self.errors.entry(error).or_default() += 1;
    }

    /// The whole, after so long.
    pub(crate) fn after(self, elapsed: Duration) -> Self {
        Self { elapsed_ms: elapsed.as_millis(), ..self }
    }
}
