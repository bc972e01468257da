//! Requests to services of the cluster through the API server,
//! `/api/v1/namespaces/NS/services/[SCHEME:]NAME:PORT/proxy/…`: no port is forwarded and no
//! program started, and what works for `kubectl proxy` works here.

mod inside;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use inside::Inside;
pub use tls::Tls;

use super::Error;

use crate::error::causes;

/// How long one exchange may take.
pub const EXCHANGE_LIMIT: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 32 << 20;

/// One question and its answer, as they went over the wire.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When it was asked.
    pub at: SystemTime,
    /// Method, service and path: `GET prometheus.istio-system:9090/api/v1/query?query=up`.
    pub request: String,
    /// The request's body, if it had one.
    pub sent: Option<String>,
    /// The HTTP status; `None` when there was no answer.
    pub status: Option<u16>,
    /// The answer's text, or why there was none.
    pub answer: String,
    /// From the question to the end of the answer.
    pub elapsed: Duration,
}

type Sink = Arc<dyn Fn(Exchange) + Send + Sync>;

/// The way to services of one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Proxy {
    client: kube::Client,
    sink: Option<Sink>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("recorded", &self.sink.is_some()).finish_non_exhaustive()
    }
}

impl Proxy {
    /// A way that leaves no record, with a connection of its own: other clients repeat a request
    /// that is answered by 429, 503 or 504, but here such an answer is what was asked about, and a
    /// repetition would be counted as traffic.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if the configuration's certificates can't be used.
    pub fn new(mut config: kube::Config) -> Result<Self, Error> {
        config.default_retry = false;
        let client = kube::Client::try_from(config)
            .map_err(|source| Error::Unreachable { request: "connecting".to_owned(), source: Box::new(source) })?;
        Ok(Self { client, sink: None })
    }

    /// The same way; every exchange is shown to `sink`.
    #[must_use]
    pub fn recorded(&self, sink: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        Self { client: self.client.clone(), sink: Some(Arc::new(sink)) }
    }

    /// The service `name` in `namespace`, by the number of its port.
    #[must_use]
    pub fn service(&self, namespace: &str, name: &str, port: u16) -> Service {
        Service {
            proxy: self.clone(),
            base: format!("/api/v1/namespaces/{namespace}/services/{name}:{port}/proxy"),
            label: format!("{name}.{namespace}:{port}"),
            limit: EXCHANGE_LIMIT,
        }
    }

    /// The same for a service that speaks TLS; the API server does not verify its certificate.
    #[must_use]
    pub fn https_service(&self, namespace: &str, name: &str, port: u16) -> Service {
        Service {
            base: format!("/api/v1/namespaces/{namespace}/services/https:{name}:{port}/proxy"),
            ..self.service(namespace, name, port)
        }
    }

    /// One pod's port.
    #[must_use]
    pub fn pod(&self, namespace: &str, name: &str, port: u16) -> Service {
        Service {
            base: format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy"),
            ..self.service(namespace, name, port)
        }
    }
}

impl Proxy {
    /// Waits for an exchange, but not longer than `limit`, and shows it to the sink.
    async fn told(
        &self,
        request: &str,
        sent: Option<String>,
        limit: Duration,
        exchange: impl Future<Output = Result<Answer, Error>>,
    ) -> Result<Answer, Error> {
        let (at, begin) = (SystemTime::now(), Instant::now());
        let result = tokio::time::timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| Err(Error::Deadline { request: request.to_owned(), limit }));
        let elapsed = begin.elapsed();
        if let Some(sink) = &self.sink {
            let (status, answer) = match &result {
                Ok(answer) => (Some(answer.status), answer.text().into_owned()),
                Err(error) => (None, causes(error).join(": ")),
            };
            sink(Exchange { at, request: request.to_owned(), sent, status, answer, elapsed });
        }
        result.map(|answer| Answer { elapsed, ..answer })
    }
}

/// A service to put questions to.
#[derive(Clone, Debug)]
pub struct Service {
    proxy: Proxy,
    base: String,
    label: String,
    limit: Duration,
}

impl Service {
    /// How the service is named in messages: `name.namespace:port`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Sets how long one exchange may take.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Asks for `path`, which begins with a slash and may have a query.
    ///
    /// # Errors
    /// As [`Service::send`].
    pub async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.send(Method::GET, path, &[], None).await
    }

    /// Asks for `path` with a JSON body.
    ///
    /// # Errors
    /// As [`Service::send`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, Error> {
        self.send(Method::POST, path, &[("content-type", "application/json")], Some(body.to_string())).await
    }

    /// One exchange. Any HTTP status is an answer, see [`Answer::ok`]. A `host` header is sent on to
    /// the service as it is.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Unreachable`], [`Error::BrokenOff`], [`Error::Deadline`].
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Answer, Error> {
        let request = format!("{method} {}{path}", self.label);
        let exchange = self.exchange(&request, method, path, headers, body.as_deref());
        self.proxy.told(&request, body.clone(), self.limit, exchange).await
    }

    async fn exchange(
        &self,
        request: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Result<Answer, Error> {
        let builder = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let built: Request<Body> = built(request, builder, headers, body)?;
        let answer = self
            .proxy
            .client
            .send(built)
            .await
            .map_err(|source| Error::Unreachable { request: request.to_owned(), source: Box::new(source) })?;
        let (head, body) = answer.into_parts();
        Answer::read(request, &head, body).await
    }
}

/// The request that `builder` began, with these headers and this text.
fn built<B: From<Vec<u8>>>(
    request: &str,
    builder: http::request::Builder,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Result<Request<B>, Error> {
    headers
        .iter()
        .fold(builder, |builder, (name, value)| builder.header(*name, *value))
        .body(B::from(body.unwrap_or_default().as_bytes().to_vec()))
        .map_err(|source| Error::Request { request: request.to_owned(), source })
}

/// A service's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Method, service and path that it answers.
    pub request: String,
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Bytes,
    /// How long the exchange took.
    pub elapsed: Duration,
}

impl Answer {
    /// Reads the body to its end, up to the limit.
    async fn read<B>(request: &str, head: &http::response::Parts, body: B) -> Result<Self, Error>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let body = Limited::new(body, LARGEST_ANSWER)
            .collect()
            .await
            .map_err(|source| Error::BrokenOff { request: request.to_owned(), source })?
            .to_bytes();
        Ok(Self {
            request: request.to_owned(),
            status: head.status.as_u16(),
            headers: head.headers.iter().map(header).collect(),
            body,
            elapsed: Duration::ZERO,
        })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The answer, if its status is one of success.
    ///
    /// # Errors
    /// [`Error::Status`] for every status outside of 200 to 299.
    pub fn ok(self) -> Result<Self, Error> {
        if (200..300).contains(&self.status) {
            Ok(self)
        } else {
            Err(Error::Status { body: self.text().into_owned(), request: self.request, status: self.status })
        }
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is not JSON or not of the wanted shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| self.unexpected(error.to_string()))
    }

    /// An error that says what is wrong with this answer.
    #[must_use]
    pub fn unexpected(&self, reason: impl Into<String>) -> Error {
        Error::Shape { request: self.request.clone(), reason: reason.into(), body: self.text().into_owned() }
    }
}

/// At most `limit` bytes of `text`, cut between characters, with a mark where something is missing.
#[must_use]
pub fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit).rev().find(|&index| text.is_char_boundary(index)).unwrap_or(0);
    format!("{} … ({} bytes more)", &text[..end], text.len() - end)
}

/// A query string of `pairs`, percent-encoded.
#[must_use]
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut encoder = url::form_urlencoded::Serializer::new(String::new());
    encoder.extend_pairs(pairs);
    encoder.finish()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A server that plays the API server: gives each connection one answer and keeps the requests.
    pub(crate) async fn fake(answer: &'static str) -> (Proxy, Arc<Mutex<Vec<String>>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = vec![0; 8192];
                let read = stream.read(&mut bytes).await.unwrap_or(0);
                seen.lock().expect("no poisoned lock").push(String::from_utf8_lossy(&bytes[..read]).into_owned());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (at(&format!("http://{address}")), requests)
    }

    fn at(url: &str) -> Proxy {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Proxy::new(kube::Config::new(url.parse().expect("a URI"))).expect("a plain connection needs no certificates")
    }

    #[tokio::test]
    async fn a_service_is_asked_through_the_api_server() {
        let (proxy, requests) =
            fake("HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\nX-A: b\r\n\r\n{\"a\": 1}").await;
        let kept = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&kept);
        let proxy = proxy.recorded(move |exchange| sink.lock().expect("no poisoned lock").push(exchange));
        let service = proxy.service("istio-system", "prometheus", 9090);
        let answer = service.send(Method::GET, "/api?q=1", &[("host", "demo.test")], None).await.expect("an answer");
        assert_eq!(answer.headers["x-a"], "b");
        assert_eq!(answer.json::<Value>().expect("JSON")["a"], 1);
        let request = requests.lock().expect("no poisoned lock")[0].clone();
        assert!(
            request.starts_with("GET /api/v1/namespaces/istio-system/services/prometheus:9090/proxy/api?q=1 HTTP/1.1"),
            "{request}"
        );
        assert!(request.to_lowercase().contains("host: demo.test"), "{request}");
        let exchange = kept.lock().expect("no poisoned lock")[0].clone();
        assert_eq!(exchange.request, "GET prometheus.istio-system:9090/api?q=1");
        assert_eq!((exchange.status, exchange.answer.as_str()), (Some(200), "{\"a\": 1}"));
    }

    #[tokio::test]
    async fn a_status_of_failure_is_an_answer_until_success_is_asked_for() {
        let (proxy, _) =
            fake("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnone").await;
        let answer = proxy.service("a", "b", 1).get("/x").await.expect("an answer");
        assert_eq!(answer.status, 503);
        assert_eq!(answer.ok().expect_err("a failure").to_string(), "GET b.a:1/x: status 503\n  | none");
    }

    #[tokio::test]
    async fn an_api_server_that_is_away_is_named() {
        let error = at("http://127.0.0.1:1").service("a", "b", 1).get("/x").await.expect_err("nobody listens");
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    }

    #[test]
    fn a_cut_text_says_what_is_missing() {
        assert_eq!(cut("häuser", 2), "h … (6 bytes more)");
        assert_eq!(cut("abc", 3), "abc");
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(query(&[("query", r#"a{b="c"} + 1"#)]), "query=a%7Bb%3D%22c%22%7D+%2B+1");
    }
}
