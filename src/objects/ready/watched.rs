//! The pods of a namespace as a watch shows them, and the events about them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Event as CoreEvent;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::runtime::watcher::{self, Event};
use serde_json::Value;

use super::pods::{Class, Trouble, trouble};
use crate::objects::api::{Api, Served};

/// Labels by which pods of one revision of their workload are told from those of another.
const REVISIONS: [&str; 2] = ["pod-template-hash", "controller-revision-hash"];

/// The pods of a namespace with their troubles.
#[derive(Default)]
pub(super) struct Pods {
    /// By their names.
    known: BTreeMap<String, Value>,
    /// Since when a trouble lasts, by pod, container and class.
    since: HashMap<(String, Option<String>, Class), Instant>,
    listed: Vec<String>,
}

impl Pods {
    pub(super) fn served() -> Served {
        Served { resource: ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod")), namespaced: true }
    }

    pub(super) fn take(&mut self, event: watcher::Result<Event<DynamicObject>>) {
        match event {
            Ok(Event::Init) => self.listed.clear(),
            Ok(Event::InitApply(object)) => {
                self.listed.extend(object.metadata.name.clone());
                self.put(object);
            }
            Ok(Event::Apply(object)) => self.put(object),
            Ok(Event::InitDone) => {
                let Self { known, listed, .. } = self;
                known.retain(|name, _| listed.contains(name));
            }
            Ok(Event::Delete(object)) => {
                let name = object.metadata.name.unwrap_or_default();
                self.known.remove(&name);
                self.since.retain(|(pod, ..), _| *pod != name);
            }
            Err(_) => {}
        }
    }

    fn put(&mut self, object: DynamicObject) {
        let name = object.metadata.name.clone().unwrap_or_default();
        // A map with text as keys becomes JSON without fail.
        let Ok(pod) = serde_json::to_value(object) else { return };
        // A container that crashes is now waiting, now running, now ended: its trouble lasts until
        // the pod is ready.
        if is_ready(&pod) {
            self.since.retain(|key, _| key.0 != name);
        }
        if let Some(trouble) = trouble(&pod) {
            self.since.entry((name.clone(), trouble.container, trouble.class)).or_insert_with(Instant::now);
        }
        self.known.insert(name, pod);
    }

    /// The troubles of the pods that a selector takes. Of several revisions only the newest counts:
    /// what the older ones suffer ends with them.
    pub(super) fn troubles(&self, selector: &Value) -> Vec<(String, Trouble, Instant)> {
        let taken: Vec<_> = self.known.iter().filter(|(name, pod)| selects(selector, name, pod)).collect();
        let revision = |pod: &Value| {
            REVISIONS.iter().find_map(|label| pod["metadata"]["labels"][label].as_str()).map(str::to_owned)
        };
        let newest = taken
            .iter()
            .max_by_key(|(_, pod)| pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default())
            .and_then(|(_, pod)| revision(pod));
        taken
            .into_iter()
            .filter(|(_, pod)| revision(pod) == newest && !pod["metadata"]["deletionTimestamp"].is_string())
            .filter_map(|(name, pod)| {
                let trouble = trouble(pod)?;
                let key = (name.clone(), trouble.container.clone(), trouble.class);
                let since = self.since.get(&key).copied().unwrap_or_else(Instant::now);
                Some((name.clone(), trouble, since))
            })
            .collect()
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Whether a label selector takes a pod; `{"name": …}` takes the pod of that name.
fn selects(selector: &Value, name: &str, pod: &Value) -> bool {
    if let Some(wanted) = selector["name"].as_str() {
        return wanted == name;
    }
    let labels = &pod["metadata"]["labels"];
    let matched = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array().map(Vec::as_slice).unwrap_or_default();
    // A selector that is not there takes nothing here: it says nothing of whose pods they are.
    (matched.is_some() || !expressions.is_empty())
        && matched.into_iter().flatten().all(|(label, value)| labels[label] == *value)
        && expressions.iter().all(|expression| {
            let value = &labels[expression["key"].as_str().unwrap_or_default()];
            let listed = expression["values"].as_array().is_some_and(|values| values.contains(value));
            match expression["operator"].as_str() {
                Some("In") => listed,
                Some("NotIn") => !listed,
                Some("Exists") => !value.is_null(),
                Some("DoesNotExist") => value.is_null(),
                _ => true,
            }
        })
}

/// The newest warning about an object of this name: its reason and message.
pub(super) async fn last_warning(api: &Api, namespace: &str, name: &str) -> Option<(String, String)> {
    let requests: kube::Api<CoreEvent> = kube::Api::namespaced(api.client().clone(), namespace);
    let params = ListParams::default().fields(&format!("involvedObject.name={name},type=Warning"));
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
            "metadata": {"name": name, "creationTimestamp": made, "labels": {"app": "a", "pod-template-hash": hash}},
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
        assert_eq!(pods.troubles(&selector)[0].0, "old");
        let mut new = troubled("new", "2", "2026-01-01T00:00:09Z");
        new["status"] = json!({"phase": "Running"});
        applied(&mut pods, new);
        assert!(pods.troubles(&selector).is_empty());
    }

    #[test]
    fn a_trouble_lasts_until_the_pod_is_ready() {
        let mut pods = Pods::default();
        let selector = json!({"name": "p"});
        let begin = |pods: &Pods| pods.troubles(&selector)[0].2;
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
        let pod = json!({"metadata": {"labels": {"app": "a", "tier": "b"}}});
        let takes = |selector: Value| selects(&selector, "p", &pod);
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
