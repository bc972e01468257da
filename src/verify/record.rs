//! The record of a scenario: what was asked, what was seen, how it ended. Reports read nothing else.

use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

/// The most evidence that one step keeps; the newest replaces what came before it.
pub const MOST_EVIDENCE: usize = 40;
/// The most bytes of a text in the evidence.
pub const LONGEST_TEXT: usize = 4096;

/// How a scenario or a step ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should.
    #[default]
    Passed,
    /// As it should, but not at the first try; only scenarios end so.
    Flaky,
    /// Not as it should.
    Failed,
    /// It did not run, or not to its end; `error` says why.
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
    /// Its tags and the feature's, without `@`.
    pub tags: Vec<String>,
    /// How it ended.
    pub status: Status,
    /// When it began, in milliseconds since 1970.
    #[serde(serialize_with = "unix_millis")]
    pub started: SystemTime,
    /// How long it took, in seconds.
    #[serde(serialize_with = "seconds")]
    pub elapsed: Duration,
    /// Why it did not pass, whole: the step, what was expected and seen, the last question and
    /// answer, the time line. For a skipped scenario, the reason in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Every step in order, the feature's background first.
    pub steps: Vec<Step>,
    /// The tries that failed before the one that all of the above tells of, the first one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
}

/// A try of a scenario that failed, and after which it was tried again.
#[derive(Clone, Debug, Serialize)]
pub struct Try {
    /// When it began, in milliseconds since 1970.
    #[serde(serialize_with = "unix_millis")]
    pub started: SystemTime,
    /// How long it took, in seconds.
    #[serde(serialize_with = "seconds")]
    pub elapsed: Duration,
    /// Why it failed, as [`Scenario::error`] tells it.
    pub error: String,
    /// Its steps, as [`Scenario::steps`].
    pub steps: Vec<Step>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            feature: String::new(),
            name: String::new(),
            file: String::new(),
            line: 0,
            tags: Vec::new(),
            status: Status::Passed,
            started: SystemTime::UNIX_EPOCH,
            elapsed: Duration::ZERO,
            error: None,
            steps: Vec::new(),
            tries: Vec::new(),
        }
    }
}

/// One step of a scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Step {
    /// `Given`, `When`, `Then`, `And`, `But`.
    pub keyword: String,
    /// Its text, with the scenario's own values filled in.
    pub text: String,
    /// Its line.
    pub line: usize,
    /// How it ended.
    pub status: Status,
    /// How long it took, in seconds.
    #[serde(serialize_with = "seconds")]
    pub elapsed: Duration,
    /// What it asked and saw, in order of time, bounded by [`MOST_EVIDENCE`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// How many pieces of evidence are missing because there were too many.
    #[serde(skip_serializing_if = "is_nought")]
    pub omitted: usize,
    /// Why it did not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One thing that a step asked or saw.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// From the begin of the step, in seconds.
    #[serde(serialize_with = "seconds")]
    pub at: Duration,
    /// How many times in a row it was the same.
    pub times: u32,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// A question to a service and its answer.
    Exchange {
        /// Method, service and path.
        request: String,
        /// The request's body.
        #[serde(skip_serializing_if = "Option::is_none")]
        sent: Option<String>,
        /// The HTTP status; nothing when there was no answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// The answer's text, or why there was none.
        answer: String,
    },
    /// What a try of a check saw, when it was not what was expected.
    Seen {
        /// In words.
        text: String,
    },
    /// How an object that the scenario made stood when a step failed, or the end of its log.
    Object {
        /// In words.
        text: String,
    },
    /// A fact worth keeping, such as the tree of a trace.
    Note {
        /// In words.
        text: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_nought(number: &usize) -> bool {
    *number == 0
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn unix_millis<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    serializer.serialize_u64(u64::try_from(millis).unwrap_or(u64::MAX))
}
