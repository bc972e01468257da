//! What a step's text gives to its function.

use std::str::FromStr;
use std::time::Duration;

use cucumber::gherkin;
use regex::Regex;

use super::unmet::Unmet;

/// The values in a step's text, in order, with its doc string and table.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    said: String,
    values: Vec<String>,
    docstring: Option<String>,
    table: Vec<Vec<String>>,
}

impl Arguments {
    /// Values alone.
    #[must_use]
    pub fn new(values: Vec<String>) -> Self {
        Self { values, ..Self::default() }
    }

    /// Adds the step's doc string and table, and fills in `${…}` everywhere.
    #[must_use]
    pub fn with(self, step: &gherkin::Step, fill: impl Fn(&str) -> String) -> Self {
        let rows = step.table.iter().flat_map(|table| &table.rows);
        Self {
            said: step.value.clone(),
            values: self.values.iter().map(|value| fill(value)).collect(),
            docstring: step.docstring.as_deref().map(&fill),
            table: rows.map(|row| row.iter().map(|cell| fill(cell)).collect()).collect(),
        }
    }

    /// The step's text up to its first value in quotes, for patterns that allow several words.
    #[must_use]
    pub fn said(&self) -> &str {
        self.said.split('"').next().unwrap_or_default()
    }

    /// The value at `index`, from 0.
    #[must_use]
    pub fn text(&self, index: usize) -> &str {
        self.values.get(index).map_or("", String::as_str)
    }

    /// The value at `index` as a number.
    ///
    /// # Errors
    /// [`Unmet::Misused`] if it is too large or negative where that has no meaning.
    pub fn number<T: FromStr>(&self, index: usize) -> Result<T, Unmet> {
        let text = self.text(index);
        text.parse().map_err(|_| Unmet::Misused(format!("`{text}` is not a number that can be used here")))
    }

    /// The value at `index` as a time.
    ///
    /// # Errors
    /// [`Unmet::Misused`] if it is too long to be counted.
    pub fn duration(&self, index: usize) -> Result<Duration, Unmet> {
        let text = self.text(index);
        duration(text).ok_or_else(|| Unmet::Misused(format!("`{text}` is not a time that can be used here")))
    }

    /// The value at `index` as a list, separated by commas.
    #[must_use]
    pub fn list(&self, index: usize) -> Vec<&str> {
        self.text(index).split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
    }

    /// The text between `"""`.
    ///
    /// # Errors
    /// [`Unmet::Misused`] if the step has none.
    pub fn docstring(&self) -> Result<&str, Unmet> {
        self.docstring.as_deref().ok_or_else(|| Unmet::Misused("the step needs a text between \"\"\"".to_owned()))
    }

    /// The table's rows.
    ///
    /// # Errors
    /// [`Unmet::Misused`] if there is none.
    pub fn table(&self) -> Result<&[Vec<String>], Unmet> {
        if self.table.is_empty() {
            return Err(Unmet::Misused("the step needs a table".to_owned()));
        }
        Ok(&self.table)
    }

    /// The table's rows as pairs.
    ///
    /// # Errors
    /// [`Unmet::Misused`] if there is no table or a row has not two cells.
    pub fn pairs(&self) -> Result<Vec<(&str, &str)>, Unmet> {
        let pair = |row: &'_ Vec<String>| row.len() == 2;
        if self.table.is_empty() || !self.table.iter().all(pair) {
            return Err(Unmet::Misused("the step needs a table of two columns".to_owned()));
        }
        Ok(self.table.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect())
    }
}

/// An object as a step's text names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    /// Its kind as kubectl takes it: `Deployment`, `Gateway.networking.istio.io`.
    pub(super) kind: &'a str,
    /// Its name.
    pub(super) name: &'a str,
    /// Its namespace; nothing for what lives in none.
    pub(super) namespace: Option<&'a str>,
}

impl Arguments {
    /// The value at `index` as a regular expression.
    ///
    /// # Errors
    /// [`Unmet::Misused`] if it is none.
    pub(super) fn regex(&self, index: usize) -> Result<Regex, Unmet> {
        regex(self.text(index)).map_err(Unmet::Misused)
    }

    /// The object that the value at `index` names, which a `{object}` matched.
    pub(super) fn object(&self, index: usize) -> Named<'_> {
        // Names of objects have no quotes.
        let mut parts = self.text(index).split(['"', '\'']);
        let kind = parts.next().unwrap_or_default().trim();
        let name = parts.next().unwrap_or_default();
        Named { kind, name, namespace: parts.nth(1) }
    }
}

/// Reads a regular expression; an error says in a line what is wrong with it.
pub(super) fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| {
        // The lines before show the place.
        let error = error.to_string();
        let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("`{text}` is no regular expression: {why}")
    })
}

/// Reads `10 seconds`, `500 ms`, `2 minutes`.
#[must_use]
pub(super) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(&text.replace(' ', "")).ok()
}

/// What `{duration}` matches.
pub(super) const DURATION: &str = r"\d+ ?(?:ms|milliseconds?|s|seconds?|m|minutes?)";

/// What `{kind}` matches: a kind as kubectl takes it.
pub(super) const KIND: &str = r"[A-Za-z][A-Za-z0-9]*(?:\.[a-z0-9][-.a-z0-9]*)?";

/// What `{object}` matches: `Deployment "x" in namespace "y"`, `ClusterRole "x"`.
pub(super) const OBJECT: &str =
    r#"[A-Za-z][A-Za-z0-9]*(?:\.[a-z0-9][-.a-z0-9]*)? (?:"[^"]*"|'[^']*')(?: in namespace (?:"[^"]*"|'[^']*'))?"#;

/// What `{promql}` matches: a text in quotes, as `{string}` does. The lint parses it.
pub(super) const PROMQL: &str = QUOTED;

/// A text in quotes; what `{regex}` matches, which the lint reads as a regular expression.
pub(super) const QUOTED: &str = r#""([^"\\]*(?:\\.[^"\\]*)*)"|'([^'\\]*(?:\\.[^'\\]*)*)'"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, millis) in [("10 seconds", 10_000), ("1 second", 1000), ("500 ms", 500), ("2m", 120_000)] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn an_object_has_a_kind_a_name_and_perhaps_a_namespace() {
        let object = |text: &str| {
            let arguments = Arguments::new(vec![text.to_owned()]);
            let Named { kind, name, namespace } = arguments.object(0);
            format!("{kind} {name} {namespace:?}")
        };
        assert_eq!(object(r#"Deployment "x" in namespace 'y'"#), "Deployment x Some(\"y\")");
        assert_eq!(object("ClusterRole 'r'"), "ClusterRole r None");
    }

    #[test]
    fn what_is_no_regular_expression_says_why() {
        assert_eq!(regex("a(").expect_err("it is open"), "`a(` is no regular expression: unclosed group");
    }

    #[test]
    fn lists_are_trimmed() {
        assert_eq!(Arguments::new(vec!["a, b ,c,".to_owned()]).list(0), ["a", "b", "c"]);
    }
}
