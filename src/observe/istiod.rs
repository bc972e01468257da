//! What istiod says of itself: its metrics in Prometheus' text format. Its debug pages are open only
//! to callers with a token of the mesh, which the API server's proxy takes away.

use super::Error;
use super::proxy::Service;

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
}
