//! The object under conversion, and its fields without the surprises of what users write.

use serde_json::{Map, Value};

use super::{Refusal, is_empty};

/// The fields of a mapping.
pub(super) type Fields = Map<String, Value>;

/// An object under conversion.
pub(super) struct Draft {
    pub(super) document: Value,
    pub(super) notes: Vec<String>,
}

impl Draft {
    pub(super) fn new(document: Value) -> Self {
        Self { document, notes: Vec::new() }
    }

    /// Writes the new version. The status is its controller's and of the old version's form.
    pub(super) fn set_version(&mut self, api_version: &str) {
        if let Some(fields) = self.document.as_object_mut() {
            fields.insert("apiVersion".to_owned(), Value::from(api_version));
            fields.shift_remove("status");
        }
    }

    /// Something that the user should know.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// The object's own fields.
    pub(super) fn root(&mut self) -> Result<&mut Fields, Refusal> {
        mapping(&mut self.document, "the document")
    }

    /// The mapping at a path of keys; those on the way that are missing are made.
    pub(super) fn at(&mut self, path: &[&str]) -> Result<&mut Fields, Refusal> {
        at(self.root()?, path)
    }

    /// A value at a path of keys, or null.
    pub(super) fn get(&self, path: &[&str]) -> &Value {
        path.iter().fold(&self.document, |value, key| &value[*key])
    }

    /// Adds an annotation unless it is there.
    pub(super) fn annotate(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        fill(self.at(&["metadata", "annotations"])?, name, || Value::from(value));
        Ok(())
    }
}

/// The mapping below another one; those on the way that are missing are made.
pub(super) fn at<'a>(mut fields: &'a mut Fields, path: &[&str]) -> Result<&'a mut Fields, Refusal> {
    for key in path {
        let value = fields.entry(*key).or_insert(Value::Null);
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        fields = mapping(value, key)?;
    }
    Ok(fields)
}

/// A value that must be a mapping.
pub(super) fn mapping<'a>(value: &'a mut Value, name: &str) -> Result<&'a mut Fields, Refusal> {
    value.as_object_mut().ok_or_else(|| Refusal::new(format!("`{name}` is not a mapping"), "correct the file"))
}

/// The items of a list of mappings; none if it is missing.
pub(super) fn items<'a>(fields: &'a mut Fields, name: &str) -> Result<Vec<&'a mut Fields>, Refusal> {
    match fields.get_mut(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter_mut().map(|item| mapping(item, name)).collect(),
        Some(_) => Err(Refusal::new(format!("`{name}` is not a list"), "correct the file")),
    }
}

/// Takes a field out; `None` if it is missing or null.
pub(super) fn take(fields: &mut Fields, name: &str) -> Option<Value> {
    // The others stay in their order.
    fields.shift_remove(name).filter(|value| !value.is_null())
}

/// Gives a field another name.
pub(super) fn rename(fields: &mut Fields, old: &str, new: &str) {
    if let Some(value) = take(fields, old) {
        fields.insert(new.to_owned(), value);
    }
}

/// Writes a field out that is missing or null.
pub(super) fn fill(fields: &mut Fields, name: &str, value: impl FnOnce() -> Value) {
    if fields.get(name).is_none_or(Value::is_null) {
        fields.insert(name.to_owned(), value());
    }
}

/// Refuses fields that the other version does not have.
pub(super) fn forbid(fields: &Fields, names: &[&str], to: &str) -> Result<(), Refusal> {
    match names.iter().find(|name| fields.get(**name).is_some_and(|value| !is_empty(value))) {
        None => Ok(()),
        Some(name) => Err(Refusal::new(format!("{to} has no `{name}`"), format!("leave `{name}` out"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_is_made_and_what_is_wrong_is_refused() {
        let mut draft = Draft::new(json!({"kind": "X", "spec": {"a": null, "b": 5}}));
        draft.at(&["spec", "a", "c"]).expect("made").insert("d".to_owned(), json!(1));
        assert_eq!(draft.get(&["spec", "a", "c", "d"]), &json!(1));
        let refusal = draft.at(&["spec", "b"]).expect_err("it is a number");
        assert_eq!(refusal.reason, "`b` is not a mapping");
        assert!(items(draft.at(&["spec"]).expect("there"), "b").is_err());
        assert!(items(draft.at(&["spec"]).expect("there"), "none").expect("none").is_empty());
    }

    #[test]
    fn the_status_goes_and_notes_stand_once() {
        let mut draft = Draft::new(json!({"apiVersion": "a/v1", "status": {}}));
        draft.set_version("b/v1");
        assert_eq!(draft.document, json!({"apiVersion": "b/v1"}));
        draft.note("x");
        draft.note("x");
        assert_eq!(draft.notes, ["x"]);
    }
}
