//! Prometheus' HTTP API, version 1: instant queries and targets.
//! <https://prometheus.io/docs/prometheus/latest/querying/api/>

mod rules;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use rules::Rule;

use super::proxy::{Proxy, Service, query};
use super::{Answer, Error};

/// A Prometheus server.
#[derive(Clone, Debug)]
pub struct Prometheus {
    service: Service,
}

/// What an instant query gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One sample per series.
    Vector(Vec<Sample>),
    /// A number without labels.
    Scalar(f64),
}

/// One sample of a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The series' labels, its name as `__name__`.
    pub labels: BTreeMap<String, String>,
    /// The time of the evaluation, in seconds since 1970.
    pub at: f64,
    /// The value.
    pub value: f64,
}

/// A series over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Pairs of the time in seconds since 1970 and the value.
    pub points: Vec<(f64, f64)>,
}

/// Something that is scraped.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its labels after relabelling, with `job` and `instance`.
    pub labels: BTreeMap<String, String>,
    /// `up`, `down` or `unknown` (not scraped yet).
    pub health: String,
    /// Why the last scrape failed; empty if it did not.
    #[serde(default)]
    pub last_error: String,
    /// What is scraped.
    pub scrape_url: String,
}

impl Target {
    /// The job that it belongs to.
    #[must_use]
    pub fn job(&self) -> &str {
        self.labels.get("job").map_or("", String::as_str)
    }

    /// Whether it was scraped at least once, with whatever result.
    #[must_use]
    pub fn is_scraped(&self) -> bool {
        self.health != "unknown"
    }

    /// Whether the last scrape succeeded.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.health == "up"
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.labels.get("pod").or_else(|| self.labels.get("instance")).map_or("", String::as_str);
        write!(f, "{name} {}", self.health)?;
        if self.last_error.is_empty() { Ok(()) } else { write!(f, " ({})", self.last_error) }
    }
}

impl Value {
    /// The sum of all samples; 0 for an empty vector, as a counter that nobody has used yet.
    #[must_use]
    pub fn sum(&self) -> f64 {
        match self {
            Self::Vector(samples) => samples.iter().fold(0.0, |sum, sample| sum + sample.value),
            Self::Scalar(value) => *value,
        }
    }

    /// How many samples there are; a scalar is one.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Vector(samples) => samples.len(),
            Self::Scalar(_) => 1,
        }
    }

    /// Whether there is no sample at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(value) => write!(f, "{value}"),
            Self::Vector(samples) if samples.is_empty() => f.write_str("no sample"),
            Self::Vector(samples) => {
                for (index, sample) in samples.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    let name = sample.labels.get("__name__").map_or("", String::as_str);
                    let labels: Vec<String> = sample
                        .labels
                        .iter()
                        .filter(|(label, _)| *label != "__name__")
                        .map(|(label, value)| format!("{label}={value:?}"))
                        .collect();
                    write!(f, "{separator}{name}{{{}}} {}", labels.join(","), sample.value)?;
                }
                Ok(())
            }
        }
    }
}

impl Prometheus {
    /// The server behind `service`.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self { service }
    }

    /// The lab's own server.
    #[must_use]
    pub fn of_lab(proxy: &Proxy) -> Self {
        Self::new(proxy.service("istio-system", "prometheus", 9090))
    }

    /// Evaluates a `PromQL` expression now.
    ///
    /// # Errors
    /// [`Error::Refused`] with Prometheus' words if the expression is wrong; those of
    /// [`Service::send`]; [`Error::Shape`] if the result is a range vector or a text.
    pub async fn query(&self, expression: &str) -> Result<Value, Error> {
        let answer = self.service.get(&format!("/api/v1/query?{}", query(&[("query", expression)]))).await?;
        value(&answer)
    }

    /// Evaluates a `PromQL` expression at every `step` seconds from `from` to `to`, in seconds since
    /// 1970.
    ///
    /// # Errors
    /// As [`Prometheus::query`].
    pub async fn range(&self, expression: &str, from: f64, to: f64, step: f64) -> Result<Vec<Series>, Error> {
        let (from, to, step) = (from.to_string(), to.to_string(), step.to_string());
        let query = query(&[("query", expression), ("start", &from), ("end", &to), ("step", &step)]);
        series(&self.service.get(&format!("/api/v1/query_range?{query}")).await?)
    }

    /// What Prometheus scrapes now.
    ///
    /// # Errors
    /// As [`Prometheus::query`].
    pub async fn targets(&self) -> Result<Vec<Target>, Error> {
        let answer = self.service.get("/api/v1/targets?state=active").await?;
        targets(&answer)
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    status: String,
    data: Option<T>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryData {
    result_type: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct RawSample {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

#[derive(Deserialize)]
struct RawSeries {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetData {
    active_targets: Vec<Target>,
}

/// Reads the answer of `/api/v1/query`, from Prometheus itself or through Grafana's proxy.
///
/// # Errors
/// [`Error::Refused`], [`Error::Status`], [`Error::Shape`].
pub fn value(answer: &Answer) -> Result<Value, Error> {
    let data: QueryData = opened(answer)?;
    let wrong = |error: serde_json::Error| answer.unexpected(error.to_string());
    match data.result_type.as_str() {
        "vector" => {
            let raw: Vec<RawSample> = serde_json::from_value(data.result).map_err(wrong)?;
            let samples = raw.into_iter().map(|sample| {
                let (at, value) = sample.value;
                Ok(Sample { labels: sample.metric, at, value: number(answer, &value)? })
            });
            Ok(Value::Vector(samples.collect::<Result<_, Error>>()?))
        }
        "scalar" => {
            let (_, value): (f64, String) = serde_json::from_value(data.result).map_err(wrong)?;
            Ok(Value::Scalar(number(answer, &value)?))
        }
        other => Err(Error::Refused {
            request: answer.request.clone(),
            reason: format!("the query gives a {other}, not a vector or a number"),
        }),
    }
}

/// Reads the answer of `/api/v1/query_range`.
fn series(answer: &Answer) -> Result<Vec<Series>, Error> {
    let data: QueryData = opened(answer)?;
    let raw: Vec<RawSeries> =
        serde_json::from_value(data.result).map_err(|error| answer.unexpected(error.to_string()))?;
    let points = |values: Vec<(f64, String)>| {
        values.into_iter().map(|(at, value)| Ok((at, number(answer, &value)?))).collect::<Result<Vec<_>, Error>>()
    };
    raw.into_iter().map(|raw| Ok(Series { labels: raw.metric, points: points(raw.values)? })).collect()
}

fn targets(answer: &Answer) -> Result<Vec<Target>, Error> {
    Ok(opened::<TargetData>(answer)?.active_targets)
}

fn opened<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, Error> {
    match answer.json::<Envelope<T>>() {
        Ok(envelope) if envelope.status == "success" => {
            envelope.data.ok_or_else(|| answer.unexpected("success without data"))
        }
        // 400 and 422 are about the question; 503 and the like are about the server.
        Ok(Envelope { error: Some(reason), .. }) if matches!(answer.status, 400 | 422) => {
            Err(Error::Refused { request: answer.request.clone(), reason })
        }
        Err(error) if (200..300).contains(&answer.status) => Err(error),
        Ok(_) | Err(_) => Err(status(answer)),
    }
}

fn status(answer: &Answer) -> Error {
    Error::Status { request: answer.request.clone(), status: answer.status, body: answer.text().into_owned() }
}

/// Prometheus writes numbers as texts, with `+Inf` and `NaN`.
fn number(answer: &Answer, text: &str) -> Result<f64, Error> {
    text.parse().map_err(|_| answer.unexpected(format!("`{text}` is not a number")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            request: "GET p.n:9090/api/v1/query?query=x".to_owned(),
            status,
            headers: BTreeMap::new(),
            body: body.into(),
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn a_vector_has_labels_and_values() {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"__name__":"up","job":"a"},"value":[1435781451.781,"1"]},
            {"metric":{"__name__":"up","job":"b"},"value":[1435781451.781,"2.5"]}]}}"#;
        let value = value(&answer(200, body)).expect("it is an answer of Prometheus");
        assert!((value.sum() - 3.5).abs() < f64::EPSILON);
        assert_eq!(value.to_string(), r#"up{job="a"} 1, up{job="b"} 2.5"#);
    }

    #[test]
    fn an_empty_vector_sums_to_nought() {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        let value = value(&answer(200, body)).expect("it is an answer of Prometheus");
        assert!(value.is_empty());
        assert_eq!((value.sum(), value.to_string().as_str()), (0.0, "no sample"));
    }

    #[test]
    fn a_range_has_points_in_time() {
        let body = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"response_code":"200"},"values":[[10,"1"],[12.5,"NaN"]]}]}}"#;
        let series = series(&answer(200, body)).expect("it is an answer of Prometheus");
        assert_eq!((series[0].labels["response_code"].as_str(), series[0].points[0]), ("200", (10.0, 1.0)));
        assert!(series[0].points[1].1.is_nan());
    }

    #[test]
    fn a_scalar_may_be_infinite() {
        let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"+Inf"]}}"#;
        assert_eq!(value(&answer(200, body)).expect("it is an answer of Prometheus"), Value::Scalar(f64::INFINITY));
    }

    #[test]
    fn a_wrong_query_is_refused_in_prometheus_words_and_for_good() {
        let body = r#"{"status":"error","errorType":"bad_data","error":"1:3: parse error: unexpected end of input"}"#;
        let error = value(&answer(400, body)).expect_err("the query is wrong");
        assert!(error.is_final());
        assert!(error.to_string().ends_with("1:3: parse error: unexpected end of input"), "{error}");
    }

    #[test]
    fn an_api_servers_status_is_not_a_refusal() {
        let body = r#"{"kind":"Status","status":"Failure","message":"no endpoints available"}"#;
        let error = value(&answer(503, body)).expect_err("there is no answer");
        assert!(!error.is_final());
        assert!(error.to_string().contains("no endpoints available"), "{error}");
    }

    #[test]
    fn targets_tell_their_health() {
        let body = r#"{"status":"success","data":{"activeTargets":[{"discoveredLabels":{},
            "labels":{"instance":"10.0.0.1:15020","job":"kubernetes-pods","pod":"a-1"},"scrapePool":"kubernetes-pods",
            "scrapeUrl":"http://10.0.0.1:15020/stats/prometheus","globalUrl":"","lastError":"connection refused",
            "lastScrape":"2026-11-21T10:00:00Z","lastScrapeDuration":0.01,"health":"down"}],"droppedTargets":[]}}"#;
        let targets = targets(&answer(200, body)).expect("it is an answer of Prometheus");
        assert_eq!((targets[0].job(), targets[0].is_up()), ("kubernetes-pods", false));
        assert_eq!(targets[0].to_string(), "a-1 down (connection refused)");
    }
}
