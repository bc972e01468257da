//! What a change does to an object, field by field: the object as it is beside what the API server
//! made of our document in a dry run, looked at through the fields that we manage. So defaults and
//! fields of others are left out, and lists are matched as the server matches them.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::FIELD_MANAGER;
use super::set::APPLIED_HASH;

/// A field that changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Its path, `.spec.template.spec.containers[name="web"].image`.
    pub field: String,
    /// What is there now; nothing if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What will be there; nothing if it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The difference between an object and what it would be, both whole.
pub(super) fn fields(live: &Value, result: &Value) -> Vec<Change> {
    let mut changes = Changes::default();
    changes.owned(String::new(), Some(live), Some(result), &[owned(live), owned(result)]);
    changes.0
}

/// The difference as far as the document alone tells it, where the server can't be asked for more.
/// Values that mean the same in other words are told as different.
pub(super) fn declared(live: &Value, document: &Value) -> Vec<Change> {
    let mut changes = Changes::default();
    changes.document(String::new(), Some(live), document);
    changes.0
}

/// The tree of fields (`fieldsV1`) that we applied.
fn owned(object: &Value) -> &Value {
    let entries = object["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = entries.iter().find(|entry| {
        entry["manager"] == FIELD_MANAGER
            && entry["operation"] == "Apply"
            && entry["subresource"].as_str().unwrap_or_default().is_empty()
    });
    ours.map_or(&Value::Null, |entry| &entry["fieldsV1"])
}

#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn add(&mut self, field: String, before: Option<Value>, after: Option<Value>) {
        self.0.push(Change { field, before, after });
    }

    /// Compares what the trees own; of a node without children they own all below.
    fn owned(&mut self, path: String, live: Option<&Value>, result: Option<&Value>, trees: &[&Value; 2]) {
        if live == result {
            return;
        }
        let keys: BTreeSet<&String> = trees.iter().flat_map(|tree| children(tree)).collect();
        match (live, result) {
            _ if keys.is_empty() => self.whole(path, live, result),
            (None, Some(result)) => self.add(path, None, Some(project(result, trees[1]))),
            (Some(live), None) => self.add(path, Some(project(live, trees[0])), None),
            _ => {
                for key in keys {
                    let step = Step::new(key);
                    let (live, result) =
                        (live.and_then(|value| step.of(value)), result.and_then(|value| step.of(value)));
                    self.owned(step.path(&path), live, result, &trees.map(|tree| &tree[key.as_str()]));
                }
            }
        }
    }

    /// Compares values that are ours as a whole.
    fn whole(&mut self, path: String, live: Option<&Value>, result: Option<&Value>) {
        if live == result || is_record(&path) {
            return;
        }
        match (live, result) {
            (Some(Value::Object(before)), Some(Value::Object(after))) => {
                for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
                    self.whole(field(&path, name), before.get(name), after.get(name));
                }
            }
            (Some(Value::Array(before)), Some(Value::Array(after))) => match (named(before), named(after)) {
                (Some(old), Some(new)) => {
                    for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
                        self.whole(format!("{path}[name=\"{name}\"]"), old.get(name), new.get(name));
                    }
                }
                _ if before.len() == after.len() && before.iter().chain(after).all(Value::is_object) => {
                    for (index, (old, new)) in before.iter().zip(after).enumerate() {
                        self.whole(format!("{path}[{index}]"), Some(old), Some(new));
                    }
                }
                _ => self.add(path, live.cloned(), result.cloned()),
            },
            _ => self.add(path, live.cloned(), result.cloned()),
        }
    }

    /// Compares what the document says with what is there; what it does not say is left alone.
    fn document(&mut self, path: String, live: Option<&Value>, document: &Value) {
        if live == Some(document) || is_record(&path) {
            return;
        }
        match (live, document) {
            (Some(Value::Object(before)), Value::Object(after)) => {
                for (name, value) in after {
                    self.document(field(&path, name), before.get(name), value);
                }
            }
            (Some(Value::Array(before)), Value::Array(after)) => match (named(before), named(after)) {
                (Some(old), Some(new)) => {
                    for (name, value) in &new {
                        self.document(format!("{path}[name=\"{name}\"]"), old.get(name), value);
                    }
                }
                _ if before.len() == after.len() && after.iter().all(Value::is_object) => {
                    for (index, (old, new)) in before.iter().zip(after).enumerate() {
                        self.document(format!("{path}[{index}]"), Some(old), new);
                    }
                }
                _ => self.add(path, live.cloned(), Some(document.clone())),
            },
            _ => self.add(path, live.cloned(), Some(document.clone())),
        }
    }
}

/// Our own record of what was applied, which changes with every change.
fn is_record(path: &str) -> bool {
    path.strip_prefix(".metadata.annotations").is_some_and(|rest| rest.contains(APPLIED_HASH))
}

fn children(tree: &Value) -> impl Iterator<Item = &String> {
    tree.as_object().into_iter().flat_map(Map::keys).filter(|key| *key != ".")
}

/// One step down a tree of owned fields.
enum Step<'a> {
    /// A field.
    Field(&'a str),
    /// An item of a list by its keys, or by its value.
    Item(Value),
    Value(Value),
    /// Of a kind that is not known.
    Unknown,
}

impl<'a> Step<'a> {
    fn new(key: &'a str) -> Self {
        let parsed = |text: &str| serde_json::from_str(text).ok();
        match key.split_once(':') {
            Some(("f", name)) => Self::Field(name),
            Some(("k", keys)) => parsed(keys).map_or(Self::Unknown, Self::Item),
            Some(("v", value)) => parsed(value).map_or(Self::Unknown, Self::Value),
            _ => Self::Unknown,
        }
    }

    fn of<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Field(name) => value.get(name),
            Self::Item(keys) => {
                let fits = |item: &&Value| {
                    keys.as_object().is_some_and(|keys| keys.iter().all(|(name, key)| item[name] == *key))
                };
                value.as_array()?.iter().find(fits)
            }
            Self::Value(wanted) => value.as_array()?.iter().find(|item| *item == wanted),
            Self::Unknown => None,
        }
    }

    fn path(&self, path: &str) -> String {
        match self {
            Self::Field(name) => field(path, name),
            Self::Item(keys) => {
                let keys: Vec<_> =
                    keys.as_object().into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{path}[{}]", keys.join(","))
            }
            Self::Value(value) => format!("{path}[{value}]"),
            Self::Unknown => path.to_owned(),
        }
    }
}

/// The part of a value that a tree owns.
fn project(value: &Value, tree: &Value) -> Value {
    if children(tree).next().is_none() {
        return value.clone();
    }
    match value {
        Value::Object(_) => {
            let mut owned = Map::new();
            for key in children(tree) {
                if let (Step::Field(name), Some(part)) = (Step::new(key), Step::new(key).of(value)) {
                    owned.insert(name.to_owned(), project(part, &tree[key.as_str()]));
                }
            }
            Value::Object(owned)
        }
        Value::Array(items) => {
            let part = |item: &Value| {
                let key = children(tree).find(|key| Step::new(key).of(&Value::Array(vec![item.clone()])).is_some())?;
                Some(project(item, &tree[key.as_str()]))
            };
            Value::Array(items.iter().filter_map(part).collect())
        }
        scalar => scalar.clone(),
    }
}

/// The items of a list by their names, if all have one of their own.
fn named(items: &[Value]) -> Option<Map<String, Value>> {
    let mut found = Map::new();
    for item in items {
        found.insert(item.get("name")?.as_str()?.to_owned(), item.clone());
    }
    (found.len() == items.len() && !found.is_empty()).then_some(found)
}

/// The path of a field below another.
fn field(path: &str, name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if !name.is_empty() && name.chars().all(plain) { format!("{path}.{name}") } else { format!("{path}[{name:?}]") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(spec: &Value, owned: &Value) -> Value {
        json!({
            "metadata": {"managedFields": [
                {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:theirs": {}}}},
                {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": owned}},
            ]},
            "spec": spec,
        })
    }

    fn shown(changes: &[Change]) -> Vec<String> {
        let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
        changes
            .iter()
            .map(|change| format!("{} {} > {}", change.field, text(&change.before), text(&change.after)))
            .collect()
    }

    #[test]
    fn only_what_is_ours_counts() {
        let owned = json!({"f:replicas": {}, "f:gone": {}});
        let live = object(&json!({"replicas": 1, "gone": 1, "theirs": 1, "default": 1}), &owned);
        let result = object(&json!({"replicas": 2, "theirs": 2, "default": 2}), &json!({"f:replicas": {}}));
        assert_eq!(shown(&fields(&live, &result)), [".spec.gone 1 > -", ".spec.replicas 1 > 2"]);
    }

    #[test]
    fn items_are_matched_by_their_keys_and_shown_without_defaults() {
        let key = |port: u16| format!("k:{{\"port\":{port},\"protocol\":\"TCP\"}}");
        let before = json!({"f:ports": {key(80): {"f:port": {}, "f:name": {}}, key(81): {"f:port": {}}}});
        let after = json!({"f:ports": {key(80): {"f:port": {}, "f:name": {}}, key(82): {".": {}, "f:port": {}}}});
        let port = |port: u16, name: &str| json!({"port": port, "protocol": "TCP", "name": name, "targetPort": port});
        let live = object(&json!({"ports": [port(81, "b"), port(80, "a")]}), &before);
        let result = object(&json!({"ports": [port(80, "c"), port(82, "d")]}), &after);
        assert_eq!(
            shown(&fields(&live, &result)),
            [
                ".spec.ports[port=80,protocol=\"TCP\"].name \"a\" > \"c\"",
                ".spec.ports[port=81,protocol=\"TCP\"] {\"port\":81} > -",
                ".spec.ports[port=82,protocol=\"TCP\"] - > {\"port\":82}",
            ]
        );
    }

    #[test]
    fn what_is_ours_as_a_whole_is_compared_inside() {
        let owned = json!({"f:versions": {}, "f:args": {}});
        let version = |name: &str, served: bool| json!({"name": name, "served": served});
        let live = object(&json!({"versions": [version("v1", true), version("v2", true)], "args": ["a", "b"]}), &owned);
        let result = object(&json!({"versions": [version("v2", false)], "args": ["a"]}), &owned);
        assert_eq!(
            shown(&fields(&live, &result)),
            [
                ".spec.args [\"a\",\"b\"] > [\"a\"]",
                ".spec.versions[name=\"v1\"] {\"name\":\"v1\",\"served\":true} > -",
                ".spec.versions[name=\"v2\"].served true > false",
            ]
        );
    }

    #[test]
    fn the_document_alone_tells_what_it_says() {
        let live = json!({"spec": {"a": 1, "other": 2, "list": [{"name": "x", "image": "i:1", "default": true}]}});
        let document = json!({"spec": {"a": 2, "list": [{"name": "x", "image": "i:2"}], "new": {"b": 1}}});
        assert_eq!(
            shown(&declared(&live, &document)),
            [".spec.a 1 > 2", ".spec.list[name=\"x\"].image \"i:1\" > \"i:2\"", ".spec.new - > {\"b\":1}"]
        );
    }

    #[test]
    fn our_own_record_is_not_told_and_odd_names_are_quoted() {
        let tree = json!({"f:metadata": {"f:annotations": {format!("f:{APPLIED_HASH}"): {}, "f:a.b/c": {}}}});
        let object = |hash: &str, value: &str| {
            json!({"metadata": {"annotations": {APPLIED_HASH: hash, "a.b/c": value},
                "managedFields": [{"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": tree}]}})
        };
        assert_eq!(
            shown(&fields(&object("1", "x"), &object("2", "y"))),
            [".metadata.annotations[\"a.b/c\"] \"x\" > \"y\""]
        );
    }
}
