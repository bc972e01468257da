//! What is to be sent: objects resolved against the cluster and the definitions among them,
//! checked before anything is applied.

use std::collections::HashMap;

use kube::api::{ApiResource, GroupVersionKind};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::api::{self, Api, Served};
use super::convert::{Conversion, convert_all};
use super::error::Error;
use super::inventory::Identity;
use super::object::{Object, ObjectRef};
use super::order::Phase;

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

/// A custom resource definition among the objects.
struct Definition {
    plural: String,
    namespaced: bool,
    versions: Vec<String>,
}

/// Resolves objects: version, kind, namespace, phase, content.
///
/// # Errors
/// Objects that can't be converted into a version that is served; objects that are there twice, custom
/// resources without a definition, versions that nobody serves: all of them at once.
pub(super) async fn resolve(
    api: &Api,
    objects: &[Object],
    default_namespace: Option<&str>,
) -> Result<Vec<Member>, Error> {
    let objects = convert_all(objects, &api.target().await?)?;
    let definitions = definitions(objects.iter().map(|(object, _)| object.as_ref()));
    let mut members: Vec<Member> = Vec::new();
    let mut seen: HashMap<Identity, String> = HashMap::new();
    let mut errors = Vec::new();
    for (object, conversion) in objects {
        let (served, listable) = match find(api, &object, &definitions).await {
            Ok(found) => found,
            Err(error @ Error::Api { .. }) => return Err(error),
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let mut member = member(&object, served, listable, default_namespace.unwrap_or("default"));
        member.converted = conversion.map(|conversion| Conversion { object: member.reference.clone(), ..conversion });
        if let Some(first) = seen.get(&member.identity) {
            let (first, second) = (first.clone(), member.origin);
            errors.push(Error::Duplicate { object: member.reference.into(), first, second });
        } else {
            seen.insert(member.identity.clone(), member.origin.clone());
            members.push(member);
        }
    }
    Error::from_many(errors).map_or(Ok(members), Err)
}

async fn find(
    api: &Api,
    object: &Object,
    definitions: &HashMap<(String, String), Definition>,
) -> Result<(Served, bool), Error> {
    let (group, version, kind) = (object.group(), object.version(), object.kind());
    let definition = definitions.get(&(group.to_owned(), kind.to_owned()));
    // A definition among the objects decides; the cluster may hold an older one of the same name.
    if let Some(definition) = definition {
        if !definition.versions.iter().any(|known| known == version) {
            return Err(Error::Version {
                object: object.reference().into(),
                origin: object.origin(),
                served: definition.versions.iter().map(|version| format!("{group}/{version}")).collect(),
            });
        }
        let (discovery, _) = api.discovery().await?;
        let listable = api::find(&discovery, group, version, kind);
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, &definition.plural);
        let defined = Served { resource, namespaced: definition.namespaced };
        return Ok((defined, listable.is_some()));
    }
    if let Some(served) = api.served(group, version, kind).await? {
        return Ok((served, true));
    }
    let (discovery, _) = api.discovery().await?;
    let served = api::versions(&discovery, group, kind);
    if served.is_empty() {
        Err(Error::MissingCrd { object: object.reference().into(), origin: object.origin() })
    } else {
        Err(Error::Version { object: object.reference().into(), origin: object.origin(), served })
    }
}

fn definitions<'a>(objects: impl Iterator<Item = &'a Object>) -> HashMap<(String, String), Definition> {
    let mut found = HashMap::new();
    for object in objects {
        if Phase::of(object.group(), object.kind()) != Phase::Definitions {
            continue;
        }
        let spec = &object.document["spec"];
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
        found.insert((text(&spec["group"]), text(&spec["names"]["kind"])), definition);
    }
    found
}

fn member(object: &Object, served: Served, listable: bool, default_namespace: &str) -> Member {
    let mut document = object.document.clone();
    if let Some(fields) = document.as_object_mut() {
        // The status is its controller's; files that were read back from a cluster carry one.
        fields.remove("status");
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
mod tests {
    use serde_json::json;

    use super::*;

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
