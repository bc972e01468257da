//! The HTTP API that Jaeger's own pages use.
//! <https://www.jaegertracing.io/docs/1.76/architecture/apis/#internal-http-json>
//!
//! Spans are asked for as they came (`raw`). Jaeger would give a server's span an id of its own where it shares its
//! client's, but takes one server for granted: of a request that was tried twice, one try would hang below the other.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::Error;
use super::proxy::{Service, query};
use super::trace::{Endpoint, REQUEST_ID, Span, Trace, URL, request_ids};

/// The tag in which Jaeger keeps a span's kind.
const KIND: &str = "span.kind";

/// How many traces a search gives at most.
const MOST: &str = "200";

/// A Jaeger server.
#[derive(Clone, Debug)]
pub struct Jaeger {
    service: Service,
}

/// What each answer is wrapped in. What there is none of is `null`.
#[derive(Debug, Deserialize)]
struct Wrapped<T> {
    data: Option<Vec<T>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawTrace {
    spans: Vec<RawSpan>,
    processes: BTreeMap<String, Process>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawSpan {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
    operation_name: String,
    references: Vec<Reference>,
    start_time: u64,
    duration: u64,
    tags: Vec<Tag>,
    #[serde(rename = "processID")]
    process_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    ref_type: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Debug, Deserialize)]
struct Tag {
    key: String,
    value: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    service_name: String,
}

impl Jaeger {
    /// The server behind `service`.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self { service }
    }

    /// The names of all services that sent spans.
    ///
    /// # Errors
    /// Those of [`Service::send`], [`Error::Status`], [`Error::Shape`].
    pub async fn services(&self) -> Result<Vec<String>, Error> {
        let wrapped: Wrapped<String> = self.service.get("/api/services").await?.ok()?.json()?;
        let mut services = wrapped.data.unwrap_or_default();
        services.sort();
        Ok(services)
    }

    /// The trace with this id; `None` if Jaeger has none.
    ///
    /// # Errors
    /// As [`Jaeger::services`].
    pub async fn trace(&self, id: &str) -> Result<Option<Trace>, Error> {
        let answer = self.service.get(&format!("/api/traces/{id}?raw=true")).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        Ok(traces(answer.ok()?.json()?).pop())
    }

    /// Traces of the last two days in which a span of the service has this tag, at most 200.
    ///
    /// # Errors
    /// As [`Jaeger::services`].
    pub async fn traces(&self, service: &str, tag: &str, value: &str) -> Result<Vec<Trace>, Error> {
        let tags = json!({ tag: value }).to_string();
        let pairs = [("service", service), ("tags", &tags), ("limit", MOST), ("raw", "true")];
        let path = format!("/api/traces?{}", query(&pairs));
        Ok(traces(self.service.get(&path).await?.ok()?.json()?))
    }

    /// The ids of the traces of requests to this URL, at most 200 for each service.
    ///
    /// # Errors
    /// As [`Jaeger::services`].
    pub async fn traces_of_url(&self, url: &str) -> Result<BTreeSet<String>, Error> {
        let mut ids = BTreeSet::new();
        // It searches one service at a time.
        for service in self.services().await? {
            let found = self.traces(&service, URL, url).await?;
            ids.extend(found.into_iter().filter_map(|trace| Some(trace.spans.into_iter().next()?.trace_id)));
        }
        Ok(ids)
    }

    /// The trace of the request that had this `x-request-id`, a UUID.
    ///
    /// # Errors
    /// As [`Jaeger::services`].
    pub async fn trace_of_request(&self, request_id: &str) -> Result<Option<Trace>, Error> {
        let services = self.services().await?;
        for id in request_ids(request_id) {
            for service in &services {
                if let Some(trace) = self.traces(service, REQUEST_ID, &id).await?.pop() {
                    return Ok(Some(trace));
                }
            }
        }
        Ok(None)
    }
}

fn traces(wrapped: Wrapped<RawTrace>) -> Vec<Trace> {
    wrapped.data.unwrap_or_default().into_iter().map(trace).collect()
}

fn trace(raw: RawTrace) -> Trace {
    let RawTrace { spans, processes } = raw;
    let mut spans: Vec<Span> = spans.into_iter().map(|span| convert(span, &processes)).collect();
    let is = |span: &Span, kind: &str| span.kind.as_deref() == Some(kind);
    let clients: BTreeSet<String> =
        spans.iter().filter(|span| is(span, "CLIENT")).map(|span| span.id.clone()).collect();
    for span in &mut spans {
        span.shared = is(span, "SERVER") && clients.contains(&span.id);
    }
    Trace::new(spans)
}

/// A span as Zipkin would show it, but for whether its id is the client's.
fn convert(raw: RawSpan, processes: &BTreeMap<String, Process>) -> Span {
    let cause = |kind: &str| raw.references.iter().find(|reference| reference.ref_type == kind);
    let parent_id = cause("CHILD_OF").or_else(|| cause("FOLLOWS_FROM")).map(|cause| cause.span_id.clone());
    let tags: BTreeMap<String, String> = raw.tags.into_iter().map(|tag| (tag.key, text(tag.value))).collect();
    // Work inside of a service has no kind at Zipkin.
    let kind = tags.get(KIND).filter(|kind| *kind != "internal").map(|kind| kind.to_uppercase());
    let service_name = processes.get(&raw.process_id).map(|process| process.service_name.clone()).unwrap_or_default();
    Span {
        trace_id: raw.trace_id,
        id: raw.span_id,
        parent_id,
        kind,
        name: raw.operation_name,
        shared: false,
        timestamp: raw.start_time,
        duration: raw.duration,
        local_endpoint: Endpoint { service_name },
        tags,
    }
}

/// A tag's value as text: Jaeger's are texts, numbers and truths.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
