//! Changing objects: those of the scenario, and with care, which is taken back at its end, those of others.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::super::step;
use crate::objects::Served;
use crate::objects::ready::{self, Verdict};
use crate::verify::arguments::Arguments;
use crate::verify::look::{Choice, Target, selector};
use crate::verify::path::plain;
use crate::verify::undo;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;
use crate::yaml;

pub(in super::super) const STEPS: [Entry; 5] = [
    step!(
        "objects",
        Action,
        "{object} is patched with:",
        patched,
        "Changes fields of the object by a merge patch in YAML; null removes a field. At the scenario's end fields of \
         objects that are not its own are as before, and the object is waited for until it is ready again."
    ),
    step!(
        "objects",
        Action,
        "the label {string} of {object} is set to {string}",
        labelled,
        "Sets a label, or removes it where the value is \"\"; taken back at the scenario's end."
    ),
    step!(
        "objects",
        Action,
        "{object} is scaled to {int} replica(s)",
        scaled,
        "Sets the number of replicas; taken back at the scenario's end, which then waits until they are ready."
    ),
    step!(
        "objects",
        Action,
        "the pods of {object} are restarted",
        restarted,
        "Deletes the pods of a Deployment, StatefulSet or DaemonSet, all at once, and waits until those are gone and \
         the workload is ready with new ones."
    ),
    step!(
        "objects",
        Action,
        "{object} is deleted",
        deleted,
        "Deletes the object and waits until it is gone with all that belongs to it. What is not the scenario's own and \
         has no controller is made again at its end; kinds that hold what would be lost are refused, such as \
         namespaces."
    ),
];

/// The pause between looks.
const PAUSE: Duration = Duration::from_millis(100);

async fn patched(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let patch = patch(arguments.docstring()?)?;
    let target = scene.target(arguments.object(0)).await?;
    undo::patch(scene, &target, &patch).await.map(drop)
}

/// The patch in a step's text.
fn patch(text: &str) -> Result<Value, Unmet> {
    let bad = |why: String| Unmet::Misused(format!("the step's text is no patch: {why}"));
    let mut documents = yaml::documents(text, "the step's text").map_err(|error| bad(error.to_string()))?;
    match documents.len() {
        1 => {}
        count => return Err(bad(format!("it has {count} documents"))),
    }
    let value = documents.remove(0).value;
    if value["status"].is_object() {
        return Err(bad("the status belongs to the object's controller".to_owned()));
    }
    if value.is_object() { Ok(value) } else { Err(bad(format!("it is {value}"))) }
}

async fn labelled(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let target = scene.target(arguments.object(1)).await?;
    let patch = label(arguments.text(0), arguments.text(2));
    undo::patch(scene, &target, &patch).await.map(drop)
}

fn label(name: &str, value: &str) -> Value {
    let value = if value.is_empty() { Value::Null } else { value.into() };
    json!({"metadata": {"labels": {name: value}}})
}

async fn scaled(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let replicas: u32 = arguments.number(1)?;
    let target = scene.target(arguments.object(0)).await?;
    let before = undo::patch(scene, &target, &json!({"spec": {"replicas": replicas}})).await?;
    scene.trail.note(&format!("replicas before: {}", before["spec"]["replicas"]));
    Ok(())
}

async fn restarted(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let target = scene.target(arguments.object(0)).await?;
    let old = pods(scene, &target).await?;
    if old.is_empty() {
        return Err(Unmet::Never(format!("{} has no pods", target.reference)));
    }
    let api = scene.shared.api.requests(&Served::of("", "v1", "Pod"), target.reference.namespace.as_deref());
    for (name, _) in old.keys() {
        match api.delete(name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            answer => drop(answer.map_err(Unmet::kube(format!("deleting pod {name}")))?),
        }
    }
    loop {
        let now = pods(scene, &target).await?;
        let names = |of: &dyn Fn(&Id, bool) -> bool| {
            let found = now.iter().filter(|(id, ready)| of(id, **ready)).map(|((name, _), _)| name.as_str());
            found.collect::<Vec<_>>().join(", ")
        };
        let left = names(&|id, _| old.contains_key(id));
        // What the workload says of itself may be of the moment before.
        let unready = names(&|_, ready| !ready);
        let state = if !left.is_empty() {
            format!("old pods are still there: {left}")
        } else if !unready.is_empty() {
            format!("new pods are not ready: {unready}")
        } else {
            let object = scene.look_at(&target).await?;
            match ready::stand(&scene.shared.api, &object, &scene.shared.readiness).await? {
                Verdict::Ready if !now.is_empty() => return Ok(()),
                Verdict::Ready => "it has no new pods".to_owned(),
                Verdict::Waiting(state) | Verdict::Ailing(state) => state,
                Verdict::Failed(state) => return Err(Unmet::Never(format!("{}: {state}", target.reference))),
            }
        };
        scene.trail.seen(&format!("{}: {state}", target.reference));
        scene.looks.clear();
        tokio::time::sleep(PAUSE).await;
    }
}

/// A pod's name and identifier.
type Id = (String, String);

/// The pods of a workload, also those that are being deleted, and whether they are ready.
async fn pods(scene: &mut Scene, target: &Target) -> Result<BTreeMap<Id, bool>, Unmet> {
    let object = scene.look_at(target).await?;
    let labels: LabelSelector = serde_json::from_value(object["spec"]["selector"].clone())
        .map_err(|_| Unmet::Misused(format!("{} has no pods of its own: it has no selector", target.reference)))?;
    let labels = selector(labels, &target.reference)?;
    let served = Served::of("", "v1", "Pod");
    let pods = scene.look_for(&served, target.reference.namespace.as_deref(), Choice::Labels(&labels)).await?;
    let judged = pods.iter().map(|pod| {
        let id = (plain(&pod["metadata"]["name"]), plain(&pod["metadata"]["uid"]));
        (id, ready::judge(pod, &ready::Facts::default()) == Verdict::Ready)
    });
    Ok(judged.collect())
}

async fn deleted(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let target = scene.target(arguments.object(0)).await?;
    let object = scene.look_at(&target).await?;
    undo::keep(scene, &target, &object)?;
    let api = scene.shared.api.requests(&target.served, target.reference.namespace.as_deref());
    let reference = &target.reference;
    // Foreground: the object is gone only when its pods are.
    match api.delete(&reference.name, &DeleteParams::foreground()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        answer => drop(answer.map_err(Unmet::kube(format!("deleting {reference}")))?),
    }
    let uid = plain(&object["metadata"]["uid"]);
    loop {
        let found = api.get_metadata_opt(&reference.name).await;
        let found = found.map_err(Unmet::kube(format!("looking for {reference}")))?;
        // Another one of that name is its controller's.
        let Some(left) = found.filter(|found| found.metadata.uid.as_ref() == Some(&uid)) else { return Ok(()) };
        let held = left.metadata.finalizers.unwrap_or_default();
        scene.trail.seen(&format!("{reference} is still there, held by: {}", held.join(", ")));
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_label_is_removed() {
        assert_eq!(label("a.b/c", "d"), json!({"metadata": {"labels": {"a.b/c": "d"}}}));
        assert_eq!(label("a", ""), json!({"metadata": {"labels": {"a": null}}}));
    }

    #[test]
    fn a_patch_is_one_mapping() {
        assert_eq!(patch("spec: {replicas: 2}").expect("a patch"), json!({"spec": {"replicas": 2}}));
        let error = |text: &str| patch(text).expect_err("it is no patch").to_string();
        assert_eq!(error("[1]"), "the step's text is no patch: it is [1]");
        assert_eq!(error("a: 1\n---\nb: 2\n"), "the step's text is no patch: it has 2 documents");
        assert_eq!(
            error("status: {a: 1}"),
            "the step's text is no patch: the status belongs to the object's controller"
        );
    }
}
