//! When the mesh is ready: not when istiod says so, for it does before its webhook serves
//! (istio/istio#61049), but when a pod sent to the API server comes back injected.

use std::time::{Duration, Instant};

use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::NAMESPACE;
use crate::objects::ready::Policy;
use crate::objects::request::{Limit, told};
use crate::objects::{self, Api, ObjectRef};
use crate::plan::event::Progress;

/// The pause between tries of an injection.
const PAUSE: Duration = Duration::from_millis(100);
/// The control plane's deployment and service.
const ISTIOD: &str = "istiod";
/// The proxy's container.
const PROXY: &str = "istio-proxy";

/// Waits until a pod that asks for injection gets a proxy from the API server: a dry run, so that
/// nothing is made, which takes istiod, its service, its certificate and the API server's use of it.
/// Workloads that count on injection may be made from then on, and not before.
///
/// # Errors
/// [`objects::Error::Deadline`] with the last answer; [`objects::Error::Failed`] as soon as istiod's
/// pod can't come up.
pub async fn webhook(
    api: &Api,
    policy: Policy,
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), objects::Error> {
    let limit = Limit::new(deadline, progress, cancel);
    let istiod = [ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: Some(NAMESPACE.to_owned()),
        name: ISTIOD.to_owned(),
    }];
    // Its troubles (no image, no room) are told while it starts; its word that it is ready counts
    // for nothing, for that comes before its webhook serves.
    objects::ready::wait_with(api, &istiod, policy, deadline, progress, cancel).await?;
    injects(api, &limit).await
}

/// How long istiod must have pushed nothing: it gathers changes for 0.1 s before it pushes them.
const QUIET: Duration = Duration::from_millis(600);

/// Waits until every proxy that runs is connected to istiod, and warns of rejected configuration.
///
/// A proxy's pod is ready only once it has taken its first clusters and listeners from istiod, so
/// that waiting for pods before covers what `istioctl proxy-status` calls SYNCED. What changed last,
/// the endpoints of the pods that just became ready, is on its way to the other proxies then: it has
/// arrived when istiod pushes no more. istiod's own list
/// (`/debug/syncz`) can't be asked for here: it is open only to callers on its own host or with a
/// mesh token, and the API server's proxy takes tokens away. Its metrics say how many are connected.
///
/// # Errors
/// [`objects::Error::Deadline`] with both numbers.
pub async fn synced(
    api: &Api,
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), objects::Error> {
    let limit = Limit::new(deadline, progress, cancel);
    let mut pushes = (0, Instant::now());
    loop {
        let (running, metrics) = (proxies(api, &limit).await?, metrics(api, &limit).await?);
        let connected = sum(&metrics, "pilot_xds");
        let rejects = sum(&metrics, "pilot_total_xds_rejects");
        let count = sum(&metrics, "pilot_xds_pushes");
        if count != pushes.0 {
            pushes = (count, Instant::now());
        }
        if connected >= running && pushes.1.elapsed() >= QUIET {
            if rejects > 0 {
                progress.warn(format!("Proxies have rejected configuration of istiod's {rejects} times."));
            }
            return Ok(());
        }
        let last = format!("{connected} of {running} proxies are connected to istiod, which has made {count} pushes");
        limit.progress.status(last.clone());
        pause(&limit, "waiting for proxies", last).await?;
    }
}

async fn pause(limit: &Limit<'_>, doing: &str, last: String) -> Result<(), objects::Error> {
    if limit.left() < PAUSE {
        let (elapsed, limit) = (limit.begin.elapsed(), limit.within);
        return Err(objects::Error::Deadline { doing: doing.to_owned(), last, elapsed, limit });
    }
    tokio::select! {
        () = limit.cancel.cancelled() => Err(objects::Error::Cancelled),
        () = tokio::time::sleep(PAUSE) => Ok(()),
    }
}

/// How many pods run a proxy.
async fn proxies(api: &Api, limit: &Limit<'_>) -> Result<u64, objects::Error> {
    let requests: kube::Api<Pod> = kube::Api::all(api.client().clone());
    let params = ListParams::default().fields("status.phase=Running");
    let doing = || "listing the pods with a proxy".to_owned();
    let pods = limit
        .tried(doing, || requests.list(&params))
        .await?
        .map_err(|source| objects::Error::Api { doing: doing(), source: Box::new(source) })?;
    let there = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none() && has_proxy(pod);
    Ok(u64::try_from(pods.items.iter().filter(there).count()).unwrap_or(u64::MAX))
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
            Ok(made) if has_proxy(&made) => return Ok(()),
            Ok(_) => "the pod came back without a proxy".to_owned(),
            Err(error) => told(&error),
        };
        limit.progress.status(format!("waiting for an injection: {last}"));
        pause(limit, "sending a pod to be injected", last).await?;
    }
}

/// A proxy is a container of its own, or, where nodes support it, an init container that stays.
fn has_proxy(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).any(|container| container.name == PROXY)
}

/// istiod's own metrics.
async fn metrics(api: &Api, limit: &Limit<'_>) -> Result<String, objects::Error> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/services/{ISTIOD}:15014/proxy/metrics");
    let doing = || "reading istiod's metrics".to_owned();
    let ask = || async {
        let request = Request::get(&path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        api.client().request_text(request).await
    };
    limit.tried(doing, ask).await?.map_err(|source| objects::Error::Api { doing: doing(), source: Box::new(source) })
}

/// The sum of a metric over all its labels.
fn sum(metrics: &str, name: &str) -> u64 {
    metrics
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_is() {
        let metrics = "# TYPE pilot_total_xds_rejects counter\npilot_total_xds_rejects{type=\"lds\"} 2\npilot_total_xds_rejects{type=\"cds\"} 1\npilot_xds{version=\"a\"} 4\npilot_xds_pushes{type=\"cds\"} 9\n";
        assert_eq!(sum(metrics, "pilot_total_xds_rejects"), 3);
        assert_eq!(sum(metrics, "pilot_xds"), 4);
        assert_eq!(sum("", "pilot_xds"), 0);
    }
}
