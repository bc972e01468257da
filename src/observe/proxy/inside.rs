//! Requests to what listens on a pod's own loopback address and answers nobody else, such as
//! Envoy's administration and istiod's debug pages: through port forwarding by the API server, as
//! `kubectl port-forward` does, but without a port on this machine.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;

use super::{Answer, EXCHANGE_LIMIT, Error, Proxy};

/// How long the node may take to tell why a connection broke.
const REASON_LIMIT: Duration = Duration::from_secs(1);

/// A port on a pod's loopback address.
#[derive(Clone, Debug)]
pub struct Inside {
    proxy: Proxy,
    namespace: String,
    pod: String,
    port: u16,
}

impl Proxy {
    /// What listens on a port of this pod's loopback address.
    #[must_use]
    pub fn inside(&self, namespace: &str, pod: &str, port: u16) -> Inside {
        Inside { proxy: self.clone(), namespace: namespace.to_owned(), pod: pod.to_owned(), port }
    }
}

impl Inside {
    /// The pod's name.
    #[must_use]
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// Asks for `path`, which begins with a slash and may have a query.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Unreachable`], [`Error::BrokenOff`], [`Error::Deadline`].
    pub async fn get(&self, path: &str) -> Result<Answer, Error> {
        let request = format!("GET {}.{}:{}{path} (inside of the pod)", self.pod, self.namespace, self.port);
        self.proxy.told(&request, None, EXCHANGE_LIMIT, self.exchange(&request, path)).await
    }

    async fn exchange(&self, request: &str, path: &str) -> Result<Answer, Error> {
        let asked = Request::get(path)
            .header("host", "localhost")
            .header("connection", "close")
            .body(Empty::<Bytes>::new())
            .map_err(|source| Error::Request { request: request.to_owned(), source })?;
        let pods: kube::Api<Pod> = kube::Api::namespaced(self.proxy.client.clone(), &self.namespace);
        let mut forwarder = pods
            .portforward(&self.pod, &[self.port])
            .await
            .map_err(|source| Error::Unreachable { request: request.to_owned(), source: Box::new(source) })?;
        let broken =
            |source: Box<dyn std::error::Error + Send + Sync>| Error::BrokenOff { request: request.to_owned(), source };
        let reason = forwarder.take_error(self.port);
        let stream = forwarder.take_stream(self.port).ok_or_else(|| broken("no stream was opened".into()))?;
        let answered = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            // It ends with the exchange; what goes wrong in it, the exchange tells.
            tokio::spawn(connection);
            sender.send_request(asked).await
        };
        let answer = match answered.await {
            Ok(answer) => answer,
            Err(error) => {
                // The node knows better why, such as that nobody listens there.
                let told = async { reason?.await };
                let told = tokio::time::timeout(REASON_LIMIT, told).await.ok().flatten();
                return Err(broken(told.map_or_else(|| error.into(), Into::into)));
            }
        };
        let (head, body) = answer.into_parts();
        let answer = Answer::read(request, &head, body).await;
        forwarder.abort();
        answer
    }
}
