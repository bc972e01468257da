//! Workloads, their pods and containers, and namespaces.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::ListParams;

use super::step;
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 5] = [
    step!(
        "pods",
        Check,
        "every pod of {string} in namespace {string} has {int} container(s)",
        count,
        "Counts the containers that run beside each other: regular ones and sidecars (init containers that restart \
         always), of each pod that the Deployment's selector finds and that is not being deleted."
    ),
    step!(
        "pods",
        Check,
        "every pod of {string} in namespace {string} is ready",
        ready,
        "The Deployment has at least one pod, and each has the condition Ready."
    ),
    step!(
        "pods",
        Check,
        "every pod of {string} in namespace {string} has a container named {string}",
        has,
        "Each pod has such a container or sidecar."
    ),
    step!(
        "pods",
        Check,
        "no pod of {string} in namespace {string} has a container named {string}",
        has_not,
        "There are pods, and none has such a container or sidecar."
    ),
    step!(
        "pods",
        Check,
        "namespace {string} has the label {string} with value {string}",
        label,
        "The namespace's label has exactly this value; the value \"\" stands for a label that is not there."
    ),
];

/// The pods of a Deployment that are not being deleted; there must be at least one.
pub(super) async fn pods(scene: &Scene, name: &str, namespace: &str) -> Result<Vec<Pod>, Unmet> {
    let client = scene.shared.api.client().clone();
    let deployment: Deployment = Api::namespaced(client.clone(), namespace)
        .get(name)
        .await
        .map_err(Unmet::kube(format!("reading Deployment {namespace}/{name}")))?;
    let labels = deployment.spec.selector.match_labels.unwrap_or_default();
    let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let listed = Api::<Pod>::namespaced(client, namespace)
        .list(&ListParams::default().labels(&selector.join(",")))
        .await
        .map_err(Unmet::kube(format!("listing the pods of {namespace}/{name}")))?;
    let pods: Vec<Pod> = listed.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    if pods.is_empty() { Err(Unmet::not_yet(format!("Deployment {namespace}/{name} has no pod"))) } else { Ok(pods) }
}

/// The names of the containers that run beside each other. A sidecar may be an init container that
/// restarts always (KEP-753).
fn containers(pod: &Pod) -> Vec<&str> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let init = spec.init_containers.iter().flatten();
    let sidecars = init.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers.iter().chain(sidecars).map(|container| container.name.as_str()).collect()
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

async fn count(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: usize = arguments.number(2)?;
    let pods = pods(scene, arguments.text(0), arguments.text(1)).await?;
    let seen: Vec<String> = pods
        .iter()
        .map(|pod| (pod, containers(pod)))
        .filter(|(_, containers)| containers.len() != wanted)
        .map(|(pod, containers)| format!("pod {} has {}: {}", name(pod), containers.len(), containers.join(", ")))
        .collect();
    if seen.is_empty() { Ok(()) } else { Err(Unmet::not_yet(seen.join("; "))) }
}

async fn ready(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let pods = pods(scene, arguments.text(0), arguments.text(1)).await?;
    let seen: Vec<String> = pods.iter().filter_map(unready).collect();
    if seen.is_empty() { Ok(()) } else { Err(Unmet::not_yet(seen.join("; "))) }
}

/// Why a pod is not ready, in the words of its status.
fn unready(pod: &Pod) -> Option<String> {
    let status = pod.status.clone().unwrap_or_default();
    let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    if condition.is_some_and(|condition| condition.status == "True") {
        return None;
    }
    let statuses = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    let waiting = statuses.filter_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        Some(format!("{} waits: {}", container.name, waiting.reason.as_deref().unwrap_or("no reason given")))
    });
    let phase = status.phase.unwrap_or_else(|| "without a phase".to_owned());
    let message = condition.and_then(|condition| condition.message.clone());
    let parts: Vec<String> = message.into_iter().chain(waiting).collect();
    Some(format!("pod {} is {phase}, not ready: {}", name(pod), parts.join(", ")))
}

async fn has(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let pods = pods(scene, arguments.text(0), arguments.text(1)).await?;
    let wanted = arguments.text(2);
    match pods.iter().find(|pod| !containers(pod).contains(&wanted)) {
        None => Ok(()),
        Some(pod) => Err(Unmet::not_yet(format!("pod {} has only: {}", name(pod), containers(pod).join(", ")))),
    }
}

async fn has_not(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let pods = pods(scene, arguments.text(0), arguments.text(1)).await?;
    let unwanted = arguments.text(2);
    match pods.iter().find(|pod| containers(pod).contains(&unwanted)) {
        None => Ok(()),
        Some(pod) => Err(Unmet::not_yet(format!("pod {} has: {}", name(pod), containers(pod).join(", ")))),
    }
}

async fn label(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (name, label, wanted) = (arguments.text(0), arguments.text(1), arguments.text(2));
    let namespace: Namespace = Api::all(scene.shared.api.client().clone())
        .get(name)
        .await
        .map_err(Unmet::kube(format!("reading Namespace {name}")))?;
    let labels = namespace.metadata.labels.unwrap_or_default();
    let found = labels.get(label).map_or("", String::as_str);
    if found == wanted {
        Ok(())
    } else {
        Err(Unmet::not_yet(format!("label {label} of namespace {name} is {found:?}, not {wanted:?}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(value: serde_json::Value) -> Pod {
        serde_json::from_value(value).expect("a pod")
    }

    #[test]
    fn a_sidecar_counts_wherever_it_stands() {
        let classic = pod(json!({"spec": {
            "initContainers": [{"name": "istio-init"}],
            "containers": [{"name": "app"}, {"name": "istio-proxy"}]}}));
        assert_eq!(containers(&classic), ["app", "istio-proxy"]);
        let native = pod(json!({"spec": {
            "initContainers": [{"name": "istio-init"}, {"name": "istio-proxy", "restartPolicy": "Always"}],
            "containers": [{"name": "app"}]}}));
        assert_eq!(containers(&native), ["app", "istio-proxy"]);
    }

    #[test]
    fn an_unready_pod_says_why() {
        let waiting = pod(json!({"metadata": {"name": "a-1"}, "status": {"phase": "Pending",
            "conditions": [{"type": "Ready", "status": "False", "message": "containers with unready status: [app]"}],
            "containerStatuses": [{"name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}}));
        assert_eq!(
            unready(&waiting).expect("it is not ready"),
            "pod a-1 is Pending, not ready: containers with unready status: [app], app waits: ImagePullBackOff"
        );
        let ready = pod(json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
        assert_eq!(unready(&ready), None);
    }
}
