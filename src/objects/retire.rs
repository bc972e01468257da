//! Sets that are not wanted any more: found by their parents, planned, and taken away. Only a namespace
//! in which others live stays, and is theirs from then on.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::api::{Api, api_error};
use super::delete::{self, Deleted, Doomed};
use super::error::Error;
use super::inventory::{self, Live, Wanted};
use super::object::ObjectRef;
use super::order::Phase;
use super::planned::{Intent, Item, Planned, is_namespace};
use super::request::Limit;
use super::set::{self, PART_OF, SetName};
use crate::plan::event::Progress;

/// Which set a namespace belongs to when the one that made it goes.
pub type Heirs = BTreeMap<String, SetName>;

/// The sets in the cluster that istiolab keeps and that are not among `wanted`: those whose parent's name
/// begins with `prefix`.
///
/// # Errors
/// The API server can't be asked within `deadline`.
pub async fn unwanted(
    api: &Api,
    prefix: &str,
    wanted: &[SetName],
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Vec<SetName>, Error> {
    let mut sets = set::all(api, &Limit::new(deadline, progress, cancel)).await?;
    sets.retain(|set| set.name.starts_with(prefix) && !wanted.contains(set));
    Ok(sets)
}

/// Deletes a set as [`delete_set`](super::delete_set) does, but for namespaces that have an heir, which are
/// given to it.
///
/// # Errors
/// As [`delete_set`](super::delete_set).
pub async fn retire_set(
    api: &Api,
    set: &SetName,
    heirs: &Heirs,
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Deleted, Error> {
    let limit = &Limit::new(deadline, progress, cancel);
    let Some(members) = members(api, set, limit).await? else { return Ok(Deleted::default()) };
    let mut doomed = Vec::with_capacity(members.len());
    for live in &members {
        match heir(live, heirs) {
            Some(heir) => give(api, live, heir, limit).await?,
            None => doomed.push(Doomed::from(live)),
        }
    }
    let deleted = delete::remove(api, doomed, Some(&set.id()), limit).await?;
    set::forget(api, set, limit).await?;
    Ok(Deleted { deleted })
}

/// What [`retire_set`] would do.
///
/// # Errors
/// As [`retire_set`], but for what deleting is refused for.
pub async fn plan_retiring(
    api: &Api,
    set: &SetName,
    heirs: &Heirs,
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Planned, Error> {
    let limit = Limit::new(deadline, progress, cancel);
    let members = members(api, set, &limit).await?.unwrap_or_default();
    let doomed = members.iter().filter(|live| heir(live, heirs).is_none());
    let mut items: Vec<Item> = doomed.map(|live| pruned(live.reference.clone())).collect();
    items.sort_by(|a, b| (a.phase, &a.object).cmp(&(b.phase, &b.object)));
    Ok(Planned { set: set.clone(), items, unchanged: 0 })
}

/// An object that is deleted because it left its set, or its set the lab.
pub(super) fn pruned(object: ObjectRef) -> Item {
    Item {
        phase: Phase::of(object.group(), &object.kind),
        object,
        origin: None,
        intent: Intent::Prune,
        converted: None,
        known_after: None,
        note: None,
    }
}

/// The members of a set by its label, where its parent says that they are; `None` if the set is not there.
async fn members(api: &Api, set: &SetName, limit: &Limit<'_>) -> Result<Option<Vec<Live>>, Error> {
    api.discover(limit).await?;
    let Some(extent) = set::read(api, set, limit).await? else { return Ok(None) };
    let id = set.id();
    let mut kinds = Vec::new();
    for kind in &extent.kinds {
        // A kind that is not served any more has no objects.
        kinds.extend(api.recommended(&kind.group, &kind.kind).await?);
    }
    let members = inventory::list(api, &kinds, Wanted::Members(&id), limit).await?;
    let mut members: Vec<Live> = members.into_values().collect();
    members
        .retain(|live| live.reference.namespace.as_ref().is_none_or(|namespace| extent.namespaces.contains(namespace)));
    Ok(Some(members))
}

fn heir<'a>(live: &Live, heirs: &'a Heirs) -> Option<&'a SetName> {
    if is_namespace(&live.reference) { heirs.get(&live.reference.name) } else { None }
}

/// Marks an object as a member of another set.
async fn give(api: &Api, live: &Live, heir: &SetName, limit: &Limit<'_>) -> Result<(), Error> {
    let requests = api.requests(&live.served, live.reference.namespace.as_deref());
    let doing = || format!("giving {} to the set {heir}", live.reference);
    let patch = json!({"metadata": {"uid": live.uid, "labels": {PART_OF: heir.id()}}});
    let (params, patch) = (PatchParams::apply(super::FIELD_MANAGER), Patch::Merge(&patch));
    let answer = limit.tried(doing, || requests.patch_metadata(&live.reference.name, &params, &patch)).await?;
    answer.map(drop).map_err(|source| api_error(doing(), source))
}
