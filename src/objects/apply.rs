//! Applying a set of objects: in phases, side by side within a phase, and only what differs.

use std::collections::HashMap;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::api::{Patch, PatchParams};
use tokio_util::sync::CancellationToken;

use super::FIELD_MANAGER;
use super::api::{self, Api};
use super::conflict;
use super::convert::Conversion;
use super::definitions;
use super::delete::{self, Doomed};
use super::drift;
use super::error::Error;
use super::inventory::{self, Identity, Live};
use super::object::{Object, ObjectRef};
use super::order::Phase;
use super::request::{Limit, told};
use super::resolve::{self, Member};
use super::set::{self, APPLIED_HASH, Extent, PART_OF, SetName};
use crate::plan::event::Progress;

/// How many objects of a phase are applied at once.
const CONCURRENCY: usize = 16;

/// What to do about fields that others manage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflicts {
    /// Fields of objects that this set made are taken back from whoever changed them by hand;
    /// everything else is an error that names the manager.
    #[default]
    Refuse,
    /// All fields are taken over.
    Take,
}

/// How a set is applied.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace of objects that name none; `default` if this does not either.
    pub default_namespace: Option<String>,
    /// How long the whole may take.
    pub deadline: Duration,
    /// Whether members that are no longer among the objects are deleted.
    pub prune: bool,
    /// What to do about fields that others manage.
    pub conflicts: Conflicts,
}

impl Default for Options {
    fn default() -> Self {
        Self { default_namespace: None, deadline: Duration::from_mins(2), prune: true, conflicts: Conflicts::default() }
    }
}

/// What applying a set did. Together with `unchanged`, the first two name every object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Objects that were not there.
    pub created: Vec<ObjectRef>,
    /// Objects that are different now.
    pub changed: Vec<ObjectRef>,
    /// Objects that were as they should be.
    pub unchanged: Vec<ObjectRef>,
    /// Members of the set that were deleted because they left it.
    pub pruned: Vec<ObjectRef>,
    /// What was done to objects whose version the cluster does not serve.
    pub converted: Vec<Conversion>,
}

impl Applied {
    /// Every object that was applied, changed or not: what to wait for.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectRef> {
        self.created.iter().chain(&self.changed).chain(&self.unchanged).cloned().collect()
    }

    /// Whether nothing was done.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.created.is_empty() && self.changed.is_empty() && self.pruned.is_empty()
    }

    /// Adds, and tells, what was done to objects before they were applied.
    #[must_use]
    pub fn with_converted(mut self, conversions: Vec<Conversion>, progress: &Progress) -> Self {
        for mut conversion in conversions {
            let named = |list: &[ObjectRef]| {
                let same = |object: &&ObjectRef| {
                    (&object.api_version, &object.kind, &object.name)
                        == (&conversion.object.api_version, &conversion.object.kind, &conversion.object.name)
                };
                list.iter().find(same).cloned()
            };
            let written = named(&self.created).or_else(|| named(&self.changed));
            let is_new = written.is_some();
            if let Some(object) = written.or_else(|| named(&self.unchanged)) {
                conversion.object = object;
            }
            conversion.tell(is_new, progress);
            self.converted.push(conversion);
        }
        self
    }

    /// Adds what applying another set did.
    pub fn extend(&mut self, other: Self) {
        self.created.extend(other.created);
        self.changed.extend(other.changed);
        self.unchanged.extend(other.unchanged);
        self.pruned.extend(other.pruned);
        self.converted.extend(other.converted);
    }
}

impl std::fmt::Display for Applied {
    /// `12 created, 3 changed, 5 unchanged`, without the parts that are none.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            (self.created.len(), "created"),
            (self.changed.len(), "changed"),
            (self.pruned.len(), "pruned"),
            (self.unchanged.len(), "unchanged"),
        ];
        let parts: Vec<_> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        f.write_str(if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }.as_str())
    }
}

/// What is to be done with an object.
#[derive(Clone, Debug)]
enum Action {
    Create,
    Change(Box<Live>),
    Keep,
}

/// Applies `objects` as the set `set`. Objects that are as they were applied before are left
/// alone: a set without changes costs one list per kind and no write. An object that was there
/// before and belongs to no set is changed, but not taken into the set, so that it is never deleted.
///
/// # Errors
/// Before anything is written: objects that are there twice, custom resources without definition,
/// versions that are not served, objects of other sets. Then what the API server refuses, conflicts
/// with other field managers, and the deadline; all errors of one phase at once.
pub async fn apply(
    api: &Api,
    set: &SetName,
    objects: &[Object],
    options: &Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Applied, Error> {
    let limit = Limit::new(options.deadline, progress, cancel);
    let members = resolve::resolve(api, objects, options.default_namespace.as_deref()).await?;
    let id = set.id();
    let parent = set::read(api, set, &limit).await?;
    let live = inventory::list(
        api,
        members.iter().filter(|member| member.listable).map(|member| &member.served),
        None,
        &limit,
    )
    .await?;
    let actions = members.iter().map(|member| action(member, &live, &id)).collect::<Result<Vec<_>, _>>()?;
    for (member, action) in members.iter().zip(&actions) {
        if let Some(conversion) = &member.converted {
            conversion.tell(!matches!(action, Action::Keep), progress);
        }
    }
    let converted = members.iter().filter_map(|member| member.converted.clone()).collect();
    let mut applied = Applied { converted, ..Applied::default() };
    let wanted = Extent::of(members.iter().map(|member| &member.reference));
    let before = parent.clone().unwrap_or_default();
    let left = if options.prune { departed(api, &members, &live, &before, set, &limit).await? } else { Vec::new() };
    let during = before.union(&wanted);
    if parent.is_none() || !during.same(&before, set) {
        // Before the members, so that a run that is cut off leaves none that the parent does not know of.
        set::write(api, set, &during, &limit).await?;
    }
    let sender = Sender { api, id: &id, conflicts: options.conflicts, limit: &limit };
    let work: Vec<_> = members.iter().zip(actions).collect();
    applied.extend(sender.phase(Phase::Namespaces, &work).await?);
    // Definitions take the server a while; what does not need them need not wait for them.
    let (definitions, others) = futures::join!(sender.phase(Phase::Definitions, &work), async {
        let mut applied = sender.phase(Phase::Configuration, &work).await?;
        applied.extend(sender.phase(Phase::Services, &work).await?);
        Ok::<_, Error>(applied)
    });
    applied.extend(definitions?);
    applied.extend(others?);
    applied.extend(sender.phase(Phase::Workloads, &work).await?);
    applied.extend(sender.phase(Phase::Webhooks, &work).await?);
    definitions::served(api, members.iter().filter(|member| member.phase == Phase::Definitions), &limit).await?;
    applied.extend(sender.phase(Phase::Resources, &work).await?);
    if !left.is_empty() {
        progress.status(format!("pruning {} objects", left.len()));
        applied.pruned = delete::remove(api, left, Some(&id), &limit).await?;
    }
    let after = if options.prune { wanted } else { during.clone() };
    if !after.same(&during, set) {
        set::write(api, set, &after, &limit).await?;
    }
    Ok(applied)
}

fn action(member: &Member, live: &HashMap<Identity, Live>, id: &str) -> Result<Action, Error> {
    let Some(live) = live.get(&member.identity) else { return Ok(Action::Create) };
    if let Some(owner) = live.set.as_ref().filter(|owner| *owner != id) {
        return Err(Error::Owned {
            object: member.reference.clone().into(),
            origin: member.origin.clone(),
            owner: owner.clone(),
        });
    }
    if live.hash.as_ref() == Some(&member.hash) && !live.terminating && drift::lost(&member.document, live).is_empty() {
        return Ok(Action::Keep);
    }
    Ok(Action::Change(Box::new(live.clone())))
}

/// Members of the set that are not wanted any more.
async fn departed(
    api: &Api,
    members: &[Member],
    live: &HashMap<Identity, Live>,
    before: &Extent,
    set: &SetName,
    limit: &Limit<'_>,
) -> Result<Vec<Doomed>, Error> {
    let id = set.id();
    let listed: Vec<_> = live.values().map(|live| &live.served.resource).collect();
    let mut more = Vec::new();
    for kind in &before.kinds {
        let known = members.iter().any(|member| member.listable && member.identity.kind == *kind)
            || listed.iter().any(|resource| resource.group == kind.group && resource.kind == kind.kind);
        if !known {
            more.extend(api.recommended(&kind.group, &kind.kind).await?);
        }
    }
    let others = inventory::list(api, &more, Some(&id), limit).await?;
    let doomed = live.iter().chain(&others).filter(|(identity, live)| {
        live.set.as_deref() == Some(id.as_str())
            && live.reference.namespace.as_ref().is_none_or(|namespace| before.namespaces.contains(namespace))
            && !members.iter().any(|member| member.identity == **identity)
    });
    Ok(doomed.map(|(_, live)| Doomed::from(live)).collect())
}

/// Sends objects.
struct Sender<'a> {
    api: &'a Api,
    id: &'a str,
    conflicts: Conflicts,
    limit: &'a Limit<'a>,
}

impl Sender<'_> {
    /// Sends the objects of a phase, side by side. One that fails does not keep the others back.
    async fn phase(&self, phase: Phase, work: &[(&Member, Action)]) -> Result<Applied, Error> {
        let mut applied = Applied::default();
        let mut sends = Vec::new();
        for (member, action) in work.iter().filter(|(member, _)| member.phase == phase) {
            match action {
                Action::Keep => applied.unchanged.push(member.reference.clone()),
                action => sends.push(async move { (*member, action, self.send(member, action).await) }),
            }
        }
        let total = sends.len();
        let mut results = stream::iter(sends).buffer_unordered(CONCURRENCY);
        let mut errors = Vec::new();
        let mut done = 0;
        while let Some((member, action, result)) = results.next().await {
            done += 1;
            self.limit.progress.status(format!("{phase} {done}/{total}"));
            match (result, action) {
                (Err(error), _) => errors.push(error),
                (Ok(_), Action::Create) => applied.created.push(member.reference.clone()),
                (Ok(version), Action::Change(live)) if version != live.resource_version => {
                    applied.changed.push(member.reference.clone());
                }
                (Ok(_), _) => applied.unchanged.push(member.reference.clone()),
            }
        }
        Error::from_many(errors).map_or(Ok(applied), Err)
    }

    /// Sends one object. Gives back its new resource version.
    async fn send(&self, member: &Member, action: &Action) -> Result<String, Error> {
        // Of what was there before, only what is in the set already stays in it.
        let (mut into_set, mut made_by_us) = (true, false);
        if let Action::Change(live) = action {
            made_by_us = live.set.is_some();
            into_set = made_by_us || live.terminating;
            if live.terminating {
                delete::gone(self.api, &[Doomed::from(live.as_ref())], None, self.limit).await?;
            }
        }
        let mut document = member.document.clone();
        resolve::with_metadata(&mut document, "annotations", APPLIED_HASH, &member.hash);
        if into_set {
            resolve::with_metadata(&mut document, "labels", PART_OF, self.id);
        }
        let requests = self.api.requests(&member.served, member.reference.namespace.as_deref());
        let doing = || format!("applying {}", member.reference);
        let mut params = PatchParams::apply(FIELD_MANAGER);
        params.force = self.conflicts == Conflicts::Take;
        loop {
            let patch = Patch::Apply(&document);
            let send = || requests.patch_metadata(&member.reference.name, &params, &patch);
            let error = match self.limit.tried(doing, send).await? {
                Ok(object) => return Ok(object.metadata.resource_version.unwrap_or_default()),
                Err(error) => error,
            };
            let kube::Error::Api(status) = &error else { return Err(api::api_error(doing(), error)) };
            let clashes = conflict::clashes(status);
            if clashes.is_empty() {
                return Err(refused(member, &error));
            }
            let all = clashes.len();
            let rest = conflict::hand_over(&mut document, clashes);
            let ours_again = made_by_us && !params.force && rest.iter().all(|clash| !clash.declared);
            if !rest.is_empty() && ours_again {
                let taken: Vec<_> = rest.iter().map(ToString::to_string).collect();
                self.limit.progress.detail(format!("{}: taking back: {}", member.reference, taken.join(", ")));
                params.force = true;
            } else if rest.len() == all {
                return Err(Error::Conflict {
                    object: member.reference.clone().into(),
                    origin: member.origin.clone(),
                    clashes: rest,
                });
            }
        }
    }
}

fn refused(member: &Member, error: &kube::Error) -> Error {
    Error::Refused { object: member.reference.clone().into(), origin: member.origin.clone(), message: told(error) }
}

impl From<&Live> for Doomed {
    fn from(live: &Live) -> Self {
        Self { reference: live.reference.clone(), served: live.served.clone(), uid: live.uid.clone() }
    }
}
