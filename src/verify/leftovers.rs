//! Objects that a scenario makes: applied with its mark, deleted at its end, and looked for after.

use std::time::{Duration, Instant};

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};

use super::undo;
use super::unmet::Unmet;
use super::world::Scene;
use crate::objects::{Object, ObjectRef};

/// The field manager of objects that scenarios make or change.
pub(super) const FIELD_MANAGER: &str = "istiolab-scenario";
/// The label that says which scenario made an object.
pub(super) const LABEL: &str = "istiolab.dev/scenario";
/// How long deleted objects may take to be gone.
const LIMIT: Duration = Duration::from_secs(30);
/// The pause between looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Applies objects and remembers them for the scenario's end.
pub(super) async fn apply(scene: &mut Scene, objects: &[Object]) -> Result<(), Unmet> {
    for object in objects {
        let reference = object.reference();
        let api = requests(scene, &reference).await?;
        let mut document = object.document.clone();
        document["metadata"]["labels"][LABEL] = scene.unique.clone().into();
        if !scene.made.contains(&reference) {
            // An object that is there already is somebody else's and must not be deleted by us.
            let found = api.get_metadata_opt(&reference.name).await;
            let found = found.map_err(Unmet::kube(format!("looking for {reference}")))?;
            if found.is_some() {
                return Err(Unmet::Misused(format!("{reference} is there already; use ${{unique}} in its name")));
            }
            scene.made.push(reference.clone());
        }
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&reference.name, &parameters, &Patch::Apply(&document))
            .await
            .map_err(Unmet::kube(format!("applying {reference}")))?;
    }
    Ok(())
}

/// Takes back what the scenario changed and deletes what it made. One that fails keeps nothing of the
/// other from being done.
///
/// # Errors
/// Names what could not be taken back and what stayed.
pub(super) async fn clear(scene: &mut Scene) -> Result<(), Unmet> {
    let undone = undo::all(scene).await;
    let deleted = delete(scene).await;
    match (undone, deleted) {
        (Err(one), Err(other)) => Err(Unmet::Never(format!("{}\n{}", one.text(), other.text()))),
        (undone, deleted) => undone.and(deleted),
    }
}

/// Deletes what the scenario made, newest first, and waits until it is gone with all that belongs
/// to it.
///
/// # Errors
/// Names what stayed.
async fn delete(scene: &mut Scene) -> Result<(), Unmet> {
    let made: Vec<ObjectRef> = scene.made.drain(..).rev().collect();
    let mut waiting = Vec::new();
    for reference in made {
        let api = requests(scene, &reference).await?;
        // Foreground: the object is gone only when its pods are.
        match api.delete(&reference.name, &DeleteParams::foreground()).await {
            Ok(_) => waiting.push((reference, api)),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(Unmet::kube(format!("deleting {reference}"))(error)),
        }
    }
    let begin = Instant::now();
    while !waiting.is_empty() {
        let mut left = Vec::new();
        for (reference, api) in waiting {
            let found = api.get_metadata_opt(&reference.name).await;
            if found.map_err(Unmet::kube(format!("looking for {reference}")))?.is_some() {
                left.push((reference, api));
            }
        }
        waiting = left;
        if begin.elapsed() > LIMIT && !waiting.is_empty() {
            let names: Vec<String> = waiting.iter().map(|(reference, _)| reference.to_string()).collect();
            let limit = humantime::format_duration(LIMIT);
            return Err(Unmet::Never(format!("still there {limit} after it was deleted: {}", names.join(", "))));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Requests for objects of the reference's kind and namespace.
pub(super) async fn requests(scene: &Scene, reference: &ObjectRef) -> Result<Api<DynamicObject>, Unmet> {
    let api = &scene.shared.api;
    let served = api.served(reference.group(), reference.version(), &reference.kind).await?;
    let served = served.ok_or_else(|| {
        Unmet::Misused(format!("the cluster does not serve {} of {}", reference.kind, reference.api_version))
    })?;
    Ok(api.requests(&served, reference.namespace.as_deref()))
}
