//! Requests to other services: HTTP/1.1 without TLS, which is the proxy's business.

use std::error::Error;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client as Connections;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long a call may take, from its begin to the end of the answer.
const LIMIT: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const LARGEST: usize = 16 << 20;

/// A client that keeps its connections. Cheap to clone.
///
/// Names are resolved by the C library: glibc has the resolver built in since 2.34, so that it works
/// in a static program without any file of the image but `/etc/resolv.conf`, which Kubernetes mounts.
#[derive(Clone, Debug)]
pub(crate) struct Client(Connections<HttpConnector, Full<Bytes>>);

/// A service's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self(Connections::builder(TokioExecutor::new()).build_http())
    }

    /// Sends a request and reads the whole answer. A `host` header replaces the URL's host.
    ///
    /// # Errors
    /// One line: the error with its causes.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, String> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url;
        *request.headers_mut() = headers;
        let exchange = async {
            let (head, body) = self.0.request(request).await.map_err(|error| chain(&error))?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(|error| chain(error.as_ref()))?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(LIMIT, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("no whole answer within {} s", LIMIT.as_secs())))
    }
}

/// Reads an absolute `http` URL.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{text}: {error}"))?;
    if url.scheme_str() == Some("http") && url.host().is_some() {
        Ok(url)
    } else {
        Err(format!("{text}: not an absolute http URL"))
    }
}

/// An error and its causes in one line, each text once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_http_urls_will_do() {
        assert_eq!(url("http://backend:8080/x?y=z").expect("it is a URL").host(), Some("backend"));
        for wrong in ["nonsense", "/path", "https://x/", "http:///x", ""] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
