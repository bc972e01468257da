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

#[cfg(test)]
mod tests {
    use super::super::proxy::tests::fake;
    use super::*;

    /// What Jaeger 1.76 told of a request that was tried three times, less its logs and most of its tags.
    const TRIED: &str = r#"{"data":[{"traceID":"29e97ee5608d139e114219bd86d0a4f2","spans":[
      {"traceID":"29e97ee5608d139e114219bd86d0a4f2","spanID":"66fab1ffbbfe95e1","operationName":"s8e743be3.tasks.svc.cluster.local:8080/*",
       "references":[{"refType":"CHILD_OF","traceID":"29e97ee5608d139e114219bd86d0a4f2","spanID":"114219bd86d0a4f2"}],
       "startTime":1795306900397119,"duration":1061,
       "tags":[{"key":"http.status_code","type":"string","value":"503"},{"key":"span.kind","type":"string","value":"server"},{"key":"error","type":"bool","value":true}],
       "logs":[],"processID":"p1","warnings":null},
      {"traceID":"29e97ee5608d139e114219bd86d0a4f2","spanID":"79d7b153d3872904","operationName":"s8e743be3.tasks.svc.cluster.local:8080/*",
       "references":[{"refType":"CHILD_OF","traceID":"29e97ee5608d139e114219bd86d0a4f2","spanID":"114219bd86d0a4f2"}],
       "startTime":1795306900428696,"duration":5994,
       "tags":[{"key":"http.status_code","type":"string","value":"503"},{"key":"span.kind","type":"string","value":"server"},{"key":"error","type":"bool","value":true}],
       "logs":[],"processID":"p1","warnings":null},
      {"traceID":"29e97ee5608d139e114219bd86d0a4f2","spanID":"053e3673d26ab19b","operationName":"s8e743be3.tasks.svc.cluster.local:8080/*",
       "references":[{"refType":"CHILD_OF","traceID":"29e97ee5608d139e114219bd86d0a4f2","spanID":"114219bd86d0a4f2"}],
       "startTime":1795306900473590,"duration":6330,
       "tags":[{"key":"http.status_code","type":"string","value":"200"},{"key":"span.kind","type":"string","value":"server"}],
       "logs":[],"processID":"p1","warnings":null},
      {"traceID":"29e97ee5608d139e114219bd86d0a4f2","spanID":"114219bd86d0a4f2","operationName":"s8e743be3.tasks.svc.cluster.local:8080/*",
       "references":[],
       "startTime":1795306900396284,"duration":91915,
       "tags":[{"key":"http.status_code","type":"string","value":"200"},{"key":"span.kind","type":"string","value":"client"}],
       "logs":[],"processID":"p2","warnings":null}],
      "processes":{"p1":{"serviceName":"echo.tasks","tags":[]},"p2":{"serviceName":"client.tasks","tags":[]}},"warnings":null}],
      "total":0,"limit":0,"offset":0,"errors":null}"#;

    fn read(text: &str) -> Trace {
        traces(serde_json::from_str(text).expect("an answer of Jaeger")).pop().expect("a trace")
    }

    #[test]
    fn spans_have_services_kinds_causes_and_tags() {
        let trace = read(TRIED);
        assert_eq!(
            trace.tree().replace("s8e743be3.tasks.svc.cluster.local:8080/*", "echo"),
            "client.tasks client echo 200 91.9 ms\n  echo.tasks server echo 503 1.0 ms\n  echo.tasks server echo 503 5.9 ms\n  \
             echo.tasks server echo 200 6.3 ms\n"
        );
        assert!(trace.orphans().is_empty());
        let failed = trace.of("echo.tasks", "server")[0];
        assert_eq!((failed.tags["error"].as_str(), failed.tags["http.status_code"].as_str()), ("true", "503"));
        assert_eq!(failed.trace_id, "29e97ee5608d139e114219bd86d0a4f2");
    }

    #[test]
    fn servers_that_share_their_clients_id_hang_below_it() {
        let shared = ["66fab1ffbbfe95e1", "79d7b153d3872904", "053e3673d26ab19b"]
            .into_iter()
            .fold(TRIED.to_owned(), |text, id| {
                text.replace(&format!("\"spanID\":\"{id}\""), "\"spanID\":\"114219bd86d0a4f2\"")
            });
        // A server's span then names its client's cause, and here there is none.
        let cause =
            r#"{"refType":"CHILD_OF","traceID":"29e97ee5608d139e114219bd86d0a4f2","spanID":"114219bd86d0a4f2"}"#;
        let trace = read(&shared.replace(cause, ""));
        assert_eq!(trace.tree(), read(TRIED).tree());
    }

    #[test]
    fn work_inside_of_a_service_has_no_kind_and_may_follow_from_another() {
        let trace = read(
            r#"{"data":[{"traceID":"t","spans":[{"traceID":"t","spanID":"2","operationName":"work","startTime":1,"duration":1,
            "references":[{"refType":"FOLLOWS_FROM","traceID":"t","spanID":"1"}],"processID":"p1","tags":[
            {"key":"span.kind","type":"string","value":"internal"},{"key":"tries","type":"int64","value":3}]}],
            "processes":{"p1":{"serviceName":"a","tags":[]}}}]}"#,
        );
        let span = &trace.spans[0];
        assert!(span.is("a", "local"));
        assert_eq!((span.parent_id.as_deref(), span.tags["tries"].as_str()), (Some("1"), "3"));
    }

    #[tokio::test]
    async fn what_it_does_not_know_is_nothing() {
        let (proxy, requests) = fake(
            "HTTP/1.1 404 Not Found\r\ncontent-length: 107\r\nconnection: close\r\n\r\n{\"data\":null,\"total\":0,\
             \"limit\":0,\"offset\":0,\"errors\":[{\"code\":404,\"msg\":\"trace not found\",\"traceID\":\"12\"}]}",
        )
        .await;
        let jaeger = Jaeger::new(proxy.service("istio-system", "jaeger", 16686));
        assert_eq!(jaeger.trace("12").await.expect("an answer"), None);
        let request = requests.lock().expect("no poisoned lock")[0].clone();
        assert!(request.contains("/services/jaeger:16686/proxy/api/traces/12?raw=true HTTP/1.1"), "{request}");
        let nothing = r#"{"data":null,"total":0,"limit":0,"offset":0,"errors":null}"#;
        assert!(traces(serde_json::from_str(nothing).expect("an answer of Jaeger")).is_empty());
    }

    #[tokio::test]
    async fn a_request_is_searched_by_service_and_tag() {
        let (proxy, requests) =
            fake("HTTP/1.1 200 OK\r\ncontent-length: 21\r\nconnection: close\r\n\r\n{\"data\":[],\"total\":0}").await;
        let jaeger = Jaeger::new(proxy.service("istio-system", "jaeger", 16686));
        assert_eq!(jaeger.trace_of_request("65e9a06e-7707-41c0-8669-c85ce278a866").await.expect("an answer"), None);
        assert_eq!(requests.lock().expect("no poisoned lock").len(), 1, "who knows no service has no trace");
        assert!(jaeger.traces("a", REQUEST_ID, "x").await.expect("an answer").is_empty());
        let request = requests.lock().expect("no poisoned lock")[1].clone();
        let wanted = "/api/traces?service=a&tags=%7B%22guid%3Ax-request-id%22%3A%22x%22%7D&limit=200&raw=true HTTP/1.1";
        assert!(request.contains(wanted), "{request}");
    }
}
