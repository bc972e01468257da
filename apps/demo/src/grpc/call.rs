//! Calls of the echo, on the control port's order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::wire::{decode, encode, frame, unframe};
use super::{CONTENT, SAY, collect};
use crate::client;
use crate::report::{Answer, Report};

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The most calls of one order.
const MOST: u32 = 1000;
/// Header and trailer of gRPC's own status.
const STATUS: &str = "grpc-status";

/// Whom to call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// `http://host:port`; the path is the echo's.
    url: String,
    /// The text that is to come back.
    message: String,
    /// Headers of every call.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// How many calls, one after the other; 1 unless given, at most 1000.
    count: Option<u32>,
}

/// Does what an order says.
pub(crate) async fn calls(Json(order): Json<Order>) -> Response {
    match requests(&order) {
        Ok(request) => Json(all(&order, &request).await).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

/// The head of every call.
fn requests(order: &Order) -> Result<Request<()>, String> {
    let mut parts = client::url(&order.url).map_err(|error| format!("url {error}"))?.into_parts();
    parts.path_and_query = SAY.parse().ok();
    let url = Uri::from_parts(parts).map_err(|error| error.to_string())?;
    let builder = Request::post(url).header("content-type", CONTENT).header("te", "trailers");
    let builder = order.headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    builder.body(()).map_err(|error| format!("headers: {error}"))
}

async fn all(order: &Order, request: &Request<()>) -> Report {
    let begin = Instant::now();
    let mut report = Report::default();
    for _ in 0..order.count.unwrap_or(1).min(MOST) {
        report.sent += 1;
        let called = tokio::time::timeout(LIMIT, call(request.clone(), &order.message))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())));
        match called {
            Ok((answer, status)) => {
                *report.codes.entry(answer.status).or_default() += 1;
                *report.grpc.entry(status).or_default() += 1;
                report.keep(answer, usize::MAX);
            }
            Err(error) => report.failed(error),
        }
    }
    report.after(begin.elapsed())
}

/// One call on a connection of its own, with gRPC's status.
async fn call(request: Request<()>, message: &str) -> Result<(Answer, u16), String> {
    let told = |error: h2::Error| error.to_string();
    let begin = Instant::now();
    let host = request.uri().host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let address = (host, request.uri().port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (sender, connection) = h2::client::handshake(stream).await.map_err(told)?;
    // It ends when the last handle of it is dropped; how, the call's own futures tell.
    tokio::spawn(connection);
    let mut sender = sender.ready().await.map_err(told)?;
    let (response, mut stream) = sender.send_request(request, false).map_err(told)?;
    stream.send_data(frame(&encode(&[(1, message)])), true).map_err(told)?;
    let (head, mut body) = response.await.map_err(told)?.into_parts();
    let bytes: Bytes = collect(&mut body).await?.into();
    let mut headers = head.headers;
    headers.extend(body.trailers().await.map_err(told)?.unwrap_or_default());
    // A proxy, or a server of something else, may answer with anything.
    let own = headers.get("content-type").is_some_and(|value| value.as_bytes().starts_with(CONTENT.as_bytes()));
    let body = if own && !bytes.is_empty() {
        reply(&bytes)?.to_string()
    } else {
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let status = status(&headers, head.status);
    Ok((Answer::new(head.status.as_u16(), &headers, body.as_bytes(), begin), status))
}

/// The reply as JSON, in the names of the HTTP answers.
fn reply(bytes: &[u8]) -> Result<Value, String> {
    let mut fields = decode(unframe(bytes)?)?;
    let mut field = |number| fields.remove(&number);
    Ok(json!({"text": field(1).unwrap_or_default(), "name": field(2), "version": field(3), "caller": field(4)}))
}

/// gRPC's status, or what stands for it where a proxy answered with HTTP's alone.
/// <https://grpc.github.io/grpc/core/md_doc_http-grpc-status-mapping.html>
fn status(headers: &HeaderMap, http: StatusCode) -> u16 {
    let own = headers.get(STATUS).and_then(|value| value.to_str().ok()?.parse().ok());
    own.unwrap_or(match http.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    use super::super::serve::{Server, connection};
    use super::*;

    async fn order(url: String, headers: &[(&str, &str)]) -> Report {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let order = Order { url, message: "hello".to_owned(), headers, count: Some(3) };
        all(&order, &requests(&order).expect("a valid order")).await
    }

    #[tokio::test]
    async fn a_text_comes_back_with_who_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (_stop, stopped) = watch::channel(false);
        let server = Server { name: "echo".to_owned(), version: "v2".to_owned() };
        tokio::spawn(crate::listen::accept(listener, stopped, move |stream| connection(stream, server.clone())));
        let report = order(url, &[("x-forwarded-client-cert", "URI=spiffe://x")]).await;
        assert_eq!((report.sent, report.grpc.get(&0), report.codes.get(&200)), (3, Some(&3), Some(&3)), "{report:?}");
        let body: Value = serde_json::from_str(&report.answers[2].body).expect("JSON");
        let wanted = json!({"text": "hello", "name": "echo", "version": "v2", "caller": "URI=spiffe://x"});
        assert_eq!(body, wanted);
        assert_eq!(report.answers[0].headers[STATUS], "0");
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_an_error() {
        let report = order("http://127.0.0.1:1".to_owned(), &[]).await;
        assert!(report.grpc.is_empty() && report.errors.values().sum::<u32>() == 3, "{report:?}");
    }

    #[tokio::test]
    async fn an_answer_that_is_not_of_grpc_is_kept_as_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(crate::listen::accept(listener, stopped, |stream| async {
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let response = axum::http::Response::new(());
                if let Ok(mut stream) = respond.send_response(response, false) {
                    let _ = stream.send_data(Bytes::from_static(b"<html>"), true);
                }
            }
        }));
        let report = order(url, &[]).await;
        assert_eq!((report.grpc.get(&2), report.answers[0].body.as_str()), (Some(&3), "<html>"), "{report:?}");
    }

    #[test]
    fn a_proxys_answer_without_grpcs_status_has_one_all_the_same() {
        assert_eq!(status(&HeaderMap::new(), StatusCode::SERVICE_UNAVAILABLE), 14);
        let mut headers = HeaderMap::new();
        headers.insert(STATUS, axum::http::HeaderValue::from(7));
        assert_eq!(status(&headers, StatusCode::OK), 7);
    }
}
