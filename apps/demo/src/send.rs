//! The control port: sends requests from where this process stands, for a caller who can't be
//! there, such as a scenario that asks through the API server's service proxy.
//!
//! Inside a mesh the requests leave through the pod's own sidecar with the pod's identity, so they
//! are real traffic of the mesh. The port itself has to stay outside of it
//! (`traffic.sidecar.istio.io/excludeInboundPorts`), since the API server speaks no mutual TLS.
//! Anyone who reaches the port can make this pod send requests: it is off unless `CONTROL_LISTEN`
//! is set, and belongs in labs only.
//!
//! - `POST /send` with a JSON body of [`Order`], or `GET /send?url=…&count=…&method=…`
//! - answers [`Report`]

use std::collections::BTreeMap;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::client::{self, Client};

/// The most requests of one order.
const MOST: u32 = 10_000;
/// How much of an answer's body is kept.
const KEPT_BODY: usize = 16 * 1024;

/// What to send.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    /// Absolute `http://` URL.
    url: String,
    /// HTTP method; `GET` unless given.
    method: Option<String>,
    /// Headers; `host` replaces the one of the URL.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Body, sent as it is.
    body: Option<String>,
    /// How many requests; 1 unless given.
    count: Option<u32>,
    /// How many at once; 1 unless given.
    parallel: Option<u32>,
    /// How many answers to keep whole, the first ones; 1 unless given.
    keep: Option<usize>,
}

/// What came back.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// How many requests were sent.
    sent: u32,
    /// How many answers had each status.
    codes: BTreeMap<u16, u32>,
    /// How many requests got no answer, by error text.
    errors: BTreeMap<String, u32>,
    /// From the first request to the last answer.
    elapsed_ms: u128,
    /// The first answers.
    answers: Vec<Answer>,
}

#[derive(Debug, Serialize)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    /// Cut off after 16 KiB.
    body: String,
    elapsed_ms: u128,
}

/// The control port's routes.
pub(crate) fn router(client: Client) -> Router {
    let ask = async |State(client): State<Client>, Query(order): Query<Order>| run(client, order).await;
    let post = async |State(client): State<Client>, Json(order): Json<Order>| run(client, order).await;
    Router::new().route("/send", get(ask).post(post)).route("/healthz", get(async || "ok")).with_state(client)
}

async fn run(client: Client, order: Order) -> Response {
    let prepared = match prepare(&order) {
        Ok(prepared) => prepared,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    Json(send(&client, &prepared, &order).await).into_response()
}

/// A request that can be sent any number of times.
#[derive(Clone)]
struct Prepared {
    method: Method,
    url: Uri,
    headers: HeaderMap,
    body: Bytes,
}

fn prepare(order: &Order) -> Result<Prepared, String> {
    if order.count.is_some_and(|count| count > MOST) {
        return Err(format!("count: at most {MOST} requests at a time"));
    }
    let method = order.method.as_deref().unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| format!("method {method}: {error}"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &order.headers {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|error| format!("header {name}: {error}"))?;
        headers.insert(parsed, HeaderValue::from_str(value).map_err(|error| format!("header {name}: {error}"))?);
    }
    let url = client::url(&order.url).map_err(|error| format!("url {error}"))?;
    Ok(Prepared { method, url, headers, body: Bytes::from(order.body.clone().unwrap_or_default()) })
}

async fn send(client: &Client, prepared: &Prepared, order: &Order) -> Report {
    let (count, parallel) = (order.count.unwrap_or(1), order.parallel.unwrap_or(1).clamp(1, 64) as usize);
    let keep = order.keep.unwrap_or(1);
    let begin = Instant::now();
    let mut report = Report::default();
    let mut running = JoinSet::new();
    while report.sent < count || !running.is_empty() {
        while report.sent < count && running.len() < parallel {
            let (client, prepared) = (client.clone(), prepared.clone());
            running.spawn(async move { exchange(&client, prepared).await });
            report.sent += 1;
        }
        match running.join_next().await {
            Some(Ok(Ok(answer))) => {
                *report.codes.entry(answer.status).or_default() += 1;
                if report.answers.len() < keep {
                    report.answers.push(answer);
                }
            }
            Some(Ok(Err(error))) => *report.errors.entry(error).or_default() += 1,
            Some(Err(panic)) => *report.errors.entry(panic.to_string()).or_default() += 1,
            None => {}
        }
    }
    report.elapsed_ms = begin.elapsed().as_millis();
    report
}

async fn exchange(client: &Client, prepared: Prepared) -> Result<Answer, String> {
    let Prepared { method, url, headers, body } = prepared;
    let begin = Instant::now();
    let answer = client.send(method, url, headers, body).await?;
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(KEPT_BODY)]).into_owned();
    Ok(Answer { status: answer.status.as_u16(), headers, body, elapsed_ms: begin.elapsed().as_millis() })
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;
    use crate::config::Config;

    async fn target() -> String {
        let config = Config::read(|_| None).expect("the defaults are valid");
        let router = crate::pages::router(&config, &Client::new());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    async fn order(request: Request<Body>) -> (u16, Value) {
        let answer = router(Client::new()).oneshot(request).await.expect("infallible");
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::String(text)))
    }

    fn post(body: &Value) -> Request<Body> {
        Request::post("/send")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request")
    }

    #[tokio::test]
    async fn every_request_is_counted_by_its_status() {
        let target = target().await;
        let body = json!({"url": format!("{target}/fail?code=503"), "count": 7, "parallel": 3, "keep": 2});
        let (status, report) = order(post(&body)).await;
        assert_eq!(status, 200, "{report}");
        assert_eq!((&report["sent"], &report["codes"]), (&json!(7), &json!({"503": 7})));
        assert_eq!(report["answers"].as_array().expect("a list").len(), 2);
    }

    #[tokio::test]
    async fn headers_reach_the_target() {
        let target = target().await;
        let body = json!({"url": format!("{target}/x"), "headers": {"host": "demo.test", "x-request-id": "r1"}});
        let (_, report) = order(post(&body)).await;
        let seen: Value = serde_json::from_str(report["answers"][0]["body"].as_str().expect("a body")).expect("JSON");
        assert_eq!((&seen["headers"]["host"], &seen["headers"]["x-request-id"]), (&json!("demo.test"), &json!("r1")));
    }

    #[tokio::test]
    async fn no_answer_is_an_error_with_its_text() {
        let request = Request::get("/send?url=http://127.0.0.1:1/&count=2").body(Body::empty()).expect("a request");
        let (status, report) = order(request).await;
        assert_eq!(status, 200);
        let errors = report["errors"].as_object().expect("an object");
        assert_eq!(errors.values().next(), Some(&json!(2)), "{report}");
    }

    #[tokio::test]
    async fn a_wrong_order_is_refused_with_its_reason() {
        let cases = [
            (json!({"url": "nonsense"}), "url nonsense"),
            (json!({"url": "http://x", "method": "G T"}), "method G T"),
            (json!({"url": "http://x", "count": 1_000_000}), "at most"),
        ];
        for (body, reason) in cases {
            let (status, answer) = order(post(&body)).await;
            assert_eq!(status, 400);
            assert!(answer.as_str().expect("a text").contains(reason), "{answer}");
        }
    }
}
