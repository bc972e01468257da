//! Applying a set of objects: in the order of its graph, and only what differs.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::convert::Conversion;
use super::delete::{self, Doomed};
use super::drift;
use super::error::Error;
use super::execute::execute;
use super::graph::Graph;
use super::inventory::{self, Identity, Live, Wanted};
use super::object::{Object, ObjectRef};
use super::ready::Policy;
use super::request::Limit;
use super::resolve::{self, Definitions, Kinds, Member, Place};
use super::send::Sender;
use super::set::{self, Extent, SetName};
use crate::plan::event::Progress;

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
    /// Whether members of the set with a field that can't be changed are deleted and made anew.
    pub recreate: bool,
    /// How the objects are judged that others wait for.
    pub readiness: Policy,
}

impl Default for Options {
    fn default() -> Self {
        let (deadline, conflicts) = (Duration::from_mins(2), Conflicts::default());
        let readiness = Policy::default();
        Self { default_namespace: None, deadline, prune: true, conflicts, recreate: false, readiness }
    }
}

/// What applying a set did. Together, all but the last name every object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Objects that were not there.
    pub created: Vec<ObjectRef>,
    /// Objects that are different now.
    pub changed: Vec<ObjectRef>,
    /// Objects that were deleted and made anew.
    pub replaced: Vec<ObjectRef>,
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
        self.created.iter().chain(&self.changed).chain(&self.replaced).chain(&self.unchanged).cloned().collect()
    }

    /// Whether nothing was done.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        [&self.created, &self.changed, &self.replaced, &self.pruned].iter().all(|some| some.is_empty())
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
            let written = named(&self.created).or_else(|| named(&self.changed)).or_else(|| named(&self.replaced));
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
        self.replaced.extend(other.replaced);
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
            (self.replaced.len(), "replaced"),
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
pub(super) enum Action {
    Create,
    Change(Box<Live>),
    Keep,
}

impl Action {
    /// What is there of the object's name and is to be changed.
    pub(super) fn live(&self) -> Option<&Live> {
        match self {
            Self::Change(live) => Some(live),
            Self::Create | Self::Keep => None,
        }
    }
}

/// Applies `objects` as the set `set`. Objects that are as they were applied before are left
/// alone: a set without changes costs one list per kind and no write. An object that was there
/// before and belongs to no set is changed, but not taken into the set, so that it is never deleted.
///
/// # Errors
/// Before anything is written: objects that are there twice, custom resources without definition,
/// versions that are not served, objects that wait for each other, objects of other sets. Then what
/// the API server refuses, fields that can't be changed, conflicts with other field managers, and the
/// deadline; an object that fails stops those that need it, and all errors are told at once.
pub async fn apply(
    api: &Api,
    set: &SetName,
    objects: &[Object],
    options: &Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Applied, Error> {
    let limit = Limit::new(options.deadline, progress, cancel);
    api.discover(&limit).await?;
    let kinds = Kinds { place: Place::Cluster(api), expected: &Definitions::default(), any: false };
    let members = resolve::resolve(kinds, objects, options.default_namespace.as_deref()).await?;
    let graph = Graph::of(&members)?;
    let id = set.id();
    let State { parent, live } = State::read(api, set, &members, &limit).await?;
    let (mut actions, mut errors) = (Vec::with_capacity(members.len()), Vec::new());
    for member in &members {
        action(member, &live, &id).map_or_else(|error| errors.push(error), |action| actions.push(action));
    }
    if let Some(error) = Error::from_many(errors) {
        return Err(error);
    }
    for (member, action) in members.iter().zip(&actions) {
        if let Some(conversion) = &member.converted {
            conversion.tell(!matches!(action, Action::Keep), progress);
        }
    }
    let converted = members.iter().filter_map(|member| member.converted.clone()).collect();
    let wanted = Extent::of(members.iter().map(|member| &member.reference));
    let before = parent.clone().unwrap_or_default();
    let left = if options.prune { departed(api, &members, &live, &before, set, &limit).await? } else { Vec::new() };
    let during = before.union(&wanted);
    if parent.is_none() || !during.same(&before, set) {
        // Before the members, so that a run that is cut off leaves none that the parent does not know of.
        set::write(api, set, &during, &limit).await?;
    }
    let (conflicts, recreate) = (options.conflicts, options.recreate);
    let sender = Sender { api, id: &id, conflicts, recreate, limit: &limit };
    let mut applied = execute(&sender, &options.readiness, &members, actions, &graph).await?;
    applied.converted = converted;
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

/// What the cluster has of a set.
pub(super) struct State {
    /// Where the set's members are; `None` if the set is not there.
    pub(super) parent: Option<Extent>,
    /// Its members, and what has the name of one of its objects, of the kinds of its objects.
    pub(super) live: HashMap<Identity, Live>,
}

impl State {
    pub(super) async fn read(api: &Api, set: &SetName, members: &[Member], limit: &Limit<'_>) -> Result<Self, Error> {
        let parent = set::read(api, set, limit).await?;
        let kinds = members.iter().filter(|member| member.listable).map(|member| &member.served);
        let names = members.iter().map(|member| &member.identity).collect();
        let live = inventory::list(api, kinds, Wanted::MembersAnd(&set.id(), &names), limit).await?;
        Ok(Self { parent, live })
    }
}

pub(super) fn action(member: &Member, live: &HashMap<Identity, Live>, id: &str) -> Result<Action, Error> {
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
pub(super) async fn departed(
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
    let others = inventory::list(api, &more, Wanted::Members(&id), limit).await?;
    let wanted: HashSet<_> = members.iter().map(|member| &member.identity).collect();
    let doomed = live.iter().chain(&others).filter(|(identity, live)| {
        live.set.as_deref() == Some(id.as_str())
            && live.reference.namespace.as_ref().is_none_or(|namespace| before.namespaces.contains(namespace))
            && !wanted.contains(identity)
    });
    Ok(doomed.map(|(_, live)| Doomed::from(live)).collect())
}
