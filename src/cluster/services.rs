//! Whether services answer from every node: kube-proxy on each of them learns of services and their pods by
//! itself, a moment after everybody else has seen the pods ready.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bollard::Docker;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Error, Node, nodes, pause};
use crate::plan::event::Progress;

/// How long one look from a node may take.
const LOOK: Duration = Duration::from_secs(30);
/// How long it is waited for services that do not answer: nobody may listen there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until every service that has a ready pod accepts connections from every node, by its cluster address and at
/// least one of its ports, for a node learns of all of them at once. Returns those that do not after a while, one line
/// each: that need not be a fault of the cluster.
///
/// # Errors
/// [`Error::Engine`], [`Error::Api`], [`Error::Interrupted`].
pub async fn wait(
    client: &Client,
    docker: &Docker,
    all: &[Node],
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Vec<String>, Error> {
    let addresses = addresses(client).await?;
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    let begin = Instant::now();
    let names: Vec<&str> = all.iter().filter(|node| node.is_kubernetes()).map(|node| node.name.as_str()).collect();
    loop {
        let looks = names.iter().map(|node| silent(docker, node, &addresses));
        let found: Vec<String> = try_join_all(looks).await?.into_iter().flatten().collect();
        if found.is_empty() || begin.elapsed() > PATIENCE {
            return Ok(found);
        }
        progress.status(found.join("; "));
        pause(Duration::from_millis(100), cancel).await?;
    }
}

/// Services as `namespace/name`, each with its places as `address/port`.
type Services = BTreeMap<String, BTreeSet<String>>;

/// The TCP ports of services with a cluster address and a ready pod.
async fn addresses(client: &Client) -> Result<Services, Error> {
    let listed = |source| Error::Api { doing: "listing services".to_owned(), source: Box::new(source) };
    let all = ListParams::default();
    let slices = Api::<EndpointSlice>::all(client.clone()).list(&all).await.map_err(listed)?;
    let served: BTreeSet<(String, String)> =
        slices.items.iter().filter(|slice| is_ready(slice)).filter_map(of).collect();
    let services = Api::<Service>::all(client.clone()).list(&all).await.map_err(listed)?;
    let mut found = Services::new();
    for service in services.items {
        let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
        let Some(spec) = service.spec.filter(|_| served.contains(&(namespace.clone(), name.clone()))) else { continue };
        let Some(address) = spec.cluster_ip.filter(|address| address != "None" && !address.is_empty()) else {
            continue;
        };
        for port in spec.ports.into_iter().flatten().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP") {
            found.entry(format!("{namespace}/{name}")).or_default().insert(format!("{address}/{}", port.port));
        }
    }
    Ok(found)
}

/// The service that a slice is of.
fn of(slice: &EndpointSlice) -> Option<(String, String)> {
    Some((slice.namespace()?, slice.labels().get("kubernetes.io/service-name")?.clone()))
}

/// Whether a pod of the slice is ready.
pub(super) fn is_ready(slice: &EndpointSlice) -> bool {
    let mut endpoints = slice.endpoints.iter().flatten();
    // No word on readiness counts as ready, says the API.
    endpoints.any(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true))
}

/// The services that accept no connection from `node`, one line each.
async fn silent(docker: &Docker, node: &str, services: &Services) -> Result<Vec<String>, Error> {
    let places: Vec<&str> = services.values().flatten().map(String::as_str).collect();
    // All at once: where no rule is yet, nothing answers at all.
    let script = format!(
        "for a in {}; do (timeout 2 bash -c \"exec 3<>/dev/tcp/$a\" 2>/dev/null || echo $a) & done; wait",
        places.join(" ")
    );
    let output = nodes::exec(docker, node, &["bash", "-c", &script], LOOK).await?;
    let silent = String::from_utf8_lossy(&output.stdout).into_owned();
    let silent: BTreeSet<&str> = silent.lines().map(str::trim).collect();
    let dumb = services.iter().filter(|(_, places)| places.iter().all(|place| silent.contains(place.as_str())));
    Ok(dumb.map(|(name, _)| format!("the service {name} does not answer from the node {node}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(json: serde_json::Value) -> EndpointSlice {
        serde_json::from_value(json).expect("a slice")
    }

    #[test]
    fn only_slices_with_a_ready_pod_count() {
        let with = |conditions: serde_json::Value| {
            slice(serde_json::json!({
                "metadata": {"namespace": "a", "labels": {"kubernetes.io/service-name": "b"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": conditions}],
            }))
        };
        assert!(is_ready(&with(serde_json::json!({"ready": true}))));
        assert!(is_ready(&with(serde_json::json!({}))));
        assert!(!is_ready(&with(serde_json::json!({"ready": false}))));
        let empty = slice(serde_json::json!({"metadata": {"namespace": "a"}, "addressType": "IPv4", "endpoints": []}));
        assert!(!is_ready(&empty) && of(&empty).is_none());
        assert_eq!(of(&with(serde_json::json!({}))), Some(("a".to_owned(), "b".to_owned())));
    }
}
