//! A Prometheus at an address.

use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt as _, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use url::Url;

use super::{Ask, Sample, vector};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const MOST: usize = 16 << 20;

/// A Prometheus that is asked directly, without TLS.
#[derive(Clone, Debug)]
pub struct Prometheus {
    url: Url,
    client: Client<HttpConnector, Body>,
}

impl Prometheus {
    /// The server at this address, such as `http://prometheus.istio-system:9090`.
    ///
    /// # Errors
    /// If the address is not an `http` URL.
    pub fn new(address: &str) -> Result<Self, String> {
        let url = Url::parse(address).map_err(|error| format!("`{address}` is not an address: {error}"))?;
        if url.scheme() != "http" || url.cannot_be_a_base() {
            return Err(format!("`{address}` is not an address of the form http://HOST:PORT"));
        }
        Ok(Self { url, client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()) })
    }

    fn address(&self, expression: &str) -> String {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/api/v1/query", self.url.path().trim_end_matches('/')));
        url.query_pairs_mut().clear().append_pair("query", expression);
        url.into()
    }
}

impl Ask for Prometheus {
    async fn ask(&self, expression: String) -> Result<Vec<Sample>, String> {
        let address = self.address(&expression);
        let uri = address.parse().map_err(|error| format!("`{address}`: {error}"))?;
        let asked = async {
            let answer = self.client.get(uri).await.map_err(|error| chain(&error))?;
            let body = Limited::new(answer.into_body(), MOST).collect().await;
            Ok(body.map_err(|error| chain(error.as_ref()))?.to_bytes())
        };
        let answer = tokio::time::timeout(LIMIT, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())));
        answer.and_then(|body| vector(&body)).map_err(|error| format!("Prometheus at {}: {error}", self.url))
    }
}

/// An error with all its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_before_the_api_is_kept() {
        let asked = Prometheus::new("http://host:9090/prometheus/").expect("an address").address("up > 0");
        assert_eq!(asked, "http://host:9090/prometheus/api/v1/query?query=up+%3E+0");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for address in ["", "prometheus:9090", "https://host", "file:///etc"] {
            assert!(Prometheus::new(address).is_err(), "{address}");
        }
    }
}
