//! Branches of `allOf`, `anyOf`, `oneOf` and `not`: types and fields are raised out of them.

use serde_json::{Value, json};

use super::{INT_OR_STRING, PRESERVE, is_true};
use crate::objects::convert::draft::Fields;

/// Keywords whose value is a list of branches.
pub(super) const JUNCTIONS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// What tells something to people, and checks nothing.
const REMARKS: [&str; 5] = ["description", "title", "default", "example", "externalDocs"];

/// Raises types and fields out of the branches of a node. Gives back whether less is checked than before.
pub(super) fn raise(node: &mut Fields, root: bool) -> bool {
    if is_known_pattern(node) {
        return false;
    }
    let mut junctions = Vec::new();
    for name in JUNCTIONS {
        if let Some(Value::Array(branches)) = node.remove(name) {
            junctions.push((name, branches));
        }
    }
    let not = node.remove("not");
    for branch in junctions.iter().flat_map(|(_, branches)| branches).chain(&not) {
        collect(node, branch, root);
    }
    let mut loosened = false;
    for (name, branches) in junctions {
        loosened |= put_back(node, name, branches, root);
    }
    if let Some(mut branch) = not {
        // Checking less of what must not be would refuse more.
        if strip(node, &mut branch, root) {
            loosened = true;
        } else {
            node.insert("not".to_owned(), branch);
        }
    }
    loosened
}

/// The two forms of a number or a text that are allowed as they are.
fn is_known_pattern(node: &Fields) -> bool {
    let both = json!([{"type": "integer"}, {"type": "string"}]);
    is_true(node, INT_OR_STRING)
        && (node.get("anyOf") == Some(&both)
            || node.get("allOf").and_then(|all| all.get(0)).is_some_and(|first| first["anyOf"] == both))
}

/// Puts a list of branches back, without what may not stand in them.
fn put_back(node: &mut Fields, name: &str, mut branches: Vec<Value>, root: bool) -> bool {
    let mut looser = false;
    for branch in &mut branches {
        looser |= strip(node, branch, root);
    }
    let says_nothing = |branch: &Value| *branch == json!({});
    match name {
        "allOf" => branches.retain(|branch| !says_nothing(branch)),
        // One that takes everything makes the others idle.
        _ if branches.iter().any(says_nothing) => {
            let only_types = branches.iter().all(says_nothing);
            branches.clear();
            if only_types {
                return looser;
            }
            looser = true;
        }
        _ => {}
    }
    // Where branches check less, more than one may hold.
    let name = if looser && name == "oneOf" { "anyOf" } else { name };
    if !branches.is_empty() {
        if let Some(Value::Array(others)) = node.get_mut(name) {
            // Both lists must hold, which only `allOf` can say.
            let other = json!({name: std::mem::take(others)});
            node.remove(name);
            let all = node.entry("allOf").or_insert_with(|| json!([]));
            if let Some(all) = all.as_array_mut() {
                all.extend([other, json!({name: branches})]);
            }
        } else {
            node.insert(name.to_owned(), Value::Array(branches));
        }
    }
    looser
}

/// Adds to a node the types and fields that a branch of it names.
fn collect(node: &mut Fields, branch: &Value, root: bool) {
    let Value::Object(branch) = branch else { return };
    if let Some(kind) = branch.get("type").and_then(Value::as_str) {
        merge(node, kind);
    }
    if let Some(Value::Object(properties)) = branch.get("properties") {
        for (name, property) in properties {
            if !(root && name == "metadata") {
                collect(child(node, "properties", Some(name)), property, false);
            }
        }
    }
    if let Some(items @ Value::Object(_)) = branch.get("items") {
        collect(child(node, "items", None), items, false);
    }
    for inner in JUNCTIONS.iter().filter_map(|name| branch.get(*name)?.as_array()).flatten().chain(branch.get("not")) {
        collect(node, inner, root);
    }
}

/// The schema of a field or of items, made if it is missing.
fn child<'a>(node: &'a mut Fields, keyword: &str, name: Option<&str>) -> &'a mut Fields {
    let mut value = node.entry(keyword).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    if let Some(name) = name {
        value = &mut value[name];
        if !value.is_object() {
            *value = json!({});
        }
    }
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("it was made an object above"),
    }
}

/// Makes a node take a type in addition to those that it takes.
fn merge(node: &mut Fields, kind: &str) {
    let has = node.get("type").and_then(Value::as_str).map(str::to_owned);
    match has.as_deref() {
        _ if is_true(node, PRESERVE) && has.is_none() => {}
        _ if is_true(node, INT_OR_STRING) && matches!(kind, "integer" | "string") => {}
        None if !is_true(node, INT_OR_STRING) => {
            node.insert("type".to_owned(), json!(kind));
        }
        Some(has) if has == kind => {}
        Some("number") if kind == "integer" => {}
        Some("integer") if kind == "number" => {
            node.insert("type".to_owned(), json!("number"));
        }
        Some("integer" | "string") if matches!(kind, "integer" | "string") => {
            node.remove("type");
            node.insert(INT_OR_STRING.to_owned(), json!(true));
        }
        _ => {
            node.remove("type");
            node.remove(INT_OR_STRING);
            node.insert(PRESERVE.to_owned(), json!(true));
        }
    }
}

/// Takes out of a branch what may stand only outside of it. Gives back whether it checks less than before.
fn strip(node: &Fields, branch: &mut Value, root: bool) -> bool {
    let Value::Object(branch) = branch else { return false };
    let mut looser = false;
    for remark in REMARKS {
        branch.remove(remark);
    }
    branch.retain(|name, _| !name.starts_with("x-kubernetes-"));
    if let Some(kind) = branch.remove("type") {
        let alone = branch.is_empty() && is_true(node, INT_OR_STRING);
        looser |= node.get("type") != Some(&kind) && !alone;
    }
    looser |= branch.remove("nullable").is_some_and(|nullable| nullable == true);
    looser |= branch.remove("additionalProperties").is_some_and(|values| values != true && values != json!({}));
    if let Some(Value::Object(properties)) = branch.get_mut("properties") {
        looser |= root && properties.remove("metadata").is_some();
        for (name, property) in properties.iter_mut() {
            if let Some(Value::Object(known)) = node.get("properties").map(|known| &known[name.as_str()]) {
                looser |= strip(known, property, false);
            }
        }
        if properties.is_empty() {
            branch.remove("properties");
        }
    }
    if let Some(items) = branch.get_mut("items")
        && let Some(Value::Object(known)) = node.get("items")
    {
        looser |= strip(known, items, false);
    }
    for name in JUNCTIONS {
        let Some(Value::Array(inner)) = branch.get_mut(name) else { continue };
        let less = inner.iter_mut().fold(false, |less, branch| strip(node, branch, root) | less);
        looser |= less;
        if less && name == "oneOf" {
            let inner = branch.remove(name).unwrap_or_default();
            branch.insert("anyOf".to_owned(), inner);
        }
    }
    if let Some(not) = branch.get_mut("not")
        && strip(node, not, root)
    {
        branch.remove("not");
        looser = true;
    }
    looser
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(node: Value) -> (Value, bool) {
        let Value::Object(mut fields) = node else { panic!("an object") };
        let looser = raise(&mut fields, false);
        (Value::Object(fields), looser)
    }

    #[test]
    fn a_type_of_all_branches_is_the_nodes() {
        let (node, looser) =
            raised(json!({"anyOf": [{"type": "string", "pattern": "^a"}, {"type": "string", "maxLength": 3}]}));
        assert_eq!(node, json!({"type": "string", "anyOf": [{"pattern": "^a"}, {"maxLength": 3}]}));
        assert!(!looser);
    }

    #[test]
    fn a_number_or_a_text_is_that() {
        for junction in ["anyOf", "oneOf"] {
            let (node, looser) = raised(json!({junction: [{"type": "string"}, {"type": "integer"}]}));
            assert_eq!((node, looser), (json!({INT_OR_STRING: true}), false));
        }
        let pattern = json!({INT_OR_STRING: true, "anyOf": [{"type": "integer"}, {"type": "string"}]});
        assert_eq!(raised(pattern.clone()), (pattern, false));
    }

    #[test]
    fn types_that_have_nothing_in_common_are_not_checked() {
        let (node, looser) = raised(json!({"oneOf": [{"type": "string"}, {"type": "object"}]}));
        assert_eq!((node, looser), (json!({PRESERVE: true}), true));
    }

    #[test]
    fn fields_of_branches_are_the_nodes_too() {
        let (node, looser) = raised(json!({"oneOf": [
            {"required": ["a"], "properties": {"a": {"type": "string", "minLength": 1}}},
            {"required": ["b"], "properties": {"b": {"type": "array", "items": {"type": "integer"}}}},
        ]}));
        assert_eq!(
            node,
            json!({
                "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "integer"}}},
                "oneOf": [
                    {"required": ["a"], "properties": {"a": {"minLength": 1}}},
                    {"required": ["b"], "properties": {"b": {"items": {}}}},
                ],
            })
        );
        assert!(!looser);
    }

    #[test]
    fn what_must_not_be_is_not_made_more() {
        let (node, looser) =
            raised(json!({"type": "object", "not": {"additionalProperties": {"type": "string"}, "required": ["a"]}}));
        assert_eq!((node, looser), (json!({"type": "object"}), true));
        let (node, looser) = raised(json!({"not": {"required": ["a"]}}));
        assert_eq!((node, looser), (json!({"not": {"required": ["a"]}}), false));
    }

    #[test]
    fn one_of_several_is_any_of_them_once_they_check_less() {
        let (node, looser) = raised(json!({"type": "object", "oneOf": [
            {"required": ["a"], "additionalProperties": false}, {"required": ["b"]}]}));
        assert_eq!(
            (node, looser),
            (json!({"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}), true)
        );
    }
}
