//! One object as the user wrote it, and the reference that names it.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::error::Problem;

/// An object with the place it came from. Its kind, API version and name are there: see [`Object::new`].
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The whole object.
    pub document: Value,
    /// The file, or `<stdin>`, or what generated it.
    pub source: String,
    /// The line of the source where its document begins, from 1.
    pub line: u64,
}

impl Object {
    /// Checks that the document has what names an object.
    ///
    /// # Errors
    /// The first of `apiVersion`, `kind`, `metadata.name` that is missing or not text.
    pub fn new(document: Value, source: impl Into<String>, line: u64) -> Result<Self, Problem> {
        let source = source.into();
        let problem = |message: &str| Problem { source: source.clone(), line, message: message.to_owned() };
        if !document.is_object() {
            return Err(problem("this is not an object but a bare value"));
        }
        for field in ["apiVersion", "kind"] {
            if text(&document[field]).is_empty() {
                return Err(problem(&no_text(field, &document[field])));
            }
        }
        let metadata = &document["metadata"];
        if text(&metadata["name"]).is_empty() {
            let message = if metadata["generateName"].is_string() {
                "`metadata.generateName` can't be applied, because each time it would make another object".to_owned()
            } else {
                no_text("metadata.name", &metadata["name"])
            };
            return Err(problem(&format!("{}: {message}", text(&document["kind"]))));
        }
        if !metadata["namespace"].is_null() && !metadata["namespace"].is_string() {
            return Err(problem(&no_text("metadata.namespace", &metadata["namespace"])));
        }
        Ok(Self { document, source, line })
    }

    /// `apps/v1`, `v1`.
    #[must_use]
    pub fn api_version(&self) -> &str {
        text(&self.document["apiVersion"])
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        group_of(self.api_version())
    }

    /// The API version without its group.
    #[must_use]
    pub fn version(&self) -> &str {
        version_of(self.api_version())
    }

    /// `Deployment`.
    #[must_use]
    pub fn kind(&self) -> &str {
        text(&self.document["kind"])
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        text(&self.document["metadata"]["name"])
    }

    /// Its namespace, if it says one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.document["metadata"]["namespace"].as_str().filter(|name| !name.is_empty())
    }

    /// What names it in the cluster.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        ObjectRef {
            api_version: self.api_version().to_owned(),
            kind: self.kind().to_owned(),
            namespace: self.namespace().map(str::to_owned),
            name: self.name().to_owned(),
        }
    }

    /// `file.yaml:12`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}:{}", self.source, self.line)
    }
}

/// Names an object in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// `apps/v1`, `v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// `None` for what lives in no namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectRef {
    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        group_of(&self.api_version)
    }

    /// The API version without its group.
    #[must_use]
    pub fn version(&self) -> &str {
        version_of(&self.api_version)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// What to say of a field that should be text. YAML makes numbers and booleans of words such as `7`
/// and `on`, which surprises whoever meant a name.
fn no_text(field: &str, value: &Value) -> String {
    match value {
        Value::Null => format!("`{field}` is missing"),
        Value::String(_) => format!("`{field}` is empty"),
        Value::Bool(_) | Value::Number(_) => {
            format!("`{field}` is read as {value}, which is not text: write it in quotes")
        }
        Value::Array(_) | Value::Object(_) => format!("`{field}` is not text"),
    }
}

pub(super) fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

pub(super) fn version_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or(api_version, |(_, version)| version)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_names_an_object_must_be_there() {
        let problem = |document| Object::new(document, "a.yaml", 3).expect_err("it is not whole").to_string();
        assert_eq!(problem(json!("text")), "a.yaml:3: this is not an object but a bare value");
        assert_eq!(problem(json!({"kind": "Pod"})), "a.yaml:3: `apiVersion` is missing");
        assert_eq!(
            problem(json!({"apiVersion": "v1", "kind": 1})),
            "a.yaml:3: `kind` is read as 1, which is not text: write it in quotes"
        );
        assert_eq!(
            problem(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": false}})),
            "a.yaml:3: Pod: `metadata.name` is read as false, which is not text: write it in quotes"
        );
        assert!(
            problem(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}}))
                .contains("generateName")
        );
    }

    #[test]
    fn group_and_version_are_told_apart() {
        let object = |version: &str| {
            Object::new(json!({"apiVersion": version, "kind": "X", "metadata": {"name": "x"}}), "-", 1).expect("whole")
        };
        assert_eq!((object("v1").group(), object("v1").version()), ("", "v1"));
        assert_eq!((object("apps/v1").group(), object("apps/v1").version()), ("apps", "v1"));
    }
}
