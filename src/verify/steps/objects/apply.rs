//! Objects that a scenario brings along.

use super::super::step;
use crate::objects::{self, Object, convert};
use crate::verify::arguments::Arguments;
use crate::verify::leftovers;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(in super::super) const STEPS: [Entry; 2] = [
    step!(
        "objects",
        Action,
        "these objects in namespace {string}:",
        bring_into,
        "Applies the objects of the text; they are deleted when the scenario ends, and it fails if one stays. Give \
         them names with ${unique}, which is different in each scenario of each run. Kinds that live in no namespace \
         may be among them, and API versions that the cluster does not serve are converted as `up` does. Given again, \
         an object is changed."
    ),
    step!(
        "objects",
        Action,
        "these objects:",
        bring,
        "The same for objects that name their namespaces themselves or live in none."
    ),
];

async fn bring_into(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    brought(scene, arguments.docstring()?, Some(arguments.text(0))).await
}

async fn bring(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    brought(scene, arguments.docstring()?, None).await
}

async fn brought(scene: &mut Scene, text: &str, namespace: Option<&str>) -> Result<(), Unmet> {
    let api = scene.shared.api.clone();
    let written = objects::parse(text, "the step's text")?;
    let mut brought = Vec::with_capacity(written.len());
    for (object, conversion) in convert::convert_all(&written, &api.target().await?)? {
        for line in conversion.iter().flat_map(objects::Conversion::lines) {
            scene.trail.note(&line);
        }
        let served = api.served(object.group(), object.version(), object.kind()).await?;
        // A kind that is not served fails where it is applied.
        let namespaced = served.is_none_or(|served| served.namespaced);
        brought.push(placed(object.into_owned(), namespaced, namespace)?);
    }
    scene.brought.clone_from(&brought);
    leftovers::apply(scene, &brought).await
}

/// The object where it belongs.
fn placed(mut object: Object, namespaced: bool, namespace: Option<&str>) -> Result<Object, Unmet> {
    match (namespaced, namespace) {
        (true, Some(namespace)) => object.document["metadata"]["namespace"] = namespace.into(),
        (true, None) if object.namespace().is_none() => {
            let reference = object.reference();
            return Err(Unmet::Misused(format!(
                "{reference} names no namespace: write it into its metadata, or `these objects in namespace \"…\":`"
            )));
        }
        (true, None) => {}
        (false, _) => {
            if let Some(metadata) = object.document["metadata"].as_object_mut() {
                metadata.remove("namespace");
            }
        }
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed_text(text: &str, namespaced: bool, namespace: Option<&str>) -> Result<Option<String>, String> {
        let object = objects::parse(text, "-").expect("YAML").remove(0);
        let placed = placed(object, namespaced, namespace).map_err(|unmet| unmet.to_string())?;
        Ok(placed.namespace().map(str::to_owned))
    }

    #[test]
    fn objects_go_where_they_belong() {
        let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: b}}";
        assert_eq!(placed_text(map, true, Some("c")), Ok(Some("c".to_owned())));
        assert_eq!(placed_text(map, true, None), Ok(Some("b".to_owned())));
        let space = "{apiVersion: v1, kind: Namespace, metadata: {name: a, namespace: b}}";
        assert_eq!(placed_text(space, false, Some("c")), Ok(None));
        let nowhere = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}";
        let error = placed_text(nowhere, true, None).expect_err("it has no place");
        assert!(error.starts_with("ConfigMap a names no namespace: "), "{error}");
    }
}
