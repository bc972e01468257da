//! What the graph is made of: instant queries to a Prometheus.

pub(crate) mod http;

use std::collections::BTreeMap;
use std::future::Future;

use serde::Deserialize;

/// One sample of an instant query's vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The labels of the series.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// A label's value; empty where the series has no such label.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Where `PromQL` is evaluated.
pub trait Ask: Clone + Send + Sync + 'static {
    /// Evaluates an expression that gives a vector.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    fn ask(&self, expression: String) -> impl Future<Output = Result<Vec<Sample>, String>> + Send;
}

/// Reads the answer of `/api/v1/query`.
///
/// # Errors
/// Prometheus' own words where it refuses; else what is wrong with the answer.
pub fn vector(body: &[u8]) -> Result<Vec<Sample>, String> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| format!("not an answer of Prometheus: {error}"))?;
    let data = match answer {
        Answer { data: Some(data), error: None, .. } => data,
        Answer { error: Some(error), .. } => return Err(error),
        Answer { status, .. } => return Err(format!("the answer has no data, its status is `{status}`")),
    };
    if data.result_type != "vector" {
        return Err(format!("the query gives a {}, not a vector", data.result_type));
    }
    let raw: Vec<RawSample> = serde_json::from_value(data.result).map_err(|error| format!("not a vector: {error}"))?;
    raw.into_iter()
        .map(|RawSample { metric, value: (_, value) }| {
            let value = value.parse().map_err(|_| format!("`{value}` is not a number"))?;
            Ok(Sample { labels: metric, value })
        })
        .collect()
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct RawSample {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_read() {
        let body = br#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"source_workload":"a"},"value":[1435781451.781,"2.5"]}]}}"#;
        let samples = vector(body).expect("an answer");
        assert_eq!((samples[0].label("source_workload"), samples[0].label("absent")), ("a", ""));
        assert!((samples[0].value - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_no_vector_is_refused_with_its_reason() {
        let refused = [
            (&b"<html>"[..], "not an answer of Prometheus"),
            (br#"{"status":"error","errorType":"bad_data","error":"1:3: parse error"}"#, "1:3: parse error"),
            (br#"{"status":"success"}"#, "no data"),
            (br#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#, "a scalar"),
            (br#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]}}"#, "`x`"),
        ];
        for (body, reason) in refused {
            let error = vector(body).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }
}
