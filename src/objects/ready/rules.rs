//! Whether an object is ready, by its own fields: the rules of kstatus
//! (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>), with their
//! holes mended: a failed pod is a failure, a job is ready when it is complete, a daemon set's
//! figures count only once its controller has seen it, a load balancer's address is waited for only
//! where there is somebody to give it.

use serde_json::Value;

use super::facts::Facts;

/// What an object's fields say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it should be.
    Ready,
    /// Not yet; the text says what is missing.
    Waiting(String),
    /// Something goes wrong that may yet pass; the text says what.
    Ailing(String),
    /// It will not become ready by waiting; the text says why.
    Failed(String),
}

use Verdict::{Ailing, Failed, Ready, Waiting};

/// Judges an object by its whole JSON.
#[must_use]
pub fn judge(object: &Value, facts: &Facts) -> Verdict {
    let kind = object["kind"].as_str().unwrap_or_default();
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Waiting("it is being deleted".to_owned());
    }
    let generation = object["metadata"]["generation"].as_i64();
    let observed = object["status"]["observedGeneration"].as_i64();
    if let (Some(generation), Some(observed)) = (generation, observed)
        && observed < generation
    {
        return Waiting(format!("its controller has seen generation {observed} of {generation}"));
    }
    match (group, kind) {
        ("apps" | "extensions", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps" | "extensions", "DaemonSet") => daemon_set(object),
        ("apps" | "extensions", "ReplicaSet") => replica_set(object),
        ("batch", "Job") => job(object),
        ("", "Pod") => pod(object),
        ("", "Service") => service(object, facts),
        ("", "Namespace") => phase(object, "Active"),
        ("", "PersistentVolumeClaim") => claim(object, facts),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("apiregistration.k8s.io", "APIService") => must(object, "Available"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => {
            webhooks(object)
        }
        ("gateway.networking.k8s.io", "Gateway") => must(object, "Programmed"),
        _ => by_conditions(object),
    }
}

/// Whether objects of this kind are ready as soon as they are there, so that nothing need be asked.
pub(super) fn is_always_ready(group: &str, kind: &str) -> bool {
    match group {
        "" => matches!(
            kind,
            "ConfigMap"
                | "Secret"
                | "ServiceAccount"
                | "Endpoints"
                | "LimitRange"
                | "ResourceQuota"
                | "PersistentVolume"
        ),
        "batch" => kind == "CronJob",
        "autoscaling"
        | "discovery.k8s.io"
        | "networking.k8s.io"
        | "policy"
        | "rbac.authorization.k8s.io"
        | "scheduling.k8s.io"
        | "storage.k8s.io" => true,
        // Istio's resources say nothing of themselves: no status is written unless asked for.
        _ => group.ends_with(".istio.io"),
    }
}

/// Whether objects of this kind run pods, whose troubles explain why they are not ready.
pub(super) fn runs_pods(group: &str, kind: &str) -> bool {
    matches!((group, kind), ("apps" | "extensions" | "batch", _) | ("", "Pod"))
}

fn number(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or_default()
}

/// The wanted number of replicas; one where nothing is said.
fn wanted(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == name)
}

fn is_true(object: &Value, name: &str) -> bool {
    condition(object, name).is_some_and(|condition| condition["status"] == "True")
}

/// A condition's reason and message.
fn told(condition: &Value) -> String {
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    match (text("reason"), text("message")) {
        ("", message) => message.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

fn counted(have: i64, want: i64, what: &str) -> Verdict {
    Waiting(format!("{have} of {want} replicas {what}"))
}

fn deployment(object: &Value) -> Verdict {
    if let Some(progressing) = condition(object, "Progressing")
        && progressing["reason"] == "ProgressDeadlineExceeded"
    {
        return Failed(told(progressing));
    }
    if let Some(ailing) = replica_failure(object) {
        return ailing;
    }
    let want = wanted(object);
    let status = |name: &str| number(object, &format!("/status/{name}"));
    if object["status"]["observedGeneration"].is_null() {
        return Waiting("its controller has not seen it".to_owned());
    }
    if status("updatedReplicas") < want {
        return counted(status("updatedReplicas"), want, "updated");
    }
    if status("replicas") > status("updatedReplicas") {
        return Waiting(format!("{} old replicas are still there", status("replicas") - status("updatedReplicas")));
    }
    if status("availableReplicas") < want {
        let ready = status("readyReplicas");
        return if ready < want {
            counted(ready, want, "ready")
        } else {
            counted(status("availableReplicas"), want, "available")
        };
    }
    if want > 0 && condition(object, "Available").is_some_and(|condition| condition["status"] == "False") {
        return Waiting("it is not available".to_owned());
    }
    Ready
}

fn stateful_set(object: &Value) -> Verdict {
    if object["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return Ready;
    }
    if object["status"]["observedGeneration"].is_null() {
        return Waiting("its controller has not seen it".to_owned());
    }
    let want = wanted(object);
    let status = |name: &str| number(object, &format!("/status/{name}"));
    if status("replicas") < want {
        return counted(status("replicas"), want, "made");
    }
    if status("readyReplicas") < want {
        return counted(status("readyReplicas"), want, "ready");
    }
    if status("replicas") > want {
        return Waiting(format!("{} replicas too many are still there", status("replicas") - want));
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    if partition > 0 {
        let updated = want - partition;
        return if status("updatedReplicas") < updated {
            counted(status("updatedReplicas"), updated, "updated")
        } else {
            Ready
        };
    }
    if status("updatedReplicas") < want && object["status"]["currentRevision"] != object["status"]["updateRevision"] {
        return counted(status("updatedReplicas"), want, "updated");
    }
    Ready
}

fn daemon_set(object: &Value) -> Verdict {
    if object["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return Ready;
    }
    // Without this a set that nobody has looked at yet would wish for no pods at all.
    if object["status"]["observedGeneration"].is_null() {
        return Waiting("its controller has not seen it".to_owned());
    }
    let status = |name: &str| number(object, &format!("/status/{name}"));
    let want = status("desiredNumberScheduled");
    if status("currentNumberScheduled") < want {
        return Waiting(format!("{} of {want} nodes have its pod", status("currentNumberScheduled")));
    }
    if status("updatedNumberScheduled") < want {
        return Waiting(format!("{} of {want} pods updated", status("updatedNumberScheduled")));
    }
    if status("numberAvailable") < want {
        return Waiting(format!("{} of {want} pods available", status("numberAvailable")));
    }
    Ready
}

/// Pods can't even be made: a quota, a webhook, a security policy.
fn replica_failure(object: &Value) -> Option<Verdict> {
    condition(object, "ReplicaFailure")
        .filter(|failure| failure["status"] == "True")
        .map(|failure| Ailing(told(failure)))
}

fn replica_set(object: &Value) -> Verdict {
    if let Some(ailing) = replica_failure(object) {
        return ailing;
    }
    let want = wanted(object);
    let status = |name: &str| number(object, &format!("/status/{name}"));
    if object["status"]["observedGeneration"].is_null() {
        return Waiting("its controller has not seen it".to_owned());
    }
    if status("availableReplicas") < want {
        return counted(status("availableReplicas"), want, "available");
    }
    if status("replicas") > want {
        return Waiting(format!("{} replicas too many are still there", status("replicas") - want));
    }
    Ready
}

fn job(object: &Value) -> Verdict {
    if let Some(failed) = condition(object, "Failed")
        && failed["status"] == "True"
    {
        return Failed(told(failed));
    }
    if is_true(object, "Complete") || object["spec"]["suspend"] == true {
        return Ready;
    }
    let want = object.pointer("/spec/completions").and_then(Value::as_i64).unwrap_or(1);
    let failed = number(object, "/status/failed");
    let state = format!("{} of {want} runs succeeded", number(object, "/status/succeeded"));
    Waiting(if failed > 0 { format!("{state}, {failed} failed") } else { state })
}

fn pod(object: &Value) -> Verdict {
    let status = &object["status"];
    match status["phase"].as_str().unwrap_or_default() {
        "Succeeded" => Ready,
        "Failed" => Failed(match told(status) {
            text if text.is_empty() => "the pod failed".to_owned(),
            text => text,
        }),
        "Running" if is_true(object, "Ready") => Ready,
        "Running" => {
            let containers = status["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
            let ready = containers.iter().filter(|container| container["ready"] == true).count();
            Waiting(format!("{ready} of {} containers ready", containers.len()))
        }
        _ => Waiting(match condition(object, "PodScheduled") {
            Some(scheduled) if scheduled["status"] == "True" => "its containers are being started".to_owned(),
            Some(scheduled) if !told(scheduled).is_empty() => told(scheduled),
            _ => "it is not scheduled".to_owned(),
        }),
    }
}

fn service(object: &Value, facts: &Facts) -> Verdict {
    if object["spec"]["type"] != "LoadBalancer" || !facts.load_balancers {
        return Ready;
    }
    let ingress = object["status"]["loadBalancer"]["ingress"].as_array();
    if ingress.is_some_and(|addresses| !addresses.is_empty()) {
        Ready
    } else {
        Waiting("its load balancer has no address".to_owned())
    }
}

fn phase(object: &Value, want: &str) -> Verdict {
    match object["status"]["phase"].as_str() {
        Some(phase) if phase == want => Ready,
        Some(phase) => Waiting(format!("its phase is {phase}")),
        // Only API servers without controllers leave it out.
        None => Ready,
    }
}

fn claim(object: &Value, facts: &Facts) -> Verdict {
    match object["status"]["phase"].as_str() {
        Some("Bound") => Ready,
        Some("Lost") => Failed("its volume is lost".to_owned()),
        _ => {
            let class = object["spec"]["storageClassName"].as_str().unwrap_or_default();
            if facts.late_binding.contains(class) { Ready } else { Waiting("it is not bound to a volume".to_owned()) }
        }
    }
}

fn definition(object: &Value) -> Verdict {
    if let Some(names) = condition(object, "NamesAccepted")
        && names["status"] == "False"
    {
        return Failed(format!("its names are not accepted: {}", told(names)));
    }
    if is_true(object, "Established") { Ready } else { Waiting("it is not established".to_owned()) }
}

fn must(object: &Value, name: &str) -> Verdict {
    match condition(object, name) {
        Some(condition) if condition["status"] == "True" => Ready,
        Some(condition) if !told(condition).is_empty() => Waiting(format!("not {name}: {}", told(condition))),
        _ => Waiting(format!("not {name}")),
    }
}

/// Webhooks that run in the cluster serve with a certificate of their own, which their server writes
/// into the configuration once it is there; until then the API server can't reach them.
fn webhooks(object: &Value) -> Verdict {
    let hooks = object["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let missing = hooks.iter().find(|hook| {
        hook["clientConfig"]["service"].is_object()
            && hook["clientConfig"]["caBundle"].as_str().unwrap_or_default().is_empty()
    });
    match missing {
        Some(hook) => {
            Waiting(format!("webhook {} has no certificate authority yet", hook["name"].as_str().unwrap_or_default()))
        }
        None => Ready,
    }
}

fn by_conditions(object: &Value) -> Verdict {
    if let Some(stalled) = condition(object, "Stalled")
        && stalled["status"] == "True"
    {
        return Failed(told(stalled));
    }
    if is_true(object, "Reconciling") {
        return Waiting("it is being reconciled".to_owned());
    }
    match condition(object, "Ready") {
        Some(ready) if ready["status"] != "True" => match told(ready) {
            text if text.is_empty() => Waiting("not Ready".to_owned()),
            text => Waiting(text),
        },
        _ => Ready,
    }
}

#[cfg(test)]
mod tests;
