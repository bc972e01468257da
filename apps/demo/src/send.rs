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
//! - `POST /grpc`, see [`crate::grpc::call`], and `POST /tcp`, see [`crate::tcp`]; all answer
//!   [`Report`]
//! - `GET /received?path=…`: how many requests this process got for a path

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::client::{self, Client};
use crate::counter::Counter;
use crate::report::{Answer, Report};
use crate::{grpc, tcp};

/// The most requests of one order.
const MOST: u32 = 10_000;
/// The most requests that wait for an answer at once.
const CROWD: u32 = 64;

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
    /// How many at once, at most 64; 1 unless given.
    parallel: Option<u32>,
    /// How many begin in a second, evenly, while no more than `parallel` (then 64 unless given) wait.
    per_second: Option<u32>,
    /// How many answers to keep whole, the first ones; 1 unless given.
    keep: Option<usize>,
}

/// The control port's routes.
pub(crate) fn router(client: Client, received: Arc<Counter>) -> Router {
    let ask = async |State(client): State<Client>, Query(order): Query<Order>| run(client, order).await;
    let order = async |State(client): State<Client>, Json(order): Json<Order>| run(client, order).await;
    let count = async move |Query(asked): Query<Asked>| Json(json!({"received": received.get(&asked.path)}));
    Router::new()
        .route("/send", get(ask).post(order))
        .route("/grpc", post(grpc::call::calls))
        .route("/tcp", post(tcp::talk))
        .route("/received", get(count))
        .route("/healthz", get(async || "ok"))
        .with_state(client)
}

/// A question about what arrived.
#[derive(Deserialize)]
struct Asked {
    /// The path, without a query.
    path: String,
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
    let crowd = if order.per_second.is_some() { CROWD } else { 1 };
    let (count, parallel) = (order.count.unwrap_or(1), order.parallel.unwrap_or(crowd).clamp(1, CROWD) as usize);
    let keep = order.keep.unwrap_or(1);
    let mut ticks = order.per_second.map(|rate| {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
        // A pause is not made up for: a rate is a rate.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    let begin = Instant::now();
    let mut report = Report::default();
    let mut running = JoinSet::new();
    while report.sent < count || !running.is_empty() {
        while report.sent < count && running.len() < parallel {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            let (client, prepared) = (client.clone(), prepared.clone());
            running.spawn(async move { exchange(&client, prepared).await });
            report.sent += 1;
        }
        match running.join_next().await {
            Some(Ok(Ok(answer))) => {
                *report.codes.entry(answer.status).or_default() += 1;
                report.keep(answer, keep);
            }
            Some(Ok(Err(error))) => report.failed(error),
            Some(Err(panic)) => report.failed(panic.to_string()),
            None => {}
        }
    }
    report.after(begin.elapsed())
}

async fn exchange(client: &Client, prepared: Prepared) -> Result<Answer, String> {
    let Prepared { method, url, headers, body } = prepared;
    let begin = Instant::now();
    let answer = client.send(method, url, headers, body).await?;
    Ok(Answer::new(answer.status.as_u16(), &answer.headers, &answer.body, begin))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;
    use crate::config::Config;

    async fn target() -> String {
        let config = Config::read(|_| None).expect("the defaults are valid");
        let router = crate::pages::router(&config, &Client::new(), Arc::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    async fn order(request: Request<Body>) -> (u16, Value) {
        let answer = router(Client::new(), Arc::default()).oneshot(request).await.expect("infallible");
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
    async fn requests_can_be_spread_over_time() {
        let target = target().await;
        let body = json!({"url": format!("{target}/x"), "count": 5, "per_second": 20, "keep": 5});
        let (_, report) = order(post(&body)).await;
        assert_eq!((&report["sent"], report["answers"].as_array().map(Vec::len)), (&json!(5), Some(5)));
        let elapsed = report["elapsed_ms"].as_u64().expect("a number");
        assert!((200..2000).contains(&elapsed), "{elapsed}");
    }

    #[tokio::test]
    async fn what_arrived_is_counted_by_path() {
        let received = Arc::new(Counter::default());
        let config = Config::read(|_| None).expect("the defaults are valid");
        let pages = crate::pages::router(&config, &Client::new(), Arc::clone(&received));
        for path in ["/a?x=1", "/a?x=2", "/b"] {
            pages
                .clone()
                .oneshot(Request::get(path).body(Body::empty()).expect("a request"))
                .await
                .expect("infallible");
        }
        let ask = Request::get("/received?path=/a").body(Body::empty()).expect("a request");
        let answer = router(Client::new(), received).oneshot(ask).await.expect("infallible");
        let bytes = to_bytes(answer.into_body(), 100).await.expect("a body");
        assert_eq!(&bytes[..], br#"{"received":2}"#);
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
