//! What applying a set would do, without doing it: found out as applying finds it out, with dry runs
//! where that writes.

use std::collections::BTreeSet;

use futures::{FutureExt as _, StreamExt as _, stream};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::api::{Api, api_error};
use super::apply::{Action, Options, State, action, departed};
use super::convert::Conversion;
use super::diff::{self, Change};
use super::error::Error;
use super::graph::Graph;
use super::immutable::Fixed;
use super::inventory::Live;
use super::needs;
use super::object::{Object, ObjectRef};
use super::order::Phase;
use super::request::Limit;
use super::resolve::{self, Definitions, Kinds, Member, Place};
use super::retire::pruned;
use super::send::{Sender, Trial};
use super::set::SetName;
use crate::plan::event::Progress;

/// How many objects are tried out at once.
const CONCURRENCY: usize = 16;
/// What stands in place of a secret's value.
const MASK: &str = "***";

/// What sets that are applied before this one will have made by then. Each plan adds its own.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    definitions: Definitions,
    namespaces: BTreeSet<String>,
    /// Identifiers of sets that are gone by then.
    retired: BTreeSet<String>,
    unknown: bool,
}

impl Expected {
    /// Says that a set is gone by then, so that its objects are no longer in the way.
    pub fn retires(&mut self, set: &SetName) {
        self.retired.insert(set.id());
    }

    /// Says that sets come before whose objects are not known, so that any kind may be theirs.
    pub fn unknown(&mut self) {
        self.unknown = true;
    }

    /// Whether a set before makes this namespace.
    #[must_use]
    pub fn makes_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }
}

/// What applying a set would do.
#[derive(Debug)]
pub struct Planned {
    /// The set.
    pub set: SetName,
    /// Every object that would not stay as it is, in the order of phases.
    pub items: Vec<Item>,
    /// How many objects are as they should be.
    pub unchanged: usize,
}

/// What would become of an object.
#[derive(Debug)]
pub struct Item {
    /// The object.
    pub object: ObjectRef,
    /// Its file and line; nothing for what is pruned.
    pub origin: Option<String>,
    /// The phase in which it is applied.
    pub phase: Phase,
    /// What would be done with it.
    pub intent: Intent,
    /// What is done to it before, because its version is not served.
    pub converted: Option<Conversion>,
    /// The phase until after which more can't be known, because it makes the object's namespace or kind.
    pub known_after: Option<Phase>,
    /// Why the plan can't tell all, where there is a reason besides.
    pub note: Option<String>,
}

/// What would be done with an object.
#[derive(Debug)]
pub enum Intent {
    /// It is made.
    Create,
    /// Fields are changed; without any, only the record of who manages what.
    Change(Vec<Change>),
    /// It must be deleted and made anew.
    Replace {
        /// The fields that can't be changed.
        fixed: Vec<Fixed>,
        /// What differs, as far as the file tells it.
        fields: Vec<Change>,
        /// Whether the set made it, so that it may be replaced.
        ours: bool,
    },
    /// It left the set and is deleted.
    Prune,
    /// It would fail.
    Fail(Error),
}

/// Finds out what [`super::apply`] would do. Without a cluster everything is made.
///
/// # Errors
/// Those that applying ends with before anything is written; what an object by itself is refused for
/// is an [`Intent::Fail`].
pub async fn plan(
    place: Place<'_>,
    set: &SetName,
    objects: &[Object],
    expected: &mut Expected,
    options: &Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Planned, Error> {
    let limit = Limit::new(options.deadline, progress, cancel);
    if let Some(api) = place.api() {
        api.discover(&limit).await?;
    }
    let kinds = Kinds { place, expected: &expected.definitions, any: expected.unknown };
    let members = resolve::resolve(kinds, objects, options.default_namespace.as_deref()).await?;
    Graph::of(&members)?;
    let mut planned = match place.api() {
        Some(api) => there(api, set, &members, expected, options, &limit).await?,
        None => Planned { set: set.clone(), items: members.iter().map(created).collect(), unchanged: 0 },
    };
    planned.items.sort_by_key(|item| item.phase);
    expected.definitions.add(members.iter().map(|member| &member.document));
    let made = planned.items.iter().filter(|item| matches!(item.intent, Intent::Create) && is_namespace(&item.object));
    expected.namespaces.extend(made.map(|item| item.object.name.clone()));
    Ok(planned)
}

async fn there(
    api: &Api,
    set: &SetName,
    members: &[Member],
    expected: &Expected,
    options: &Options,
    limit: &Limit<'_>,
) -> Result<Planned, Error> {
    let State { parent, mut live } = State::read(api, set, members, limit).await?;
    let id = set.id();
    for live in live.values_mut().filter(|live| is_namespace(&live.reference)) {
        // Namespaces outlive their set and are given to the next one.
        if live.set.as_ref().is_some_and(|owner| expected.retired.contains(owner)) {
            live.set = Some(id.clone());
        }
    }
    live.retain(|_, live| live.set.as_ref().is_none_or(|owner| !expected.retired.contains(owner)));
    let actions: Vec<_> = members.iter().map(|member| action(member, &live, &id)).collect();
    let changes = |index: usize| !matches!(actions[index], Ok(Action::Keep));
    let redefined = (0..members.len()).filter(|&index| changes(index));
    let redefined: Vec<_> = redefined.filter_map(|index| needs::defined(&members[index])).collect();
    let mut namespaces = expected.namespaces.clone();
    for (member, action) in members.iter().zip(&actions) {
        if is_namespace(&member.reference) && matches!(action, Ok(Action::Create)) {
            namespaces.insert(member.reference.name.clone());
        }
    }
    let sender = Sender { api, id: &id, conflicts: options.conflicts, recreate: options.recreate, limit };
    let trying = Trying { sender: &sender, namespaces: &namespaces, redefined: &redefined };
    let mut planned = Planned { set: set.clone(), items: Vec::new(), unchanged: 0 };
    // Futures by a loop: from a closure over borrowed items the compiler can't tell that they are `Send`.
    let mut trials = Vec::new();
    for (member, action) in members.iter().zip(&actions) {
        match action {
            Ok(Action::Keep) => planned.unchanged += 1,
            Ok(action) => trials.push(trying.item(member, action.live()).boxed()),
            Err(_) => {}
        }
    }
    let total = trials.len();
    let mut results = stream::iter(trials).buffered(CONCURRENCY);
    while let Some(item) = results.next().await {
        planned.items.push(item?);
        limit.progress.status(format!("{} of {total} objects of {set} tried out", planned.items.len()));
    }
    drop(results);
    for (member, action) in members.iter().zip(actions) {
        if let Err(error) = action {
            planned.items.push(Item { intent: Intent::Fail(error), ..created(member) });
        }
    }
    if options.prune {
        let before = parent.unwrap_or_default();
        let left = departed(api, members, &live, &before, set, limit).await?;
        let mut left: Vec<_> = left.into_iter().map(|doomed| doomed.reference).collect();
        left.sort();
        planned.items.extend(left.into_iter().map(pruned));
    }
    Ok(planned)
}

pub(super) fn is_namespace(object: &ObjectRef) -> bool {
    object.kind == "Namespace" && object.group().is_empty()
}

fn created(member: &Member) -> Item {
    Item {
        object: member.reference.clone(),
        origin: Some(member.origin.clone()),
        phase: member.phase,
        intent: Intent::Create,
        converted: member.converted.clone(),
        known_after: None,
        note: None,
    }
}

/// Finds out what would become of objects that are not as they should be.
struct Trying<'a> {
    sender: &'a Sender<'a>,
    /// Namespaces that are not there yet.
    namespaces: &'a BTreeSet<String>,
    /// Kinds whose definition changes.
    redefined: &'a [super::set::GroupKind],
}

impl Trying<'_> {
    async fn item(&self, member: &Member, live: Option<&Live>) -> Result<Item, Error> {
        let item = created(member);
        if !member.listable {
            return Ok(Item { known_after: Some(Phase::Definitions), ..item });
        }
        if member.reference.namespace.as_ref().is_some_and(|name| self.namespaces.contains(name)) {
            return Ok(Item { known_after: Some(Phase::Namespaces), ..item });
        }
        if live.is_some_and(|live| live.terminating) {
            return Ok(Item { note: Some("the one that is there is being deleted".to_owned()), ..item });
        }
        let intent = match self.sender.try_out(member, live).await {
            Ok(Trial::Object(object)) => match live {
                None => Intent::Create,
                Some(live) => Intent::Change(masked(member, diff::fields(&self.whole(live).await?, &object))),
            },
            Ok(Trial::Fixed(fixed)) => {
                let Some(live) = live else { return Ok(item) };
                let fields = masked(member, diff::declared(&self.whole(live).await?, &member.document));
                Intent::Replace { fixed, fields, ours: live.set.is_some() }
            }
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(_) if self.redefined.contains(&member.identity.kind) => {
                let intent = self.as_the_file_says(member, live).await?;
                return Ok(Item { intent, known_after: Some(Phase::Definitions), ..item });
            }
            Err(error) => match untried(&error) {
                Some(why) => {
                    let intent = self.as_the_file_says(member, live).await?;
                    return Ok(Item { intent, note: Some(why), ..item });
                }
                None => Intent::Fail(error),
            },
        };
        Ok(Item { intent, ..item })
    }

    async fn as_the_file_says(&self, member: &Member, live: Option<&Live>) -> Result<Intent, Error> {
        Ok(match live {
            None => Intent::Create,
            Some(live) => Intent::Change(masked(member, diff::declared(&self.whole(live).await?, &member.document))),
        })
    }

    /// The object as it is.
    async fn whole(&self, live: &Live) -> Result<Value, Error> {
        let Sender { api, limit, .. } = self.sender;
        let requests = api.requests(&live.served, live.reference.namespace.as_deref());
        let doing = || format!("reading {}", live.reference);
        let object = limit.tried(doing, || requests.get(&live.reference.name)).await?;
        // A map with text as keys becomes JSON without fail.
        Ok(serde_json::to_value(object.map_err(|source| api_error(doing(), source))?).unwrap_or_default())
    }
}

/// Why an object could not be tried out although applying it may well succeed.
fn untried(error: &Error) -> Option<String> {
    match error {
        Error::Deadline { last, .. } => Some(format!("it could not be tried out: {last}")),
        Error::Refused { message, .. } if message.contains("does not support dry run") => {
            Some(format!("it can't be tried out: {message}"))
        }
        _ => None,
    }
}

/// Hides the values of secrets.
fn masked(member: &Member, mut changes: Vec<Change>) -> Vec<Change> {
    if member.reference.kind == "Secret" && member.reference.group().is_empty() {
        for change in &mut changes {
            if change.field.starts_with(".data") || change.field.starts_with(".stringData") {
                change.before.iter_mut().chain(&mut change.after).for_each(mask);
            }
        }
    }
    changes
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(mask),
        Value::Array(items) => items.iter_mut().for_each(mask),
        value => *value = Value::from(MASK),
    }
}
