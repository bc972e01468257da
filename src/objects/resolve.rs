//! What is to be sent: objects resolved against the cluster and the definitions among them,
//! checked before anything is applied.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::{ApiResource, GroupVersionKind};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::api::{self, Api, Served};
use super::convert::{Conversion, Release, Target, convert_all};
use super::error::Error;
use super::inventory::Identity;
use super::object::{Object, ObjectRef};
use super::order::{self, Phase};

/// An object that is to be applied.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) reference: ObjectRef,
    pub(super) identity: Identity,
    /// The file and line it came from.
    pub(super) origin: String,
    /// What is sent, without label and annotation of the set.
    pub(super) document: Value,
    /// Over the document.
    pub(super) hash: String,
    pub(super) served: Served,
    /// Whether the kind is served now, rather than by a definition that is yet to be applied.
    pub(super) listable: bool,
    pub(super) phase: Phase,
    /// What was done to it because its version is not served.
    pub(super) converted: Option<Conversion>,
}

/// A custom resource definition among objects.
#[derive(Clone, Debug)]
struct Definition {
    plural: String,
    namespaced: bool,
    versions: Vec<String>,
}

/// The kinds that objects define, by group and kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Definitions(HashMap<(String, String), Definition>);

/// Where objects are to go.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// A cluster that is there.
    Cluster(&'a Api),
    /// A cluster of this release of Kubernetes that is yet to be made.
    Release(Release),
}

impl<'a> Place<'a> {
    /// The cluster, if it is there.
    pub(super) fn api(self) -> Option<&'a Api> {
        match self {
            Self::Cluster(api) => Some(api),
            Self::Release(_) => None,
        }
    }

    async fn target(self) -> Result<Target, Error> {
        match self {
            Self::Cluster(api) => api.target().await,
            Self::Release(release) => Ok(Target::Release(release)),
        }
    }
}

/// What is known of kinds, besides what the objects themselves define.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds<'a> {
    pub(super) place: Place<'a>,
    /// What other sets define that are applied before this one.
    pub(super) expected: &'a Definitions,
    /// Whether there are such sets whose objects are not known: then every kind may be defined by one.
    pub(super) any: bool,
}

/// Resolves objects: version, kind, namespace, phase, content.
///
/// # Errors
/// Objects that can't be converted into a version that is served; objects that are there twice and differ, custom
/// resources without a definition, versions that nobody serves: all of them at once.
pub(super) async fn resolve(
    kinds: Kinds<'_>,
    objects: &[Object],
    default_namespace: Option<&str>,
) -> Result<Vec<Member>, Error> {
    let objects = convert_all(objects, &kinds.place.target().await?)?;
    let mut definitions = Definitions::default();
    definitions.add(objects.iter().map(|(object, _)| &object.document));
    let mut members: Vec<Member> = Vec::with_capacity(objects.len());
    let mut seen: HashMap<Identity, usize> = HashMap::new();
    let mut errors = Vec::new();
    for (object, conversion) in objects {
        let (served, listable) = match find(kinds, &object, &definitions).await {
            Ok(found) => found,
            Err(error @ Error::Api { .. }) => return Err(error),
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let mut member = member(&object, served, listable, default_namespace.unwrap_or("default"));
        member.converted = conversion.map(|conversion| Conversion { object: member.reference.clone(), ..conversion });
        match seen.get(&member.identity).map(|&index| &members[index]) {
            // The same words twice say nothing else: releases were shipped with their definitions in two files.
            Some(first) if first.document == member.document => {}
            Some(first) => {
                let (first, second) = (first.origin.clone(), member.origin);
                errors.push(Error::Duplicate { object: member.reference.into(), first, second });
            }
            None => {
                seen.insert(member.identity.clone(), members.len());
                members.push(member);
            }
        }
    }
    Error::from_many(errors).map_or(Ok(members), Err)
}

async fn find(kinds: Kinds<'_>, object: &Object, definitions: &Definitions) -> Result<(Served, bool), Error> {
    let (group, version, kind) = (object.group(), object.version(), object.kind());
    // A definition among the objects decides; the cluster may hold an older one of the same name.
    if let Some(defined) = definitions.served(object) {
        let defined = defined?;
        let known = match kinds.place.api() {
            Some(api) => api::find(&api.discovery().await?.0, group, version, kind),
            None => None,
        };
        let listable = known.is_some_and(|known| known.resource.plural == defined.resource.plural);
        return Ok((defined, listable));
    }
    let Some(api) = kinds.place.api() else { return unseen(kinds, object) };
    if let Some(served) = api.served(group, version, kind).await? {
        return Ok((served, true));
    }
    if let Some(defined) = kinds.expected.served(object) {
        return Ok((defined?, false));
    }
    let (discovery, _) = api.discovery().await?;
    let served = api::versions(&discovery, group, kind);
    if !served.is_empty() {
        return Err(Error::Version { object: object.reference().into(), origin: object.origin(), served });
    }
    unseen(kinds, object)
}

/// A kind that no cluster serves, because there is none or because a set before this one may bring it.
fn unseen(kinds: Kinds<'_>, object: &Object) -> Result<(Served, bool), Error> {
    if let Some(defined) = kinds.expected.served(object) {
        return Ok((defined?, false));
    }
    let built_in = kinds.place.api().is_none() && Phase::of(object.group(), object.kind()).is_built_in();
    if !built_in && !kinds.any {
        return Err(Error::MissingCrd { object: object.reference().into(), origin: object.origin() });
    }
    let gvk = GroupVersionKind::gvk(object.group(), object.version(), object.kind());
    let namespaced = if built_in { !order::is_cluster_wide(object.kind()) } else { object.namespace().is_some() };
    Ok((Served { resource: ApiResource::from_gvk(&gvk), namespaced }, false))
}

impl Definitions {
    /// Adds what definitions among objects define.
    pub(super) fn add<'a>(&mut self, documents: impl Iterator<Item = &'a Value>) {
        for document in documents.filter(|document| document["kind"] == "CustomResourceDefinition") {
            let spec = &document["spec"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let versions = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
            let definition = Definition {
                plural: text(&spec["names"]["plural"]),
                namespaced: spec["scope"] == "Namespaced",
                versions: versions
                    .iter()
                    .filter(|version| version["served"] == true)
                    .map(|version| text(&version["name"]))
                    .collect(),
            };
            self.0.insert((text(&spec["group"]), text(&spec["names"]["kind"])), definition);
        }
    }

    /// How an object's kind will be served by its definition, if there is one; an error if not in its version.
    fn served(&self, object: &Object) -> Option<Result<Served, Error>> {
        let (group, version, kind) = (object.group(), object.version(), object.kind());
        let definition = self.0.get(&(group.to_owned(), kind.to_owned()))?;
        if !definition.versions.iter().any(|known| known == version) {
            return Some(Err(Error::Version {
                object: object.reference().into(),
                origin: object.origin(),
                served: definition.versions.iter().map(|version| format!("{group}/{version}")).collect(),
            }));
        }
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, &definition.plural);
        Some(Ok(Served { resource, namespaced: definition.namespaced }))
    }
}

fn member(object: &Object, served: Served, listable: bool, default_namespace: &str) -> Member {
    let mut document = object.document.clone();
    if let Some(fields) = document.as_object_mut() {
        // The status is its controller's; files that were read back from a cluster carry one.
        fields.remove("status");
    }
    if object.kind() == "Secret" && object.group().is_empty() {
        encode(&mut document);
    }
    let mut reference = object.reference();
    if let Some(metadata) = document["metadata"].as_object_mut() {
        for field in ["creationTimestamp", "managedFields", "resourceVersion", "uid", "generation", "selfLink"] {
            metadata.remove(field);
        }
        if served.namespaced {
            let namespace = object.namespace().unwrap_or(default_namespace);
            metadata.insert("namespace".to_owned(), Value::from(namespace));
            reference.namespace = Some(namespace.to_owned());
        } else {
            metadata.remove("namespace");
            reference.namespace = None;
        }
    }
    Member {
        identity: Identity::of(&reference),
        phase: Phase::of(object.group(), object.kind()),
        origin: object.origin(),
        hash: hash(&document),
        reference,
        document,
        served,
        listable,
        converted: None,
    }
}

/// Writes a secret's `stringData` as the `data` that the server makes of it. Field managers are told by what
/// was sent: of text they would own nothing that is there, and what left the file would stay.
fn encode(secret: &mut Value) {
    let Some(text) = secret["stringData"].as_object().cloned() else { return };
    if !text.values().all(Value::is_string) || !(secret["data"].is_null() || secret["data"].is_object()) {
        // The server says what is wrong with it.
        return;
    }
    for (name, value) in &text {
        secret["data"][name] = Value::from(STANDARD.encode(value.as_str().unwrap_or_default()));
    }
    if let Some(fields) = secret.as_object_mut() {
        fields.remove("stringData");
    }
}

/// Adds labels or annotations.
pub(super) fn with_metadata(document: &mut Value, field: &str, name: &str, value: &str) {
    let Some(metadata) = document["metadata"].as_object_mut() else { return };
    let entry = metadata.entry(field).or_insert(Value::Null);
    if !entry.is_object() {
        *entry = Value::Object(Map::new());
    }
    entry[name] = Value::from(value);
}

/// A digest that does not depend on the order in which fields were written.
fn hash(document: &Value) -> String {
    let mut text = String::new();
    canonical(document, &mut text);
    Sha256::digest(text.as_bytes()).iter().take(16).fold(String::new(), |mut hex, byte| {
        use std::fmt::Write as _;
        // Writing to a string can't fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn canonical(value: &Value, into: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.keys().collect();
            names.sort();
            into.push('{');
            for name in names {
                into.push_str(&Value::from(name.as_str()).to_string());
                into.push(':');
                canonical(&fields[name], into);
                into.push(',');
            }
            into.push('}');
        }
        Value::Array(items) => {
            into.push('[');
            for item in items {
                canonical(item, into);
                into.push(',');
            }
            into.push(']');
        }
        scalar => into.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// The objects of a text, resolved without a cluster.
    pub(in super::super) fn members(text: &str) -> Vec<Member> {
        let objects = super::super::load::parse(text, "test.yaml").expect("objects");
        let place = Place::Release("1.34".parse().expect("a release"));
        let kinds = Kinds { place, expected: &Definitions::default(), any: false };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(resolve(kinds, &objects, None)).expect("they are resolved")
    }

    #[test]
    fn the_same_words_twice_are_one_object_and_others_an_error() {
        let (one, other) = ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {b: c}}", "data: {b: d}");
        assert_eq!(members(&format!("{one}\n---\n{one}")).len(), 1);
        let objects = format!("{one}\n---\n{}", one.replace("data: {b: c}", other));
        let objects = super::super::load::parse(&objects, "test.yaml").expect("objects");
        let place = Place::Release("1.34".parse().expect("a release"));
        let kinds = Kinds { place, expected: &Definitions::default(), any: false };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let Err(error) = runtime.block_on(resolve(kinds, &objects, None)) else { panic!("they differ") };
        assert_eq!(
            error.to_string(),
            "ConfigMap default/a is there twice and differs: in test.yaml:1 and in test.yaml:3"
        );
    }

    #[test]
    fn without_a_cluster_scopes_are_known_all_the_same() {
        let text = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}}\n---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: b}}\n";
        let shown: Vec<_> =
            members(text).iter().map(|member| (member.reference.to_string(), member.listable)).collect();
        assert_eq!(shown, [("ClusterRole a".to_owned(), false), ("Deployment default/b".to_owned(), false)]);
    }

    #[test]
    fn the_order_of_fields_does_not_matter_but_that_of_items_does() {
        assert_eq!(hash(&json!({"a": 1, "b": {"c": 2, "d": 3}})), hash(&json!({"b": {"d": 3, "c": 2}, "a": 1})));
        assert_ne!(hash(&json!([1, 2])), hash(&json!([2, 1])));
        assert_ne!(hash(&json!({"a": "1"})), hash(&json!({"a": 1})));
    }

    #[test]
    fn labels_are_added_also_where_there_are_none() {
        for metadata in [json!({"name": "x"}), json!({"name": "x", "labels": null})] {
            let mut document = json!({"metadata": metadata});
            with_metadata(&mut document, "labels", "a", "b");
            assert_eq!(document["metadata"]["labels"], json!({"a": "b"}));
        }
    }

    #[test]
    fn text_of_secrets_is_encoded_and_goes_before_data() {
        let text =
            "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {b: eA==, c: eA==}, stringData: {b: z, d: ''}}";
        let document = &members(text)[0].document;
        assert_eq!(document["data"], json!({"b": "eg==", "c": "eA==", "d": ""}));
        assert!(document.get("stringData").is_none());
    }

    #[test]
    fn what_the_server_writes_is_not_sent() {
        let object = Object::new(
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "namespace": "y", "uid": "z"}, "status": {}}),
            "-",
            1,
        )
        .expect("whole");
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
        let member = member(&object, Served { resource, namespaced: false }, true, "default");
        assert_eq!(member.document["metadata"], json!({"name": "x"}));
        assert!(member.document.get("status").is_none());
        assert_eq!(member.reference.to_string(), "Namespace x");
    }
}
