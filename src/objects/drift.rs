//! Whether we still own every field that we applied. Whoever changes a field takes its ownership
//! from us, so that a look at the metadata is enough to notice a change by hand.

use serde_json::Value;

use super::FIELD_MANAGER;
use super::conflict;
use super::inventory::Live;

/// Paths of fields in the document that we do not own any more.
pub(super) fn lost(document: &Value, live: &Live) -> Vec<String> {
    let ours = live.managed.iter().find(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    });
    let Some(owned) = ours.and_then(|entry| entry.fields_v1.as_ref()) else {
        return vec![".".to_owned()];
    };
    let mut lost = Vec::new();
    let kind = document["kind"].as_str().unwrap_or_default();
    let Some(fields) = document.as_object() else { return lost };
    for (name, value) in fields {
        match name.as_str() {
            // They name the object.
            "apiVersion" | "kind" => {}
            "metadata" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    if !matches!(name.as_str(), "name" | "namespace") {
                        walk(
                            value,
                            &owned.0["f:metadata"][format!("f:{name}")],
                            &format!(".metadata.{name}"),
                            &mut lost,
                        );
                    }
                }
            }
            _ => walk(value, &owned.0[format!("f:{name}")], &format!(".{name}"), &mut lost),
        }
    }
    lost.retain(|path| !managers(path, live).any(|manager| conflict::is_handed_over(kind, path, manager)));
    lost
}

/// Who manages a field besides us; of items of lists only the list is looked for.
fn managers<'a>(path: &'a str, live: &'a Live) -> impl Iterator<Item = &'a str> {
    let owns = |tree: &Value| {
        let steps = path.split('[').next().unwrap_or_default().split('.').filter(|step| !step.is_empty());
        steps.fold(tree, |tree, step| &tree[format!("f:{step}")]).is_object()
    };
    let others = live.managed.iter().filter(move |entry| entry.fields_v1.as_ref().is_some_and(|tree| owns(&tree.0)));
    others.filter_map(|entry| entry.manager.as_deref())
}

/// Compares a value with the tree of owned fields (`fieldsV1`: `f:` a field, `k:` an item by its
/// keys, `v:` an item by its value; an empty node owns all below).
fn walk(value: &Value, owned: &Value, path: &str, lost: &mut Vec<String>) {
    let nothing = match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    if nothing {
        return;
    }
    let Some(nodes) = owned.as_object() else {
        lost.push(path.to_owned());
        return;
    };
    if nodes.keys().all(|key| key == ".") {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                walk(value, &owned[format!("f:{name}")], &format!("{path}.{name}"), lost);
            }
        }
        Value::Array(items) => {
            for item in items {
                match nodes.iter().find(|(key, _)| is_item(key, item)) {
                    Some((_, node)) => walk(item, node, &format!("{path}[{}]", named(item)), lost),
                    None => lost.push(format!("{path}[{}]", named(item))),
                }
            }
        }
        _ => {}
    }
}

/// Whether a node stands for an item of a list. Keys that the item leaves out have their defaults.
fn is_item(node: &str, item: &Value) -> bool {
    if let Some(value) = node.strip_prefix("v:") {
        return serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item);
    }
    let Some(keys) = node.strip_prefix("k:").and_then(|keys| serde_json::from_str::<Value>(keys).ok()) else {
        return false;
    };
    let Some(keys) = keys.as_object() else { return false };
    keys.iter().any(|(name, value)| item[name] == *value)
        && keys.iter().all(|(name, value)| item[name].is_null() || item[name] == *value)
}

/// An item as the server writes it in paths.
fn named(item: &Value) -> String {
    match item["name"].as_str() {
        Some(name) => format!("name=\"{name}\""),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lost_of(document: &Value, owned: &Value) -> Vec<String> {
        let mut lost = Vec::new();
        walk(document, owned, "", &mut lost);
        lost
    }

    #[test]
    fn fields_that_are_owned_are_not_lost() {
        let document = json!({"replicas": 1, "ports": [{"port": 80, "name": "x"}], "args": ["a"], "empty": {}});
        let owned = json!({
            "f:replicas": {},
            "f:ports": {".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:name": {}}},
            "f:args": {},
        });
        assert!(lost_of(&document, &owned).is_empty());
    }

    #[test]
    fn a_field_taken_by_another_is_lost() {
        let document = json!({"replicas": 1, "containers": [{"name": "c", "image": "i"}], "finalizers": ["a", "b"]});
        let owned = json!({
            "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}}},
            "f:finalizers": {"v:\"a\"": {}},
        });
        assert_eq!(lost_of(&document, &owned), [".replicas", ".containers[name=\"c\"].image", ".finalizers[]"]);
    }
}
