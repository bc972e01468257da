//! What istiod says of itself: its metrics in Prometheus' text format, and which proxies have what it
//! sent. Its debug pages are open only to callers with a token of the mesh, which the API server's
//! proxy takes away, and to those who ask from inside of its pod.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Error;
use super::proxy::{Inside, Service};

/// Istio's control plane.
#[derive(Clone, Debug)]
pub struct Istiod {
    service: Service,
}

impl Istiod {
    /// The control plane whose monitoring port is behind `service`.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self { service }
    }

    /// The sum of a metric over all its labels; 0 if istiod has not used it yet.
    ///
    /// # Errors
    /// Those of [`Service::send`], [`Error::Status`].
    pub async fn metric(&self, name: &str) -> Result<f64, Error> {
        Ok(sum(&self.service.get("/metrics").await?.ok()?.text(), name))
    }
}

/// A proxy that is connected to istiod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Connected {
    /// `pod.namespace`.
    #[serde(default)]
    pub proxy: String,
    /// What it was sent, by the type's URL.
    #[serde(default)]
    pub resources: BTreeMap<String, Resource>,
}

/// What a proxy was sent of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resource {
    /// The mark of what was sent last; empty if nothing was.
    pub sent: String,
    /// The mark of what the proxy accepted last.
    pub acked: String,
    /// Why the proxy refused what it was sent; empty if it did not.
    pub last_error: String,
}

impl Connected {
    /// What the proxy has not accepted, a text for each type.
    #[must_use]
    pub fn behind(&self) -> Vec<String> {
        let behind = self.resources.iter().filter_map(|(kind, resource)| {
            let kind = kind.rsplit(['.', '/']).next().unwrap_or_default();
            if !resource.last_error.is_empty() {
                return Some(format!("{kind} was refused: {}", resource.last_error));
            }
            (resource.sent != resource.acked).then(|| format!("{kind} is not accepted yet"))
        });
        behind.collect()
    }
}

/// The proxies that are connected to one istiod, asked from inside of its pod.
///
/// # Errors
/// Those of [`Inside::get`], [`Error::Status`], [`Error::Shape`].
pub async fn connected(monitoring: &Inside) -> Result<Vec<Connected>, Error> {
    monitoring.get("/debug/syncz").await?.ok()?.json()
}

fn sum(metrics: &str, name: &str) -> f64 {
    metrics
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        // A line may end with a time; the value is what follows the labels.
        .filter_map(|line| {
            line.rsplit_once('}')
                .map_or(line, |(_, rest)| rest)
                .split_whitespace()
                .find_map(|word| word.parse::<f64>().ok())
        })
        .fold(0.0, |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# TYPE pilot_xds gauge\npilot_xds{version=\"1.31\"} 5\npilot_xds{version=\"1.30 {x}\"} 2 1700000000\n\
                    pilot_xds_pushes{type=\"cds\"} 40\npilot_info 1\n";
        assert!((sum(text, "pilot_xds") - 7.0).abs() < f64::EPSILON);
        assert!((sum(text, "pilot_info") - 1.0).abs() < f64::EPSILON);
        assert!(sum(text, "none").abs() < f64::EPSILON);
    }

    #[test]
    fn a_proxy_that_lacks_something_says_what() {
        let json = r#"[{"proxy":"a-1.demo","resources":{
            "type.googleapis.com/envoy.config.cluster.v3.Cluster":{"sent":"x1","acked":"x1"},
            "type.googleapis.com/envoy.config.listener.v3.Listener":{"sent":"x2","acked":"x1","sentTime":"2026-01-01"},
            "type.googleapis.com/envoy.config.route.v3.RouteConfiguration":{"sent":"x3","lastError":"bad regex"},
            "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig":{}}}]"#;
        let proxies: Vec<Connected> = serde_json::from_str(json).expect("an answer of istiod");
        assert_eq!(proxies[0].behind(), ["Listener is not accepted yet", "RouteConfiguration was refused: bad regex"]);
    }
}
