//! What a step's text gives to its function.

use std::str::FromStr;
use std::time::Duration;

use cucumber::gherkin;

use super::unmet::Unmet;

/// The values in a step's text, in order, with its doc string and table.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
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
            values: self.values.iter().map(|value| fill(value)).collect(),
            docstring: step.docstring.as_deref().map(&fill),
            table: rows.map(|row| row.iter().map(|cell| fill(cell)).collect()).collect(),
        }
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

/// Reads `10 seconds`, `500 ms`, `2 minutes`.
#[must_use]
pub(super) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(&text.replace(' ', "")).ok()
}

/// What `{duration}` matches.
pub(super) const DURATION: &str = r"\d+ ?(?:ms|milliseconds?|s|seconds?|m|minutes?)";

/// What `{promql}` matches: a text in quotes, as `{string}` does. The lint parses it.
pub(super) const PROMQL: &str = r#""([^"\\]*(?:\\.[^"\\]*)*)"|'([^'\\]*(?:\\.[^'\\]*)*)'"#;

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
    fn lists_are_trimmed() {
        assert_eq!(Arguments::new(vec!["a, b ,c,".to_owned()]).list(0), ["a", "b", "c"]);
    }
}
