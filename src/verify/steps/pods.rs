//! Workloads, their pods and containers, and namespaces.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::step;
use crate::verify::arguments::{Arguments, Named};
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 10] = [
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
    step!(
        "pods",
        Check,
        "no container of {string} in namespace {string} has restarted",
        steady,
        "Each container of each pod of the Deployment runs since its first start."
    ),
    step!(
        "pods",
        Check,
        "container {string} of {string} in namespace {string} has restarted at least {int} time(s)",
        restarted,
        "A container of this name, of any pod of the Deployment, was started so many times again."
    ),
    step!(
        "pods",
        Check,
        "container {string} of {string} in namespace {string} runs the image {string}",
        image,
        "In each pod of the Deployment the container has this image: as the pod names it, or, where the text begins \
         with sha256:, by the digest that the node runs."
    ),
    step!(
        "pods",
        Check,
        "every pod of {string} in namespace {string} runs on a node matching {regex}",
        node,
        "Each pod of the Deployment is bound to a node in whose name the regular expression finds something: \
         ^quickstart-worker$."
    ),
    step!(
        "pods",
        Check,
        "the pods of {string} in namespace {string} run on {int} node(s)",
        nodes,
        "The Deployment's pods are spread over so many nodes."
    ),
];

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
    let pods = scene.pods_of(arguments.text(0), arguments.text(1)).await?;
    let seen: Vec<String> = pods
        .iter()
        .map(|pod| (pod, containers(pod)))
        .filter(|(_, containers)| containers.len() != wanted)
        .map(|(pod, containers)| format!("pod {} has {}: {}", name(pod), containers.len(), containers.join(", ")))
        .collect();
    if seen.is_empty() { Ok(()) } else { Err(Unmet::not_yet(seen.join("; "))) }
}

async fn ready(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let pods = scene.pods_of(arguments.text(0), arguments.text(1)).await?;
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
    let pods = scene.pods_of(arguments.text(0), arguments.text(1)).await?;
    let wanted = arguments.text(2);
    match pods.iter().find(|pod| !containers(pod).contains(&wanted)) {
        None => Ok(()),
        Some(pod) => Err(Unmet::not_yet(format!("pod {} has only: {}", name(pod), containers(pod).join(", ")))),
    }
}

async fn has_not(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let pods = scene.pods_of(arguments.text(0), arguments.text(1)).await?;
    let unwanted = arguments.text(2);
    match pods.iter().find(|pod| containers(pod).contains(&unwanted)) {
        None => Ok(()),
        Some(pod) => Err(Unmet::not_yet(format!("pod {} has: {}", name(pod), containers(pod).join(", ")))),
    }
}

async fn label(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (name, label, wanted) = (arguments.text(0), arguments.text(1), arguments.text(2));
    let target = scene.target(Named { kind: "Namespace", name, namespace: None }).await?;
    let namespace = scene.look_at(&target).await?;
    let found = namespace["metadata"]["labels"][label].as_str().unwrap_or_default();
    if found == wanted {
        Ok(())
    } else {
        Err(Unmet::not_yet(format!("label {label} of namespace {name} is {found:?}, not {wanted:?}")))
    }
}

/// The states of a pod's containers, those that come first as well.
fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref()).into_iter().flatten();
    init.chain(status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten())
}

/// How often a container has restarted, and how it ended the last time.
fn restarts(pod: &Pod, container: &ContainerStatus) -> String {
    let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended = ended.map_or_else(String::new, |ended| {
        let reason = ended.reason.as_deref().unwrap_or("no reason given");
        format!(", the last time after exit code {} ({reason})", ended.exit_code)
    });
    format!("{} of pod {} has restarted {} times{ended}", container.name, name(pod), container.restart_count)
}

async fn steady(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let pods = scene.pods_of(arguments.text(0), arguments.text(1)).await?;
    let restarted: Vec<String> = pods
        .iter()
        .flat_map(|pod| {
            statuses(pod).filter(|status| status.restart_count > 0).map(move |status| restarts(pod, status))
        })
        .collect();
    if restarted.is_empty() { Ok(()) } else { Err(Unmet::not_yet(restarted.join("; "))) }
}

/// The containers of a name, with their pods; every pod must have one. The step's first three values
/// are the container, the Deployment and the namespace.
async fn of_name(scene: &mut Scene, arguments: &Arguments) -> Result<Vec<(Pod, ContainerStatus)>, Unmet> {
    let pods = scene.pods_of(arguments.text(1), arguments.text(2)).await?;
    pods.into_iter().map(|pod| with_status(pod, arguments.text(0))).collect()
}

fn with_status(pod: Pod, container: &str) -> Result<(Pod, ContainerStatus), Unmet> {
    let found = statuses(&pod).find(|status| status.name == container).cloned();
    match found {
        Some(status) => Ok((pod, status)),
        None if containers(&pod).contains(&container) => {
            Err(Unmet::not_yet(format!("{container} of pod {} has not been started", name(&pod))))
        }
        None => Err(Unmet::not_yet(format!(
            "pod {} has no container {container}, only: {}",
            name(&pod),
            containers(&pod).join(", ")
        ))),
    }
}

async fn restarted(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: i32 = arguments.number(3)?;
    let found = of_name(scene, &arguments).await?;
    if found.iter().any(|(_, status)| status.restart_count >= wanted) {
        return Ok(());
    }
    let told: Vec<String> = found.iter().map(|(pod, status)| restarts(pod, status)).collect();
    Err(Unmet::not_yet(told.join("; ")))
}

async fn image(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted = arguments.text(3);
    let found = of_name(scene, &arguments).await?;
    let wrong = found.iter().filter(|(pod, status)| !runs_image(pod, status, wanted));
    let wrong: Vec<String> = wrong
        .map(|(pod, status)| format!("pod {} runs {} ({})", name(pod), named_image(pod, &status.name), status.image_id))
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(Unmet::not_yet(wrong.join("; "))) }
}

/// The image as the pod names it.
fn named_image<'p>(pod: &'p Pod, container: &str) -> &'p str {
    let Some(spec) = &pod.spec else { return "" };
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let found = all.filter(|found| found.name == container).find_map(|found| found.image.as_deref());
    found.unwrap_or_default()
}

fn runs_image(pod: &Pod, status: &ContainerStatus, wanted: &str) -> bool {
    if wanted.starts_with("sha256:") {
        status.image_id.ends_with(wanted)
    } else {
        named_image(pod, &status.name) == wanted
    }
}

/// Where a pod runs.
fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

fn places(pods: &[Pod]) -> String {
    let place = |pod: &Pod| format!("pod {} is on {}", name(pod), node_of(pod).unwrap_or("no node yet"));
    pods.iter().map(place).collect::<Vec<_>>().join(", ")
}

async fn node(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted = arguments.regex(2)?;
    let pods = scene.pods_of(arguments.text(0), arguments.text(1)).await?;
    if pods.iter().all(|pod| node_of(pod).is_some_and(|node| wanted.is_match(node))) {
        return Ok(());
    }
    Err(Unmet::not_yet(places(&pods)))
}

async fn nodes(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: usize = arguments.number(2)?;
    let pods = scene.pods_of(arguments.text(0), arguments.text(1)).await?;
    let bound: BTreeSet<&str> = pods.iter().filter_map(node_of).collect();
    if bound.len() == wanted { Ok(()) } else { Err(Unmet::not_yet(places(&pods))) }
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
    fn running(image_id: &str, restarts: i32) -> Pod {
        pod(json!({"metadata": {"name": "a-1"},
            "spec": {"nodeName": "n1", "containers": [{"name": "app", "image": "x.local/app:1"}]},
            "status": {"containerStatuses": [{"name": "app", "image": "", "imageID": image_id, "ready": true,
                "restartCount": restarts, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}}))
    }

    #[test]
    fn an_image_is_known_by_name_or_digest() {
        let (pod, status) = with_status(running("x.local/app@sha256:12ab", 0), "app").expect("it has one");
        assert!(runs_image(&pod, &status, "x.local/app:1") && runs_image(&pod, &status, "sha256:12ab"));
        assert!(!runs_image(&pod, &status, "x.local/app:2") && !runs_image(&pod, &status, "sha256:34"));
    }

    #[test]
    fn restarts_say_how_it_ended() {
        let pod = running("", 2);
        let status = statuses(&pod).next().expect("it has one");
        assert_eq!(
            restarts(&pod, status),
            "app of pod a-1 has restarted 2 times, the last time after exit code 137 (OOMKilled)"
        );
        assert_eq!(places(&[pod]), "pod a-1 is on n1");
    }

    #[test]
    fn a_container_that_is_missing_is_told_with_those_there() {
        let error = with_status(running("", 0), "proxy").expect_err("there is none").to_string();
        assert_eq!(error, "pod a-1 has no container proxy, only: app");
    }
}
