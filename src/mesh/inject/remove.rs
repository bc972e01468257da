//! Undoing an injection: exactly where we made it, by istiod's own record where somebody else did.

use serde_json::Value;

use super::{ORIGINAL, Outcome, STATUS, template};
use crate::mesh::error::Error;
use crate::objects::Object;

/// Labels and annotations that istiod adds beside what its record lists.
const LABELS: [&str; 3] =
    ["security.istio.io/tlsMode", "service.istio.io/canonical-name", "service.istio.io/canonical-revision"];
const ANNOTATIONS: [&str; 7] = [
    STATUS,
    "istio.io/rev",
    "kubectl.kubernetes.io/default-container",
    "kubectl.kubernetes.io/default-logs-container",
    "prometheus.io/path",
    "prometheus.io/port",
    "prometheus.io/scrape",
];

/// Takes injected proxies out again. What [`super::inject`] made comes back as it was, field by
/// field; what others injected is cleaned by the record that istiod left, with a note, for that
/// record does not say what stood in the place of changed fields.
///
/// # Errors
/// [`Error::Remove`] if a record can't be read.
pub fn remove(objects: Vec<Object>) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    for mut object in objects {
        if let Some(place) = template::place(&object) {
            if let Some(record) = object.document["metadata"]["annotations"][ORIGINAL].as_str() {
                let record = read(record, &object)?;
                restore(&mut object, place, record);
                outcome.changed += 1;
            } else if let Some(record) = status(&object, place) {
                let record = read(&record, &object)?;
                clean(&mut object, place, &record);
                outcome.changed += 1;
                outcome.notes.push(format!(
                    "{}: it was injected by another tool; what istiod lists is taken out, other changes may stay",
                    object.reference()
                ));
            } else {
                outcome.notes.push(format!("{}: it is not injected", object.reference()));
            }
        }
        outcome.objects.push(object);
    }
    Ok(outcome)
}

fn read(record: &str, object: &Object) -> Result<Value, Error> {
    serde_json::from_str(record).map_err(|error| Error::Remove {
        object: format!("{} ({})", object.reference(), object.origin()),
        message: format!("its record of the injection is damaged: {error}"),
    })
}

fn restore(object: &mut Object, place: &str, mut record: Value) {
    if place.is_empty() {
        object.document["metadata"] = record["metadata"].take();
        object.document["spec"] = record["spec"].take();
        return;
    }
    if let Some(template) = object.document.pointer_mut(place) {
        *template = record["template"].take();
    }
    let Some(metadata) = object.document["metadata"].as_object_mut() else { return };
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(ORIGINAL);
        if annotations.is_empty() && record["annotations"].is_null() {
            metadata.remove("annotations");
        }
    }
}

fn status(object: &Object, place: &str) -> Option<String> {
    let template = object.document.pointer(place)?;
    template["metadata"]["annotations"][STATUS].as_str().map(str::to_owned)
}

fn clean(object: &mut Object, place: &str, record: &Value) {
    let Some(template) = object.document.pointer_mut(place) else { return };
    for field in ["initContainers", "containers", "volumes", "imagePullSecrets"] {
        let Some(listed) = record[field].as_array() else { continue };
        let Some(spec) = template["spec"].as_object_mut() else { continue };
        let Some(items) = spec.get_mut(field).and_then(Value::as_array_mut) else { continue };
        items.retain(|item| !listed.contains(&item["name"]));
        if items.is_empty() {
            spec.remove(field);
        }
    }
    for (field, names) in [("labels", LABELS.as_slice()), ("annotations", ANNOTATIONS.as_slice())] {
        let Some(metadata) = template["metadata"].as_object_mut() else { continue };
        let Some(entries) = metadata.get_mut(field).and_then(Value::as_object_mut) else { continue };
        for name in names {
            entries.remove(*name);
        }
        if entries.is_empty() {
            metadata.remove(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(document: Value) -> Object {
        Object::new(document, "x.yaml", 1).expect("whole")
    }

    fn round_trip(document: Value) {
        let before = object(document);
        let mut after = before.clone();
        let place = template::place(&after).expect("it has a template");
        let original = after.document.pointer(place).cloned().expect("there");
        let mut pod = template::pod(&after, &original, "demo");
        pod["spec"]["containers"].as_array_mut().expect("containers").push(json!({"name": "istio-proxy"}));
        pod["metadata"]["annotations"][STATUS] = json!("{}");
        template::put(&mut after, place, pod, &original);
        super::super::remember(&mut after, &original);
        assert_ne!(before, after);
        let undone = remove(vec![after]).expect("undone");
        assert_eq!(undone.objects, [before]);
        assert_eq!(undone.changed, 1);
    }

    #[test]
    fn our_own_injection_is_undone_exactly() {
        let template = json!({"metadata": {"creationTimestamp": null}, "spec": {"containers": [{"name": "c"}]}});
        round_trip(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"template": template}}),
        );
        round_trip(json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "a", "annotations": {}}, "spec": {"template": template}}));
        round_trip(json!({"apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": "a", "annotations": {"x": "y"}},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}}}));
        round_trip(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "n"}, "spec": {"containers": [{"name": "c"}]}}));
    }

    #[test]
    fn what_others_injected_is_cleaned_by_istiods_record() {
        let status =
            json!({"initContainers": ["istio-init"], "containers": ["istio-proxy"], "volumes": ["istio-envoy"]});
        let injected = object(json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "a"},
            "spec": {"template": {
                "metadata": {
                    "labels": {"app": "a", "security.istio.io/tlsMode": "istio"},
                    "annotations": {STATUS: status.to_string(), "prometheus.io/port": "15020"},
                },
                "spec": {
                    "initContainers": [{"name": "istio-init"}],
                    "containers": [{"name": "c"}, {"name": "istio-proxy"}],
                    "volumes": [{"name": "istio-envoy"}, {"name": "own"}],
                },
            }},
        }));
        let outcome = remove(vec![injected]).expect("cleaned");
        assert_eq!(
            outcome.objects[0].document["spec"]["template"],
            json!({
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "c"}], "volumes": [{"name": "own"}]},
            })
        );
        assert_eq!(outcome.notes.len(), 1);
    }

    #[test]
    fn what_is_not_injected_stays_with_a_note() {
        let plain = object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}}));
        let outcome = remove(vec![plain.clone()]).expect("nothing to do");
        assert_eq!(outcome.objects, [plain]);
        assert_eq!(outcome.notes, ["Pod a: it is not injected"]);
    }
}
