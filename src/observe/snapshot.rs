//! What the mesh looked like during a run, for its reports: who called whom, and how traffic went.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use istiolab_servicegraph::{Graph, Options};
use serde::Serialize;

use super::Error;
use super::prometheus::{Prometheus, Series};

/// How long all questions together may take: a report must not keep its reader waiting.
const LIMIT: Duration = Duration::from_secs(8);
/// How many points a chart has at most.
const POINTS: f64 = 120.0;

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Who called whom during the run.
    pub graph: Graph,
    /// How traffic went during the run.
    pub charts: Vec<Chart>,
}

/// A metric over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chart {
    /// What it shows.
    pub title: &'static str,
    /// The unit of its values.
    pub unit: &'static str,
    /// The `PromQL` expression.
    pub query: &'static str,
    /// Its lines.
    pub series: Vec<Series>,
}

const CHARTS: [(&str, &str, &str); 3] = [
    ("Requests by answer", "requests/s", "sum(rate(istio_requests_total[10s])) by (response_code)"),
    (
        "Time of requests, 95th percentile",
        "ms",
        "histogram_quantile(0.95, sum(rate(istio_request_duration_milliseconds_bucket[10s])) by (le, destination_workload))",
    ),
    ("Memory of proxies", "MB", "sum(envoy_server_memory_allocated) by (namespace) / 1e6"),
];

/// Looks at the time from `since` until now. What can't be had is left out.
///
/// # Errors
/// Prometheus does not answer at all.
pub async fn take(prometheus: &Prometheus, since: SystemTime) -> Result<Snapshot, String> {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let (from, to) = (seconds(since), seconds(SystemTime::now()));
    let step = ((to - from) / POINTS).max(1.0);
    let window = format!("{:.0}s", (to - from).max(30.0));
    let options = Options { time_horizon: Some(window), filter_empty: true, ..Options::default() };
    let look = async {
        let graph = istiolab_servicegraph::read(prometheus, &options).await.map_err(|error| error.to_string())?;
        let charts = CHARTS.map(async |(title, unit, query)| {
            let mut series = prometheus.range(query, from, to, step).await?;
            // Where nothing happened there is no percentile.
            for one in &mut series {
                one.points.retain(|(_, value)| value.is_finite());
            }
            series.retain(|series| !series.points.is_empty());
            Ok::<_, Error>(Chart { title, unit, query, series })
        });
        let charts = futures::future::join_all(charts).await;
        let charts = charts.into_iter().flatten().filter(|chart| !chart.series.is_empty()).collect();
        Ok(Snapshot { graph, charts })
    };
    tokio::time::timeout(LIMIT, look).await.unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())))
}
