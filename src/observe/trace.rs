//! Traces as trees, whoever keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Deserialize;

/// The tag in which Envoy keeps a request's `x-request-id`.
pub(super) const REQUEST_ID: &str = "guid:x-request-id";

/// The tag in which Envoy keeps a request's URL.
pub(super) const URL: &str = "http.url";

/// One operation of a trace, as one side saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Span {
    /// The trace's id, 16 or 32 hexadecimal digits.
    pub trace_id: String,
    /// The span's id. A server's span has its client's when the two share one.
    pub id: String,
    /// The id of the span that caused it.
    pub parent_id: Option<String>,
    /// `CLIENT`, `SERVER`, `PRODUCER`, `CONSUMER`, or nothing for work inside a service.
    pub kind: Option<String>,
    /// The operation's name.
    pub name: String,
    /// Whether the id is the client's.
    pub shared: bool,
    /// Begin in microseconds since 1970.
    pub timestamp: u64,
    /// Duration in microseconds.
    pub duration: u64,
    /// Who recorded it.
    pub local_endpoint: Endpoint,
    /// Details, such as `http.status_code`.
    pub tags: BTreeMap<String, String>,
}

impl Span {
    /// Whether the service recorded it, as a span of this kind: `client`, `server`, `producer`,
    /// `consumer`, or `local` for work inside of the service.
    #[must_use]
    pub fn is(&self, service: &str, kind: &str) -> bool {
        let own = self.kind.as_deref().unwrap_or("LOCAL");
        self.local_endpoint.service_name == service && own.eq_ignore_ascii_case(kind)
    }
}

/// A service as spans name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Its name in lower case, for a sidecar `workload.namespace`.
    pub service_name: String,
}

/// The spans of one request, with who caused what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// In order of their begin.
    pub spans: Vec<Span>,
}

/// The place of the digit of a UUID that Envoy uses for its reason to trace (`pack_trace_reason`):
/// 4 none, 9 sampled, a forced, b asked for by the client.
const REASON: usize = 14;

/// What a request's `x-request-id`, a UUID, may read in its spans: Envoy writes the reason for sampling into
/// one digit of it.
pub(super) fn request_ids(request_id: &str) -> [String; 4] {
    ['4', '9', 'a', 'b'].map(|digit| {
        let mut id = request_id.to_owned();
        if id.len() > REASON {
            id.replace_range(REASON..=REASON, digit.encode_utf8(&mut [0; 4]));
        }
        id
    })
}

impl Trace {
    /// A trace of these spans.
    #[must_use]
    pub fn new(mut spans: Vec<Span>) -> Self {
        spans.sort_by_key(|span| (span.timestamp, span.shared));
        Self { spans }
    }

    /// The names of the services that recorded spans.
    #[must_use]
    pub fn services(&self) -> BTreeSet<&str> {
        self.spans.iter().map(|span| span.local_endpoint.service_name.as_str()).collect()
    }

    /// The longest way from a root to a leaf, in spans.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.ordered().into_iter().map(|(depth, _)| depth + 1).max().unwrap_or(0)
    }

    /// Spans whose cause is said to be a span that the trace does not have.
    #[must_use]
    pub fn orphans(&self) -> Vec<&Span> {
        self.spans.iter().filter(|span| span.parent_id.is_some() && self.parent(span).is_none()).collect()
    }

    /// The spans that a service recorded, of this kind; see [`Span::is`].
    #[must_use]
    pub fn of(&self, service: &str, kind: &str) -> Vec<&Span> {
        self.spans.iter().filter(|span| span.is(service, kind)).collect()
    }

    /// The span that caused `span`: the client's half if the two share an id, else its parent's
    /// server half where there is one.
    #[must_use]
    pub fn parent(&self, span: &Span) -> Option<&Span> {
        if span.shared
            && let Some(half) = self.spans.iter().find(|other| other.id == span.id && !other.shared)
        {
            return Some(half);
        }
        let id = span.parent_id.as_ref()?;
        self.spans
            .iter()
            .filter(|other| other.id == *id && !std::ptr::eq(*other, span))
            .max_by_key(|other| other.shared)
    }

    /// Every span with its depth, causes before what they caused.
    fn ordered(&self) -> Vec<(usize, &Span)> {
        let mut ordered = Vec::new();
        let roots: Vec<&Span> = self.spans.iter().filter(|span| self.parent(span).is_none()).collect();
        for root in roots {
            self.visit(root, 0, &mut ordered);
        }
        ordered
    }

    fn visit<'trace>(&'trace self, span: &'trace Span, depth: usize, into: &mut Vec<(usize, &'trace Span)>) {
        // A cycle of wrong parents must not hang us.
        if into.len() > self.spans.len() {
            return;
        }
        into.push((depth, span));
        for child in &self.spans {
            if self.parent(child).is_some_and(|parent| std::ptr::eq(parent, span)) {
                self.visit(child, depth + 1, into);
            }
        }
    }

    /// The tree as text, a line a span: service, kind, name, status and milliseconds.
    #[must_use]
    pub fn tree(&self) -> String {
        let mut text = String::new();
        for (depth, span) in self.ordered() {
            let kind = span.kind.as_deref().unwrap_or("LOCAL").to_lowercase();
            let status = span.tags.get("http.status_code").map_or(String::new(), |code| format!(" {code}"));
            let micros = span.duration;
            // Writing to a string can't fail.
            let _ = writeln!(
                text,
                "{}{} {kind} {}{status} {}.{:01} ms",
                "  ".repeat(depth),
                span.local_endpoint.service_name,
                span.name,
                micros / 1000,
                micros % 1000 / 100
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(json: &str) -> Trace {
        Trace::new(serde_json::from_str(json).expect("spans"))
    }

    const TWO_TIERS: &str = r#"[
      {"traceId":"t","id":"2","parentId":"1","kind":"CLIENT","name":"backend:8080/*","timestamp":30,"duration":2000,
       "localEndpoint":{"serviceName":"frontend.demo"},"tags":{"http.status_code":"200"}},
      {"traceId":"t","id":"1","kind":"CLIENT","name":"frontend:8080/*","timestamp":10,"duration":9150,
       "localEndpoint":{"serviceName":"client.demo","ipv4":"10.0.0.1"},"tags":{"http.status_code":"200"}},
      {"traceId":"t","id":"1","kind":"SERVER","name":"frontend:8080/*","timestamp":20,"duration":8000,"shared":true,
       "localEndpoint":{"serviceName":"frontend.demo"},"tags":{"http.status_code":"200"}},
      {"traceId":"t","id":"2","parentId":"1","kind":"SERVER","name":"backend:8080/*","timestamp":40,"duration":100,
       "shared":true,"localEndpoint":{"serviceName":"backend.demo"},"tags":{}}]"#;

    #[test]
    fn shared_spans_hang_below_their_client_half() {
        let trace = trace(TWO_TIERS);
        assert_eq!(trace.depth(), 4);
        assert!(trace.orphans().is_empty());
        assert_eq!(
            trace.tree(),
            "client.demo client frontend:8080/* 200 9.1 ms\n  frontend.demo server frontend:8080/* 200 8.0 ms\n    \
             frontend.demo client backend:8080/* 200 2.0 ms\n      backend.demo server backend:8080/* 0.1 ms\n"
        );
        assert_eq!(trace.services().into_iter().collect::<Vec<_>>(), ["backend.demo", "client.demo", "frontend.demo"]);
    }

    #[test]
    fn spans_are_found_with_their_cause() {
        let trace = trace(TWO_TIERS);
        let server = trace.of("backend.demo", "server");
        assert_eq!((server.len(), trace.of("backend.demo", "client").len()), (1, 0));
        assert!(trace.parent(server[0]).is_some_and(|cause| cause.is("frontend.demo", "CLIENT")));
        assert!(Span::default().is("", "local"));
    }

    #[test]
    fn a_missing_cause_is_found() {
        let trace = trace(r#"[{"traceId":"t","id":"2","parentId":"1","name":"a"}]"#);
        assert_eq!(trace.orphans().len(), 1);
        assert_eq!(trace.depth(), 1);
    }

    #[test]
    fn a_cycle_ends() {
        let trace = trace(r#"[{"traceId":"t","id":"1","parentId":"2"},{"traceId":"t","id":"2","parentId":"1"}]"#);
        assert_eq!(trace.depth(), 0);
    }

    #[test]
    fn a_request_is_looked_for_under_each_reason_to_trace() {
        let ids = request_ids("21dde44c-dbfa-48dd-bd00-5cdc8291113a");
        assert_eq!(ids[1], "21dde44c-dbfa-98dd-bd00-5cdc8291113a");
        assert_eq!(ids.map(|id| id.as_bytes()[REASON]), *b"49ab");
        assert_eq!(request_ids("short")[0], "short");
    }
}
