//! Waiting until objects are ready: one watch per kind and namespace, an early verdict where
//! waiting on would not help, and the last state seen when time is over.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use futures::stream::{BoxStream, FuturesUnordered, SelectAll};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::facts::Facts;
use super::pods::{Class, Trouble};
use super::probe;
use super::rules::{self, Verdict};
use super::watched::Pods;
use crate::objects::api::{Api, Served};
use crate::objects::error::Error;
use crate::objects::object::ObjectRef;
use crate::objects::request::Limit;
use crate::objects::watch::watch;
use crate::plan::event::Progress;

/// How often troubles are looked at while no event comes.
const TICK: Duration = Duration::from_millis(250);
/// The pause before a webhook that did not answer is asked again.
const PROBE_PAUSE: Duration = Duration::from_millis(200);

/// How long a trouble may last before it is taken for a failure, although the deadline is not over.
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    /// The image can't be had.
    pub image: Duration,
    /// The container or the pod can't be made.
    pub container: Duration,
    /// The container ends again and again.
    pub crash: Duration,
    /// No node takes the pod.
    pub scheduling: Duration,
}

impl Default for Grace {
    fn default() -> Self {
        Self {
            image: Duration::from_secs(15),
            container: Duration::from_secs(15),
            crash: Duration::from_mins(1),
            scheduling: Duration::from_mins(1),
        }
    }
}

impl Grace {
    fn of(&self, class: Class) -> Duration {
        match class {
            Class::Image => self.image,
            Class::Container => self.container,
            Class::Crash | Class::Ended => self.crash,
            Class::Scheduling => self.scheduling,
        }
    }
}

/// Waits until all objects are ready, with the usual grace for troubles.
///
/// # Errors
/// As [`wait_with`].
pub async fn wait(
    api: &Api,
    objects: &[ObjectRef],
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    wait_with(api, objects, Grace::default(), deadline, progress, cancel).await
}

/// Waits until all objects are ready, for at most `deadline`. Kinds that are ready by being there
/// are not asked for.
///
/// # Errors
/// [`Error::Failed`] as soon as one object has failed or has been in trouble for longer than its
/// grace, with container, reason, message and last event; [`Error::NotReady`] with the last states
/// when time is over; [`Error::Api`] where discovery fails.
pub async fn wait_with(
    api: &Api,
    objects: &[ObjectRef],
    grace: Grace,
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let begin = Instant::now();
    api.discover(&Limit::new(deadline, progress, cancel)).await?;
    let mut waiting = Waiting::new(api, objects, grace, begin).await?;
    let end = tokio::time::sleep(deadline);
    tokio::pin!(end);
    let mut tick = tokio::time::interval(TICK);
    let mut said = String::new();
    while !waiting.objects.is_empty() {
        tokio::select! {
            () = cancel.cancelled() => return Err(Error::Cancelled),
            () = &mut end => {
                let states = waiting.states();
                drop(waiting);
                let mut waiting = Vec::new();
                for (object, asked, state) in states {
                    waiting.push((object, with_event(api, asked, state).await));
                }
                return Err(Error::NotReady { waiting, elapsed: begin.elapsed(), limit: deadline });
            }
            Some((origin, event)) = waiting.events.next() => waiting.take(origin, event, progress),
            Some((key, answer)) = waiting.probes.next() => waiting.probed(key, answer),
            _ = tick.tick() => {}
        }
        if let Some((object, asked, cause)) = waiting.verdict() {
            let elapsed = begin.elapsed();
            drop(waiting);
            let cause = with_event(api, asked, cause).await;
            return Err(Error::Failed { object: object.into(), cause, elapsed });
        }
        let state = waiting.state();
        if state != said {
            progress.status(state.clone());
            said = state;
        }
    }
    Ok(())
}

/// Namespace and name of an object that events may be about.
type Subject = Option<(String, String)>;

/// Adds the last warning about a subject to what is known.
async fn with_event(api: &Api, subject: Subject, cause: String) -> String {
    let Some((namespace, name)) = subject else { return cause };
    match super::watched::last_warning(api, &namespace, &name).await {
        // Most events say what the status says.
        Some((reason, message)) if !cause.contains(message.trim_start_matches("Error: ")) => {
            format!("{cause}; last event: {reason}: {message}")
        }
        _ => cause,
    }
}

/// Where an event comes from.
#[derive(Clone, Debug)]
enum Origin {
    /// A watch of objects that are waited for.
    Objects(usize),
    /// The pods of a namespace.
    Pods(String),
}

/// A watch of objects of one kind in one namespace.
struct Group {
    served: Served,
    namespace: Option<String>,
    /// The names listed since the watch was begun anew.
    listed: Vec<String>,
}

type Key = (usize, String);

/// An object that is not ready yet.
struct Unready {
    reference: ObjectRef,
    state: String,
    failed: Option<String>,
    ailing_since: Option<Instant>,
    /// The selector of its pods.
    selector: Option<Value>,
    probing: bool,
}

struct Waiting<'a> {
    api: &'a Api,
    facts: Facts,
    grace: Grace,
    total: usize,
    groups: Vec<Group>,
    objects: BTreeMap<Key, Unready>,
    pods: HashMap<String, Pods>,
    events: SelectAll<BoxStream<'static, (Origin, watcher::Result<Event<DynamicObject>>)>>,
    probes: FuturesUnordered<BoxFuture<'static, (Key, Result<(), String>)>>,
}

impl<'a> Waiting<'a> {
    async fn new(api: &'a Api, objects: &[ObjectRef], grace: Grace, begin: Instant) -> Result<Self, Error> {
        let mut groups: BTreeMap<_, (Served, Vec<ObjectRef>)> = BTreeMap::new();
        for object in objects {
            if rules::is_always_ready(object.group(), &object.kind) || api.serves_definition(object).await {
                continue;
            }
            let Some(served) = api.served(object.group(), object.version(), &object.kind).await? else {
                return Err(Error::Failed {
                    object: object.clone().into(),
                    cause: format!("the cluster does not serve {} of {}", object.kind, object.api_version),
                    elapsed: begin.elapsed(),
                });
            };
            let key = (object.api_version.clone(), object.kind.clone(), object.namespace.clone());
            groups.entry(key).or_insert_with(|| (served, Vec::new())).1.push(object.clone());
        }
        let mut waiting = Self {
            api,
            facts: super::facts::gather(api, objects).await?,
            grace,
            total: 0,
            groups: Vec::new(),
            objects: BTreeMap::new(),
            pods: HashMap::new(),
            events: SelectAll::new(),
            probes: FuturesUnordered::new(),
        };
        for (index, ((_, _, namespace), (served, members))) in groups.into_iter().enumerate() {
            let mut config = watcher::Config::default();
            if let [only] = members.as_slice() {
                config = config.fields(&format!("metadata.name={}", only.name));
            }
            let requests = api.requests(&served, namespace.as_deref());
            let events = watch(requests, config);
            waiting.events.push(events.map(move |event| (Origin::Objects(index), event)).boxed());
            waiting.groups.push(Group { served, namespace, listed: Vec::new() });
            for reference in members {
                let unready = Unready {
                    state: "not seen yet".to_owned(),
                    failed: None,
                    ailing_since: None,
                    selector: None,
                    probing: false,
                    reference,
                };
                waiting.objects.insert((index, unready.reference.name.clone()), unready);
            }
        }
        waiting.total = waiting.objects.len();
        Ok(waiting)
    }

    fn take(&mut self, origin: Origin, event: watcher::Result<Event<DynamicObject>>, progress: &Progress) {
        let index = match origin {
            Origin::Objects(index) => index,
            Origin::Pods(namespace) => {
                if let Some(pods) = self.pods.get_mut(&namespace) {
                    pods.take(event);
                }
                return;
            }
        };
        match event {
            Ok(Event::Init) => self.groups[index].listed.clear(),
            Ok(Event::InitApply(object)) => {
                self.groups[index].listed.extend(object.metadata.name.clone());
                self.judge(index, object);
            }
            Ok(Event::Apply(object)) => self.judge(index, object),
            Ok(Event::InitDone) => {
                let Self { groups, objects, .. } = self;
                let listed = &groups[index].listed;
                for ((_, name), object) in objects.range_mut((index, String::new())..(index + 1, String::new())) {
                    if !listed.contains(name) {
                        "it is not there".clone_into(&mut object.state);
                    }
                }
            }
            Ok(Event::Delete(object)) => {
                let key = (index, object.metadata.name.unwrap_or_default());
                if let Some(object) = self.objects.get_mut(&key) {
                    "it was deleted".clone_into(&mut object.state);
                }
            }
            // The watch goes on by itself; whoever waits should know why nothing moves.
            Err(error) => progress.detail(format!("watching {}: {error}", self.groups[index].served.resource.plural)),
        }
    }

    fn judge(&mut self, index: usize, object: DynamicObject) {
        let key = (index, object.metadata.name.clone().unwrap_or_default());
        let group = &self.groups[index];
        let Some(unready) = self.objects.get_mut(&key) else { return };
        // A map with text as keys becomes JSON without fail.
        let Ok(mut json) = serde_json::to_value(object) else { return };
        // Lists leave out what is the same for every item.
        json["kind"] = Value::from(group.served.resource.kind.as_str());
        json["apiVersion"] = Value::from(group.served.resource.api_version.as_str());
        unready.failed = None;
        match rules::judge(&json, &self.facts) {
            Verdict::Ready => {
                let hooks = probe::webhooks(&json);
                if hooks.is_empty() {
                    self.objects.remove(&key);
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
                serde_json::json!({"name": key.1})
            } else {
                json["spec"]["selector"].clone()
            });
            if let Some(namespace) = group.namespace.clone() {
                self.watch_pods(namespace);
            }
        }
    }

    fn watch_pods(&mut self, namespace: String) {
        if self.pods.contains_key(&namespace) {
            return;
        }
        let served = Pods::served();
        let requests = self.api.requests(&served, Some(&namespace));
        let events = watch(requests, watcher::Config::default());
        self.pods.insert(namespace.clone(), Pods::default());
        self.events.push(events.map(move |event| (Origin::Pods(namespace.clone()), event)).boxed());
    }

    fn probed(&mut self, key: Key, answer: Result<(), String>) {
        match answer {
            Ok(()) => {
                self.objects.remove(&key);
            }
            Err(why) => {
                let Some(object) = self.objects.get_mut(&key) else { return };
                object.state = why;
                // Asked again with the hooks as they are then.
                object.probing = false;
                let api = self.api.clone();
                let served = self.groups[key.0].served.clone();
                object.probing = true;
                self.probes.push(
                    async move {
                        tokio::time::sleep(PROBE_PAUSE).await;
                        let answer = probe::again(&api, &served, &key.1).await;
                        (key, answer)
                    }
                    .boxed(),
                );
            }
        }
    }

    /// The troubles of an object's pods, each with the time since when it lasts.
    fn troubles(&self, object: &Unready) -> Vec<(String, Trouble, Instant)> {
        let pods = object.reference.namespace.as_ref().and_then(|namespace| self.pods.get(namespace));
        match (pods, &object.selector) {
            (Some(pods), Some(selector)) => pods.troubles(selector),
            _ => Vec::new(),
        }
    }

    /// The first object that has failed, with whom to ask events for, and the cause.
    fn verdict(&self) -> Option<(ObjectRef, Subject, String)> {
        for object in self.objects.values() {
            let troubles = self.troubles(object);
            let verdict = |cause: String| Some((object.reference.clone(), self.subject(object), cause));
            if let Some(cause) = &object.failed {
                let pod = troubles.first().map(|(pod, trouble, _)| format!("; pod {pod}: {trouble}"));
                return verdict(format!("{cause}{}", pod.unwrap_or_default()));
            }
            if let Some((pod, trouble, _)) =
                troubles.iter().find(|(_, trouble, since)| since.elapsed() >= self.grace.of(trouble.class))
            {
                return verdict(format!("{}; pod {pod}: {trouble}", object.state));
            }
            if object.ailing_since.is_some_and(|since| since.elapsed() >= self.grace.container) {
                return verdict(object.state.clone());
            }
        }
        None
    }

    /// Whose events explain an object's state: those of its troubled pod, else its own.
    fn subject(&self, object: &Unready) -> Subject {
        let pod = self.troubles(object).into_iter().next().map(|(pod, ..)| pod);
        Some((object.reference.namespace.clone()?, pod.unwrap_or_else(|| object.reference.name.clone())))
    }

    /// Every object that is not ready, with whom to ask events for, and its last state.
    fn states(&self) -> Vec<(ObjectRef, Subject, String)> {
        let state = |object: &Unready| (object.reference.clone(), self.subject(object), self.told(object));
        self.objects.values().map(state).collect()
    }

    /// The object's state with the first trouble of its pods.
    fn told(&self, object: &Unready) -> String {
        match self.troubles(object).first() {
            Some((pod, trouble, _)) => format!("{}; pod {pod}: {trouble}", object.state),
            None => object.state.clone(),
        }
    }

    fn state(&self) -> String {
        let ready = self.total - self.objects.len();
        match self.objects.values().next() {
            Some(object) => {
                format!("{ready} of {} ready, waiting for {}: {}", self.total, object.reference, self.told(object))
            }
            None => format!("{ready} of {} ready", self.total),
        }
    }
}
