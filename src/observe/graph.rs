//! The service graph of a lab: `istiolab_servicegraph` asks the lab's Prometheus.

use istiolab_servicegraph::{Ask, Sample};

use super::prometheus::{Prometheus, Value};
use crate::error::causes;

impl Ask for Prometheus {
    async fn ask(&self, expression: String) -> Result<Vec<Sample>, String> {
        match self.query(&expression).await {
            Ok(Value::Vector(samples)) => {
                Ok(samples.into_iter().map(|sample| Sample { labels: sample.labels, value: sample.value }).collect())
            }
            Ok(Value::Scalar(_)) => Err("the query gives a number, not a vector".to_owned()),
            Err(error) => Err(causes(&error).join(": ")),
        }
    }
}
