//! Zipkin's HTTP API, version 2. <https://zipkin.io/zipkin-api/>

use std::collections::BTreeSet;

use super::Error;
use super::proxy::{Service, query};
use super::trace::{REQUEST_ID, Span, Trace, URL, request_ids};

/// A Zipkin server.
#[derive(Clone, Debug)]
pub struct Zipkin {
    service: Service,
}

impl Zipkin {
    /// The server behind `service`.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self { service }
    }

    /// The names of all services that sent spans.
    ///
    /// # Errors
    /// Those of [`Service::send`], [`Error::Status`], [`Error::Shape`].
    pub async fn services(&self) -> Result<Vec<String>, Error> {
        self.service.get("/api/v2/services").await?.ok()?.json()
    }

    /// The trace with this id; `None` if Zipkin has none.
    ///
    /// # Errors
    /// As [`Zipkin::services`].
    pub async fn trace(&self, id: &str) -> Result<Option<Trace>, Error> {
        let answer = self.service.get(&format!("/api/v2/trace/{id}")).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        Ok(Some(Trace::new(answer.ok()?.json()?)))
    }

    /// Traces of the last hour that answer `filters`, pairs of Zipkin's parameters such as
    /// `serviceName` and `annotationQuery`.
    ///
    /// # Errors
    /// As [`Zipkin::services`].
    pub async fn traces(&self, filters: &[(&str, &str)]) -> Result<Vec<Trace>, Error> {
        let mut pairs = filters.to_vec();
        pairs.extend([("limit", "200"), ("lookback", "3600000")]);
        let answer = self.service.get(&format!("/api/v2/traces?{}", query(&pairs))).await?.ok()?;
        Ok(answer.json::<Vec<Vec<Span>>>()?.into_iter().map(Trace::new).collect())
    }

    /// The ids of the traces of requests to this URL, at most 200.
    ///
    /// # Errors
    /// As [`Zipkin::services`].
    pub async fn traces_of_url(&self, url: &str) -> Result<BTreeSet<String>, Error> {
        let found = self.traces(&[("annotationQuery", &format!("{URL}={url}"))]).await?;
        Ok(found.into_iter().filter_map(|trace| Some(trace.spans.into_iter().next()?.trace_id)).collect())
    }

    /// The trace of the request that had this `x-request-id`, a UUID.
    ///
    /// # Errors
    /// As [`Zipkin::services`].
    pub async fn trace_of_request(&self, request_id: &str) -> Result<Option<Trace>, Error> {
        for id in request_ids(request_id) {
            let found = self.traces(&[("annotationQuery", &format!("{REQUEST_ID}={id}"))]).await?;
            if let Some(id) = found.iter().find_map(|trace| Some(&trace.spans.first()?.trace_id)) {
                // By its id the trace is whole even when the search cut it.
                return self.trace(id).await;
            }
        }
        Ok(None)
    }
}
