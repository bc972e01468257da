//! Injection by hand of the objects that a scenario has brought along.

use std::time::Duration;

use super::step;
use crate::plan::event::Progress;
use crate::verify::arguments::Arguments;
use crate::verify::leftovers;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;
use crate::{mesh, objects};

pub(super) const STEPS: [Entry; 2] = [
    step!(
        "injection",
        Action,
        "they are injected by hand",
        inject,
        "Has istiod's webhook inject the scenario's objects, as `istiolab inject` does, and applies the result."
    ),
    step!(
        "injection",
        Action,
        "the injection is undone",
        remove,
        "Takes what injection by hand added out of the scenario's objects, as `istiolab inject --remove` does, and \
         applies the result."
    ),
];

/// How long the webhook may take to answer.
const LIMIT: Duration = Duration::from_secs(15);

async fn inject(scene: &mut Scene, _: Arguments) -> Result<(), Unmet> {
    let brought = brought(scene)?;
    let injected = injected(scene, brought).await?;
    scene.brought.clone_from(&injected);
    leftovers::apply(scene, &injected).await
}

async fn remove(scene: &mut Scene, _: Arguments) -> Result<(), Unmet> {
    let brought = brought(scene)?;
    let removed = uninjected(scene, brought)?;
    scene.brought.clone_from(&removed);
    leftovers::apply(scene, &removed).await
}

fn brought(scene: &Scene) -> Result<Vec<objects::Object>, Unmet> {
    if scene.brought.is_empty() {
        return Err(Unmet::Misused("the scenario has brought no objects".to_owned()));
    }
    Ok(scene.brought.clone())
}

async fn injected(scene: &Scene, objects: Vec<objects::Object>) -> Result<Vec<objects::Object>, Unmet> {
    let (progress, cancel) = (Progress::silent(), &scene.shared.cancel);
    let outcome = mesh::inject::inject(&scene.shared.api, objects, "default", LIMIT, &progress, cancel).await?;
    judged(scene, outcome)
}

fn uninjected(scene: &Scene, objects: Vec<objects::Object>) -> Result<Vec<objects::Object>, Unmet> {
    judged(scene, mesh::inject::remove(objects)?)
}

/// The objects, if something was changed at all.
fn judged(scene: &Scene, outcome: mesh::inject::Outcome) -> Result<Vec<objects::Object>, Unmet> {
    for note in &outcome.notes {
        scene.trail.note(note);
    }
    if outcome.changed == 0 {
        return Err(Unmet::Never(format!("nothing was changed: {}", outcome.notes.join("; "))));
    }
    Ok(outcome.objects)
}
