//! The set that applied objects belong to, kept as KEP-3659 defines it: a parent object with an
//! identifier, the kinds and namespaces of its members as annotations, and a label on each member.
//! `kubectl apply --prune --applyset` keeps the same; a set is handed from one tool to the other by
//! its tooling annotation.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::api::{Api as KubeApi, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::api::{ListParams, ObjectMeta, PartialObjectMeta};
use kube::discovery::Discovery;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::api::{Api, Served, api_error};
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
/// What kubectl wrote before it wrote kinds: `deployments.apps`.
const GROUP_RESOURCES: &str = "applyset.kubernetes.io/contains-group-resources";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
const TOOL: &str = "istiolab";
/// Our tooling annotation.
const OURS: &str = concat!("istiolab/v", env!("CARGO_PKG_VERSION"));
/// The parent has a manager of its own, as kubectl's has, so that it can be a member as well.
const MANAGER: &str = "istiolab-applyset";

/// The kind of object that keeps a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parent {
    /// What istiolab makes.
    #[default]
    ConfigMap,
    /// What kubectl makes unless it is told otherwise.
    Secret,
}

impl Parent {
    /// `ConfigMap`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// Names a set by its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetName {
    /// The parent's name.
    pub name: String,
    /// The parent's namespace; it is made if it is not there.
    pub namespace: String,
    /// The parent's kind.
    pub parent: Parent,
}

impl SetName {
    /// A set of this name in this namespace, kept in a `ConfigMap`.
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self { name: name.into(), namespace: namespace.into(), parent: Parent::default() }
    }

    /// The same, kept in another kind of object.
    #[must_use]
    pub fn kept_in(self, parent: Parent) -> Self {
        Self { parent, ..self }
    }

    /// The identifier: `applyset-<base64url(sha256(name.namespace.kind.group))>-v1`.
    #[must_use]
    pub fn id(&self) -> String {
        let parent = format!("{}.{}.{}.", self.name, self.namespace, self.parent.kind());
        format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(Sha256::digest(parent.as_bytes())))
    }

    /// The command that hands the set over to istiolab.
    fn handing_over(&self) -> String {
        let kind = self.parent.kind().to_lowercase();
        format!("kubectl annotate --overwrite {kind} {} --namespace {} {TOOLING}={OURS}", self.name, self.namespace)
    }

    fn requests(&self, api: &Api) -> KubeApi<PartialObjectMeta<DynamicObject>> {
        api.metadata(&Served { resource: resource(self.parent), namespaced: true }, Some(&self.namespace))
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

impl From<ApiResource> for GroupKind {
    fn from(resource: ApiResource) -> Self {
        Self { group: resource.group, kind: resource.kind }
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

    /// What the parent says. A parent that does not say which kinds there are may have members of all.
    fn from_parent(set: &SetName, parent: &ObjectMeta, discovery: &Discovery) -> Self {
        let annotation = |name: &str| {
            let text = parent.annotations.as_ref().and_then(|all| all.get(name))?;
            Some(text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect::<Vec<_>>())
        };
        let kinds = match (annotation(GROUP_KINDS), annotation(GROUP_RESOURCES)) {
            (Some(kinds), _) => kinds.iter().map(|item| GroupKind::parse(item)).collect(),
            (None, Some(resources)) => listable(discovery)
                .filter(|resource| {
                    let name = if resource.group.is_empty() {
                        resource.plural.clone()
                    } else {
                        format!("{}.{}", resource.plural, resource.group)
                    };
                    resources.contains(&name)
                })
                .map(GroupKind::from)
                .collect(),
            (None, None) => listable(discovery).map(GroupKind::from).collect(),
        };
        let mut namespaces: BTreeSet<_> = annotation(NAMESPACES).unwrap_or_default().into_iter().collect();
        namespaces.insert(set.namespace.clone());
        Self { kinds, namespaces }
    }

    /// Whether both look in the same places; the parent's own namespace is always looked at.
    pub(super) fn same(&self, other: &Self, set: &SetName) -> bool {
        let others = |extent: &Self| {
            extent.namespaces.iter().filter(|name| **name != set.namespace).cloned().collect::<Vec<_>>()
        };
        self.kinds == other.kinds && others(self) == others(other)
    }
}

/// Kinds whose objects can be listed.
fn listable(discovery: &Discovery) -> impl Iterator<Item = ApiResource> {
    let resources = discovery.groups().flat_map(kube::discovery::ApiGroup::recommended_resources);
    resources.filter(|(_, capabilities)| capabilities.supports_operation("list")).map(|(resource, _)| resource)
}

/// Reads the parent; `None` if the set is not there.
///
/// # Errors
/// [`Error::NoParent`] if an object of that name is no set's parent, or another's;
/// [`Error::Tooling`] if another tool keeps the set.
pub(super) async fn read(api: &Api, set: &SetName, limit: &Limit<'_>) -> Result<Option<Extent>, Error> {
    let requests = set.requests(api);
    let doing = || format!("reading the set {set}");
    let parent =
        limit.tried(doing, || requests.get_opt(&set.name)).await?.map_err(|source| api_error(doing(), source))?;
    let Some(parent) = parent else { return Ok(None) };
    let parent = parent.metadata;
    check(set, &parent)?;
    api.discover(limit).await?;
    let (discovery, _) = api.discovery().await?;
    Ok(Some(Extent::from_parent(set, &parent, &discovery)))
}

/// The sets that are ours, by name.
pub(super) async fn all(api: &Api, limit: &Limit<'_>) -> Result<Vec<SetName>, Error> {
    let (resource, labelled) = (resource(Parent::ConfigMap), ListParams::default().labels(ID));
    let requests = api.metadata(&Served { resource, namespaced: true }, None);
    let doing = || "listing sets of objects".to_owned();
    let parents = limit.tried(doing, || requests.list_metadata(&labelled)).await?;
    let parents = parents.map_err(|source| api_error(doing(), source))?;
    let sets = parents.items.into_iter().filter_map(|parent| {
        let meta = parent.metadata;
        let set = SetName::new(meta.name.clone()?, meta.namespace.clone()?);
        check(&set, &meta).is_ok().then_some(set)
    });
    let mut sets: Vec<SetName> = sets.collect();
    sets.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(sets)
}

fn resource(parent: Parent) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", parent.kind()))
}

/// Whether the object is this set's parent, and ours to write.
fn check(set: &SetName, parent: &ObjectMeta) -> Result<(), Error> {
    let no_parent = |why: String| {
        Err(Error::NoParent { set: set.to_string(), kind: set.parent.kind(), why, handing_over: set.handing_over() })
    };
    match parent.labels.as_ref().and_then(|all| all.get(ID)) {
        None => return no_parent(format!("it has no label `{ID}`")),
        Some(id) if *id != set.id() => {
            return no_parent(format!("its label `{ID}` is `{id}` instead of `{}`", set.id()));
        }
        Some(_) => {}
    }
    let tooling = parent.annotations.as_ref().and_then(|all| all.get(TOOLING));
    match tooling.map(|tooling| tooling.rsplit_once('/').map_or(tooling.as_str(), |(tool, _)| tool)) {
        None => no_parent(format!("it has no annotation `{TOOLING}`")),
        Some(TOOL) => Ok(()),
        Some(_) => Err(Error::Tooling {
            set: set.to_string(),
            tooling: tooling.cloned().unwrap_or_default(),
            handing_over: set.handing_over(),
        }),
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
        "kind": set.parent.kind(),
        "metadata": {
            "name": set.name,
            "namespace": set.namespace,
            "labels": {ID: set.id()},
            "annotations": {
                TOOLING: OURS,
                GROUP_KINDS: kinds,
                NAMESPACES: namespaces,
            },
        },
    });
    let requests = set.requests(api);
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
    let requests = set.requests(api);
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

    fn parent(label: Option<&str>, tooling: Option<&str>) -> ObjectMeta {
        let one = |name: &str, value: Option<&str>| {
            value.map(|value| [(name.to_owned(), value.to_owned())].into_iter().collect())
        };
        ObjectMeta { labels: one(ID, label), annotations: one(TOOLING, tooling), ..ObjectMeta::default() }
    }

    #[test]
    fn a_parent_is_taken_for_ours_only_if_all_says_so() {
        let set = SetName::new("quickstart", "istiolab-system");
        let checked = |label, tooling| check(&set, &parent(label, tooling)).map_err(|error| error.to_string());
        assert_eq!(checked(Some(EXPECTED_ID), Some("istiolab/v0.0.1")), Ok(()));
        let told = checked(Some(EXPECTED_ID), Some("kubectl/v1.34.4")).expect_err("kubectl's");
        assert_eq!(told, "the set `istiolab-system/quickstart` is kept by another tool: kubectl/v1.34.4");
        for (label, tooling) in [(None, Some(OURS)), (Some("applyset-x-v1"), Some(OURS)), (Some(EXPECTED_ID), None)] {
            let told = checked(label, tooling).expect_err("no set's parent");
            assert!(
                told.starts_with("the ConfigMap istiolab-system/quickstart is there, and can't keep the set"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_set_kept_in_a_secret_has_another_identifier() {
        let set = SetName::new("quickstart", "istiolab-system");
        assert_ne!(set.id(), set.clone().kept_in(Parent::Secret).id());
    }

    #[test]
    fn kinds_are_written_as_kubectl_does() {
        for text in ["Service", "Deployment.apps", "EnvoyFilter.networking.istio.io"] {
            assert_eq!(GroupKind::parse(text).to_string(), text);
        }
    }
}
