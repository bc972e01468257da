//! Objects as steps look at them. What a try has read is watched until the next one, so that a wait
//! goes on as soon as something has changed.

use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Api, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::core::Selector;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::arguments::Named;
use super::unmet::Unmet;
use super::world::Scene;
use crate::error::causes;
use crate::objects::{ObjectRef, Served};
use crate::observe::Exchange;

/// Changes that come together are one change.
const TOGETHER: Duration = Duration::from_millis(10);
/// After so many seconds the server ends a watch; waits look again long before.
const SECONDS: u32 = 60;
/// What is shown of a secret.
const HIDDEN: &str = "(not shown)";

/// A collection as a try has read it.
#[derive(Debug)]
pub(super) struct Look {
    requests: Api<DynamicObject>,
    params: WatchParams,
    version: String,
}

/// Waits until one of the collections has changed since it was read; for ever if there is none, or
/// none can be watched.
pub(super) async fn changed(looks: Vec<Look>) {
    if looks.is_empty() {
        return std::future::pending().await;
    }
    futures::future::select_all(looks.iter().map(|look| look.changed().boxed_local())).await;
    tokio::time::sleep(TOGETHER).await;
}

impl Look {
    async fn changed(&self) {
        // Whoever can't watch looks again after a while.
        if let Ok(events) = self.requests.watch_metadata(&self.params, &self.version).await {
            let mut events = pin!(events);
            while let Some(Ok(event)) = events.next().await {
                match event {
                    WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_) => return,
                    WatchEvent::Bookmark(_) => {}
                    WatchEvent::Error(_) => break,
                }
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Which objects of a kind are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice<'a> {
    /// The one of this name.
    Name(&'a str),
    /// Those that a label selector takes.
    Labels(&'a str),
    /// Those that a field selector takes.
    Fields(&'a str),
}

impl Choice<'_> {
    fn list(self) -> ListParams {
        let params = ListParams::default();
        match self {
            Self::Name(name) => params.fields(&format!("metadata.name={name}")),
            Self::Labels(labels) => params.labels(labels),
            Self::Fields(fields) => params.fields(fields),
        }
    }
}

/// An object that a step names, with its kind as the cluster serves it. It need not be there.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) served: Served,
    pub(super) reference: ObjectRef,
}

impl Target {
    /// What must be true of where the object lives.
    fn of(named: Named<'_>, served: Served) -> Result<Self, Unmet> {
        let Named { kind, name, namespace } = named;
        match (served.namespaced, namespace) {
            (true, None) => {
                let message = format!("{kind} lives in namespaces: write {kind} \"{name}\" in namespace \"…\"");
                return Err(Unmet::Misused(message));
            }
            (false, Some(_)) => {
                return Err(Unmet::Misused(format!("{kind} lives in no namespace: write {kind} \"{name}\" alone")));
            }
            _ => {}
        }
        let reference = ObjectRef {
            api_version: served.resource.api_version.clone(),
            kind: served.resource.kind.clone(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        Ok(Self { served, reference })
    }
}

impl Scene {
    /// The kind that a word means.
    ///
    /// # Errors
    /// [`Unmet::NotYet`] for a kind that the cluster does not serve: its definition may still come;
    /// [`Unmet::Misused`] where several groups have a kind of that name.
    pub(super) async fn kind(&self, word: &str) -> Result<Served, Unmet> {
        let mut found = self.shared.api.kinds(word).await?;
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Unmet::not_yet(format!("the cluster serves no kind `{word}`"))),
            _ => {
                let names = found.iter().map(|served| format!("{}.{}", served.resource.kind, served.resource.group));
                let names = names.collect::<Vec<_>>().join(", ");
                Err(Unmet::Misused(format!("`{word}` is a kind of several groups, name one of them: {names}")))
            }
        }
    }

    /// The object that a step names.
    ///
    /// # Errors
    /// As [`Scene::kind`]; [`Unmet::Misused`] for a namespace too many or too few.
    pub(super) async fn target(&self, named: Named<'_>) -> Result<Target, Unmet> {
        Target::of(named, self.kind(named.kind).await?)
    }

    /// The object, whole, if it is there.
    pub(super) async fn look(&mut self, target: &Target) -> Result<Option<Value>, Unmet> {
        let namespace = target.reference.namespace.as_deref();
        let found = self.look_for(&target.served, namespace, Choice::Name(&target.reference.name)).await?;
        Ok(found.into_iter().next())
    }

    /// The object, whole.
    ///
    /// # Errors
    /// [`Unmet::NotYet`] if it is not there.
    pub(super) async fn look_at(&mut self, target: &Target) -> Result<Value, Unmet> {
        let found = self.look(target).await?;
        found.ok_or_else(|| Unmet::not_yet(format!("{} is not there", target.reference)))
    }

    /// Objects of a kind, whole, in a namespace or in all.
    pub(super) async fn look_for(
        &mut self,
        served: &Served,
        namespace: Option<&str>,
        choice: Choice<'_>,
    ) -> Result<Vec<Value>, Unmet> {
        let request = asked(served, namespace, choice);
        let requests = self.shared.api.requests(served, namespace);
        let params = choice.list();
        let (at, begin) = (SystemTime::now(), Instant::now());
        let answer = requests.list(&params).await;
        let (elapsed, sent) = (begin.elapsed(), None);
        let list = match answer {
            Ok(list) => list,
            Err(error) => {
                let answer = causes(&error).join(": ");
                self.trail.exchange(Exchange { at, request: request.clone(), sent, status: None, answer, elapsed });
                return Err(Unmet::kube(request)(error));
            }
        };
        if let Some(version) = list.metadata.resource_version.filter(|version| !version.is_empty()) {
            let params = WatchParams {
                label_selector: params.label_selector,
                field_selector: params.field_selector,
                ..WatchParams::default().timeout(SECONDS)
            };
            self.looks.push(Look { requests, params, version });
        }
        let found: Vec<Value> = list.items.into_iter().map(|object| served.document(object)).collect();
        let answer = shown(&found, matches!(choice, Choice::Name(_)));
        self.trail.exchange(Exchange { at, request, sent, status: Some(200), answer, elapsed });
        Ok(found)
    }

    /// The pods of a Deployment that are not being deleted; there must be at least one.
    pub(super) async fn pods_of(&mut self, name: &str, namespace: &str) -> Result<Vec<Pod>, Unmet> {
        let served = Served::of("apps", "v1", "Deployment");
        let target = Target::of(Named { kind: "Deployment", name, namespace: Some(namespace) }, served)?;
        let deployment: Deployment = typed(self.look_at(&target).await?)?;
        let labels = selector(deployment.spec.selector, &target.reference)?;
        let pods = self.look_for(&Served::of("", "v1", "Pod"), Some(namespace), Choice::Labels(&labels)).await?;
        let pods: Vec<Pod> = pods.into_iter().map(typed).collect::<Result<_, _>>()?;
        let pods: Vec<Pod> = pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
        if pods.is_empty() { Err(Unmet::not_yet(format!("{} has no pod", target.reference))) } else { Ok(pods) }
    }

    /// A pod behind a Service, and the pod's port that the Service's port leads to.
    pub(super) async fn behind(&mut self, name: &str, namespace: &str, port: u16) -> Result<(String, u16), Unmet> {
        let served = Served::of("discovery.k8s.io", "v1", "EndpointSlice");
        let labels = format!("kubernetes.io/service-name={name}");
        let service = format!("Service {namespace}/{name}");
        let target =
            Target::of(Named { kind: "Service", name, namespace: Some(namespace) }, Served::of("", "v1", "Service"))?;
        let found: Service = typed(self.look_at(&target).await?)?;
        let ports = found.spec.and_then(|spec| spec.ports).unwrap_or_default();
        let Some(named) = ports.into_iter().find(|one| one.port == i32::from(port)) else {
            return Err(Unmet::not_yet(format!("{service} has no port {port}")));
        };
        let slices = self.look_for(&served, Some(namespace), Choice::Labels(&labels)).await?;
        let slices: Vec<EndpointSlice> = slices.into_iter().map(typed).collect::<Result<_, _>>()?;
        endpoint(&slices, named.name.as_deref())
            .ok_or_else(|| Unmet::not_yet(format!("no pod behind {service} is ready at its port {port}")))
    }
}

/// The first ready pod of a Service, and its port of this name.
fn endpoint(slices: &[EndpointSlice], port: Option<&str>) -> Option<(String, u16)> {
    slices.iter().find_map(|slice| {
        let port = slice.ports.iter().flatten().find(|one| one.name.as_deref().unwrap_or("") == port.unwrap_or(""))?;
        let port = u16::try_from(port.port?).ok()?;
        let ready = |one: &&Endpoint| one.conditions.as_ref().is_some_and(|all| all.ready == Some(true));
        let mut pods = slice.endpoints.iter().flatten().filter(ready).filter_map(|one| one.target_ref.as_ref());
        Some((pods.find_map(|pod| pod.name.clone())?, port))
    })
}

/// A selector of labels as requests take it.
pub(super) fn selector(selector: LabelSelector, of: &ObjectRef) -> Result<String, Unmet> {
    let selector = Selector::try_from(selector);
    Ok(selector.map_err(|error| Unmet::Never(format!("the selector of {of}: {error}")))?.to_string())
}

fn typed<T: DeserializeOwned>(document: Value) -> Result<T, Unmet> {
    serde_json::from_value(document).map_err(|error| Unmet::Never(format!("the API server's answer: {error}")))
}

/// What is asked, in the words of kubectl: `get Deployment demo/frontend`, `list Pod demo app=frontend`.
fn asked(served: &Served, namespace: Option<&str>, choice: Choice<'_>) -> String {
    let kind = &served.resource.kind;
    match (choice, namespace) {
        (Choice::Name(name), Some(namespace)) => format!("get {kind} {namespace}/{name}"),
        (Choice::Name(name), None) => format!("get {kind} {name}"),
        (Choice::Labels(selector) | Choice::Fields(selector), namespace) => {
            format!("list {kind} {} {selector}", namespace.unwrap_or("of all namespaces"))
        }
    }
}

/// What was found, as evidence: a single object with its status first, of several their names.
fn shown(found: &[Value], single: bool) -> String {
    match found {
        [] => "none".to_owned(),
        [object] if single => brief(object).to_string(),
        objects => {
            let line = |object: &Value| {
                let phase = object["status"]["phase"].as_str().map_or_else(String::new, |phase| format!(" ({phase})"));
                format!("{}{phase}", object["metadata"]["name"].as_str().unwrap_or_default())
            };
            objects.iter().map(line).collect::<Vec<_>>().join(", ")
        }
    }
}

/// An object without what only the API server needs, and without what is secret.
fn brief(object: &Value) -> Value {
    let mut brief = Map::new();
    let fields = object.as_object();
    brief.extend(
        fields.and_then(|fields| fields.get_key_value("status")).map(|(key, status)| (key.clone(), status.clone())),
    );
    let mut metadata = object["metadata"].clone();
    if let Some(metadata) = metadata.as_object_mut() {
        for noise in ["managedFields", "uid", "creationTimestamp", "name", "namespace"] {
            metadata.remove(noise);
        }
    }
    let others = fields.into_iter().flatten();
    let others = others.filter(|(key, _)| !matches!(key.as_str(), "status" | "metadata" | "kind" | "apiVersion"));
    brief.extend(others.map(|(key, value)| (key.clone(), value.clone())));
    if is_secret(object) {
        for field in ["data", "stringData"] {
            brief.entry(field).and_modify(|data| *data = json!(HIDDEN));
        }
    }
    brief.insert("metadata".to_owned(), metadata);
    Value::Object(brief)
}

/// Whether an object's values are not for reports.
pub(super) fn is_secret(object: &Value) -> bool {
    object["kind"] == "Secret" && object["apiVersion"] == "v1"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(named: Named<'_>, namespaced: bool) -> Result<Target, Unmet> {
        Target::of(named, Served { namespaced, ..Served::of("apps", "v1", "Deployment") })
    }

    #[test]
    fn an_object_lives_where_its_kind_lives() {
        let named = Named { kind: "deployments", name: "a", namespace: Some("b") };
        assert_eq!(target(named, true).expect("it fits").reference.to_string(), "Deployment b/a");
        let error = target(named, false).expect_err("there is no such place").to_string();
        assert_eq!(error, "deployments lives in no namespace: write deployments \"a\" alone");
        let error = target(Named { namespace: None, ..named }, true).expect_err("a namespace is missing").to_string();
        assert!(error.ends_with("write deployments \"a\" in namespace \"…\""), "{error}");
    }

    #[test]
    fn only_a_ready_pod_is_behind_a_service() {
        let slices = json!([{"metadata": {}, "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}, {"name": "https", "port": 8443}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": false}, "targetRef": {"kind": "Pod", "name": "a"}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": "b"}}]}]);
        let slices: Vec<EndpointSlice> = serde_json::from_value(slices).expect("slices");
        assert_eq!(endpoint(&slices, Some("https")), Some(("b".to_owned(), 8443)));
        assert_eq!(endpoint(&slices, None), None);
        assert_eq!(endpoint(&slices[..0], Some("https")), None);
    }

    #[test]
    fn evidence_begins_with_the_status_and_keeps_secrets() {
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "managedFields": [], "labels": {"b": "c"}},
            "data": {"password": "eA=="}, "status": {"d": 1}});
        let text = shown(std::slice::from_ref(&object), true);
        assert_eq!(text, r#"{"status":{"d":1},"data":"(not shown)","metadata":{"labels":{"b":"c"}}}"#);
        let pods =
            [json!({"metadata": {"name": "p"}, "status": {"phase": "Running"}}), json!({"metadata": {"name": "q"}})];
        assert_eq!(shown(&pods, false), "p (Running), q");
        assert_eq!(shown(&[], true), "none");
    }
}
