//! Whether an object is ready, by its own fields: the rules of kstatus
//! (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>), with their
//! holes mended: a failed pod is a failure, a job is ready when it is complete, a daemon set's
//! figures count only once its controller has seen it, a load balancer's address is waited for only
//! where there is somebody to give it.

use serde_json::Value;

use super::facts::Facts;

mod workloads;

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

use Verdict::{Failed, Ready, Waiting};

/// What judges the objects of a kind.
type Rule = fn(&Value, &Facts) -> Verdict;

/// The kinds with a rule of their own: groups, kind, rule. All others are judged by conditions that
/// any kind may have.
const TABLE: [(&[&str], &str, Rule); 16] = [
    (&[""], "Namespace", |object, _| phase(object, "Active")),
    (&[""], "PersistentVolumeClaim", claim),
    (&[""], "Pod", pod),
    (&[""], "ReplicationController", workloads::replica_set),
    (&[""], "Service", service),
    (&["admissionregistration.k8s.io"], "MutatingWebhookConfiguration", webhooks),
    (&["admissionregistration.k8s.io"], "ValidatingWebhookConfiguration", webhooks),
    (&["apiextensions.k8s.io"], "CustomResourceDefinition", definition),
    (&["apiregistration.k8s.io"], "APIService", |object, _| must(object, "Available")),
    (&["apps", "extensions"], "DaemonSet", workloads::daemon_set),
    (&["apps", "extensions"], "Deployment", workloads::deployment),
    (&["apps", "extensions"], "ReplicaSet", workloads::replica_set),
    (&["apps"], "StatefulSet", workloads::stateful_set),
    (&["batch"], "Job", workloads::job),
    (&["gateway.networking.k8s.io"], "Gateway", |object, _| must(object, "Programmed")),
    (&["gateway.networking.k8s.io"], "GatewayClass", |object, _| must(object, "Accepted")),
];

/// Judges an object by its whole JSON.
#[must_use]
pub fn judge(object: &Value, facts: &Facts) -> Verdict {
    underway(object).unwrap_or_else(|| match rule(group_of(object), kind_of(object)) {
        Some(rule) => rule(object, facts),
        None => by_conditions(object),
    })
}

/// What holds for every kind: an object that is being deleted, or was changed since its controller
/// looked at it, is not ready whatever else it says.
pub(super) fn underway(object: &Value) -> Option<Verdict> {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Some(Waiting("it is being deleted".to_owned()));
    }
    let generation = object["metadata"]["generation"].as_i64()?;
    let observed = object["status"]["observedGeneration"].as_i64()?;
    (observed < generation).then(|| Waiting(format!("its controller has seen generation {observed} of {generation}")))
}

/// The rule of a kind, if it has one of its own.
pub(super) fn rule(group: &str, kind: &str) -> Option<Rule> {
    TABLE.iter().find(|(groups, name, _)| *name == kind && groups.contains(&group)).map(|(.., rule)| *rule)
}

/// The kind of an object.
pub(super) fn kind_of(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

/// The API group of an object.
pub(super) fn group_of(object: &Value) -> &str {
    object["apiVersion"].as_str().and_then(|version| version.split_once('/')).map_or("", |(group, _)| group)
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

fn pod(object: &Value, _: &Facts) -> Verdict {
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

fn definition(object: &Value, _: &Facts) -> Verdict {
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
fn webhooks(object: &Value, _: &Facts) -> Verdict {
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
