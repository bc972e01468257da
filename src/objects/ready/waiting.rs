//! What is waited for: one watch per kind and namespace, or over all namespaces where there are
//! many, and of each object only its newest state.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use futures::stream::{BoxStream, FuturesUnordered, SelectAll};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event};
use serde_json::Value;

use super::facts::Facts;
use super::pods::Trouble;
use super::policy::Policy;
use super::probe;
use super::rules::{self, Verdict};
use super::watched::Pods;
use crate::objects::api::{Api, Served};
use crate::objects::error::{Error, short};
use crate::objects::object::ObjectRef;
use crate::objects::watch::watch;
use crate::plan::event::{Progress, What};

/// The pause before a webhook that did not answer is asked again.
const PROBE_PAUSE: Duration = Duration::from_millis(200);
/// From how many namespaces on one watch over all of them takes the place of one for each.
const MANY_NAMESPACES: usize = 8;
/// How many objects a list brings at once: what is held of them in full at any time.
const PAGE: u32 = 100;

/// Where an event comes from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// A watch of objects that are waited for.
    Objects(usize),
    /// The pods of a namespace, or of all.
    Pods(Option<String>),
}

/// A watch of objects of one kind.
struct Group {
    served: Served,
    /// What was listed since the watch was begun anew.
    listed: HashSet<(String, String)>,
}

/// Group, namespace (empty where there is none) and name.
pub(super) type Key = (usize, String, String);

/// An object that is not ready yet.
struct Unready {
    reference: ObjectRef,
    state: String,
    /// What was told of it last.
    told: String,
    failed: Option<String>,
    ailing_since: Option<Instant>,
    /// The selector of its pods.
    selector: Option<Value>,
    probing: bool,
}

/// Whose events explain a state.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) namespace: String,
    pub(super) kind: String,
    pub(super) name: String,
}

/// An object for which waiting on would not help.
pub(super) struct Lost {
    pub(super) object: ObjectRef,
    pub(super) subject: Subject,
    pub(super) cause: String,
    /// How long it was hoped, where it was.
    pub(super) grace: Option<String>,
}

type WatchEvent = (Origin, watcher::Result<Event<DynamicObject>>);

/// The objects that are waited for.
pub(super) struct Waiting<'a> {
    api: &'a Api,
    progress: &'a Progress,
    facts: Facts,
    policy: Policy,
    begin: Instant,
    total: usize,
    groups: Vec<Group>,
    objects: BTreeMap<Key, Unready>,
    pods: HashMap<Option<String>, Pods>,
    said: String,
    pub(super) events: SelectAll<BoxStream<'static, WatchEvent>>,
    pub(super) probes: FuturesUnordered<BoxFuture<'static, (Key, Result<(), String>)>>,
}

impl<'a> Waiting<'a> {
    pub(super) async fn new(
        api: &'a Api,
        objects: &[ObjectRef],
        policy: Policy,
        progress: &'a Progress,
        begin: Instant,
    ) -> Result<Self, Error> {
        let mut kinds: BTreeMap<_, (Served, Vec<ObjectRef>)> = BTreeMap::new();
        for object in objects {
            let own = policy.has(object.group(), &object.kind);
            if !own && (rules::is_always_ready(object.group(), &object.kind) || api.serves_definition(object).await) {
                continue;
            }
            let Some(served) = api.served(object.group(), object.version(), &object.kind).await? else {
                return Err(Error::Failed {
                    object: object.clone().into(),
                    cause: format!("the cluster does not serve {} of {}", object.kind, object.api_version),
                    elapsed: begin.elapsed(),
                });
            };
            let key = (object.api_version.clone(), object.kind.clone());
            kinds.entry(key).or_insert_with(|| (served, Vec::new())).1.push(object.clone());
        }
        let mut waiting = Self {
            api,
            progress,
            facts: super::facts::gather(api, objects).await?,
            policy,
            begin,
            total: 0,
            groups: Vec::new(),
            objects: BTreeMap::new(),
            pods: HashMap::new(),
            said: String::new(),
            events: SelectAll::new(),
            probes: FuturesUnordered::new(),
        };
        for (served, members) in kinds.into_values() {
            waiting.watch(&served, members);
        }
        waiting.total = waiting.objects.len();
        Ok(waiting)
    }

    /// Watches the objects of a kind.
    fn watch(&mut self, served: &Served, members: Vec<ObjectRef>) {
        let space_of = |object: &ObjectRef| object.namespace.clone().filter(|_| served.namespaced);
        let wide = members.iter().map(space_of).collect::<BTreeSet<_>>().len() > MANY_NAMESPACES;
        let mut groups: BTreeMap<Option<String>, Vec<ObjectRef>> = BTreeMap::new();
        for object in members {
            groups.entry(space_of(&object).filter(|_| !wide)).or_default().push(object);
        }
        for (space, members) in groups {
            let index = self.groups.len();
            let mut config = watcher::Config::default().page_size(PAGE);
            if let [only] = members.as_slice() {
                config = config.fields(&format!("metadata.name={}", only.name));
            }
            let requests = self.api.requests(served, space.as_deref());
            let events = watch(requests, config);
            self.events.push(events.map(move |event| (Origin::Objects(index), event)).boxed());
            self.groups.push(Group { served: served.clone(), listed: HashSet::new() });
            for reference in members {
                let key = (index, space_of(&reference).unwrap_or_default(), reference.name.clone());
                let unready = Unready {
                    state: "not seen yet".to_owned(),
                    told: String::new(),
                    failed: None,
                    ailing_since: None,
                    selector: None,
                    probing: false,
                    reference,
                };
                self.objects.insert(key, unready);
            }
        }
    }

    /// Whether everything is ready.
    pub(super) fn is_over(&self) -> bool {
        self.objects.is_empty()
    }

    pub(super) fn take(&mut self, origin: Origin, event: watcher::Result<Event<DynamicObject>>) {
        let index = match origin {
            Origin::Objects(index) => index,
            Origin::Pods(space) => {
                if let Some(pods) = self.pods.get_mut(&space) {
                    pods.take(event);
                }
                return;
            }
        };
        match event {
            Ok(Event::Init) => self.groups[index].listed.clear(),
            Ok(Event::InitApply(object)) => {
                let (_, namespace, name) = key_of(index, &object);
                self.groups[index].listed.insert((namespace, name));
                self.judge(index, object);
            }
            Ok(Event::Apply(object)) => self.judge(index, object),
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut self.groups[index].listed);
                let mine = (index, String::new(), String::new())..(index + 1, String::new(), String::new());
                for ((_, namespace, name), object) in self.objects.range_mut(mine) {
                    if !listed.contains(&(namespace.clone(), name.clone())) {
                        "it is not there".clone_into(&mut object.state);
                    }
                }
            }
            Ok(Event::Delete(object)) => {
                if let Some(object) = self.objects.get_mut(&key_of(index, &object)) {
                    "it was deleted".clone_into(&mut object.state);
                }
            }
            // The watch goes on by itself; whoever waits should know why nothing moves.
            Err(error) => {
                self.progress.detail(format!("watching {}: {error}", self.groups[index].served.resource.plural));
            }
        }
    }

    fn judge(&mut self, index: usize, object: DynamicObject) {
        let key = key_of(index, &object);
        let group = &self.groups[index];
        let Some(unready) = self.objects.get_mut(&key) else { return };
        let json = group.served.document(object);
        unready.failed = None;
        match self.policy.judge(&json, &self.facts) {
            Verdict::Ready => {
                let hooks = probe::webhooks(&json);
                if hooks.is_empty() {
                    self.done(&key);
                } else if !unready.probing {
                    unready.probing = true;
                    "its webhooks do not answer yet".clone_into(&mut unready.state);
                    let client = self.api.client().clone();
                    self.probes.push(async move { (key, probe::answers(client, hooks).await) }.boxed());
                }
                return;
            }
            Verdict::Waiting(state) => {
                unready.state = state;
                unready.ailing_since = None;
            }
            Verdict::Ailing(state) => {
                unready.state = state;
                unready.ailing_since.get_or_insert_with(Instant::now);
            }
            Verdict::Failed(cause) => {
                unready.state.clone_from(&cause);
                unready.failed = Some(cause);
            }
        }
        if rules::runs_pods(&group.served.resource.group, &group.served.resource.kind) {
            unready.selector = Some(if group.served.resource.kind == "Pod" {
                serde_json::json!({"name": key.2})
            } else {
                json["spec"]["selector"].clone()
            });
            self.watch_pods(key.1);
        }
    }

    /// Watches the pods of a namespace, or all where too many were asked for.
    fn watch_pods(&mut self, namespace: String) {
        if self.pods.contains_key(&None) || self.pods.contains_key(&Some(namespace.clone())) {
            return;
        }
        let space = (self.pods.len() < MANY_NAMESPACES).then_some(namespace);
        let requests = self.api.requests(&Served::of("", "v1", "Pod"), space.as_deref());
        let events = watch(requests, watcher::Config::default().page_size(PAGE));
        self.pods.insert(space.clone(), Pods::default());
        self.events.push(events.map(move |event| (Origin::Pods(space.clone()), event)).boxed());
    }

    pub(super) fn probed(&mut self, key: Key, answer: Result<(), String>) {
        let Err(why) = answer else { return self.done(&key) };
        let Some(object) = self.objects.get_mut(&key) else { return };
        object.state = why;
        let api = self.api.clone();
        let served = self.groups[key.0].served.clone();
        // Asked again with the hooks as they are then.
        let again = async move {
            tokio::time::sleep(PROBE_PAUSE).await;
            let answer = probe::again(&api, &served, &key.2).await;
            (key, answer)
        };
        self.probes.push(again.boxed());
    }

    /// An object is ready.
    fn done(&mut self, key: &Key) {
        let Some(object) = self.objects.remove(key) else { return };
        self.progress.emit(What::Object {
            object: object.reference.to_string(),
            state: object.told,
            ready: true,
            elapsed: self.begin.elapsed(),
        });
    }

    /// An object's namespace, its pods and by what they are known.
    fn pods_of<'o>(&'o self, object: &'o Unready) -> Option<(&'o str, &'o Pods, &'o Value)> {
        let namespace = object.reference.namespace.as_ref()?;
        let pods = self.pods.get(&Some(namespace.clone())).or_else(|| self.pods.get(&None))?;
        Some((namespace, pods, object.selector.as_ref()?))
    }

    /// The troubles of an object's pods, each with the time since when it lasts.
    fn troubles(&self, object: &Unready) -> Vec<(String, Trouble, Instant)> {
        let found = self.pods_of(object).map(|(namespace, pods, selector)| pods.troubles(namespace, selector));
        found.unwrap_or_default()
    }

    /// A pod of an object that is on its way, and what it lacks.
    fn lacking<'o>(&'o self, object: &'o Unready) -> Option<(&'o str, &'o str)> {
        let (namespace, pods, selector) = self.pods_of(object)?;
        pods.lacking(namespace, selector)
    }

    /// The first object that has failed.
    pub(super) fn verdict(&self) -> Option<Lost> {
        self.objects.values().find_map(|object| {
            let lost = |cause: String, grace: Option<String>| {
                Some(Lost { object: object.reference.clone(), subject: self.subject(object), cause, grace })
            };
            if object.failed.is_some() {
                return lost(self.told(object), None);
            }
            let grace = |class: &dyn std::fmt::Display, grace: Duration| {
                Some(format!("not better within {}, the grace for {class}", short(grace)))
            };
            let (container, troubles) = (self.policy.grace.container, self.troubles(object));
            let over =
                troubles.iter().find(|(_, trouble, since)| since.elapsed() >= self.policy.grace.of(trouble.class));
            if let Some((pod, trouble, _)) = over {
                let cause = format!("{}; pod {pod}: {trouble}", object.state);
                return lost(cause, grace(&trouble.class, self.policy.grace.of(trouble.class)));
            }
            if object.ailing_since.is_some_and(|since| since.elapsed() >= container) {
                return lost(object.state.clone(), grace(&"containers", container));
            }
            None
        })
    }

    /// Whose events explain an object's state: those of its troubled or unready pod, else its own.
    /// Events about what is in no namespace are in `default`.
    fn subject(&self, object: &Unready) -> Subject {
        let troubled = self.troubles(object).into_iter().next().map(|(pod, ..)| pod);
        let pod = troubled.or_else(|| Some(self.lacking(object)?.0.to_owned()));
        let (kind, name) = match pod {
            Some(pod) => ("Pod".to_owned(), pod),
            None => (object.reference.kind.clone(), object.reference.name.clone()),
        };
        Subject { namespace: object.reference.namespace.clone().unwrap_or_else(|| "default".to_owned()), kind, name }
    }

    /// Every object that is not ready, with whom to ask events for, and its last state.
    pub(super) fn states(&self) -> Vec<(ObjectRef, Subject, String)> {
        let state = |object: &Unready| (object.reference.clone(), self.subject(object), self.told(object));
        self.objects.values().map(state).collect()
    }

    /// The object's state with the first trouble of its pods, or with what one of them lacks.
    fn told(&self, object: &Unready) -> String {
        match (self.troubles(object).first(), self.lacking(object)) {
            (Some((pod, trouble, _)), _) => format!("{}; pod {pod}: {trouble}", object.state),
            (None, Some((pod, lacking))) if pod != object.reference.name => {
                format!("{}; pod {pod}: {lacking}", object.state)
            }
            _ => object.state.clone(),
        }
    }

    /// Tells what is new: the state of each object, and of the whole.
    pub(super) fn tell(&mut self) {
        let new = self.objects.iter().filter_map(|(key, object)| {
            let told = self.told(object);
            (told != object.told).then(|| (key.clone(), told))
        });
        for (key, told) in new.collect::<Vec<_>>() {
            let Some(object) = self.objects.get_mut(&key) else { continue };
            object.told.clone_from(&told);
            let (object, elapsed) = (object.reference.to_string(), self.begin.elapsed());
            self.progress.emit(What::Object { object, state: told, ready: false, elapsed });
        }
        let ready = self.total - self.objects.len();
        let Some(object) = self.objects.values().next() else { return };
        let state = format!("{ready} of {} ready, waiting for {}: {}", self.total, object.reference, object.told);
        if state != self.said {
            self.progress.status(state.clone());
            self.said = state;
        }
    }
}

fn key_of(index: usize, object: &DynamicObject) -> Key {
    let metadata = &object.metadata;
    (index, metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}
