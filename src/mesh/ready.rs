//! When the mesh is ready: not when istiod says so, for it does before its webhook serves
//! (istio/istio#61049), but when a pod sent to the API server comes back injected.

use std::time::{Duration, Instant};

use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::NAMESPACE;
use crate::objects::request::{Limit, told};
use crate::objects::{self, Api, ObjectRef};
use crate::plan::event::Progress;

/// The pause between tries of an injection.
const PAUSE: Duration = Duration::from_millis(100);
/// The proxy's container.
const PROXY: &str = "istio-proxy";

/// Waits until the mesh works: its objects are ready, gateways included, and a pod that asks for
/// injection gets a proxy from the API server (a dry run: nothing is made), which takes istiod, its
/// service, its certificate and the API server's use of it. Workloads that count on injection may
/// be made from then on, and not before. Rejected proxy configuration is told as a warning.
///
/// A gateway's proxy is ready only once it has taken its first clusters and listeners from istiod,
/// so that waiting for its pods covers what `istioctl proxy-status` calls SYNCED; istiod's own view
/// (`/debug/syncz`) is open only to callers on its own host or with a mesh token.
///
/// # Errors
/// As [`objects::ready::wait`], and [`objects::Error::Deadline`] with the last answer where the
/// injection does not come.
pub async fn ready(
    api: &Api,
    objects: &[ObjectRef],
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), objects::Error> {
    let begin = Instant::now();
    objects::ready::wait(api, objects, deadline, progress, cancel).await?;
    let limit = Limit::new(deadline.saturating_sub(begin.elapsed()), progress, cancel);
    injects(api, &limit).await?;
    if let Some(rejects) = rejects(api).await {
        progress.warn(format!("Proxies have rejected configuration of istiod's {rejects} times."));
    }
    Ok(())
}

/// Waits until the API server injects a pod that asks for it.
async fn injects(api: &Api, limit: &Limit<'_>) -> Result<(), objects::Error> {
    let requests: kube::Api<Pod> = kube::Api::namespaced(api.client().clone(), "default");
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        // The label asks for injection whatever the namespace says.
        "metadata": {"name": "istiolab-injection", "labels": {"sidecar.istio.io/inject": "true"}},
        "spec": {"containers": [{"name": "app", "image": "istiolab.local/none:0"}]},
    });
    let pod: Pod = serde_json::from_value(pod).map_err(|error| objects::Error::Api {
        doing: "building a pod".to_owned(),
        source: Box::new(kube::Error::SerdeError(error)),
    })?;
    let params = PostParams { dry_run: true, field_manager: Some(objects::FIELD_MANAGER.to_owned()) };
    let doing = || "sending a pod to be injected".to_owned();
    loop {
        let last = match limit.tried(doing, || requests.create(&params, &pod)).await? {
            Ok(made) if is_injected(&made) => return Ok(()),
            Ok(_) => "the pod came back without a proxy".to_owned(),
            Err(error) => told(&error),
        };
        limit.progress.status(format!("waiting for an injection: {last}"));
        if limit.left() < PAUSE {
            return Err(objects::Error::Deadline {
                doing: doing(),
                last,
                elapsed: limit.begin.elapsed(),
                limit: limit.limit,
            });
        }
        tokio::select! {
            () = limit.cancel.cancelled() => return Err(objects::Error::Cancelled),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// A proxy is a container of its own, or, where nodes support it, an init container that stays.
fn is_injected(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).any(|container| container.name == PROXY)
}

/// How often proxies have rejected configuration, by istiod's own metrics; `None` if never, or if
/// they can't be read, for this is but a help.
async fn rejects(api: &Api) -> Option<u64> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/services/istiod:15014/proxy/metrics");
    let request = Request::get(path).body(Vec::new()).ok()?;
    let answer = tokio::time::timeout(Duration::from_secs(5), api.client().request_text(request)).await;
    Some(count_rejects(&answer.ok()?.ok()?)).filter(|count| *count > 0)
}

fn count_rejects(metrics: &str) -> u64 {
    metrics
        .lines()
        .filter(|line| line.starts_with("pilot_total_xds_rejects"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_are_counted_over_all_types() {
        let metrics = "# TYPE pilot_total_xds_rejects counter\npilot_total_xds_rejects{type=\"lds\"} 2\npilot_total_xds_rejects{type=\"cds\"} 1\npilot_xds 4\n";
        assert_eq!(count_rejects(metrics), 3);
        assert_eq!(count_rejects("pilot_xds 4\n"), 0);
    }
}
