//! What a scenario left in the cluster besides the objects that it was known to make: such as a claim
//! that a `StatefulSet` made, or what a program of the scenario created.
//!
//! All of it has the scenario's own name, which nothing else has: in its name, or in the label that
//! [`leftovers`](super::leftovers) gives and controllers hand on.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DynamicObject, ListParams};

use super::leftovers::LABEL;
use super::unmet::Unmet;
use super::vocabulary::{Entry, Kind};
use super::world::Scene;
use crate::objects::{ObjectRef, Served};

/// Subjects of steps that may make objects; requests to applications make none.
const SUBJECTS: [&str; 3] = ["injection", "objects", "shell"];
/// How long controllers may take to begin to take away what belonged to objects that are gone.
const GRACE: Duration = Duration::from_secs(3);
/// How long what is being deleted, or belongs to another object, may take to be gone.
const LIMIT: Duration = Duration::from_secs(30);
/// The pause between looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How many kinds are listed at once.
const CONCURRENCY: usize = 8;
/// How many objects are named.
const NAMED: usize = 10;

/// An object that stayed.
struct Left {
    object: ObjectRef,
    requests: Api<DynamicObject>,
    /// Whether it will go by itself: it is being deleted, or belongs to another object.
    going: bool,
}

/// Whether a step may leave objects behind.
pub(super) fn may_leave(entry: &Entry) -> bool {
    entry.kind == Kind::Action && SUBJECTS.contains(&entry.subject)
}

/// Looks for what has the scenario's name, and waits for what is on its way out.
///
/// # Errors
/// Names what stayed.
pub(super) async fn look(scene: &Scene) -> Result<(), Unmet> {
    let begin = Instant::now();
    let mut left = find(scene).await?;
    while !left.is_empty() {
        let limit = if left.iter().all(|one| one.going) { LIMIT } else { GRACE };
        if begin.elapsed() >= limit {
            return Err(Unmet::Never(told(&left)));
        }
        tokio::time::sleep(PAUSE).await;
        left = stream::iter(left).filter_map(again).collect().await;
    }
    Ok(())
}

/// The object as it is now, unless it is gone.
async fn again(left: Left) -> Option<Left> {
    let found = left.requests.get_metadata_opt(&left.object.name).await;
    let going = match found {
        Ok(None) => return None,
        Ok(Some(object)) => is_going(&object.metadata),
        // What can't be asked now counts until it can.
        Err(_) => left.going,
    };
    Some(Left { going, ..left })
}

/// Everything that has the scenario's name.
async fn find(scene: &Scene) -> Result<Vec<Left>, Unmet> {
    let kinds = scene.shared.api.listable().await?;
    let lists = kinds.into_iter().map(|kind| list(scene, kind));
    stream::iter(lists).buffer_unordered(CONCURRENCY).try_concat().await
}

async fn list(scene: &Scene, kind: Served) -> Result<Vec<Left>, Unmet> {
    let client = || scene.shared.api.client().clone();
    let all: Api<DynamicObject> = Api::all_with(client(), &kind.resource);
    let list = match all.list_metadata(&ListParams::default()).await {
        Ok(list) => list,
        // A kind that is gone, that may not be listed, or whose own server is away.
        Err(kube::Error::Api(_)) => return Ok(Vec::new()),
        Err(error) => return Err(Unmet::kube(format!("listing {}", kind.resource.plural))(error)),
    };
    let belonging = list.items.into_iter().map(|object| object.metadata).filter(|meta| belongs(meta, &scene.unique));
    let left = belonging.map(|meta| Left {
        going: is_going(&meta),
        requests: match &meta.namespace {
            Some(namespace) => Api::namespaced_with(client(), namespace, &kind.resource),
            None => Api::all_with(client(), &kind.resource),
        },
        object: ObjectRef {
            api_version: kind.resource.api_version.clone(),
            kind: kind.resource.kind.clone(),
            namespace: meta.namespace,
            name: meta.name.unwrap_or_default(),
        },
    });
    Ok(left.collect())
}

/// Whether an object has the scenario's name.
fn belongs(meta: &ObjectMeta, unique: &str) -> bool {
    let label = meta.labels.as_ref().and_then(|labels| labels.get(LABEL));
    meta.name.as_ref().is_some_and(|name| name.contains(unique)) || label.is_some_and(|label| label == unique)
}

fn is_going(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some() || meta.owner_references.as_ref().is_some_and(|owners| !owners.is_empty())
}

fn told(left: &[Left]) -> String {
    let name = |one: &Left| if one.going { format!("{} (on its way out)", one.object) } else { one.object.to_string() };
    let mut names: Vec<String> = left.iter().map(name).collect();
    names.sort();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("the scenario left {}{more}\nlet a step of the scenario delete what its steps make", names.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn meta(name: &str, label: Option<&str>) -> ObjectMeta {
        let labels = label.map(|label| BTreeMap::from([(LABEL.to_owned(), label.to_owned())]));
        ObjectMeta { name: Some(name.to_owned()), labels, ..ObjectMeta::default() }
    }

    #[test]
    fn the_scenarios_name_or_its_label_tells_what_is_its_own() {
        assert!(belongs(&meta("data-s0a1b2c3d-0", None), "s0a1b2c3d"));
        assert!(belongs(&meta("copy", Some("s0a1b2c3d")), "s0a1b2c3d"));
        assert!(!belongs(&meta("data-s99999999-0", Some("s99999999")), "s0a1b2c3d"));
        assert!(!belongs(&meta("demo", None), "s0a1b2c3d"));
    }

    #[test]
    fn only_what_does_something_to_objects_is_looked_after() {
        let vocabulary = crate::verify::vocabulary().expect("the patterns are expressions");
        let may = |pattern: &str| {
            let entry = vocabulary.entries().find(|entry| entry.pattern == pattern).expect("it is a step");
            may_leave(entry)
        };
        assert!(may("these objects in namespace {string}:"));
        assert!(!may("{string} in namespace {string} sends {int} request(s) to {string}"));
    }
}
