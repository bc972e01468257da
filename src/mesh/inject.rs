//! Injection by hand: istiod's own webhook says what to change in a pod template, and the change is
//! recorded in the object, so that it can be undone exactly.

mod remove;
mod template;

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use remove::remove;

use super::error::Error;
use super::webhook::{self, Answer};
use crate::objects::request::Limit;
use crate::objects::{Api, Object};
use crate::plan::event::Progress;

/// The annotation of an injected object that holds its template as it was.
const ORIGINAL: &str = "istiolab.dev/original-template";
/// The annotation that istiod leaves on what it injects.
const STATUS: &str = "sidecar.istio.io/status";
/// How many templates are sent at once.
const CONCURRENCY: usize = 8;

/// What was done with objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// All objects, in their order, changed or not.
    pub objects: Vec<Object>,
    /// How many were changed.
    pub changed: usize,
    /// Why objects with a pod template were left alone, one sentence each.
    pub notes: Vec<String>,
}

/// Injects the pod templates of all objects that have one. Objects that were injected before, pods
/// on their node's network, and pods that ask not to be injected stay as they are, with a note.
/// `namespace` is that of objects which name none.
///
/// # Errors
/// [`Error::Refused`] and [`Error::Answer`] with the object; [`Error::Objects`] where istiod can't be
/// reached within `deadline`.
pub async fn inject(
    api: &Api,
    objects: Vec<Object>,
    namespace: &str,
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Outcome, Error> {
    let limit = Limit::new(deadline, progress, cancel);
    let limit = &limit;
    let results: Vec<_> = stream::iter(objects)
        .map(|object| async move { one(api, object, namespace, limit).await })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let mut outcome = Outcome::default();
    for (object, done) in results {
        match done {
            Done::Injected => outcome.changed += 1,
            Done::Left(why) => outcome.notes.push(format!("{}: {why}", object.reference())),
            Done::NoTemplate => {}
        }
        outcome.objects.push(object);
    }
    Ok(outcome)
}

/// What became of one object.
enum Done {
    Injected,
    Left(&'static str),
    NoTemplate,
}

async fn one(api: &Api, mut object: Object, namespace: &str, limit: &Limit<'_>) -> Result<(Object, Done), Error> {
    let Some(place) = template::place(&object) else { return Ok((object, Done::NoTemplate)) };
    let Some(original) = object.document.pointer(place).cloned() else { return Ok((object, Done::NoTemplate)) };
    if is_injected(&original) {
        return Ok((object, Done::Left("it is injected already")));
    }
    if original["spec"]["hostNetwork"] == true {
        return Ok((object, Done::Left("it uses its node's network, which a proxy must not touch")));
    }
    let mut pod = template::pod(&object, &original, namespace);
    let named = |object: &Object| format!("{} ({})", object.reference(), object.origin());
    let patch = match webhook::ask(api, &pod, limit).await? {
        Answer::Patch(patch) => patch,
        Answer::Nothing => return Ok((object, Done::Left("its labels or annotations turn injection off"))),
        Answer::Refused(message) => return Err(Error::Refused { object: named(&object), message }),
        Answer::Odd(message) => return Err(Error::Answer { object: named(&object), message }),
    };
    json_patch::patch(&mut pod, &patch.0)
        .map_err(|error| Error::Answer { object: named(&object), message: error.to_string() })?;
    template::put(&mut object, place, pod, &original);
    remember(&mut object, &original);
    Ok((object, Done::Injected))
}

fn is_injected(template: &Value) -> bool {
    let has_proxy = |field: &str| {
        template["spec"][field].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "istio-proxy"))
    };
    template["metadata"]["annotations"][STATUS].is_string()
        || ((has_proxy("containers") || has_proxy("initContainers"))
            // A proxy that stands there to be adjusted by the injection has the image `auto`.
            && !template["spec"].to_string().contains(r#""image":"auto""#))
}

/// Writes the template as it was into the object's annotations.
fn remember(object: &mut Object, original: &Value) {
    let place = template::place(object);
    let is_pod = place == Some("");
    let record = if is_pod {
        // The whole pod is its own template; its kind and name do not change.
        json!({"metadata": original["metadata"], "spec": original["spec"]})
    } else {
        // Whether there were annotations at all is remembered, so that none are left behind.
        json!({"template": original, "annotations": object.document["metadata"]["annotations"].clone()})
    };
    let metadata = &mut object.document["metadata"];
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = json!({});
    }
    metadata["annotations"][ORIGINAL] = Value::from(record.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_injected_is_recognised() {
        assert!(is_injected(&json!({"metadata": {"annotations": {STATUS: "{}"}}})));
        assert!(is_injected(&json!({"spec": {"containers": [{"name": "istio-proxy", "image": "x"}]}})));
        assert!(is_injected(&json!({"spec": {"initContainers": [{"name": "istio-proxy", "image": "x"}]}})));
        assert!(!is_injected(&json!({"spec": {"containers": [{"name": "istio-proxy", "image": "auto"}]}})));
        assert!(!is_injected(&json!({"spec": {"containers": [{"name": "app", "image": "x"}]}})));
    }
}
