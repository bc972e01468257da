//! Fields of documents by their paths: `spec.containers[0].image`, `metadata.labels["a.b/c"]`,
//! `status.conditions[type=Ready].status`.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::unmet::Unmet;

/// How many names of fields a message lists.
const LISTED: usize = 20;

/// The way to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// The field of this name; of a list, the item of this number.
    Key(String),
    /// The item of this number, from 0.
    Index(usize),
    /// The first item with a field of this name and value.
    Item(String, String),
}

impl FromStr for Path {
    type Err = Unmet;

    fn from_str(text: &str) -> Result<Self, Unmet> {
        let bad = |why: &str| {
            Unmet::Misused(format!(
                "`{text}` is no path of a field: {why}; write it like spec.containers[0].image, \
                 metadata.labels[\"a.b/c\"] or status.conditions[type=Ready].status"
            ))
        };
        let mut parts = Vec::new();
        let mut rest = text.strip_prefix('.').unwrap_or(text);
        if rest.is_empty() {
            return Err(bad("it is empty"));
        }
        while !rest.is_empty() {
            let after = if let Some(tail) = rest.strip_prefix('[') {
                let (part, after) = bracket(tail).map_err(bad)?;
                parts.push(part);
                after
            } else {
                let (name, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
                if name.is_empty() {
                    return Err(bad("a name is missing"));
                }
                parts.push(Part::Key(name.to_owned()));
                after
            };
            rest = match after.strip_prefix('.') {
                Some("") => return Err(bad("it ends with a dot")),
                Some(tail) => tail,
                None if after.is_empty() || after.starts_with('[') => after,
                None => return Err(bad("a dot is missing after `]`")),
            };
        }
        Ok(Self(parts))
    }
}

/// What stands in brackets, and what follows them.
fn bracket(text: &str) -> Result<(Part, &str), &'static str> {
    const OPEN: &str = "a bracket is not closed";
    if let Some(quote) = text.chars().next().filter(|first| matches!(first, '"' | '\'')) {
        let end = format!("{quote}]");
        let (key, after) = text[1..].split_once(end.as_str()).ok_or(OPEN)?;
        return Ok((Part::Key(key.to_owned()), after));
    }
    let (inside, after) = text.split_once(']').ok_or(OPEN)?;
    if let Ok(index) = inside.parse() {
        return Ok((Part::Index(index), after));
    }
    match inside.split_once('=') {
        Some((key, value)) if !key.is_empty() && !key.starts_with(['?', '@']) => {
            Ok((Part::Item(key.to_owned(), value.to_owned()), after))
        }
        _ => Err("in brackets stands a number, a name in quotes, or NAME=VALUE"),
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) if key.contains(['.', '[', '/']) => write!(f, "[\"{key}\"]"),
            Self::Key(key) => write!(f, ".{key}"),
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Item(key, value) => write!(f, "[{key}={value}]"),
        }
    }
}

impl Part {
    fn of<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match (self, value) {
            (Self::Key(key), Value::Object(fields)) => fields.get(key),
            (Self::Key(key), Value::Array(items)) => items.get(key.parse::<usize>().ok()?),
            (Self::Index(index), Value::Array(items)) => items.get(*index),
            (Self::Item(key, wanted), Value::Array(items)) => {
                items.iter().find(|item| item.get(key).is_some_and(|value| plain(value) == *wanted))
            }
            _ => None,
        }
    }
}

impl Path {
    /// The field's value in a document.
    ///
    /// # Errors
    /// In words, what is missing and what is there instead.
    pub(super) fn find<'v>(&self, document: &'v Value) -> Result<&'v Value, String> {
        let mut value = document;
        for (index, part) in self.0.iter().enumerate() {
            let Some(next) = part.of(value) else {
                let (missing, there) = (shown(&self.0[..=index]), shown(&self.0[..index]));
                let there = if there.is_empty() { "the document".to_owned() } else { format!("`{there}`") };
                return Err(format!("there is no `{missing}`; {there} {}", told(value)));
            };
            value = next;
        }
        Ok(value)
    }
}

fn shown(parts: &[Part]) -> String {
    parts.iter().map(ToString::to_string).collect::<String>().trim_start_matches('.').to_owned()
}

/// What a value is, for whoever looked for something in it.
fn told(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "is empty".to_owned(),
        Value::Object(fields) => {
            let names: Vec<&str> = fields.keys().take(LISTED).map(String::as_str).collect();
            let more = if fields.len() > LISTED { ", …" } else { "" };
            format!("has: {}{more}", names.join(", "))
        }
        Value::Array(items) => format!("is a list of {}", items.len()),
        scalar => format!("is {scalar}"),
    }
}

/// A value as a person would write it: texts without quotes.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(path: &str) -> Result<String, String> {
        let document = json!({"a": {"b": [{"type": "Ready", "status": "True", "n": 7}], "c.d/e": "x"}, "f": 1.5});
        let path: Path = path.parse().map_err(|unmet: Unmet| unmet.to_string())?;
        path.find(&document).map(plain)
    }

    #[test]
    fn a_path_leads_to_its_field() {
        for (path, value) in [
            ("f", "1.5"),
            (".a.b[0].status", "True"),
            ("a.b.0.n", "7"),
            ("a.b[type=Ready].status", "True"),
            ("a.b[n=7].type", "Ready"),
            ("a[\"c.d/e\"]", "x"),
            ("a['c.d/e']", "x"),
        ] {
            assert_eq!(found(path), Ok(value.to_owned()), "{path}");
        }
    }

    #[test]
    fn what_is_missing_is_told_with_what_is_there() {
        let error = |path: &str| found(path).expect_err("it is not there");
        assert_eq!(error("a.x.y"), "there is no `a.x`; `a` has: b, c.d/e");
        assert_eq!(error("g"), "there is no `g`; the document has: a, f");
        assert_eq!(error("a.b[1].x"), "there is no `a.b[1]`; `a.b` is a list of 1");
        assert_eq!(error("a.b[type=Other]"), "there is no `a.b[type=Other]`; `a.b` is a list of 1");
        assert_eq!(error("f.x"), "there is no `f.x`; `f` is 1.5");
    }

    #[test]
    fn what_is_no_path_says_why() {
        for (path, why) in [
            ("", "it is empty"),
            ("a..b", "a name is missing"),
            ("a.", "it ends with a dot"),
            ("a[0", "a bracket is not closed"),
            ("a[0]b", "a dot is missing after `]`"),
            ("a[*]", "in brackets stands a number, a name in quotes, or NAME=VALUE"),
            ("a[?(@.x==1)]", "in brackets stands a number, a name in quotes, or NAME=VALUE"),
        ] {
            let error = found(path).expect_err("it is no path");
            assert!(error.starts_with(&format!("`{path}` is no path of a field: {why}; ")), "{error}");
        }
    }
}
