//! Workloads: what their status says once their controller has seen them.

use serde_json::Value;

use super::Verdict::{Ailing, Failed, Ready, Waiting};
use super::{Facts, Verdict, condition, is_true, number, told};

/// The wanted number of replicas; one where nothing is said.
fn wanted(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn counted(have: i64, want: i64, what: &str) -> Verdict {
    Waiting(format!("{have} of {want} replicas {what}"))
}

pub(super) fn deployment(object: &Value, _: &Facts) -> Verdict {
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
    if let Some(waiting) = unseen(object) {
        return waiting;
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

pub(super) fn stateful_set(object: &Value, _: &Facts) -> Verdict {
    if object["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return Ready;
    }
    if let Some(waiting) = unseen(object) {
        return waiting;
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

pub(super) fn daemon_set(object: &Value, _: &Facts) -> Verdict {
    if object["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return Ready;
    }
    // Without this a set that nobody has looked at yet would wish for no pods at all.
    if let Some(waiting) = unseen(object) {
        return waiting;
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

/// The status says nothing yet, not even of no replicas.
fn unseen(object: &Value) -> Option<Verdict> {
    let unseen = object["status"]["observedGeneration"].is_null();
    unseen.then(|| Waiting("its controller has not seen it".to_owned()))
}

/// Pods can't even be made: a quota, a webhook, a security policy.
fn replica_failure(object: &Value) -> Option<Verdict> {
    condition(object, "ReplicaFailure")
        .filter(|failure| failure["status"] == "True")
        .map(|failure| Ailing(told(failure)))
}

pub(super) fn replica_set(object: &Value, _: &Facts) -> Verdict {
    if let Some(ailing) = replica_failure(object) {
        return ailing;
    }
    let want = wanted(object);
    let status = |name: &str| number(object, &format!("/status/{name}"));
    if let Some(waiting) = unseen(object) {
        return waiting;
    }
    if status("availableReplicas") < want {
        return counted(status("availableReplicas"), want, "available");
    }
    if status("replicas") > want {
        return Waiting(format!("{} replicas too many are still there", status("replicas") - want));
    }
    Ready
}

pub(super) fn job(object: &Value, _: &Facts) -> Verdict {
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
