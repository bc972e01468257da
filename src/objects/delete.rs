//! Deleting: in the reverse order of applying, waiting until what was deleted is gone.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DeleteParams, DynamicObject, PartialObjectMeta, Preconditions};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use tokio_util::sync::CancellationToken;

use super::api::{Api, Served, api_error};
use super::error::Error;
use super::inventory;
use super::object::ObjectRef;
use super::order::Phase;
use super::request::Limit;
use super::set::{self, PART_OF, SetName};
use crate::plan::event::Progress;

/// How many objects are deleted at once.
const CONCURRENCY: usize = 16;

/// What deleting a set did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The objects that are gone.
    pub deleted: Vec<ObjectRef>,
}

/// An object that is to go, and no other of its name.
#[derive(Clone, Debug)]
pub(super) struct Doomed {
    pub(super) reference: ObjectRef,
    pub(super) served: Served,
    pub(super) uid: String,
}

/// Deletes the members of a set, in the reverse order of applying, then the set itself. Members are
/// known by their label; nothing else is touched. A set that is not there is no error.
///
/// # Errors
/// [`Error::Staying`] with the finalizers of what does not go away within `deadline`.
pub async fn delete_set(
    api: &Api,
    set: &SetName,
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Deleted, Error> {
    let limit = Limit::new(deadline, progress, cancel);
    let Some(extent) = set::read(api, set, &limit).await? else { return Ok(Deleted::default()) };
    let id = set.id();
    let mut kinds = Vec::new();
    for kind in &extent.kinds {
        // A kind that is not served any more has no objects.
        kinds.extend(api.recommended(&kind.group, &kind.kind).await?);
    }
    let members = inventory::list(api, &kinds, Some(&id), &limit).await?;
    let doomed = members
        .values()
        .filter(|live| live.reference.namespace.as_ref().is_none_or(|namespace| extent.namespaces.contains(namespace)))
        .map(Doomed::from)
        .collect();
    let deleted = remove(api, doomed, Some(&id), &limit).await?;
    set::forget(api, set, &limit).await?;
    Ok(Deleted { deleted })
}

/// Deletes objects, phase by phase from the last to the first, and waits until each phase is gone.
pub(super) async fn remove(
    api: &Api,
    doomed: Vec<Doomed>,
    id: Option<&str>,
    limit: &Limit<'_>,
) -> Result<Vec<ObjectRef>, Error> {
    let total = doomed.len();
    let mut phases: BTreeMap<Phase, Vec<Doomed>> = BTreeMap::new();
    for object in doomed {
        let phase = Phase::of(object.reference.group(), &object.reference.kind);
        phases.entry(phase).or_default().push(object);
    }
    let mut deleted = Vec::new();
    for (phase, mut objects) in phases.into_iter().rev() {
        objects.sort_by(|a, b| a.reference.cmp(&b.reference));
        limit.progress.status(format!("deleting {phase}, {} of {total} objects gone", deleted.len()));
        // Futures by a loop: from a closure over borrowed items the compiler can't tell that they are `Send`.
        let mut requests = Vec::with_capacity(objects.len());
        for object in &objects {
            requests.push(delete(api, object, limit).boxed());
        }
        stream::iter(requests).buffer_unordered(CONCURRENCY).try_collect::<()>().await?;
        gone(api, &objects, id, limit).await?;
        deleted.extend(objects.into_iter().map(|object| object.reference));
    }
    Ok(deleted)
}

async fn delete(api: &Api, object: &Doomed, limit: &Limit<'_>) -> Result<(), Error> {
    let requests = api.requests(&object.served, object.reference.namespace.as_deref());
    // The identifier makes sure that a new object of the same name is left alone.
    let params = DeleteParams::background()
        .preconditions(Preconditions { uid: Some(object.uid.clone()), resource_version: None });
    let doing = || format!("deleting {}", object.reference);
    match limit.tried(doing, || requests.delete(&object.reference.name, &params)).await? {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(source) => Err(api_error(doing(), source)),
    }
}

/// What is known of an object that is still there.
#[derive(Debug)]
struct Staying {
    reference: ObjectRef,
    finalizers: Vec<String>,
}

/// Waits by watches until objects are gone; `id` narrows the watches to members of a set.
pub(super) async fn gone(api: &Api, objects: &[Doomed], id: Option<&str>, limit: &Limit<'_>) -> Result<(), Error> {
    let mut staying: HashMap<String, Staying> = objects
        .iter()
        .map(|object| (object.uid.clone(), Staying { reference: object.reference.clone(), finalizers: Vec::new() }))
        .collect();
    let mut kinds: BTreeMap<String, Vec<&Doomed>> = BTreeMap::new();
    for object in objects {
        kinds
            .entry(object.served.resource.plural.clone() + "." + &object.served.resource.group)
            .or_default()
            .push(object);
    }
    let mut streams = Vec::new();
    for (kind, objects) in kinds {
        let mut config = watcher::Config::default();
        let first = objects[0];
        let mut namespace = None;
        if let [only] = objects.as_slice() {
            config = config.fields(&format!("metadata.name={}", only.reference.name));
            namespace = only.reference.namespace.as_deref();
        } else if let Some(id) = id {
            config = config.labels(&format!("{PART_OF}={id}"));
        }
        let requests = api.metadata(&first.served, namespace);
        let uids: Vec<_> = objects.iter().map(|object| object.uid.clone()).collect();
        let events = watcher::watcher(requests, config).default_backoff();
        streams.push(events.map(move |event| (kind.clone(), uids.clone(), event)).boxed());
    }
    let mut events = stream::select_all(streams);
    let mut listed: HashMap<String, Vec<String>> = HashMap::new();
    let end = tokio::time::sleep(limit.left());
    tokio::pin!(end);
    while !staying.is_empty() {
        let (kind, uids, event) = tokio::select! {
            () = limit.cancel.cancelled() => return Err(Error::Cancelled),
            () = &mut end => return Err(stayed(api, staying, limit).await),
            event = events.next() => match event {
                Some(event) => event,
                None => return Err(stayed(api, staying, limit).await),
            },
        };
        match event {
            Ok(Event::Init) => {
                listed.insert(kind, Vec::new());
            }
            Ok(Event::InitApply(object)) => {
                listed.entry(kind).or_default().push(seen(&mut staying, object));
            }
            Ok(Event::Apply(object)) => {
                seen(&mut staying, object);
            }
            Ok(Event::InitDone) => {
                let there = listed.remove(&kind).unwrap_or_default();
                for uid in uids.iter().filter(|uid| !there.contains(uid)) {
                    staying.remove(uid);
                }
            }
            Ok(Event::Delete(object)) => {
                staying.remove(&object.metadata.uid.unwrap_or_default());
            }
            // The kind itself is gone: its definition was deleted, and its objects with it.
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status))) if status.code == 404 => {
                for uid in &uids {
                    staying.remove(uid);
                }
            }
            Err(error) => limit.progress.detail(format!("watching {kind}: {error}")),
        }
        if let Some(object) = staying.values().next() {
            limit.progress.status(format!("waiting until {} is gone", object.reference));
        }
    }
    Ok(())
}

fn seen(staying: &mut HashMap<String, Staying>, object: PartialObjectMeta<DynamicObject>) -> String {
    let uid = object.metadata.uid.unwrap_or_default();
    if let Some(known) = staying.get_mut(&uid) {
        known.finalizers = object.metadata.finalizers.unwrap_or_default();
    }
    uid
}

async fn stayed(api: &Api, staying: HashMap<String, Staying>, limit: &Limit<'_>) -> Error {
    let mut reasons = Vec::new();
    for object in staying.into_values() {
        let reason = if object.reference.kind == "Namespace" && object.reference.group().is_empty() {
            namespace_remains(api, &object.reference.name).await
        } else {
            None
        };
        let reason = reason.unwrap_or_else(|| match object.finalizers.as_slice() {
            [] => "deleted, but still there".to_owned(),
            finalizers => format!("held by its finalizers: {}", finalizers.join(", ")),
        });
        reasons.push((object.reference, reason));
    }
    reasons.sort();
    Error::Staying { staying: reasons, elapsed: limit.begin.elapsed(), limit: limit.within }
}

/// What the namespace's controller says remains in it.
async fn namespace_remains(api: &Api, name: &str) -> Option<String> {
    let requests: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(api.client().clone());
    let asked = tokio::time::timeout(Duration::from_secs(5), requests.get_opt(name)).await;
    let conditions = asked.ok()?.ok()??.status?.conditions?;
    let told: Vec<_> = conditions
        .into_iter()
        .filter(|condition| condition.status == "True")
        .filter_map(|condition| condition.message)
        .filter(|message| !message.is_empty())
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}
