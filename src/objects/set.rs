//! The set that applied objects belong to, kept as KEP-3659 defines it: a parent object with an
//! identifier, the kinds and namespaces of its members as annotations, and a label on each member.
//! `kubectl apply --prune --applyset=configmaps/NAME` reads the same.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api as KubeApi, Patch, PatchParams};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::api::{Api, api_error};
use super::error::Error;
use super::object::ObjectRef;
use super::request::Limit;

/// The label of members; its value is the set's identifier.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";
/// The annotation that remembers what was applied.
pub(super) const APPLIED_HASH: &str = "istiolab.dev/applied-hash";

const ID: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
const TOOL: &str = "istiolab";
/// The parent has a manager of its own, as kubectl's has, so that it can be a member as well.
const MANAGER: &str = "istiolab-applyset";

/// Names a set: the `ConfigMap` that is its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetName {
    /// The parent's name.
    pub name: String,
    /// The parent's namespace; it is made if it is not there.
    pub namespace: String,
}

impl SetName {
    /// A set of this name in this namespace.
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self { name: name.into(), namespace: namespace.into() }
    }

    /// The identifier: `applyset-<base64url(sha256(name.namespace.kind.group))>-v1`.
    #[must_use]
    pub fn id(&self) -> String {
        let parent = format!("{}.{}.ConfigMap.", self.name, self.namespace);
        format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(Sha256::digest(parent.as_bytes())))
    }
}

impl std::fmt::Display for SetName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A kind without its version: `Deployment.apps`, `Service`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GroupKind {
    pub(super) group: String,
    pub(super) kind: String,
}

impl GroupKind {
    pub(super) fn of(object: &ObjectRef) -> Self {
        Self { group: object.group().to_owned(), kind: object.kind.clone() }
    }

    fn parse(text: &str) -> Self {
        let (kind, group) = text.split_once('.').unwrap_or((text, ""));
        Self { group: group.to_owned(), kind: kind.to_owned() }
    }
}

impl std::fmt::Display for GroupKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.group.is_empty() { f.write_str(&self.kind) } else { write!(f, "{}.{}", self.kind, self.group) }
    }
}

/// What the parent says about the members: where to look for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) kinds: BTreeSet<GroupKind>,
    /// Namespaces of members, the parent's own included where it has members.
    pub(super) namespaces: BTreeSet<String>,
}

impl Extent {
    pub(super) fn of<'a>(members: impl IntoIterator<Item = &'a ObjectRef>) -> Self {
        let mut extent = Self::default();
        for member in members {
            extent.kinds.insert(GroupKind::of(member));
            extent.namespaces.extend(member.namespace.clone());
        }
        extent
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        Self {
            kinds: self.kinds.union(&other.kinds).cloned().collect(),
            namespaces: self.namespaces.union(&other.namespaces).cloned().collect(),
        }
    }

    fn from_parent(set: &SetName, parent: &ConfigMap) -> Self {
        let annotation = |name: &str| {
            let annotations = parent.metadata.annotations.as_ref();
            let text = annotations.and_then(|all| all.get(name)).map(String::as_str).unwrap_or_default();
            text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut namespaces: BTreeSet<_> = annotation(NAMESPACES).into_iter().collect();
        namespaces.insert(set.namespace.clone());
        Self { kinds: annotation(GROUP_KINDS).iter().map(|item| GroupKind::parse(item)).collect(), namespaces }
    }

    /// Whether both look in the same places; the parent's own namespace is always looked at.
    pub(super) fn same(&self, other: &Self, set: &SetName) -> bool {
        let others = |extent: &Self| {
            extent.namespaces.iter().filter(|name| **name != set.namespace).cloned().collect::<Vec<_>>()
        };
        self.kinds == other.kinds && others(self) == others(other)
    }
}

/// Reads the parent; `None` if the set is not there.
pub(super) async fn read(api: &Api, set: &SetName, limit: &Limit<'_>) -> Result<Option<Extent>, Error> {
    let requests: KubeApi<ConfigMap> = KubeApi::namespaced(api.client().clone(), &set.namespace);
    let doing = || format!("reading the set {set}");
    let parent =
        limit.tried(doing, || requests.get_opt(&set.name)).await?.map_err(|source| api_error(doing(), source))?;
    let Some(parent) = parent else { return Ok(None) };
    let tooling = parent.metadata.annotations.as_ref().and_then(|all| all.get(TOOLING));
    match tooling {
        Some(tooling) if tooling.split('/').next() != Some(TOOL) => {
            Err(Error::Tooling { set: set.to_string(), tooling: tooling.clone() })
        }
        _ => Ok(Some(Extent::from_parent(set, &parent))),
    }
}

/// Writes the parent, and makes its namespace if that is not there.
pub(super) async fn write(api: &Api, set: &SetName, extent: &Extent, limit: &Limit<'_>) -> Result<(), Error> {
    let join = |mut items: Vec<String>| {
        items.sort();
        items.join(",")
    };
    let kinds = join(extent.kinds.iter().map(ToString::to_string).collect());
    let namespaces = join(extent.namespaces.iter().filter(|name| **name != set.namespace).cloned().collect());
    let parent = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": set.name,
            "namespace": set.namespace,
            "labels": {ID: set.id()},
            "annotations": {
                TOOLING: concat!("istiolab/v", env!("CARGO_PKG_VERSION")),
                GROUP_KINDS: kinds,
                NAMESPACES: namespaces,
            },
        },
    });
    let requests: KubeApi<ConfigMap> = KubeApi::namespaced(api.client().clone(), &set.namespace);
    let params = PatchParams::apply(MANAGER).force();
    let doing = || format!("writing the set {set}");
    let patch = Patch::Apply(&parent);
    let write = || limit.tried(doing, || requests.patch_metadata(&set.name, &params, &patch));
    match write().await? {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        Err(source) => return Err(api_error(doing(), source)),
    }
    make_namespace(api, &set.namespace, limit).await?;
    write().await?.map(drop).map_err(|source| api_error(doing(), source))
}

async fn make_namespace(api: &Api, name: &str, limit: &Limit<'_>) -> Result<(), Error> {
    let requests: KubeApi<k8s_openapi::api::core::v1::Namespace> = KubeApi::all(api.client().clone());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let params = PatchParams::apply(MANAGER);
    let patch = Patch::Apply(&namespace);
    let doing = || format!("making the namespace {name}");
    limit
        .tried(doing, || requests.patch_metadata(name, &params, &patch))
        .await?
        .map(drop)
        .map_err(|source| api_error(doing(), source))
}

/// Deletes the parent, after its last member.
pub(super) async fn forget(api: &Api, set: &SetName, limit: &Limit<'_>) -> Result<(), Error> {
    let requests: KubeApi<ConfigMap> = KubeApi::namespaced(api.client().clone(), &set.namespace);
    let doing = || format!("deleting the set {set}");
    let params = kube::api::DeleteParams::default();
    match limit.tried(doing, || requests.delete(&set.name, &params)).await? {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(source) => Err(api_error(doing(), source)),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identifier_is_computed_as_kubectl_does() {
        // printf 'quickstart.istiolab-system.ConfigMap.' | sha256sum, as base64url without padding.
        let id = SetName::new("quickstart", "istiolab-system").id();
        assert_eq!(id, EXPECTED_ID);
        assert!(id.len() <= 63, "it must be a label's value");
    }

    const EXPECTED_ID: &str = "applyset-VpHVOoIZmKflXVZ6LRBkeMMApXOtL4taid_n5tRoZuk-v1";

    #[test]
    fn kinds_are_written_as_kubectl_does() {
        for text in ["Service", "Deployment.apps", "EnvoyFilter.networking.istio.io"] {
            assert_eq!(GroupKind::parse(text).to_string(), text);
        }
    }
}
