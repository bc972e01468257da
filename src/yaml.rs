//! The only place that reads or writes YAML, by kubectl's rules: `yes` and `on` are booleans, `0644`
//! is octal, `<<` merges. Stricter than kubectl in one point: a key that stands twice is an error.

mod node;
mod write;

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::error::{Failure, Kind};

pub use node::{Entry, Node, Tree};
pub use write::{stream, to_string};

/// One document of a YAML stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its content.
    pub value: Value,
    /// The file it came from, or `<stdin>`.
    pub source: String,
    /// The line of its first node, counted from 1.
    pub line: u64,
}

/// Why a text can't be read or a value can't be written.
#[derive(Debug, Error)]
pub enum Error {
    /// The text is not YAML, or not what was expected.
    #[error("{source_name}:{line}:{column}: {message}")]
    Read {
        /// The file, or `<stdin>`.
        source_name: String,
        /// Counted from 1; 0 if unknown.
        line: u64,
        /// Counted from 1; 0 if unknown.
        column: u64,
        /// What is wrong there.
        message: String,
    },
    /// A key stands twice in one mapping.
    #[error("{source_name}:{line}:{column}: the key `{key}` stands twice")]
    Duplicate {
        /// The file, or `<stdin>`.
        source_name: String,
        /// The second one's line, counted from 1.
        line: u64,
        /// Its column, counted from 1.
        column: u64,
        /// The key.
        key: String,
    },
    /// The value has no YAML form.
    #[error("can't write YAML: {message}")]
    Write {
        /// Why.
        message: String,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Read { .. } | Error::Duplicate { .. } => Kind::BadInput,
            Error::Write { .. } => Kind::Unexpected,
        };
        Self::new(kind, error)
    }
}

/// Reads every document of a stream; empty ones are left out. `source` names the text in errors.
///
/// # Errors
/// [`Error::Read`] or [`Error::Duplicate`] at the first fault.
pub fn documents(text: &str, source: &str) -> Result<Vec<Document>, Error> {
    Ok(from_nodes(nodes(text, source)?, source))
}

fn from_nodes(nodes: Vec<Node>, source: &str) -> Vec<Document> {
    nodes
        .into_iter()
        .map(|node| Document { line: node.line, value: node.into_value(), source: source.to_owned() })
        .collect()
}

/// As [`documents`], but of a key that stands twice the last one counts, as for kubectl. Gives back the
/// first such key, too.
///
/// # Errors
/// [`Error::Read`] at the first fault.
pub fn documents_with_repeats(text: &str, source: &str) -> Result<(Vec<Document>, Option<Error>), Error> {
    let repeat = match documents(text, source) {
        Ok(documents) => return Ok((documents, None)),
        Err(error @ Error::Duplicate { .. }) => error,
        Err(error) => return Err(error),
    };
    let mut options = options();
    options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::LastWins;
    let nodes: Vec<Node> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| read_error(&error, source))?;
    Ok((from_nodes(nodes, source), Some(repeat)))
}

/// As [`documents`], with the place of every key and value kept.
///
/// # Errors
/// [`Error::Read`] or [`Error::Duplicate`] at the first fault.
pub fn nodes(text: &str, source: &str) -> Result<Vec<Node>, Error> {
    serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| read_error(&error, source))
}

/// Reads one document into a type. A string must be written as one: `1.30`, `yes` or `0644` where text
/// is expected is an error that asks for quotes, as another reader would see a number or a boolean.
///
/// # Errors
/// [`Error::Read`] or [`Error::Duplicate`] at the first fault.
pub fn from_str<T: DeserializeOwned>(text: &str, source: &str) -> Result<T, Error> {
    let mut options = options();
    options.no_schema = true;
    serde_saphyr::from_str_with_options(text, options).map_err(|error| read_error(&error, source))
}

fn options() -> serde_saphyr::Options {
    let mut options = serde_saphyr::Options::default();
    options.legacy_octal_numbers = true;
    options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::Error;
    options.merge_keys = serde_saphyr::MergeKeyPolicy::Merge;
    options.non_finite_float_policy = serde_saphyr::NonFiniteFloatPolicy::Reject;
    options.emit_comments = false;
    // A message stands in one line of a report; the line it points at is in the file.
    options.with_snippet = false;
    let mut budget = serde_saphyr::Budget::default();
    // Large sets of CRDs in one stream are common: the default stops at a quarter of a million nodes.
    budget.max_nodes = 8_000_000;
    budget.max_events = 16_000_000;
    budget.max_documents = 100_000;
    options.budget = Some(budget);
    options
}

fn read_error(error: &serde_saphyr::Error, source: &str) -> Error {
    let location = error.location();
    let (line, column) = location.map_or((0, 0), |at| (at.line(), at.column()));
    let source_name = source.to_owned();
    if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error.without_snippet() {
        return Error::Duplicate { source_name, line, column, key: key.clone().unwrap_or_default() };
    }
    let message = error.to_string();
    // The library repeats the place after some messages; it already stands in front of ours.
    let message = match (location, message.rfind(" at line ")) {
        (Some(_), Some(end)) if !message[end..].contains('\n') => message[..end].to_owned(),
        _ => message,
    };
    Error::Read { source_name, line, column, message }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn one(text: &str) -> Value {
        let mut all = documents(text, "test.yaml").expect("it is YAML");
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0).value
    }

    /// What kubectl 1.34 (sigs.k8s.io/yaml 1.6) makes of each scalar.
    #[test]
    fn scalars_are_what_kubectl_reads() {
        for (text, expected) in [
            ("yes", json!(true)),
            ("On", json!(true)),
            ("y", json!(true)),
            ("off", json!(false)),
            ("n", json!(false)),
            ("true", json!(true)),
            ("'yes'", json!("yes")),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("089", json!(89)),
            ("1_000", json!(1000)),
            ("-5", json!(-5)),
            ("+5", json!(5)),
            ("1e3", json!(1000)),
            ("1.50", json!(1.5)),
            (".5", json!(0.5)),
            ("1.", json!(1)),
            ("18446744073709551615", json!(u64::MAX)),
            ("~", json!(null)),
            ("null", json!(null)),
            ("1:30", json!("1:30")),
            ("2024-01-02", json!("2024-01-02")),
            ("1.2.3", json!("1.2.3")),
            ("inf", json!("inf")),
            ("100m", json!("100m")),
            ("!!str 5", json!("5")),
            ("\"a\\tb\"", json!("a\tb")),
        ] {
            assert_eq!(one(&format!("v: {text}\n")), json!({"v": expected}), "{text}");
        }
    }

    #[test]
    fn keys_are_text_as_json_has_them() {
        assert_eq!(one("1: a\nyes: b\n0.5: c\n"), json!({"1": "a", "true": "b", "0.5": "c"}));
    }

    #[test]
    fn merges_and_aliases_are_expanded() {
        let text = "base: &base {a: 1, b: 2}\nnew:\n  <<: *base\n  b: 3\nsame: *base\n";
        assert_eq!(one(text), json!({"base": {"a": 1, "b": 2}, "new": {"b": 3, "a": 1}, "same": {"a": 1, "b": 2}}));
    }

    #[test]
    fn a_key_that_stands_twice_is_an_error_with_its_place() {
        let error = documents("a: 1\nb: 2\na: 3\n", "lab.yaml").expect_err("a stands twice");
        assert_eq!(error.to_string(), "lab.yaml:3:1: the key `a` stands twice");
    }

    #[test]
    fn what_is_not_yaml_is_an_error_with_its_place() {
        let error = documents("a: [1, 2\nb: }\n", "lab.yaml").expect_err("brackets don't match");
        assert!(error.to_string().starts_with("lab.yaml:2:"), "{error}");
        assert!(!error.to_string().contains(" at line "), "{error}");
    }

    #[test]
    fn documents_know_their_lines_and_empty_ones_are_left_out() {
        let text = "# head\n---\n# comment\nkind: A\n---\n---\n# nothing\n---\n\nkind: B\n...\n---\nkind: C\n";
        let lines: Vec<_> = documents(text, "x")
            .expect("it is YAML")
            .into_iter()
            .map(|document| (document.value["kind"].clone(), document.line))
            .collect();
        assert_eq!(lines, [(json!("A"), 4), (json!("B"), 10), (json!("C"), 13)]);
        assert!(documents("", "x").expect("nothing is fine").is_empty());
        assert!(documents("# only a comment\n", "x").expect("nothing is fine").is_empty());
    }

    #[test]
    fn json_and_carriage_returns_are_yaml_too() {
        assert_eq!(one("{\"a\": [1, \"two\"]}"), json!({"a": [1, "two"]}));
        assert_eq!(one("a: 1\r\nb: two\r\n"), json!({"a": 1, "b": "two"}));
    }

    #[test]
    fn text_must_be_written_as_text() {
        #[derive(Debug, serde::Deserialize)]
        struct Part {
            #[expect(dead_code, reason = "only the error counts")]
            version: String,
        }
        let error = from_str::<Part>("version: 1.30\n", "part.yaml").expect_err("it is a number");
        assert!(error.to_string().starts_with("part.yaml:1:10: "), "{error}");
        from_str::<Part>("version: '1.30'\n", "part.yaml").expect("it is text");
    }

    #[test]
    fn what_other_readers_would_misread_is_quoted() {
        let value =
            json!({"a": ["yes", "0644", "1e3", "null", "~", "", "1:30", "2024-01-02", "on", ".5", "0x1f", "<<", "="]});
        let text = to_string(&value).expect("it has a YAML form");
        assert_eq!(one(&text), value, "{text}");
        for line in text.lines().skip(1) {
            assert!(line.contains('"') || line.contains('\''), "{line} is not quoted");
        }
    }

    #[test]
    fn lines_of_text_stay_as_they_are() {
        let long = "a long line of words ".repeat(20);
        let value = json!({"script": "#!/bin/sh\n  echo  \n\n\ttab\n", "long": long, "no": "x", "yes": "y"});
        let text = to_string(&value).expect("it has a YAML form");
        assert_eq!(one(&text), value, "{text}");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6_f64).prop_filter("whole numbers become integers", |x| x.fract() != 0.0).prop_map(Value::from),
            "[ -~\n\t\u{e9}]{0,24}".prop_map(Value::from),
            "(yes|no|on|0[0-9]{1,3}|[0-9]e[0-9]|[-+.0-9_:]{1,6}|~|null|- a|a: b|#|\\|)".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::hash_map("[ -~]{1,12}|yes|on|0644|~", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any_value()) {
            let value = json!({"v": value});
            let text = to_string(&value).expect("JSON has a YAML form");
            prop_assert_eq!(one(&text), value, "{}", text);
        }
    }
}
