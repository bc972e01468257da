//! A lab file against its JSON Schema, with every fault at its place. Knows as much of JSON Schema as
//! schemars writes for our types; a test keeps watch over that.

use camino::Utf8Path;
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::yaml::{Entry, Node, Tree};

/// Everything about `root` that does not fit `schema`. `text` is what `root` was read from.
pub(super) fn check(root: &Node, schema: &Value, file: &Utf8Path, text: &str) -> Vec<Problem> {
    let mut check = Check { schema, file, text, problems: Vec::new() };
    check.node(root, schema, "");
    check.problems
}

struct Check<'a> {
    schema: &'a Value,
    file: &'a Utf8Path,
    text: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    fn node(&mut self, node: &Node, schema: &'a Value, path: &str) {
        let schema = self.referenced(schema);
        let values = choices(schema);
        if !values.is_empty() {
            self.choice(node, &values, path);
            return;
        }
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|&name| is(node, name)) {
            self.wrong_type(node, &types, path);
            return;
        }
        match &node.tree {
            Tree::Map(entries) => self.map(node, entries, schema, path),
            Tree::List(nodes) => {
                if let Some(items) = schema.get("items") {
                    for (index, item) in nodes.iter().enumerate() {
                        self.node(item, items, &format!("{path}[{index}]"));
                    }
                }
                if nodes.is_empty() && schema["minItems"].as_u64().is_some_and(|least| least > 0) {
                    self.problem(node, format!("{} is empty", name(path)), Some("it needs at least one entry".into()));
                }
            }
            Tree::Scalar(Value::String(text)) => self.text(node, text, schema, path),
            Tree::Scalar(Value::Number(number)) => {
                let value = number.as_f64().unwrap_or_default();
                let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
                if least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most) {
                    let range = match (least, most) {
                        (Some(least), Some(most)) => format!("it must be {least} to {most}"),
                        (Some(least), None) => format!("it must be at least {least}"),
                        (None, most) => format!("it must be at most {}", most.unwrap_or_default()),
                    };
                    self.problem(node, format!("{} is {number}", name(path)), Some(range));
                }
            }
            Tree::Scalar(_) => {}
        }
    }

    fn map(&mut self, node: &Node, entries: &[Entry], schema: &'a Value, path: &str) {
        let nothing = Map::new();
        let known = schema["properties"].as_object();
        for entry in entries {
            let below = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            if let Some(schema) = known.and_then(|known| known.get(&entry.key)) {
                self.node(&entry.value, schema, &below);
            } else if schema["additionalProperties"] == Value::Bool(false) {
                let names = known.unwrap_or(&nothing).keys().map(String::as_str);
                let hint = nearest(&entry.key, names.clone())
                    .map_or_else(|| format!("known here: {}", names.collect::<Vec<_>>().join(", ")), did_you_mean);
                let of = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
                let message = format!("unknown field `{}`{of}", entry.key);
                self.problems.push(Problem::at(self.file, entry.line, entry.column, message).hint(hint));
            } else if let Some(schema) = schema.get("additionalProperties").filter(|schema| schema.is_object()) {
                self.node(&entry.value, schema, &below);
            }
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !entries.iter().any(|entry| entry.key == required) {
                let of = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
                let hint = known
                    .and_then(|known| known.get(required))
                    .map(|schema| choices(self.referenced(schema)))
                    .filter(|values| values.len() == 1)
                    .map(|values| format!("add `{required}: {}`", values[0]));
                self.problem(node, format!("field `{required}` is missing{of}"), hint);
            }
        }
    }

    fn choice(&mut self, node: &Node, values: &[&str], path: &str) {
        let Tree::Scalar(Value::String(text)) = &node.tree else {
            return self.wrong_type(node, &["string"], path);
        };
        if !values.contains(&text.as_str()) {
            let known = values.join(", ");
            let hint = nearest(text, values.iter().copied())
                .map_or_else(|| format!("known: {known}"), |near| format!("did you mean `{near}`? (known: {known})"));
            self.problem(node, format!("unknown value `{text}` of {}", name(path)), Some(hint));
        }
    }

    fn text(&mut self, node: &Node, text: &str, schema: &Value, path: &str) {
        let length = text.chars().count() as u64;
        if schema["minLength"].as_u64().is_some_and(|least| length < least) {
            return self.problem(node, format!("{} is empty", name(path)), None);
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|&most| length > most) {
            let message = format!("{} has {length} characters", name(path));
            return self.problem(node, message, Some(format!("at most {most} fit")));
        }
        let Some(pattern) = schema["pattern"].as_str() else { return };
        // A pattern that is no regular expression is a fault of ours, which a test finds.
        if regex::Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(text)) {
            let hint = match pattern {
                _ if pattern.starts_with("^1") => "a version is written as \"1.34\" or \"1.34.4\"",
                _ if pattern.starts_with("^[0-9]") => "a time is written with a unit, as 30s, 2m or 1h",
                _ if pattern.starts_with("^[a-z0-9]") => {
                    "a DNS label has small letters, digits and `-`, and starts and ends with a letter or digit"
                }
                _ => "it has small letters, digits and `-`",
            };
            self.problem(node, format!("{} can't be `{text}`", name(path)), Some(hint.to_owned()));
        }
    }

    fn wrong_type(&mut self, node: &Node, types: &[&str], path: &str) {
        let wanted = types.iter().map(|name| in_words(name)).collect::<Vec<_>>().join(" or ");
        let (message, hint) = match &node.tree {
            Tree::Scalar(Value::Null) => {
                (format!("{} has no value", name(path)), format!("give it {wanted}, or remove it"))
            }
            Tree::Scalar(value) if types.contains(&"string") && !value.is_string() => {
                let written = self.written(node);
                let what = if value.is_boolean() { "boolean" } else { "number" };
                (
                    format!("{}: YAML reads {written} as the {what} {value}", name(path)),
                    format!("put it in quotes: \"{written}\""),
                )
            }
            Tree::Scalar(Value::String(_)) => (format!("{} is text", name(path)), format!("it must be {wanted}")),
            Tree::Scalar(Value::Bool(_)) => (format!("{} is a boolean", name(path)), format!("it must be {wanted}")),
            Tree::Scalar(value) => (format!("{} is {value}", name(path)), format!("it must be {wanted}")),
            Tree::List(_) => (format!("{} is a list", name(path)), format!("it must be {wanted}")),
            Tree::Map(_) => (format!("{} is a mapping", name(path)), format!("it must be {wanted}")),
        };
        self.problem(node, message, Some(hint));
    }

    /// A plain scalar as it stands in the file: `1.30`, where the value is 1.3 already.
    fn written(&self, node: &Node) -> String {
        let position = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or_default();
        let line = self.text.lines().nth(position(node.line)).unwrap_or_default();
        line.chars().skip(position(node.column)).take_while(|c| !c.is_whitespace() && !",]}#".contains(*c)).collect()
    }

    fn problem(&mut self, node: &Node, message: String, hint: Option<String>) {
        self.problems.push(Problem { hint, ..Problem::at(self.file, node.line, node.column, message) });
    }

    fn referenced(&self, schema: &'a Value) -> &'a Value {
        let pointer = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
        pointer.and_then(|pointer| self.schema.pointer(pointer)).unwrap_or(schema)
    }
}

/// The values of an enumeration: `enum`, `const`, or `oneOf` such, as schemars writes documented ones.
fn choices(schema: &Value) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    let single = schema.get("const");
    let parts = schema["oneOf"].as_array().into_iter().flatten().flat_map(choices);
    listed.chain(single).filter_map(Value::as_str).chain(parts).collect()
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is(node: &Node, name: &str) -> bool {
    match (&node.tree, name) {
        (Tree::Map(_), "object")
        | (Tree::List(_), "array")
        | (Tree::Scalar(Value::String(_)), "string")
        | (Tree::Scalar(Value::Bool(_)), "boolean")
        | (Tree::Scalar(Value::Number(_)), "number") => true,
        (Tree::Scalar(Value::Number(number)), "integer") => !number.is_f64(),
        _ => false,
    }
}

fn in_words(name: &str) -> &str {
    match name {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        other => other,
    }
}

fn name(path: &str) -> String {
    if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") }
}

fn did_you_mean(near: &str) -> String {
    format!("did you mean `{near}`?")
}

/// The name that `word` was probably meant to be.
pub(super) fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let lower = word.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|&(distance, name)| distance <= (name.len().max(word.len()) / 3).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every keyword of the schema must be one that this file obeys or one that only describes.
    #[test]
    fn the_schema_says_nothing_that_is_not_checked() {
        fn walk(value: &Value, is_schema: bool, unknown: &mut Vec<String>) {
            let obeyed = [
                "$ref",
                "enum",
                "const",
                "oneOf",
                "type",
                "items",
                "minItems",
                "minimum",
                "maximum",
                "properties",
                "additionalProperties",
                "required",
                "minLength",
                "maxLength",
                "pattern",
            ];
            let describing = ["$schema", "$id", "$defs", "title", "description", "default", "format"];
            let Value::Object(map) = value else { return };
            for (key, below) in map {
                if is_schema && !obeyed.contains(&key.as_str()) && !describing.contains(&key.as_str()) {
                    unknown.push(key.clone());
                }
                if key == "pattern" && is_schema {
                    regex::Regex::new(below.as_str().expect("a pattern is text")).expect("a regular expression");
                }
                match below {
                    Value::Array(list) => list.iter().for_each(|item| walk(item, true, unknown)),
                    _ => {
                        walk(below, !is_schema || !["properties", "$defs", "default"].contains(&key.as_str()), unknown);
                    }
                }
            }
        }
        let mut unknown = Vec::new();
        walk(&super::super::schema(), true, &mut unknown);
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("provder", ["provider", "kubernetes"]), Some("provider"));
        assert_eq!(nearest("apiversion", ["apiVersion", "kind"]), Some("apiVersion"));
        assert_eq!(nearest("xyz", ["provider", "kubernetes"]), None);
    }
}
