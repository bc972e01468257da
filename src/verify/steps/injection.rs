//! Objects that a scenario brings along, and injection by hand.

use super::step;
use crate::objects;
use crate::verify::arguments::Arguments;
use crate::verify::leftovers;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 3] = [
    step!(
        "injection",
        Action,
        "these objects in namespace {string}:",
        bring,
        "Applies the objects of the text; they are deleted when the scenario ends, and it fails if one stays. Give \
         them names with ${unique}, which is different in each scenario of each run."
    ),
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

async fn bring(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let mut brought = objects::parse(arguments.docstring()?, "the step's text")?;
    for object in &mut brought {
        object.document["metadata"]["namespace"] = arguments.text(0).into();
    }
    scene.brought.clone_from(&brought);
    leftovers::apply(scene, &brought).await
}

async fn inject(scene: &mut Scene, _: Arguments) -> Result<(), Unmet> {
    let brought = brought(scene)?;
    let injected = injected(scene, brought).await?;
    scene.brought.clone_from(&injected);
    leftovers::apply(scene, &injected).await
}

async fn remove(scene: &mut Scene, _: Arguments) -> Result<(), Unmet> {
    let brought = brought(scene)?;
    let removed = uninjected(brought)?;
    scene.brought.clone_from(&removed);
    leftovers::apply(scene, &removed).await
}

fn brought(scene: &Scene) -> Result<Vec<objects::Object>, Unmet> {
    if scene.brought.is_empty() {
        return Err(Unmet::Misused("the scenario has brought no objects".to_owned()));
    }
    Ok(scene.brought.clone())
}

async fn injected(_: &Scene, _: Vec<objects::Object>) -> Result<Vec<objects::Object>, Unmet> {
    Err(Unmet::Misused("injection by hand is not there yet".to_owned()))
}

fn uninjected(_: Vec<objects::Object>) -> Result<Vec<objects::Object>, Unmet> {
    Err(Unmet::Misused("injection by hand is not there yet".to_owned()))
}
