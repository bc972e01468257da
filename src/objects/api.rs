//! The API server as this room uses it: a client with what discovery said, asked once.

use std::sync::Arc;

use kube::Client;
use kube::api::{Api as KubeApi, ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta};
use kube::discovery::{ApiGroup, Discovery, Scope, verbs};
use serde_json::Value;
use tokio::sync::RwLock;

use super::convert::Target;
use super::error::Error;
use super::object::ObjectRef;
use super::request::Limit;

/// What is being done when discovery fails.
const DISCOVERING: &str = "asking which kinds the cluster serves";

/// A kind as the API server serves it.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// Its group, version, kind and plural.
    pub resource: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Served {
    /// A kind of Kubernetes' own whose objects live in namespaces, without asking discovery for it.
    #[must_use]
    pub fn of(group: &str, version: &str, kind: &str) -> Self {
        Self { resource: ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)), namespaced: true }
    }

    /// An object of this kind as JSON, whole: lists leave out what is the same for every item.
    #[must_use]
    pub fn document(&self, object: DynamicObject) -> Value {
        // A map with text as keys becomes JSON without fail.
        let mut document = serde_json::to_value(object).unwrap_or_default();
        document["kind"] = Value::from(self.resource.kind.as_str());
        document["apiVersion"] = Value::from(self.resource.api_version.as_str());
        document
    }
}

/// A cluster's API with cached discovery. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub struct Api {
    client: Client,
    discovery: Arc<RwLock<Option<Arc<Discovery>>>>,
    load_balancers: bool,
}

impl Api {
    /// An API that has asked nothing yet, for a cluster without load balancers, as kind's are.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, discovery: Arc::default(), load_balancers: false }
    }

    /// Says that the cluster gives addresses to services of type `LoadBalancer`, so that readiness
    /// waits for them.
    #[must_use]
    pub fn with_load_balancers(self) -> Self {
        Self { load_balancers: true, ..self }
    }

    /// The client below.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether services of type `LoadBalancer` get an address here.
    #[must_use]
    pub fn has_load_balancers(&self) -> bool {
        self.load_balancers
    }

    /// How a kind is served, or `None` if it is not. Discovery is asked again when a kind is
    /// unknown to the cache, because it may have come since.
    ///
    /// # Errors
    /// [`Error::Api`] if discovery fails.
    pub async fn served(&self, group: &str, version: &str, kind: &str) -> Result<Option<Served>, Error> {
        let (discovery, fresh) = self.discovery().await?;
        let found = find(&discovery, group, version, kind);
        if found.is_some() || fresh {
            return Ok(found);
        }
        Ok(find(&*self.refresh().await?, group, version, kind))
    }

    /// How a kind is served in the version that the server recommends.
    ///
    /// # Errors
    /// [`Error::Api`] if discovery fails.
    pub async fn recommended(&self, group: &str, kind: &str) -> Result<Option<Served>, Error> {
        let (discovery, _) = self.discovery().await?;
        Ok(discovery
            .get(group)
            // A kind need not be served in the version that the group prefers.
            .and_then(|group| {
                let any = || group.resources_by_stability().into_iter().find(|(resource, _)| resource.kind == kind);
                group.recommended_kind(kind).or_else(any)
            })
            .map(|(resource, capabilities)| Served { resource, namespaced: capabilities.scope == Scope::Namespaced }))
    }

    /// The kinds whose objects can be listed, each in the version that the server recommends. Events
    /// are not among them: they say what happened to others, twice, under two groups.
    ///
    /// # Errors
    /// [`Error::Api`] if discovery fails.
    pub(crate) async fn listable(&self) -> Result<Vec<Served>, Error> {
        let (discovery, _) = self.discovery().await?;
        let kinds = discovery.groups().flat_map(ApiGroup::recommended_resources).filter(|(resource, capabilities)| {
            capabilities.supports_operation(verbs::LIST)
                && !matches!(resource.kind.as_str(), "Event" | "ComponentStatus")
        });
        Ok(kinds
            .map(|(resource, capabilities)| Served { resource, namespaced: capabilities.scope == Scope::Namespaced })
            .collect())
    }

    /// What the cluster serves, for converting objects to it.
    ///
    /// # Errors
    /// [`Error::Api`] if discovery fails.
    pub async fn target(&self) -> Result<Target, Error> {
        let (discovery, _) = self.discovery().await?;
        Ok(Target::Cluster(discovery))
    }

    /// Whether an object is a definition whose kind is known to be served: then nothing is left to
    /// be waited for, and the definition, which may be large, need not be read.
    pub(super) async fn serves_definition(&self, object: &ObjectRef) -> bool {
        if object.kind != "CustomResourceDefinition" {
            return false;
        }
        let Some((plural, group)) = object.name.split_once('.') else { return false };
        let cache = self.discovery.read().await;
        let Some(group) = cache.as_ref().and_then(|discovery| discovery.get(group)) else { return false };
        group
            .versions()
            .any(|version| group.versioned_resources(version).iter().any(|(resource, _)| resource.plural == plural))
    }

    /// What discovery said, and whether it was asked just now.
    pub(super) async fn discovery(&self) -> Result<(Arc<Discovery>, bool), Error> {
        if let Some(discovery) = self.discovery.read().await.as_ref() {
            return Ok((Arc::clone(discovery), false));
        }
        Ok((self.refresh().await?, true))
    }

    /// Asks discovery, unless its answer is known, again and again while the server can't answer:
    /// whatever asks for a kind afterwards does so without a deadline of its own.
    pub(super) async fn discover(&self, limit: &Limit<'_>) -> Result<(), Error> {
        if self.discovery.read().await.is_none() {
            self.rediscover(limit).await?;
        }
        Ok(())
    }

    /// Asks discovery again, and again while the server can't answer.
    pub(super) async fn rediscover(&self, limit: &Limit<'_>) -> Result<Arc<Discovery>, Error> {
        let answer = limit.tried(|| DISCOVERING.to_owned(), || self.ask()).await?;
        answer.map_err(|source| api_error(DISCOVERING, source))
    }

    /// Asks discovery again.
    pub(super) async fn refresh(&self) -> Result<Arc<Discovery>, Error> {
        self.ask().await.map_err(|source| api_error(DISCOVERING, source))
    }

    async fn ask(&self) -> Result<Arc<Discovery>, kube::Error> {
        // Holding the lock while asking makes those who come at the same time wait instead of asking too.
        let mut cache = self.discovery.write().await;
        let new = match Discovery::new(self.client.clone()).run_aggregated().await {
            Ok(new) => new,
            // Servers before 1.26 answer group by group only.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 406) => {
                Discovery::new(self.client.clone()).run().await?
            }
            Err(kube::Error::SerdeError(_)) => Discovery::new(self.client.clone()).run().await?,
            Err(error) => return Err(error),
        };
        let new = Arc::new(new);
        *cache = Some(Arc::clone(&new));
        Ok(new)
    }

    /// As [`Api::requests`], for the metadata alone.
    pub(super) fn metadata(
        &self,
        served: &Served,
        namespace: Option<&str>,
    ) -> KubeApi<PartialObjectMeta<DynamicObject>> {
        match namespace {
            Some(namespace) if served.namespaced => {
                KubeApi::namespaced_with(self.client.clone(), namespace, &served.resource)
            }
            _ => KubeApi::all_with(self.client.clone(), &served.resource),
        }
    }

    /// Requests for objects of a kind; without a namespace, across all of them.
    #[must_use]
    pub fn requests(&self, served: &Served, namespace: Option<&str>) -> KubeApi<DynamicObject> {
        match namespace {
            Some(namespace) if served.namespaced => {
                KubeApi::namespaced_with(self.client.clone(), namespace, &served.resource)
            }
            _ => KubeApi::all_with(self.client.clone(), &served.resource),
        }
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("load_balancers", &self.load_balancers).finish_non_exhaustive()
    }
}

/// The versions of a kind that are served, as `group/version`.
pub(super) fn versions(discovery: &Discovery, group: &str, kind: &str) -> Vec<String> {
    let Some(found) = discovery.get(group) else { return Vec::new() };
    found
        .versions()
        .filter(|version| find(discovery, group, version, kind).is_some())
        .map(|version| if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") })
        .collect()
}

pub(super) fn find(discovery: &Discovery, group: &str, version: &str, kind: &str) -> Option<Served> {
    let (resource, capabilities) = discovery.resolve_gvk(&GroupVersionKind::gvk(group, version, kind))?;
    Some(Served { resource, namespaced: capabilities.scope == Scope::Namespaced })
}

pub(super) fn api_error(doing: impl Into<String>, source: kube::Error) -> Error {
    Error::Api { doing: doing.into(), source: Box::new(source) }
}
