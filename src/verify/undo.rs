//! What scenarios change on objects that are not theirs, taken back at their end: fields get the
//! values that they had and the managers that owned them, and what was deleted is made again.

use std::time::Duration;

use kube::api::{Api, DynamicObject, Patch, PatchParams, ValidationDirective};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::leftovers;
use super::look::Target;
use super::unmet::Unmet;
use super::world::Scene;
use crate::objects::{self, ObjectRef, ready};
use crate::plan::event::Progress;

/// How long objects may take to be ready again.
const LIMIT: Duration = Duration::from_mins(1);
/// How often the owners of fields are written anew while others write the same object.
const TRIES: usize = 5;
/// Kinds whose objects hold what is lost with them: made again, they would be empty.
const HOLDERS: [&str; 4] = ["Namespace", "PersistentVolumeClaim", "PersistentVolume", "CustomResourceDefinition"];

/// A change that is to be taken back.
#[derive(Clone, Debug)]
pub(super) struct Change {
    target: Target,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    /// Fields were set: the merge patch that sets them back, and who owned fields before.
    Patched { back: Value, owners: Vec<Value> },
    /// The object was deleted; this is what it was.
    Deleted { document: Value },
}

/// Changes fields of an object by a merge patch (RFC 7386). Gives back the object as it was.
///
/// # Errors
/// The object is not there; the API server refuses the patch.
pub(super) async fn patch(scene: &mut Scene, target: &Target, patch: &Value) -> Result<Value, Unmet> {
    let before = scene.look_at(target).await?;
    if !is_made(scene, &target.reference) {
        // Kept before it is done: what is broken off in between is taken back as well.
        let how = How::Patched { back: inverse(patch, Some(&before)), owners: owners(&before) };
        scene.changes.push(Change { target: target.clone(), how });
    }
    send(&requests(scene, target), &target.reference, patch, "changing").await?;
    Ok(before)
}

/// Remembers an object that is about to be deleted, unless the scenario made it or a controller will
/// make another in its place.
///
/// # Errors
/// [`Unmet::Misused`] for what could not be made again as it was.
pub(super) fn keep(scene: &mut Scene, target: &Target, document: &Value) -> Result<(), Unmet> {
    let owners = document["metadata"]["ownerReferences"].as_array();
    let controlled = owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true));
    if controlled || is_made(scene, &target.reference) {
        return Ok(());
    }
    if HOLDERS.contains(&target.reference.kind.as_str()) {
        let reference = &target.reference;
        return Err(Unmet::Misused(format!("{reference} is not the scenario's own, and what is in it would be lost")));
    }
    let how = How::Deleted { document: document.clone() };
    scene.changes.push(Change { target: target.clone(), how });
    Ok(())
}

/// Takes everything back, the newest change first, and waits until the objects are ready again.
///
/// # Errors
/// Names what could not be taken back, or is not ready.
pub(super) async fn all(scene: &mut Scene) -> Result<(), Unmet> {
    let changes: Vec<Change> = scene.changes.drain(..).rev().collect();
    let mut restored: Vec<ObjectRef> = Vec::new();
    let mut errors = Vec::new();
    for Change { target, how } in changes {
        let requests = requests(scene, &target);
        let done = match how {
            How::Patched { back, owners } => set_back(&requests, &target, &back, &owners).await,
            How::Deleted { document } => make_again(&requests, &target, document).await,
        };
        match done {
            Ok(()) if !restored.contains(&target.reference) => restored.push(target.reference),
            Ok(()) => {}
            Err(unmet) => errors.push(unmet.text()),
        }
    }
    // Also after an interruption: the lab is to be as it was.
    let (policy, cancel) = (scene.shared.readiness.clone(), CancellationToken::new());
    let waited = ready::wait_with(&scene.shared.api, &restored, policy, LIMIT, &Progress::silent(), &cancel).await;
    errors.extend(waited.err().map(|error| Unmet::from(error).text()));
    if errors.is_empty() { Ok(()) } else { Err(Unmet::Never(format!("not taken back: {}", errors.join("\n")))) }
}

/// Whether the scenario made the object: it will be deleted, and needs no care.
fn is_made(scene: &Scene, reference: &ObjectRef) -> bool {
    let id = |one: &ObjectRef| (one.group().to_owned(), one.kind.clone(), one.namespace.clone(), one.name.clone());
    scene.made.iter().any(|made| id(made) == id(reference))
}

fn requests(scene: &Scene, target: &Target) -> Api<DynamicObject> {
    scene.shared.api.requests(&target.served, target.reference.namespace.as_deref())
}

/// Sends a merge patch. `doing` is what is done to the object, for the error.
async fn send(requests: &Api<DynamicObject>, on: &ObjectRef, patch: &Value, doing: &str) -> Result<(), Unmet> {
    let parameters = PatchParams {
        field_manager: Some(leftovers::FIELD_MANAGER.to_owned()),
        // A misspelled field would change nothing without a word.
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let sent = requests.patch(&on.name, &parameters, &Patch::Merge(patch)).await;
    sent.map(drop).map_err(Unmet::kube(format!("{doing} {on}")))
}

/// The merge patch that makes the fields of `patch` what they are in `before`.
fn inverse(patch: &Value, before: Option<&Value>) -> Value {
    match (patch, before) {
        (Value::Object(patch), Some(Value::Object(before))) => {
            patch.iter().map(|(field, value)| (field.clone(), inverse(value, before.get(field)))).collect()
        }
        (_, Some(before)) => before.clone(),
        (_, None) => Value::Null,
    }
}

async fn set_back(requests: &Api<DynamicObject>, target: &Target, back: &Value, before: &[Value]) -> Result<(), Unmet> {
    let Target { served, reference } = target;
    send(requests, reference, back, "changing back").await?;
    // The values are as before; now who set them. Else an apply of the lab would find a stranger's fields.
    for _ in 0..TRIES {
        let now = requests.get(&reference.name).await.map_err(Unmet::kube(format!("reading {reference}")))?;
        let now = served.document(now);
        let metadata = json!({
            "resourceVersion": now["metadata"]["resourceVersion"],
            "managedFields": restored(before, &owners(&now)),
        });
        match send(requests, reference, &json!({"metadata": metadata}), "changing back the owners of").await {
            Err(Unmet::Kube { source, .. }) if matches!(source.as_ref(), kube::Error::Api(status) if status.code == 409) =>
                {}
            done => return done,
        }
    }
    Err(Unmet::Never(format!("others write {reference} all the time: the owners of its fields are not as before")))
}

/// Who owns which fields of an object.
fn owners(object: &Value) -> Vec<Value> {
    object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default()
}

/// The owners of an object's fields without the scenario: everybody owns what they owned before, but of
/// the status, which its controllers may have written meanwhile, what they own now.
fn restored(before: &[Value], now: &[Value]) -> Vec<Value> {
    let of_status = |entry: &&Value| entry["subresource"].is_string();
    let is_ours = |entry: &&Value| entry["manager"] == leftovers::FIELD_MANAGER;
    let id = |entry: &Value| ["manager", "operation", "apiVersion"].map(|field| entry[field].clone());
    let mut entries: Vec<Value> = before.iter().filter(|entry| !of_status(entry)).cloned().collect();
    let new = now.iter().filter(|entry| !of_status(entry) && !is_ours(entry));
    let new: Vec<Value> = new.filter(|entry| entries.iter().all(|known| id(known) != id(entry))).cloned().collect();
    entries.extend(new);
    entries.extend(now.iter().filter(of_status).cloned());
    entries
}

async fn make_again(requests: &Api<DynamicObject>, target: &Target, document: Value) -> Result<(), Unmet> {
    let reference = &target.reference;
    let found = requests.get_metadata_opt(&reference.name).await;
    if found.map_err(Unmet::kube(format!("looking for {reference}")))?.is_some() {
        return Ok(());
    }
    // Whoever applied it applies it: an `up` after this finds its own object.
    let ours = |entry: &Value| entry["manager"] == objects::FIELD_MANAGER && entry["operation"] == "Apply";
    let applied = owners(&document).iter().any(ours);
    let manager = if applied { objects::FIELD_MANAGER } else { leftovers::FIELD_MANAGER };
    let parameters = PatchParams::apply(manager).force();
    let sent = requests.patch(&reference.name, &parameters, &Patch::Apply(cleaned(document))).await;
    sent.map(drop).map_err(Unmet::kube(format!("making {reference} again")))
}

/// An object without what the API server writes.
fn cleaned(mut document: Value) -> Value {
    let kept = ["name", "namespace", "labels", "annotations", "finalizers", "ownerReferences"];
    let metadata: Map<String, Value> = document["metadata"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(field, _)| kept.contains(&field.as_str()))
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    document["metadata"] = Value::Object(metadata);
    if let Some(fields) = document.as_object_mut() {
        fields.remove("status");
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_inverted() {
        let before = json!({"a": 1, "b": {"c": [1], "d": "x"}, "e": {"f": 1}});
        let patch = json!({"a": 2, "b": {"c": [2, 3], "new": {"x": 1}}, "e": null, "g": 5});
        let back = json!({"a": 1, "b": {"c": [1], "new": null}, "e": {"f": 1}, "g": null});
        assert_eq!(inverse(&patch, Some(&before)), back);
    }

    #[test]
    fn a_patch_and_its_inverse_change_nothing() {
        let before = json!({"a": {"b": 1, "l": [{"x": 1}]}, "c": "d"});
        for patch in
            [json!({"a": 1}), json!({"a": {"b": {"z": 1}, "l": null}}), json!({"c": {"x": "y"}, "n": {"m": 1}})]
        {
            let mut document = before.clone();
            json_patch::merge(&mut document, &patch);
            assert_ne!(document, before, "{patch}");
            json_patch::merge(&mut document, &inverse(&patch, Some(&before)));
            assert_eq!(document, before, "{patch}");
        }
    }

    #[test]
    fn owners_are_as_before_but_for_the_status() {
        let entry = |manager: &str, fields: &str| json!({"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields});
        let mut status = entry("kubelet", "old");
        status["subresource"] = json!("status");
        let mut newer = status.clone();
        newer["fieldsV1"] = json!("new");
        let before = [entry("istiolab", "all"), status];
        let now =
            [entry("istiolab", "less"), entry(leftovers::FIELD_MANAGER, "some"), entry("other", "its"), newer.clone()];
        assert_eq!(restored(&before, &now), [entry("istiolab", "all"), entry("other", "its"), newer]);
    }

    #[test]
    fn what_the_server_wrote_is_not_made_again() {
        let document = json!({"apiVersion": "v1", "kind": "Service", "spec": {"a": 1}, "status": {},
            "metadata": {"name": "x", "labels": {"b": "c"}, "uid": "1", "resourceVersion": "2", "managedFields": []}});
        let wanted = json!({"apiVersion": "v1", "kind": "Service", "spec": {"a": 1},
            "metadata": {"name": "x", "labels": {"b": "c"}}});
        assert_eq!(cleaned(document), wanted);
    }
}
