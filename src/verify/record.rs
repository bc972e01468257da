//! The record of a scenario: what was asked, what was seen, how it ended. Reports read nothing else.

use std::time::Duration;

use serde::Serialize;

/// How a scenario or a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should.
    Passed,
    /// Not as it should.
    Failed,
    /// It did not run.
    Skipped,
}

/// One scenario that ended.
#[derive(Clone, Debug, Serialize)]
pub struct Scenario {
    /// The feature's name.
    pub feature: String,
    /// The scenario's name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Its line.
    pub line: usize,
    /// Its tags.
    pub tags: Vec<String>,
    /// How it ended.
    pub status: Status,
    /// How long it took.
    #[serde(skip)]
    pub elapsed: Duration,
    /// Why it did not pass, whole.
    pub error: Option<String>,
}
