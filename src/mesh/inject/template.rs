//! Pod templates: where they stand in an object, the pod that would come of them, and the way back.

use serde_json::{Map, Value, json};

use crate::objects::Object;

/// A hash such as the one by which a deployment tells its pods apart; istiod reads the deployment's
/// name from it.
const HASH: &str = "istiolab";

/// Where the pod template of an object stands, as a JSON pointer; `None` if its kind has none.
pub(super) fn place(object: &Object) -> Option<&'static str> {
    match (object.group(), object.kind()) {
        ("", "Pod") => Some(""),
        ("", "PodTemplate") => Some("/template"),
        ("apps" | "extensions", "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet")
        | ("", "ReplicationController")
        | ("batch", "Job") => Some("/spec/template"),
        ("batch", "CronJob") => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// The pod as its controller would make it: istiod names the workload by name and owner.
pub(super) fn pod(object: &Object, template: &Value, namespace: &str) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": template["spec"]});
    let mut metadata = template["metadata"].as_object().cloned().unwrap_or_default();
    let namespace = object.namespace().unwrap_or(namespace);
    metadata.insert("namespace".to_owned(), Value::from(namespace));
    if object.kind() != "Pod" {
        let name = object.name();
        let (kind, version, owner) = match object.kind() {
            "Deployment" => {
                label(&mut metadata, "pod-template-hash", HASH);
                ("ReplicaSet", "apps/v1", format!("{name}-{HASH}"))
            }
            // A job of a cron job is told by the time in its name.
            "CronJob" => ("Job", "batch/v1", format!("{name}-00000000")),
            kind => (kind, object.api_version(), name.to_owned()),
        };
        metadata.insert("generateName".to_owned(), Value::from(format!("{owner}-")));
        let reference = json!({
            "apiVersion": version, "kind": kind, "name": owner, "uid": HASH, "controller": true,
        });
        metadata.insert("ownerReferences".to_owned(), json!([reference]));
    }
    pod["metadata"] = Value::Object(metadata);
    pod
}

fn label(metadata: &mut Map<String, Value>, name: &str, value: &str) {
    let labels = metadata.entry("labels").or_insert(Value::Null);
    if !labels.is_object() {
        *labels = json!({});
    }
    labels[name] = Value::from(value);
}

/// Puts a pod back as the template that it was made from, without what [`pod`] added and without
/// the empty fields that Go writes.
pub(super) fn put(object: &mut Object, place: &str, mut pod: Value, original: &Value) {
    let Some(fields) = pod.as_object_mut() else { return };
    let mut metadata = fields.remove("metadata").unwrap_or_default();
    let spec = fields.remove("spec").unwrap_or_default();
    if let Some(metadata) = metadata.as_object_mut() {
        for name in ["namespace", "generateName", "ownerReferences", "creationTimestamp"] {
            metadata.remove(name);
            if let Some(value) = original["metadata"].get(name) {
                metadata.insert(name.to_owned(), value.clone());
            }
        }
        if original["metadata"]["labels"]["pod-template-hash"].is_null()
            && let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut)
        {
            labels.remove("pod-template-hash");
        }
    }
    let Some(template) = object.document.pointer_mut(place) else { return };
    template["metadata"] = metadata;
    template["spec"] = spec;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Object {
        let document = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}}},
        });
        Object::new(document, "x.yaml", 1).expect("whole")
    }

    #[test]
    fn a_pod_goes_back_to_the_template_that_it_came_from() {
        let mut object = deployment();
        let place = place(&object).expect("it has a template");
        let original = object.document.pointer(place).cloned().expect("there");
        let mut pod = pod(&object, &original, "demo");
        assert_eq!(pod["metadata"]["namespace"], "demo");
        assert_eq!(pod["metadata"]["generateName"], "web-istiolab-");
        assert_eq!(pod["metadata"]["labels"], json!({"app": "web", "pod-template-hash": "istiolab"}));
        // As Go writes it back.
        pod["metadata"]["creationTimestamp"] = Value::Null;
        pod["status"] = json!({});
        put(&mut object, place, pod, &original);
        assert_eq!(object, deployment());
    }

    #[test]
    fn every_kind_with_a_template_is_known() {
        let place_of = |version: &str, kind: &str| {
            let document = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}});
            place(&Object::new(document, "-", 1).expect("whole"))
        };
        assert_eq!(place_of("v1", "Pod"), Some(""));
        assert_eq!(place_of("batch/v1", "CronJob"), Some("/spec/jobTemplate/spec/template"));
        assert_eq!(place_of("apps/v1", "StatefulSet"), Some("/spec/template"));
        assert_eq!(place_of("v1", "Service"), None);
    }
}
