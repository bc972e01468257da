//! What is wrong in the cluster, by its objects: what is not ready and why, what is cut off, what
//! has ended and begun again.

use std::collections::BTreeMap;

use serde_json::Value;

use super::events::Event;
use super::logs::{self, Tails, statuses};
use super::objects::{file, name};
use super::summary::{Finding, Grade, Image};
use crate::objects::ready::{Facts, Policy, Verdict, trouble};

/// How many warnings a finding shows.
const EVENTS: usize = 3;

/// What is wrong, the worst first.
pub(super) fn find(objects: &[Value], events: &[Event], tails: &Tails, policy: &Policy) -> Vec<Finding> {
    let facts = Facts::default();
    let mut findings: Vec<Finding> = objects
        .iter()
        .filter_map(|object| {
            let (grade, cause, files) =
                state(object, policy, &facts).or_else(|| restarts(object)).or_else(|| unanswered(object, objects))?;
            let name = name(object);
            let about = events.iter().filter(|event| event.is_warning && event.object == name).take(EVENTS);
            let event = |event: &Event| {
                let warning = &event.warning;
                format!("{} {}: {}", warning.time, warning.reason, warning.message)
            };
            let lines = if grade == Grade::Failed { last_words(object, &files, tails) } else { Vec::new() };
            Some(Finding { grade, events: about.map(event).collect(), object: name, cause, lines, files })
        })
        .collect();
    findings.sort_by(|a, b| (a.grade, &a.object).cmp(&(b.grade, &b.object)));
    findings
}

/// Grade, cause and files.
type Found = (Grade, String, Vec<String>);

/// What is not ready.
fn state(object: &Value, policy: &Policy, facts: &Facts) -> Option<Found> {
    // What a workload made is told by the workload; pods alone say more than it.
    let is_made = object["metadata"]["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty());
    if is_made && object["kind"] != "Pod" {
        return None;
    }
    if object["kind"] == "Pod"
        && let Some(trouble) = trouble(object)
    {
        return Some((Grade::Failed, trouble.to_string(), pod_files(object)));
    }
    let (grade, mut cause) = match policy.judge(object, facts) {
        Verdict::Ready => return None,
        Verdict::Waiting(cause) => (Grade::NotReady, cause),
        Verdict::Ailing(cause) | Verdict::Failed(cause) => (Grade::Failed, cause),
    };
    if object["metadata"]["deletionTimestamp"].is_string() {
        let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let finalizers: Vec<&str> = finalizers.collect();
        if !finalizers.is_empty() {
            cause = format!("{cause}; finalizers: {}", finalizers.join(", "));
        }
    }
    let files = if object["kind"] == "Pod" { pod_files(object) } else { vec![file(object)] };
    Some((grade, cause, files))
}

/// What the container wrote last that is the trouble of a pod.
fn last_words(object: &Value, files: &[String], tails: &Tails) -> Vec<String> {
    let container = trouble(object).and_then(|trouble| trouble.container).unwrap_or_default();
    let ends = [format!("/{container}.log"), format!("/{container}.previous.log")];
    let mut logs = files.iter().filter(|file| ends.iter().any(|end| file.ends_with(end)));
    logs.find_map(|file| tails.get(file).filter(|lines| !lines.is_empty())).cloned().unwrap_or_default()
}

/// Containers of a pod that is ready and that ended before.
fn restarts(object: &Value) -> Option<Found> {
    if object["kind"] != "Pod" {
        return None;
    }
    let told = statuses(object).filter_map(|status| {
        let count = status["restartCount"].as_i64().filter(|count| *count > 0)?;
        let ended = &status["lastState"]["terminated"];
        let how = match (ended["reason"].as_str(), ended["exitCode"].as_i64()) {
            (Some(reason), Some(code)) => format!(", last ended with exit code {code} ({reason})"),
            (None, Some(code)) => format!(", last ended with exit code {code}"),
            _ => String::new(),
        };
        Some(format!(
            "container {} was started again {}{how}",
            status["name"].as_str().unwrap_or_default(),
            times(count)
        ))
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { None } else { Some((Grade::Notable, told.join("; "), pod_files(object))) }
}

fn times(count: i64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Webhooks whose service has nobody behind it: what they guard is refused.
fn unanswered(object: &Value, objects: &[Value]) -> Option<Found> {
    let hooks = object["webhooks"].as_array()?;
    let lonely = hooks.iter().find_map(|hook| {
        let service = &hook["clientConfig"]["service"];
        let (namespace, service) = (service["namespace"].as_str()?, service["name"].as_str()?);
        let mut slices = objects.iter().filter(|slice| {
            slice["kind"] == "EndpointSlice"
                && slice["metadata"]["namespace"] == namespace
                && slice["metadata"]["labels"]["kubernetes.io/service-name"] == service
        });
        let is_ready = |endpoint: &Value| endpoint["conditions"]["ready"] != false;
        let answers = slices.any(|slice| slice["endpoints"].as_array().is_some_and(|all| all.iter().any(is_ready)));
        let hook_name = hook["name"].as_str().unwrap_or_default();
        (!answers).then(|| (hook_name, format!("{namespace}/{service}"), hook["failurePolicy"] == "Ignore"))
    });
    let (hook, service, is_ignored) = lonely?;
    let (grade, effect) = if is_ignored {
        (Grade::Notable, "it is passed over")
    } else {
        (Grade::Failed, "every request that it is to see is refused")
    };
    let cause = format!("webhook {hook}: no pod is ready behind its service {service}; {effect}");
    Some((grade, cause, vec![file(object)]))
}

/// The object and the logs of a pod.
fn pod_files(pod: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
    let mut files = vec![file(pod)];
    for status in statuses(pod) {
        for (previous, state) in [(false, "state"), (true, "lastState")] {
            let state = &status[state];
            if state["running"].is_object() || state["terminated"].is_object() {
                files.push(logs::file(&namespace, &name, &text(&status["name"]), previous));
            }
        }
    }
    files
}

/// The images that pods run, with the digests by which the nodes know them.
pub(super) fn images(objects: &[Value]) -> Vec<Image> {
    let mut images: BTreeMap<(String, String), usize> = BTreeMap::new();
    for status in objects.iter().filter(|object| object["kind"] == "Pod").flat_map(statuses) {
        let text = |field: &str| status[field].as_str().unwrap_or_default();
        let digest = text("imageID").rsplit('@').next().unwrap_or_default();
        *images.entry((text("image").to_owned(), digest.to_owned())).or_default() += 1;
    }
    images.into_iter().map(|((name, digest), containers)| Image { name, digest, containers }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::summary::Warning;
    use super::*;

    fn found(objects: &[Value]) -> Vec<(Grade, String)> {
        let findings = find(objects, &[], &Tails::new(), &Policy::default());
        findings.into_iter().map(|finding| (finding.grade, format!("{}: {}", finding.object, finding.cause))).collect()
    }

    #[test]
    fn the_worst_comes_first_and_what_is_ready_not_at_all() {
        let pod = |name: &str, status: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "n", "name": name}, "status": status});
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let objects = [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}),
            pod(
                "restarted",
                json!({"phase": "Running", "conditions": ready, "containerStatuses": [
                {"name": "c", "restartCount": 2, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}),
            ),
            pod("well", json!({"phase": "Running", "conditions": ready})),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "n", "name": "d"}}),
            pod(
                "imageless",
                json!({"phase": "Pending", "containerStatuses": [
                {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not there"}}}]}),
            ),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going", "deletionTimestamp": "x",
                "finalizers": ["a/b"]}}),
        ];
        assert_eq!(
            found(&objects),
            [
                (Grade::Failed, "Pod n/imageless: container c: ImagePullBackOff: not there".to_owned()),
                (Grade::NotReady, "Deployment n/d: its controller has not seen it".to_owned()),
                (Grade::NotReady, "Namespace going: it is being deleted; finalizers: a/b".to_owned()),
                (
                    Grade::Notable,
                    "Pod n/restarted: container c was started again 2 times, last ended with exit code 137 (OOMKilled)"
                        .to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_webhook_without_anybody_behind_it_is_told() {
        let hooks = |policy: &str| {
            json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": "h"}, "webhooks": [{"name": "a.b", "failurePolicy": policy,
                "clientConfig": {"caBundle": "eA==", "service": {"namespace": "n", "name": "s"}}}]})
        };
        let slice = |ready: bool| {
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"namespace": "n", "name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
                "endpoints": [{"conditions": {"ready": ready}}]})
        };
        let told = |grade, effect: &str| {
            let cause = "MutatingWebhookConfiguration h: webhook a.b: no pod is ready behind its service n/s";
            vec![(grade, format!("{cause}; {effect}"))]
        };
        let refused = "every request that it is to see is refused";
        assert_eq!(found(&[hooks("Fail"), slice(false)]), told(Grade::Failed, refused));
        assert_eq!(found(&[hooks("Ignore")]), told(Grade::Notable, "it is passed over"));
        assert_eq!(found(&[hooks("Fail"), slice(true)]), []);
    }

    #[test]
    fn a_finding_has_its_newest_warnings_and_its_files() {
        let event = |object: &str, time: &str| Event {
            namespace: "n".to_owned(),
            object: object.to_owned(),
            is_warning: true,
            warning: Warning {
                time: time.to_owned(),
                object: object.to_owned(),
                reason: "Failed".to_owned(),
                message: "no".to_owned(),
                count: 1,
            },
        };
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "n", "name": "p"}, "status": {
            "phase": "Running", "containerStatuses": [{"name": "c", "ready": false, "restartCount": 1,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}}]}});
        let events = [event("Pod n/p", "2"), event("Pod n/q", "2"), event("Pod n/p", "1")];
        let tails = Tails::from([("logs/n/p/c.previous.log".to_owned(), vec!["boom".to_owned()])]);
        let finding = find(&[pod], &events, &tails, &Policy::default()).remove(0);
        assert_eq!(finding.lines, ["boom"]);
        assert_eq!(finding.events, ["2 Failed: no", "1 Failed: no"]);
        assert_eq!(finding.files, ["objects/n/pod.yaml", "logs/n/p/c.previous.log"]);
    }
}
