//! Requests to what listens on a pod's own loopback address and answers nobody else, such as
//! Envoy's administration and istiod's debug pages: through port forwarding by the API server, as
//! `kubectl port-forward` does, but without a port on this machine.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Answer, EXCHANGE_LIMIT, Error, Proxy, Tls, built};

/// How long the node may take to tell why a connection broke.
const REASON_LIMIT: Duration = Duration::from_secs(1);

/// A port on a pod's loopback address.
#[derive(Clone, Debug)]
pub struct Inside {
    proxy: Proxy,
    namespace: String,
    pod: String,
    port: u16,
    tls: Option<Tls>,
}

impl Proxy {
    /// What listens on a port of this pod's loopback address.
    #[must_use]
    pub fn inside(&self, namespace: &str, pod: &str, port: u16) -> Inside {
        Inside { proxy: self.clone(), namespace: namespace.to_owned(), pod: pod.to_owned(), port, tls: None }
    }
}

impl Inside {
    /// The pod's name.
    #[must_use]
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// The same port, spoken to by TLS.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Asks for `path`, which begins with a slash and may have a query.
    ///
    /// # Errors
    /// As [`Inside::send`].
    pub async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.send(Method::GET, path, &[("host", "localhost")], None).await
    }

    /// One exchange, on a connection of its own. Any HTTP status is an answer, see [`Answer::ok`].
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
        let how = if self.tls.is_some() { "inside of the pod, by TLS" } else { "inside of the pod" };
        let request = format!("{method} {}.{}:{}{path} ({how})", self.pod, self.namespace, self.port);
        // On the heap: handshakes make it large.
        let exchange = Box::pin(self.exchange(&request, method, path, headers, body.as_deref()));
        self.proxy.told(&request, body.clone(), EXCHANGE_LIMIT, exchange).await
    }

    async fn exchange(
        &self,
        request: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Result<Answer, Error> {
        let builder = Request::builder().method(method).uri(path).header("connection", "close");
        let asked = built(request, builder, headers, body)?;
        let pods: kube::Api<Pod> = kube::Api::namespaced(self.proxy.client.clone(), &self.namespace);
        let mut forwarder = pods
            .portforward(&self.pod, &[self.port])
            .await
            .map_err(|source| Error::Unreachable { request: request.to_owned(), source: Box::new(source) })?;
        let broken = |source: Reason| Error::BrokenOff { request: request.to_owned(), source };
        let reason = forwarder.take_error(self.port);
        let stream = forwarder.take_stream(self.port).ok_or_else(|| broken("no stream was opened".into()))?;
        let answered = match &self.tls {
            None => exchanged(stream, asked).await,
            Some(tls) => match tls.connect(stream).await {
                Ok(stream) => exchanged(stream, asked).await,
                Err(error) => Err(error.into()),
            },
        };
        let answer = match answered {
            Ok(answer) => answer,
            Err(error) => {
                // The node knows better why, such as that nobody listens there.
                let told = async { reason?.await };
                let told = tokio::time::timeout(REASON_LIMIT, told).await.ok().flatten();
                return Err(broken(told.map_or(error, Into::into)));
            }
        };
        let (head, body) = answer.into_parts();
        let answer = Answer::read(request, &head, body).await;
        forwarder.abort();
        answer
    }
}

type Reason = Box<dyn std::error::Error + Send + Sync>;

/// Sends a request over a connection, and gives the answer's head.
async fn exchanged<S>(stream: S, asked: Request<Full<Bytes>>) -> Result<Response<Incoming>, Reason>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the exchange; what goes wrong in it, the exchange tells.
    tokio::spawn(connection);
    Ok(sender.send_request(asked).await?)
}
