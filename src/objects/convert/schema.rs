//! Schemas of custom resources, made structural: what v1 wants and v1beta1 did not.
//!
//! A structural schema says every type and every field outside of `allOf`, `anyOf`, `oneOf` and `not`, which
//! then only check values. Types that stand in such branches are raised out of them. Where that can't be
//! done without refusing what was taken before, the check is given up, never made stricter.

mod branches;

use serde_json::{Map, Value, json};

use super::draft::Fields;
use branches::JUNCTIONS;

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Makes a version's schema structural; one that is missing becomes one that takes everything. With
/// `preserve`, fields that the schema does not know are kept, as v1beta1 did unless told otherwise. Gives
/// back the paths where less is checked than before.
pub(super) fn structural(schema: &mut Value, preserve: bool) -> Vec<String> {
    let mut maker = Maker { preserve, loosened: Vec::new() };
    if schema.is_null() {
        *schema = json!({"type": "object", PRESERVE: true});
    } else {
        maker.node(schema, "", true);
    }
    maker.loosened
}

struct Maker {
    preserve: bool,
    loosened: Vec<String>,
}

impl Maker {
    fn loosened(&mut self, path: &str) {
        self.loosened.push(if path.is_empty() { "the root".to_owned() } else { format!("`{path}`") });
    }

    fn node(&mut self, schema: &mut Value, path: &str, root: bool) {
        let Value::Object(fields) = schema else {
            // A bare `true` or nothing takes everything, and so does what is put in its place.
            *schema = json!({PRESERVE: true});
            if root {
                schema["type"] = json!("object");
            }
            return;
        };
        if branches::raise(fields, root) {
            self.loosened(path);
        }
        self.kind(fields, path, root);
        self.additional(fields, path, root);
        if root {
            self.metadata(fields);
        }
        if let Some(Value::Object(properties)) = fields.get_mut("properties") {
            for (name, property) in properties {
                if !(root && name == "metadata") {
                    self.node(property, &format!("{path}.{name}"), false);
                }
            }
        }
        if fields.get("type").is_some_and(|kind| kind == "array") {
            let items = fields.entry("items").or_insert(Value::Null);
            self.node(items, &format!("{path}[]"), false);
        }
        if let Some(values @ Value::Object(_)) = fields.get_mut("additionalProperties") {
            self.node(values, &format!("{path}.*"), false);
        }
        let open =
            fields.get("type").is_some_and(|kind| kind == "object") && !fields.contains_key("additionalProperties");
        if self.preserve && open {
            fields.insert(PRESERVE.to_owned(), json!(true));
        }
    }

    /// Sees to it that the type is said, and a known one.
    fn kind(&mut self, fields: &mut Fields, path: &str, root: bool) {
        if let Some(kind) = fields.get("type") {
            if kind.as_str().is_some_and(|kind| TYPES.contains(&kind)) {
                return;
            }
            if kind.as_str().is_some_and(|kind| !kind.is_empty()) {
                self.loosened(path);
            }
            fields.remove("type");
        }
        if root {
            fields.insert("type".to_owned(), json!("object"));
        } else if is_true(fields, INT_OR_STRING) || is_true(fields, PRESERVE) {
            // Both say enough without a type.
        } else if let Some(kind) = inferred(fields) {
            fields.insert("type".to_owned(), json!(kind));
        } else {
            fields.insert(PRESERVE.to_owned(), json!(true));
        }
    }

    /// Values of unknown fields can't be described at the root, nor beside known ones.
    fn additional(&mut self, fields: &mut Fields, path: &str, root: bool) {
        let known = fields.get("properties").and_then(Value::as_object).is_some_and(|known| !known.is_empty());
        let values = fields.get("additionalProperties");
        let free = values.is_some_and(|values| *values == true);
        if values.is_none() || !(root || known && !free) {
            return;
        }
        let checks = !free && values.is_some_and(|values| *values != json!({}));
        fields.remove("additionalProperties");
        fields.insert(PRESERVE.to_owned(), json!(true));
        if checks {
            self.loosened(path);
        }
    }

    /// The API server checks metadata itself; a schema may add to it only for the two names.
    fn metadata(&mut self, fields: &mut Fields) {
        let Some(Value::Object(properties)) = fields.get_mut("properties") else { return };
        for name in ["apiVersion", "kind"] {
            if let Some(Value::Object(property)) = properties.get_mut(name) {
                property.insert("type".to_owned(), json!("string"));
            }
        }
        let Some(metadata) = properties.get_mut("metadata") else { return };
        let mut names = Map::new();
        let mut checks = false;
        for (key, value) in metadata.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("properties", Value::Object(properties)) => {
                    for (name, property) in properties {
                        let mut property = property.clone();
                        if matches!(name.as_str(), "name" | "generateName") && property.is_object() {
                            property["type"] = json!("string");
                            names.insert(name.clone(), property);
                        } else {
                            checks = true;
                        }
                    }
                }
                ("type" | "description" | "title" | PRESERVE, _) => {}
                _ => checks = true,
            }
        }
        *metadata = json!({"type": "object"});
        if !names.is_empty() {
            metadata["properties"] = Value::Object(names);
        }
        if checks {
            self.loosened(".metadata");
        }
    }
}

fn is_true(fields: &Fields, name: &str) -> bool {
    fields.get(name).is_some_and(|value| *value == true)
}

/// The type that the other keywords of a schema make sense for; keywords that don't fit a value's type
/// check nothing.
fn inferred(fields: &Fields) -> Option<&'static str> {
    let any = |names: &[&str]| names.iter().any(|name| fields.contains_key(*name));
    if any(&["properties", "additionalProperties", "minProperties", "maxProperties", "required"]) {
        return Some("object");
    }
    if any(&["items", "minItems", "maxItems"]) {
        return Some("array");
    }
    if any(&["pattern", "minLength", "maxLength"]) {
        return Some("string");
    }
    if any(&["minimum", "maximum", "multipleOf"]) {
        return Some("number");
    }
    if let Some(Value::Array(values)) = fields.get("enum") {
        let mut kinds = values.iter().map(|value| match value {
            Value::String(_) => Some("string"),
            Value::Bool(_) => Some("boolean"),
            Value::Number(number) if number.is_i64() || number.is_u64() => Some("integer"),
            Value::Number(_) => Some("number"),
            _ => None,
        });
        let first = kinds.next().flatten();
        return first.filter(|first| kinds.all(|kind| kind == Some(*first)));
    }
    match fields.get("format").and_then(Value::as_str) {
        Some("int32" | "int64") => Some("integer"),
        Some("float" | "double") => Some("number"),
        Some("byte" | "binary" | "date" | "date-time" | "password") => Some("string"),
        _ => None,
    }
}

/// A keyword of a schema that clusters with v1beta1 only leave without effect.
pub(super) fn newer(schema: &Value) -> Option<&'static str> {
    let Value::Object(fields) = schema else { return None };
    let here = ["default", "x-kubernetes-validations"].into_iter().find(|keyword| fields.contains_key(*keyword));
    let below = || {
        let single = ["openAPIV3Schema", "items", "additionalProperties", "not"];
        let singles = single.iter().filter_map(|name| fields.get(*name));
        let properties = fields.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values);
        let lists = JUNCTIONS.iter().filter_map(|name| fields.get(*name)?.as_array()).flatten();
        singles.chain(properties).chain(lists).find_map(newer)
    };
    here.or_else(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The structural schema, and where it checks less.
    fn made(mut schema: Value, preserve: bool) -> (Value, Vec<String>) {
        let loosened = structural(&mut schema, preserve);
        (schema, loosened)
    }

    #[test]
    fn without_a_schema_everything_is_taken() {
        assert_eq!(made(Value::Null, true), (json!({"type": "object", PRESERVE: true}), vec![]));
    }

    #[test]
    fn unknown_fields_are_kept_at_every_level_unless_told_otherwise() {
        let schema = json!({"properties": {"spec": {"properties": {"a": {"type": "array"}}}, "m": {"additionalProperties": {"type": "object"}}}});
        let (kept, loosened) = made(schema.clone(), true);
        assert_eq!(kept[PRESERVE], true);
        assert_eq!(
            kept["properties"]["spec"],
            json!({"type": "object", PRESERVE: true,
            "properties": {"a": {"type": "array", "items": {PRESERVE: true}}}})
        );
        assert_eq!(
            kept["properties"]["m"],
            json!({"type": "object", "additionalProperties": {"type": "object", PRESERVE: true}})
        );
        assert!(loosened.is_empty());
        let (pruned, _) = made(schema, false);
        assert!(pruned.get(PRESERVE).is_none() && pruned["properties"]["spec"].get(PRESERVE).is_none());
    }

    #[test]
    fn types_are_found_by_what_is_checked() {
        for (schema, kind) in [
            (json!({"required": ["a"]}), "object"),
            (json!({"minItems": 1}), "array"),
            (json!({"pattern": "^a$"}), "string"),
            (json!({"minimum": 1}), "number"),
            (json!({"format": "int32"}), "integer"),
            (json!({"enum": ["a", "b"]}), "string"),
            (json!({"enum": [1, 2]}), "integer"),
        ] {
            let (made, loosened) = made(json!({"properties": {"x": schema}}), false);
            assert_eq!(made["properties"]["x"]["type"], kind, "{made}");
            assert!(loosened.is_empty());
        }
        let (made, _) = made(json!({"properties": {"x": {"description": "anything"}}}), false);
        assert_eq!(made["properties"]["x"], json!({"description": "anything", PRESERVE: true}));
    }

    #[test]
    fn a_type_that_nobody_knows_checks_nothing() {
        let (made, loosened) = made(json!({"properties": {"x": {"type": "any"}}}), false);
        assert_eq!(made["properties"]["x"], json!({PRESERVE: true}));
        assert_eq!(loosened, ["`.x`"]);
    }

    #[test]
    fn metadata_keeps_only_what_it_may() {
        let name = json!({"pattern": "^x"});
        let schema = json!({"properties": {"kind": {}, "metadata": {"required": ["labels"], "properties": {"name": name, "labels": {}}}}});
        let (made, loosened) = made(schema, true);
        assert_eq!(
            made["properties"]["metadata"],
            json!({"type": "object", "properties": {"name": {"pattern": "^x", "type": "string"}}})
        );
        assert_eq!(made["properties"]["kind"], json!({"type": "string"}));
        assert_eq!(loosened, ["`.metadata`"]);
    }

    #[test]
    fn values_of_unknown_fields_beside_known_ones_are_not_checked() {
        let (made, loosened) = made(
            json!({"properties": {"x": {"additionalProperties": false, "properties": {"a": {"type": "string"}}}}}),
            false,
        );
        assert_eq!(
            made["properties"]["x"],
            json!({"properties": {"a": {"type": "string"}}, "type": "object", PRESERVE: true})
        );
        assert_eq!(loosened, ["`.x`"]);
    }

    #[test]
    fn keywords_are_told_from_fields_of_the_same_name() {
        assert_eq!(newer(&json!({"properties": {"default": {"type": "string"}}})), None);
        assert_eq!(newer(&json!({"properties": {"a": {"default": "x"}}})), Some("default"));
        assert_eq!(
            newer(&json!({"anyOf": [{"items": {"x-kubernetes-validations": []}}]})),
            Some("x-kubernetes-validations")
        );
    }
}
