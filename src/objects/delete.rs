//! Deleting: in the reverse order of applying, waiting until what was deleted is gone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DeleteParams, DynamicObject, PartialObjectMeta, Preconditions};
use kube::runtime::watcher::{self, Event};
use tokio_util::sync::CancellationToken;

use super::api::{Api, Served, api_error};
use super::error::Error;
use super::inventory::{self, Identity, Live};
use super::object::ObjectRef;
use super::order::Phase;
use super::request::Limit;
use super::retire::{self, Heirs};
use super::set::{PART_OF, SetName};
use super::staying::{self, Staying};
use super::watch::watch;
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
    /// It is going already.
    terminating: bool,
    /// What it came after, and therefore goes before.
    after: Vec<Identity>,
}

impl Doomed {
    fn phase(&self) -> Phase {
        Phase::of(self.reference.group(), &self.reference.kind)
    }
}

impl From<&Live> for Doomed {
    fn from(live: &Live) -> Self {
        Self {
            reference: live.reference.clone(),
            served: live.served.clone(),
            uid: live.uid.clone(),
            terminating: live.terminating,
            after: live.after.clone(),
        }
    }
}

/// Deletes the members of a set, in the reverse order of applying, then the set itself. Members are
/// known by their label; nothing else is touched. A set that is not there is no error.
///
/// # Errors
/// [`Error::Staying`] with what holds those that do not go away within `deadline`;
/// [`Error::Tooling`] and [`Error::NoParent`] if the set is not ours.
pub async fn delete_set(
    api: &Api,
    set: &SetName,
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Deleted, Error> {
    retire::retire_set(api, set, &Heirs::new(), deadline, progress, cancel).await
}

/// Deletes objects, phase by phase from the last to the first, and waits until each phase is gone. What
/// says that it comes after another goes before that one, whatever the phases.
pub(super) async fn remove(
    api: &Api,
    mut doomed: Vec<Doomed>,
    id: Option<&str>,
    limit: &Limit<'_>,
) -> Result<Vec<ObjectRef>, Error> {
    let total = doomed.len();
    let mut deleted = Vec::new();
    while let Some((phase, mut objects)) = next(&mut doomed) {
        objects.sort_by(|a, b| a.reference.cmp(&b.reference));
        // Futures by a loop: from a closure over borrowed items the compiler can't tell that they are `Send`.
        let mut requests = Vec::with_capacity(objects.len());
        for object in objects.iter().filter(|object| !object.terminating) {
            requests.push(delete(api, object, limit).boxed());
        }
        let mut asked = deleted.len() + objects.len() - requests.len();
        let mut answers = stream::iter(requests).buffer_unordered(CONCURRENCY);
        while answers.try_next().await?.is_some() {
            asked += 1;
            limit.progress.status(format!("deleting {phase}, {asked} of {total} objects"));
        }
        drop(answers);
        gone(api, &objects, id, limit).await?;
        deleted.extend(objects.into_iter().map(|object| object.reference));
    }
    Ok(deleted)
}

/// Takes out what goes next: of the last phase what nothing that is still there came after; where there is no
/// such object, what came after those of that phase, whatever its own phase is.
fn next(doomed: &mut Vec<Doomed>) -> Option<(Phase, Vec<Doomed>)> {
    let phase = doomed.iter().map(Doomed::phase).max()?;
    let needed: HashSet<Identity> = doomed.iter().flat_map(|object| object.after.iter().cloned()).collect();
    let is_free = |object: &Doomed| !needed.contains(&Identity::of(&object.reference));
    let mut goes: Vec<bool> = doomed.iter().map(|object| object.phase() == phase).collect();
    // A chain has at most as many links as there are objects. One that has no end is a circle, which was not
    // applied by us, and has no order but that of the phases.
    for _ in 0..=doomed.len() {
        if doomed.iter().zip(&goes).any(|(object, goes)| *goes && is_free(object)) {
            for (object, goes) in doomed.iter().zip(&mut goes) {
                *goes = *goes && is_free(object);
            }
            return Some((phase, taken(doomed, goes)));
        }
        let before: HashSet<Identity> = doomed
            .iter()
            .zip(&goes)
            .filter(|(_, goes)| **goes)
            .map(|(object, _)| Identity::of(&object.reference))
            .collect();
        goes = doomed.iter().map(|object| object.after.iter().any(|after| before.contains(after))).collect();
    }
    let goes = doomed.iter().map(|object| object.phase() == phase).collect();
    Some((phase, taken(doomed, goes)))
}

/// Takes out the objects at these places.
fn taken(doomed: &mut Vec<Doomed>, places: Vec<bool>) -> Vec<Doomed> {
    let mut places = places.into_iter();
    doomed.extract_if(.., |_| places.next().unwrap_or_default()).collect()
}

async fn delete(api: &Api, object: &Doomed, limit: &Limit<'_>) -> Result<(), Error> {
    let requests = api.requests(&object.served, object.reference.namespace.as_deref());
    // The identifier makes sure that a new object of the same name is left alone.
    let params = DeleteParams::background()
        .preconditions(Preconditions { uid: Some(object.uid.clone()), resource_version: None });
    let doing = || format!("deleting {}", object.reference);
    let request = || async {
        match requests.delete(&object.reference.name, &params).await {
            // Also where the path is gone, with the definition of the kind.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            answer => answer.map(drop),
        }
    };
    match limit.tried(doing, request).await? {
        // Another object of that name, or one that is going already.
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
        answer => answer.map_err(|source| api_error(doing(), source)),
    }
}

/// Waits by watches until objects are gone; `id` narrows the watches to members of a set.
pub(super) async fn gone(api: &Api, objects: &[Doomed], id: Option<&str>, limit: &Limit<'_>) -> Result<(), Error> {
    let mut leaving = Leaving::new(api, objects, id);
    let end = tokio::time::sleep(limit.left());
    tokio::pin!(end);
    let mut said = String::new();
    while !leaving.staying.is_empty() {
        let event = tokio::select! {
            () = limit.cancel.cancelled() => return Err(Error::Cancelled),
            () = &mut end => None,
            event = leaving.events.next() => event,
        };
        let Some((kind, event)) = event else {
            let Leaving { staying, .. } = leaving;
            let staying = staying::reasons(api, staying.into_values().collect()).await;
            return Err(Error::Staying { staying, elapsed: limit.begin.elapsed(), limit: limit.within });
        };
        leaving.take(kind, event, limit).await?;
        let state = leaving.state();
        if state != said {
            limit.progress.status(state.clone());
            said = state;
        }
    }
    Ok(())
}

/// Objects of one kind that are to be gone.
struct Kind {
    served: Served,
    uids: Vec<String>,
    /// Those of them that were listed since the watch was begun anew.
    listed: Vec<String>,
}

type Events = SelectAll<BoxStream<'static, (usize, watcher::Result<Event<PartialObjectMeta<DynamicObject>>>)>>;

/// What is not gone yet.
struct Leaving<'a> {
    api: &'a Api,
    kinds: Vec<Kind>,
    /// By the identifier.
    staying: HashMap<String, Staying>,
    events: Events,
}

impl<'a> Leaving<'a> {
    fn new(api: &'a Api, objects: &[Doomed], id: Option<&str>) -> Self {
        let mut groups: BTreeMap<String, Vec<&Doomed>> = BTreeMap::new();
        for object in objects {
            let resource = &object.served.resource;
            groups.entry(format!("{}.{}", resource.plural, resource.group)).or_default().push(object);
        }
        let mut leaving = Self { api, kinds: Vec::new(), staying: HashMap::new(), events: SelectAll::new() };
        for (index, objects) in groups.into_values().enumerate() {
            let mut config = watcher::Config::default();
            let (served, mut namespace) = (objects[0].served.clone(), None);
            if let [only] = objects.as_slice() {
                config = config.fields(&format!("metadata.name={}", only.reference.name));
                namespace = only.reference.namespace.as_deref();
            } else if let Some(id) = id {
                config = config.labels(&format!("{PART_OF}={id}"));
            }
            let events = watch(api.metadata(&served, namespace), config);
            leaving.events.push(events.map(move |event| (index, event)).boxed());
            let uids = objects.iter().map(|object| object.uid.clone()).collect();
            for object in objects {
                let (reference, served) = (object.reference.clone(), served.clone());
                leaving.staying.insert(object.uid.clone(), Staying { reference, served, finalizers: Vec::new() });
            }
            leaving.kinds.push(Kind { served, uids, listed: Vec::new() });
        }
        leaving
    }

    async fn take(
        &mut self,
        index: usize,
        event: watcher::Result<Event<PartialObjectMeta<DynamicObject>>>,
        limit: &Limit<'_>,
    ) -> Result<(), Error> {
        match event {
            Ok(Event::Init) => self.kinds[index].listed.clear(),
            Ok(Event::InitApply(object)) => {
                let uid = self.seen(object);
                self.kinds[index].listed.push(uid);
            }
            Ok(Event::Apply(object)) => {
                self.seen(object);
            }
            Ok(Event::InitDone) => {
                let kind = &self.kinds[index];
                for uid in kind.uids.iter().filter(|uid| !kind.listed.contains(uid)) {
                    self.staying.remove(uid);
                }
            }
            Ok(Event::Delete(object)) => {
                self.staying.remove(&object.metadata.uid.unwrap_or_default());
            }
            Err(error) => {
                let kind = &self.kinds[index];
                limit.progress.detail(format!("watching {}: {error}", kind.served.resource.plural));
                // The kind itself may be gone: its definition was deleted, and its objects with it.
                if is_not_found(&error) && inventory::is_gone(self.api, &kind.served, limit).await? {
                    for uid in &kind.uids {
                        self.staying.remove(uid);
                    }
                }
            }
        }
        Ok(())
    }

    /// Remembers what holds an object. Gives back its identifier.
    fn seen(&mut self, object: PartialObjectMeta<DynamicObject>) -> String {
        let uid = object.metadata.uid.unwrap_or_default();
        if let Some(known) = self.staying.get_mut(&uid) {
            known.finalizers = object.metadata.finalizers.unwrap_or_default();
        }
        uid
    }

    /// What is waited for, in a line.
    fn state(&self) -> String {
        let held = self.staying.values().filter(|object| !object.finalizers.is_empty());
        let first = held.min_by(|a, b| a.reference.cmp(&b.reference));
        let first = first.or_else(|| self.staying.values().min_by(|a, b| a.reference.cmp(&b.reference)));
        let Some(object) = first else { return "all are gone".to_owned() };
        let more = match self.staying.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let verb = if more.is_empty() { "is" } else { "are" };
        let why = match object.finalizers.as_slice() {
            [] => String::new(),
            finalizers => format!("; {} {}", object.reference.name, staying::held(finalizers)),
        };
        format!("waiting until {}{more} {verb} gone{why}", object.reference)
    }
}

fn is_not_found(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))) = error
    else {
        return false;
    };
    status.code == 404
}

#[cfg(test)]
mod tests {
    use kube::api::{ApiResource, GroupVersionKind};

    use super::*;

    fn doomed(group: &str, kind: &str, name: &str, after: &[(&str, &str, &str)]) -> Doomed {
        let reference = |group: &str, kind: &str, name: &str| ObjectRef {
            api_version: if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") },
            kind: kind.to_owned(),
            namespace: Some("demo".to_owned()),
            name: name.to_owned(),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        Doomed {
            reference: reference(group, kind, name),
            served: Served { resource, namespaced: true },
            uid: name.to_owned(),
            terminating: false,
            after: after.iter().map(|(group, kind, name)| Identity::of(&reference(group, kind, name))).collect(),
        }
    }

    /// The names in the order in which they go.
    fn order(mut doomed: Vec<Doomed>) -> Vec<String> {
        let mut order = Vec::new();
        while let Some((_, objects)) = next(&mut doomed) {
            let mut names: Vec<_> = objects.into_iter().map(|object| object.reference.name).collect();
            names.sort();
            order.push(names.join(" "));
        }
        order
    }

    #[test]
    fn the_last_phase_goes_first() {
        let all = vec![
            doomed("", "ConfigMap", "settings", &[]),
            doomed("apps", "Deployment", "web", &[]),
            doomed("", "Service", "web", &[]),
            doomed("apps", "Deployment", "store", &[]),
        ];
        assert_eq!(order(all), ["store web", "web", "settings"]);
    }

    #[test]
    fn what_came_after_another_goes_before_it() {
        let all = vec![
            doomed("apps", "Deployment", "store", &[]),
            doomed("apps", "Deployment", "web", &[("apps", "Deployment", "store")]),
            // Of an earlier phase, and yet before what it came after.
            doomed("", "ConfigMap", "filled", &[("apps", "Deployment", "store"), ("apps", "Deployment", "elsewhere")]),
            doomed("", "ConfigMap", "settings", &[]),
        ];
        assert_eq!(order(all), ["web", "filled", "store", "settings"]);
    }

    #[test]
    fn a_circle_goes_by_phases() {
        let all = vec![
            doomed("", "ConfigMap", "a", &[("", "Service", "b")]),
            doomed("", "Service", "b", &[("", "ConfigMap", "a")]),
        ];
        assert_eq!(order(all), ["b", "a"]);
    }
}
