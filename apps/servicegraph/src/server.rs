//! The graph's pages and data over HTTP.

use std::fmt;

use axum::Json;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::ask::Ask;
use crate::graph::Graph;
use crate::options::{Options, WrongOption};
use crate::{d3, dot, pages, picture};

/// Why there is no graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A parameter is wrong.
    Option(WrongOption),
    /// Prometheus did not answer, or refused.
    Prometheus(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(error) => error.fmt(f),
            Self::Prometheus(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for Error {}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Option(_) => StatusCode::BAD_REQUEST,
            Self::Prometheus(_) => StatusCode::BAD_GATEWAY,
        };
        (status, format!("{self}\n")).into_response()
    }
}

/// Reads the graph from the metrics: requests of HTTP and gRPC, bytes of TCP.
///
/// # Errors
/// A wrong time, or whatever the questions to Prometheus fail with.
pub async fn read(ask: &impl Ask, options: &Options) -> Result<Graph, Error> {
    options.check().map_err(Error::Option)?;
    // Releases before 1.5 named the second without its ending.
    let (requests, bytes) = ("istio_requests_total", "istio_tcp_received_bytes(_total)?");
    let sample = |metric, reporter| ask.ask(options.expression(metric, reporter));
    let (requests_calling, requests_called, bytes_calling, bytes_called) = futures::try_join!(
        sample(requests, "source"),
        sample(requests, "destination"),
        sample(bytes, "source"),
        sample(bytes, "destination"),
    )
    .map_err(Error::Prometheus)?;
    let mut graph = Graph::default();
    graph.add("reqs/sec", &requests_calling, &requests_called);
    graph.add("bytes/sec", &bytes_calling, &bytes_called);
    Ok(graph)
}

/// The routes; see the crate's description.
pub fn router<A: Ask>(ask: A) -> Router {
    Router::new()
        .route("/", get(async || Redirect::temporary("force/forcegraph.html")))
        .route("/force/forcegraph.html", get(async || page(pages::FORCE.to_owned())))
        .route("/dotviz", get(dotviz::<A>))
        .route("/dotgraph", get(dotgraph::<A>))
        .route("/d3graph", get(d3graph::<A>))
        .route("/graph", get(graph::<A>))
        .route("/healthz", get(async || "ok\n"))
        .with_state(ask)
}

type Parameters = Query<Vec<(String, String)>>;

async fn asked<A: Ask>(ask: &A, parameters: &Parameters) -> Result<(Options, Graph), Error> {
    let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let options = Options::read(pairs).map_err(Error::Option)?;
    let graph = read(ask, &options).await?;
    Ok((options, graph))
}

async fn dotviz<A: Ask>(State(ask): State<A>, parameters: Parameters) -> Result<Response, Error> {
    let (options, graph) = asked(&ask, &parameters).await?;
    Ok(page(pages::drawing(options.window(), &picture::svg(&graph))))
}

async fn dotgraph<A: Ask>(State(ask): State<A>, parameters: Parameters) -> Result<String, Error> {
    let (_, graph) = asked(&ask, &parameters).await?;
    Ok(dot::dot(&graph))
}

async fn d3graph<A: Ask>(State(ask): State<A>, parameters: Parameters) -> Result<Response, Error> {
    let (_, graph) = asked(&ask, &parameters).await?;
    Ok(Json(d3::d3(&graph)).into_response())
}

async fn graph<A: Ask>(State(ask): State<A>, parameters: Parameters) -> Result<Json<Graph>, Error> {
    let (_, graph) = asked(&ask, &parameters).await?;
    Ok(Json(graph))
}

/// A page that may load nothing from anywhere else.
fn page(text: String) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(text)).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;
    use crate::ask::Sample;

    /// Knows one call, as its caller tells it, and refuses what is not a rate.
    #[derive(Clone)]
    struct One;

    impl Ask for One {
        async fn ask(&self, expression: String) -> Result<Vec<Sample>, String> {
            if !expression.contains("[5m]") {
                return Err("Prometheus at http://p: no".to_owned());
            }
            if !expression.contains("istio_requests_total") || !expression.contains("\"source\"") {
                return Ok(Vec::new());
            }
            let labels = [("source_workload", "a"), ("destination_workload", "b")];
            let labels: BTreeMap<_, _> = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            Ok(vec![Sample { labels, value: 0.5 }])
        }
    }

    async fn get(path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = router(One).oneshot(request).await.expect("infallible");
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        (status, String::from_utf8(bytes.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn the_five_paths_answer() {
        let (status, body) = get("/graph").await;
        let edges = json!([{"source": "a", "target": "b", "labels": {"reqs/sec": "0.500000"}}]);
        let value: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &value), (200, &json!({"nodes": {"a": {}, "b": {}}, "edges": edges})));
        let (status, body) = get("/d3graph").await;
        assert_eq!((status, body.contains(r#""source":0,"target":1"#)), (200, true), "{body}");
        let (status, body) = get("/dotgraph").await;
        assert_eq!((status, body.starts_with("digraph \"istio-servicegraph\" {")), (200, true), "{body}");
        let (status, body) = get("/dotviz").await;
        assert_eq!((status, body.contains("a calls b: 0.50 reqs/sec")), (200, true), "{body}");
        let (status, body) = get("/force/forcegraph.html").await;
        assert_eq!((status, body.contains("d3graph")), (200, true), "{body}");
    }

    #[tokio::test]
    async fn pages_load_nothing_from_elsewhere() {
        for path in ["/dotviz", "/force/forcegraph.html"] {
            let (_, body) = get(path).await;
            let addresses = body.matches("http").count() - body.matches("http://www.w3.org/").count();
            assert_eq!(addresses, 0, "{path}");
            assert!(!body.contains("src=") && !body.contains("@import") && !body.contains("url(//"), "{path}");
        }
    }

    #[tokio::test]
    async fn wrong_parameters_and_a_silent_prometheus_are_told_apart() {
        let (status, body) = get("/graph?time_horizon=soon").await;
        assert_eq!(
            (status, body.as_str()),
            (400, "time_horizon: `soon` is not a time; write it as 15s, 1m or 1h30m\n")
        );
        let (status, body) = get("/graph?time_horizon=1m").await;
        assert_eq!((status, body.as_str()), (502, "Prometheus at http://p: no\n"));
    }
}
