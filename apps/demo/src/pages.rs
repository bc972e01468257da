//! What the application answers on its own port.
//!
//! - `/` and every path that is not named here: who it is, who called, which headers arrived, and
//!   what the back end answered.
//! - `/version`: name and version.
//! - `/fail?code=503[&at=backend][&until=3]`: answers with that status; `at=backend` makes the back end
//!   fail and passes its status on; with `until=3` the third try of a proxy succeeds.
//! - `/slow?ms=500`: answers as `/` does, but only after this time.
//! - `/healthz`: `ok`, without a call to the back end.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::client::{self, Client};
use crate::config::Config;
use crate::counter::Counter;
use crate::propagate::{TRACE_HEADERS, trace_headers};

/// The header in which Envoy tells who the caller is, as proven by its certificate.
pub(crate) const CALLER: &str = "x-forwarded-client-cert";
/// The headers besides those of traces that answers show.
const INTERESTING: [&str; 8] = [
    "end-user",
    "host",
    "user-agent",
    ATTEMPT,
    "x-envoy-expected-rq-timeout-ms",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-user",
];
/// The header in which Envoy tells which try this is, from 1.
const ATTEMPT: &str = "x-envoy-attempt-count";
/// The longest delay that can be asked for.
const LONGEST: Duration = Duration::from_secs(10);

struct Application {
    name: String,
    version: String,
    backend: Option<String>,
    client: Client,
}

/// The application's routes. Every request is counted in `received` by its path.
pub(crate) fn router(config: &Config, client: &Client, received: Arc<Counter>) -> Router {
    let application = Arc::new(Application {
        name: config.name.clone(),
        version: config.version.clone(),
        backend: config.backend.clone(),
        client: client.clone(),
    });
    let count = async |State(received): State<Arc<Counter>>, request: Request, next: Next| {
        received.add(request.uri().path());
        next.run(request).await
    };
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/version", get(version))
        .route("/fail", get(fail))
        .route("/slow", get(slow))
        .fallback(show)
        .layer(middleware::from_fn_with_state(received, count))
        .with_state(application)
}

async fn version(State(application): State<Arc<Application>>) -> Json<Value> {
    Json(json!({"name": application.name, "version": application.version}))
}

async fn show(State(application): State<Arc<Application>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let (status, backend) = match application.call(path, &headers).await {
        None => (StatusCode::OK, Value::Null),
        Some(Ok((status, body))) if status.is_success() => (StatusCode::OK, body),
        Some(Ok((status, body))) => (StatusCode::BAD_GATEWAY, json!({"status": status.as_u16(), "body": body})),
        Some(Err(error)) => (StatusCode::BAD_GATEWAY, json!({"error": error})),
    };
    let answer = json!({
        "name": application.name,
        "version": application.version,
        "method": method.as_str(),
        "path": path,
        "caller": headers.get(CALLER).and_then(|value| value.to_str().ok()),
        "headers": of_interest(&headers),
        "backend": backend,
    });
    (status, Json(answer)).into_response()
}

#[derive(Deserialize)]
struct Slow {
    /// Milliseconds, at most 10,000.
    ms: u64,
}

async fn slow(
    application: State<Arc<Application>>,
    Query(slow): Query<Slow>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    tokio::time::sleep(Duration::from_millis(slow.ms).min(LONGEST)).await;
    show(application, method, uri, headers).await
}

#[derive(Deserialize)]
struct Fail {
    /// The status to answer with, 200 to 599; 503 unless given.
    code: Option<u16>,
    /// `backend`: let the back end fail.
    at: Option<String>,
    /// The try that succeeds.
    until: Option<u32>,
}

async fn fail(State(application): State<Arc<Application>>, Query(fail): Query<Fail>, headers: HeaderMap) -> Response {
    let code = fail.code.unwrap_or(503);
    let Some(status) = StatusCode::from_u16(code).ok().filter(|status| (200..600).contains(&status.as_u16())) else {
        return (StatusCode::BAD_REQUEST, format!("code={code} is not a status between 200 and 599\n")).into_response();
    };
    if let Some(attempt) = attempt(&headers).filter(|attempt| fail.until.is_some_and(|until| *attempt >= until)) {
        let answer = json!({"name": application.name, "version": application.version, "attempt": attempt});
        return Json(answer).into_response();
    }
    let failed_at = |at: &str, status: StatusCode| {
        (status, Json(json!({"name": application.name, "failed": at, "code": status.as_u16()}))).into_response()
    };
    if fail.at.as_deref() != Some("backend") {
        return failed_at(&application.name, status);
    }
    match application.call(&format!("/fail?code={code}"), &headers).await {
        None => (StatusCode::BAD_REQUEST, "at=backend: this is a back end\n").into_response(),
        Some(Ok((status, _))) => failed_at("backend", status),
        Some(Err(error)) => (StatusCode::BAD_GATEWAY, Json(json!({"error": error}))).into_response(),
    }
}

impl Application {
    /// Calls the back end, if there is one, for `path` on behalf of a request that had `headers`.
    async fn call(&self, path: &str, headers: &HeaderMap) -> Option<Result<(StatusCode, Value), String>> {
        let url = format!("{}{path}", self.backend.as_ref()?);
        let answer = async {
            let answer =
                self.client.send(Method::GET, client::url(&url)?, trace_headers(headers), Bytes::new()).await?;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            Ok((answer.status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
        };
        Some(answer.await.map_err(|error: String| format!("{url}: {error}")))
    }
}

/// Which try of a proxy this is, if one tells.
fn attempt(headers: &HeaderMap) -> Option<u32> {
    headers.get(ATTEMPT)?.to_str().ok()?.parse().ok()
}

/// The headers that a student of meshes looks at; never cookies or credentials.
fn of_interest(headers: &HeaderMap) -> Map<String, Value> {
    let interesting = |name: &str| INTERESTING.contains(&name) || TRACE_HEADERS.contains(&name);
    headers
        .iter()
        .filter(|(name, _)| interesting(name.as_str()))
        .filter_map(|(name, value)| Some((name.to_string(), Value::from(value.to_str().ok()?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    fn tier(name: &str, backend: Option<String>) -> Router {
        let mut config = Config::read(|_| None).expect("the defaults are valid");
        config.name = name.to_owned();
        config.backend = backend;
        router(&config, &Client::new(), Arc::default())
    }

    async fn ask(router: Router, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        let answer = router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("infallible");
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn backend() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, tier("back", None)).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn a_front_end_passes_the_trace_on_and_shows_the_back_ends_answer() {
        let front = tier("front", Some(backend().await));
        let headers = [("x-b3-traceid", "0af7"), ("x-forwarded-client-cert", "URI=spiffe://x"), ("cookie", "secret")];
        let (status, answer) = ask(front, "/some/path?id=7", &headers).await;
        assert_eq!(status, 200);
        assert_eq!(answer["caller"], "URI=spiffe://x");
        assert_eq!(answer["headers"].get("cookie"), None);
        assert_eq!(answer["backend"]["name"], "back");
        assert_eq!(answer["backend"]["path"], "/some/path?id=7");
        assert_eq!(answer["backend"]["headers"]["x-b3-traceid"], "0af7");
        assert_eq!(answer["backend"]["caller"], Value::Null);
    }

    #[tokio::test]
    async fn a_failure_has_the_code_that_was_asked_for() {
        assert_eq!(ask(tier("back", None), "/fail", &[]).await.0, 503);
        assert_eq!(ask(tier("back", None), "/fail?code=418", &[]).await.0, 418);
        assert_eq!(ask(tier("back", None), "/fail?code=42", &[]).await.0, 400);
        assert_eq!(ask(tier("back", None), "/fail?code=503&at=backend", &[]).await.0, 400);
        let (status, answer) = ask(tier("front", Some(backend().await)), "/fail?code=503&at=backend", &[]).await;
        assert_eq!((status, &answer["failed"]), (503, &json!("backend")));
    }

    #[tokio::test]
    async fn a_back_end_that_is_away_is_a_bad_gateway() {
        let (status, answer) = ask(tier("front", Some("http://127.0.0.1:1".to_owned())), "/", &[]).await;
        assert_eq!(status, 502);
        assert!(answer["backend"]["error"].as_str().expect("a text").contains("127.0.0.1"), "{answer}");
    }

    #[tokio::test]
    async fn version_and_health() {
        assert_eq!(ask(tier("back", None), "/version", &[]).await.1["name"], "back");
        assert_eq!(ask(tier("back", None), "/healthz", &[]).await.0, 200);
    }

    #[tokio::test]
    async fn the_try_that_is_asked_for_succeeds() {
        for (attempt, status) in [("1", 503), ("2", 503), ("3", 200), ("4", 200)] {
            let headers = [("x-envoy-attempt-count", attempt)];
            assert_eq!(ask(tier("back", None), "/fail?until=3", &headers).await.0, status, "{attempt}");
        }
        assert_eq!(ask(tier("back", None), "/fail?until=3", &[]).await.0, 503);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_can_be_late() {
        let begin = tokio::time::Instant::now();
        let (status, answer) = ask(tier("back", None), "/slow?ms=1500", &[("x-user", "jason")]).await;
        assert_eq!((status, begin.elapsed().as_millis()), (200, 1500));
        assert_eq!((&answer["method"], &answer["headers"]["x-user"]), (&json!("GET"), &json!("jason")));
    }
}
