//! What is in the cluster already: the metadata of objects, listed once per kind.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DynamicObject, ListParams, PartialObjectMeta};

use super::api::{Api, Served, api_error};
use super::depends;
use super::error::Error;
use super::object::ObjectRef;
use super::request::Limit;
use super::set::{APPLIED_HASH, GroupKind, PART_OF};

/// How many kinds are listed at once.
const CONCURRENCY: usize = 16;
/// Objects per page.
const PAGE: u32 = 500;
/// The pause before discovery is asked about a kind whose path is not there.
const PAUSE: Duration = Duration::from_millis(300);

/// An object's identity, whatever version it is written in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) kind: GroupKind,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

impl Identity {
    pub(super) fn of(object: &ObjectRef) -> Self {
        Self { kind: GroupKind::of(object), namespace: object.namespace.clone(), name: object.name.clone() }
    }
}

/// An object in the cluster.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) reference: ObjectRef,
    pub(super) served: Served,
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) terminating: bool,
    /// The set that its label names.
    pub(super) set: Option<String>,
    /// What was applied last, by its annotation.
    pub(super) hash: Option<String>,
    /// What it says that it comes after.
    pub(super) after: Vec<Identity>,
    /// Who manages which fields.
    pub(super) managed: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry>,
}

impl Live {
    fn new(served: &Served, object: PartialObjectMeta<DynamicObject>) -> Self {
        let meta = object.metadata;
        let label = |name: &str| meta.labels.as_ref().and_then(|all| all.get(name)).cloned();
        let annotation = |name: &str| meta.annotations.as_ref().and_then(|all| all.get(name)).cloned();
        Self {
            reference: ObjectRef {
                api_version: served.resource.api_version.clone(),
                kind: served.resource.kind.clone(),
                namespace: meta.namespace.clone(),
                name: meta.name.clone().unwrap_or_default(),
            },
            served: served.clone(),
            set: label(PART_OF),
            hash: annotation(APPLIED_HASH),
            // What another tool has let through that can't be read is no order.
            after: annotation(depends::ANNOTATION).and_then(|text| depends::parse(&text).ok()).unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            terminating: meta.deletion_timestamp.is_some(),
            managed: meta.managed_fields.unwrap_or_default(),
        }
    }
}

/// Which objects are wanted of those that are listed; the others are forgotten page by page, so that
/// memory does not grow with what else there is in the cluster.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// Members of the set with this identifier.
    Members(&'a str),
    /// The same, and whatever has one of these names.
    MembersAnd(&'a str, &'a HashSet<&'a Identity>),
}

/// Lists objects of kinds across all namespaces. Kinds that are no longer served have no objects.
pub(super) async fn list(
    api: &Api,
    kinds: impl IntoIterator<Item = &Served>,
    wanted: Wanted<'_>,
    limit: &Limit<'_>,
) -> Result<HashMap<Identity, Live>, Error> {
    // One list per kind, also if it is written in two versions.
    let kinds: BTreeMap<_, _> = kinds
        .into_iter()
        .map(|served| ((served.resource.group.clone(), served.resource.kind.clone()), served.clone()))
        .collect();
    let lists: Vec<Vec<_>> = stream::iter(kinds.into_values())
        .map(|served| async move { list_kind(api, &served, wanted, limit).await })
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await?;
    Ok(lists.into_iter().flatten().collect())
}

async fn list_kind(
    api: &Api,
    served: &Served,
    wanted: Wanted<'_>,
    limit: &Limit<'_>,
) -> Result<Vec<(Identity, Live)>, Error> {
    let requests = api.requests(served, None);
    let doing = || format!("listing {}", served.resource.plural);
    let mut params = ListParams::default().limit(PAGE);
    if let Wanted::Members(id) = wanted {
        params = params.labels(&format!("{PART_OF}={id}"));
    }
    let mut found = Vec::new();
    loop {
        let asked = || async {
            match requests.list_metadata(&params).await {
                // Not for `tried` to wait for: the kind may be gone for good.
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
                page => page.map(Some),
            }
        };
        let page = match limit.tried(doing, asked).await? {
            Ok(Some(page)) => page,
            Ok(None) if is_gone(api, served, limit).await? => return Ok(Vec::new()),
            Ok(None) => continue,
            // What the list began with is forgotten. Then all of it at once, which can't take too long again.
            Err(kube::Error::Api(status)) if status.code == 410 => {
                found.clear();
                (params.limit, params.continue_token) = (None, None);
                continue;
            }
            Err(source) => return Err(api_error(doing(), source)),
        };
        for object in page.items {
            let live = Live::new(served, object);
            let identity = Identity::of(&live.reference);
            let kept = match wanted {
                Wanted::Members(_) => true,
                Wanted::MembersAnd(id, names) => live.set.as_deref() == Some(id) || names.contains(&identity),
            };
            if kept {
                found.push((identity, live));
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}

/// Whether a kind whose path is not there is gone, rather than not served yet by a server that has
/// just begun. Discovery is a moment behind, so it is asked after a pause.
pub(super) async fn is_gone(api: &Api, served: &Served, limit: &Limit<'_>) -> Result<bool, Error> {
    if limit.left() < PAUSE {
        let doing = format!("listing {}", served.resource.plural);
        let last = "discovery lists the kind, but its path is not there".to_owned();
        return Err(Error::Deadline { doing, last, elapsed: limit.begin.elapsed(), limit: limit.within });
    }
    tokio::select! {
        () = limit.cancel.cancelled() => return Err(Error::Cancelled),
        () = tokio::time::sleep(PAUSE) => {}
    }
    let discovery = api.rediscover(limit).await?;
    let resource = &served.resource;
    Ok(super::api::find(&discovery, &resource.group, &resource.version, &resource.kind).is_none())
}
