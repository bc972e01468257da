//! The pods of a namespace as a watch shows them, and the events about them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Event as CoreEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DynamicObject, ListParams};
use kube::runtime::watcher::{self, Event};
use serde_json::Value;

use super::pods::{Class, Trouble, lacking, trouble};
use crate::objects::api::Api;

/// Labels by which pods of one revision of their workload are told from those of another.
const REVISIONS: [&str; 2] = ["pod-template-hash", "controller-revision-hash"];

/// A pod's namespace and name.
pub(super) type PodName = (String, String);

/// The pods of a namespace, or of all, with their troubles. Of each only what is needed is kept.
#[derive(Default)]
pub(super) struct Pods {
    known: BTreeMap<PodName, Known>,
    /// Since when a trouble lasts, by pod, container and class.
    since: HashMap<(PodName, Option<String>, Class), Instant>,
    listed: HashSet<PodName>,
}

/// What is kept of a pod.
struct Known {
    labels: BTreeMap<String, String>,
    made: Option<Time>,
    leaving: bool,
    trouble: Option<Trouble>,
    /// What it lacks, where it has no trouble.
    lacking: Option<String>,
}

impl Known {
    fn revision(&self) -> Option<&String> {
        REVISIONS.iter().find_map(|label| self.labels.get(*label))
    }
}

impl Pods {
    pub(super) fn take(&mut self, event: watcher::Result<Event<DynamicObject>>) {
        match event {
            Ok(Event::Init) => self.listed.clear(),
            Ok(Event::InitApply(object)) => {
                self.listed.insert(name_of(&object));
                self.put(&object);
            }
            Ok(Event::Apply(object)) => self.put(&object),
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut self.listed);
                self.known.retain(|name, _| listed.contains(name));
                self.since.retain(|(pod, ..), _| listed.contains(pod));
            }
            Ok(Event::Delete(object)) => {
                let name = name_of(&object);
                self.known.remove(&name);
                self.since.retain(|(pod, ..), _| *pod != name);
            }
            Err(_) => {}
        }
    }

    fn put(&mut self, object: &DynamicObject) {
        let name = name_of(object);
        // A container that crashes is now waiting, now running, now ended: its trouble lasts until
        // the pod is ready.
        if is_ready(&object.data) {
            self.since.retain(|key, _| key.0 != name);
        }
        let trouble = trouble(&object.data);
        if let Some(trouble) = &trouble {
            let key = (name.clone(), trouble.container.clone(), trouble.class);
            self.since.entry(key).or_insert_with(Instant::now);
        }
        let metadata = &object.metadata;
        let known = Known {
            labels: metadata.labels.clone().unwrap_or_default(),
            made: metadata.creation_timestamp.clone(),
            leaving: metadata.deletion_timestamp.is_some(),
            trouble,
            lacking: lacking(&object.data),
        };
        self.known.insert(name, known);
    }

    /// The troubles of the pods of a namespace that a selector takes. Of several revisions only the
    /// newest counts: what the older ones suffer ends with them.
    pub(super) fn troubles(&self, namespace: &str, selector: &Value) -> Vec<(String, Trouble, Instant)> {
        let here = || {
            let from = (namespace.to_owned(), String::new());
            self.known.range(from..).take_while(|((other, _), _)| other == namespace)
        };
        let taken = |(name, pod): &(&PodName, &Known)| selects(selector, &name.1, &pod.labels);
        let troubled: Vec<_> = here().filter(|(_, pod)| pod.trouble.is_some() && !pod.leaving).filter(taken).collect();
        if troubled.is_empty() {
            return Vec::new();
        }
        let newest = here().filter(taken).max_by_key(|(_, pod)| pod.made.as_ref().map(|time| time.0));
        let newest = newest.and_then(|(_, pod)| pod.revision());
        let current = troubled.into_iter().filter(|(_, pod)| pod.revision() == newest);
        let told = current.filter_map(|(name, pod)| {
            let trouble = pod.trouble.clone()?;
            let key = (name.clone(), trouble.container.clone(), trouble.class);
            let since = self.since.get(&key).copied().unwrap_or_else(Instant::now);
            Some((name.1.clone(), trouble, since))
        });
        told.collect()
    }

    /// A pod of a namespace that a selector takes and that is on its way, and what it lacks.
    pub(super) fn lacking(&self, namespace: &str, selector: &Value) -> Option<(&str, &str)> {
        let from = (namespace.to_owned(), String::new());
        let here = self.known.range(from..).take_while(|((other, _), _)| other == namespace);
        here.filter(|((_, name), pod)| !pod.leaving && selects(selector, name, &pod.labels))
            .find_map(|((_, name), pod)| Some((name.as_str(), pod.lacking.as_deref()?)))
    }
}

fn name_of(object: &DynamicObject) -> PodName {
    (object.metadata.namespace.clone().unwrap_or_default(), object.metadata.name.clone().unwrap_or_default())
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Whether a label selector takes a pod; `{"name": …}` takes the pod of that name.
fn selects(selector: &Value, name: &str, labels: &BTreeMap<String, String>) -> bool {
    if let Some(wanted) = selector["name"].as_str() {
        return wanted == name;
    }
    let matched = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array().map(Vec::as_slice).unwrap_or_default();
    // A selector that is not there takes nothing here: it says nothing of whose pods they are.
    (matched.is_some() || !expressions.is_empty())
        && matched.into_iter().flatten().all(|(label, value)| labels.get(label).map(String::as_str) == value.as_str())
        && expressions.iter().all(|expression| {
            let value = labels.get(expression["key"].as_str().unwrap_or_default());
            let listed = value.is_some_and(|value| {
                expression["values"].as_array().is_some_and(|values| values.iter().any(|listed| listed == value))
            });
            match expression["operator"].as_str() {
                Some("In") => listed,
                Some("NotIn") => !listed,
                Some("Exists") => value.is_some(),
                Some("DoesNotExist") => value.is_none(),
                _ => true,
            }
        })
}

/// The newest warning about an object: its reason and message.
pub(super) async fn last_warning(api: &Api, namespace: &str, kind: &str, name: &str) -> Option<(String, String)> {
    let requests: kube::Api<CoreEvent> = kube::Api::namespaced(api.client().clone(), namespace);
    let fields = format!("involvedObject.kind={kind},involvedObject.name={name},type=Warning");
    let params = ListParams::default().fields(&fields);
    // Only a help to whoever reads the error: it must not take long, and may be missing.
    let events = tokio::time::timeout(Duration::from_secs(3), requests.list(&params)).await.ok()?.ok()?;
    let time = |event: &CoreEvent| {
        event.last_timestamp.as_ref().map(|time| time.0).or(event.event_time.as_ref().map(|time| time.0))
    };
    let newest = events.items.into_iter().max_by_key(|event| time(event))?;
    Some((newest.reason.unwrap_or_default(), newest.message.unwrap_or_default().trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(pods: &mut Pods, pod: Value) {
        pods.take(Ok(Event::Apply(serde_json::from_value(pod).expect("a pod"))));
    }

    fn troubled(name: &str, hash: &str, made: &str) -> Value {
        json!({
            "metadata": {"namespace": "n", "name": name, "creationTimestamp": made, "labels": {"app": "a", "pod-template-hash": hash}},
            "status": {"phase": "Pending", "containerStatuses": [
                {"name": "c", "state": {"waiting": {"reason": "ErrImagePull"}}},
            ]},
        })
    }

    #[test]
    fn only_the_newest_revision_counts() {
        let mut pods = Pods::default();
        applied(&mut pods, troubled("old", "1", "2026-01-01T00:00:00Z"));
        let selector = json!({"matchLabels": {"app": "a"}});
        assert_eq!(pods.troubles("n", &selector)[0].0, "old");
        let mut new = troubled("new", "2", "2026-01-01T00:00:09Z");
        new["status"] = json!({"phase": "Running"});
        applied(&mut pods, new);
        assert!(pods.troubles("n", &selector).is_empty());
        assert!(pods.troubles("m", &selector).is_empty());
    }

    #[test]
    fn a_trouble_lasts_until_the_pod_is_ready() {
        let mut pods = Pods::default();
        let selector = json!({"name": "p"});
        let begin = |pods: &Pods| pods.troubles("n", &selector)[0].2;
        applied(&mut pods, troubled("p", "1", "2026-01-01T00:00:00Z"));
        let first = begin(&pods);
        let mut between = troubled("p", "1", "2026-01-01T00:00:00Z");
        between["status"] = json!({"phase": "Running"});
        applied(&mut pods, between.clone());
        applied(&mut pods, troubled("p", "1", "2026-01-01T00:00:00Z"));
        assert_eq!(begin(&pods), first);
        between["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
        applied(&mut pods, between);
        applied(&mut pods, troubled("p", "1", "2026-01-01T00:00:00Z"));
        assert!(begin(&pods) > first);
    }

    #[test]
    fn selectors_take_what_they_say() {
        let labels = [("app", "a"), ("tier", "b")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let takes = |selector: Value| selects(&selector, "p", &labels);
        assert!(takes(json!({"matchLabels": {"app": "a"}})));
        assert!(!takes(json!({"matchLabels": {"app": "b"}})));
        let expression = |operator: &str, values: Value| json!({"matchLabels": {}, "matchExpressions": [{"key": "tier", "operator": operator, "values": values}]});
        assert!(takes(expression("In", json!(["b", "c"]))));
        assert!(!takes(expression("NotIn", json!(["b"]))));
        assert!(takes(expression("Exists", json!([]))));
        assert!(!takes(expression("DoesNotExist", json!([]))));
        assert!(!takes(json!({})));
    }
}
