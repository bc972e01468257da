//! Which scenarios noticed that something was broken, by which of their steps, and whether they are the ones that
//! were to notice.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::verify::Place;
use crate::verify::record::{Scenario, Status, Step};
use crate::verify::vocabulary::Vocabulary;

/// What came of a mutation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was noticed by the scenarios that were to notice, and by no others, and it was mended.
    Noticed,
    /// It was not so.
    #[default]
    Failed,
    /// The lab lacks what it breaks, or scenarios that could notice.
    Skipped,
}

/// A scenario that noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noticed {
    /// `Feature: scenario`.
    pub scenario: String,
    /// The patterns of the steps that failed.
    pub steps: Vec<String>,
    /// What the scenario told, whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// A mutation with what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name.
    pub mutation: String,
    /// What came of it.
    pub verdict: Verdict,
    /// The scenarios that noticed.
    pub noticed: Vec<Noticed>,
    /// What was not as it should be, or why it was skipped.
    pub problems: Vec<String>,
    /// From before it was broken until it was mended and proven.
    pub seconds: f64,
}

impl Outcome {
    /// The same without what the scenarios told, which is long: for the lab's journal.
    #[must_use]
    pub fn brief(&self) -> Self {
        let noticed = self.noticed.iter().map(|noticed| Noticed { error: String::new(), ..noticed.clone() });
        Self { noticed: noticed.collect(), ..self.clone() }
    }
}

/// `Feature: scenario`.
pub(super) fn name(scenario: &Scenario) -> String {
    format!("{}: {}", scenario.feature, scenario.name)
}

/// The scenarios that failed, each with the patterns of its failed steps.
pub(super) fn noticed(records: &[Scenario], vocabulary: &Vocabulary) -> Vec<Noticed> {
    let failed = records.iter().filter(|record| record.status == Status::Failed);
    let noticed = failed.map(|record| Noticed {
        scenario: name(record),
        steps: record.steps.iter().filter_map(|step| pattern(step, vocabulary)).map(str::to_owned).collect(),
        error: record.error.clone().unwrap_or_default(),
    });
    let mut noticed: Vec<Noticed> = noticed.collect();
    noticed.sort_by(|one, other| one.scenario.cmp(&other.scenario));
    noticed
}

/// The pattern of a step that failed. What the engine does after a scenario has none.
fn pattern(step: &Step, vocabulary: &Vocabulary) -> Option<&'static str> {
    let matched = if step.status == Status::Failed { vocabulary.find(&step.text).ok() } else { None };
    matched.map(|matched| matched.entry.pattern)
}

/// The places of scenarios that failed and were not to, or the other way round.
pub(super) fn surprising(records: &[Scenario], wanted: &BTreeSet<Place>) -> BTreeSet<Place> {
    let places = records.iter().map(|record| (record, (record.file.clone(), record.line)));
    let surprising = places.filter(|(record, place)| match record.status {
        Status::Failed => !wanted.contains(place),
        _ => wanted.contains(place),
    });
    surprising.map(|(_, place)| place).collect()
}

/// What is wrong with `records` if exactly the scenarios at the places `wanted` were to fail.
pub(super) fn problems(records: &[Scenario], wanted: &BTreeSet<Place>) -> Vec<String> {
    let mut problems = Vec::new();
    for record in records {
        let is_wanted = wanted.contains(&(record.file.clone(), record.line));
        match record.status {
            Status::Failed if !is_wanted => problems.push(format!("failed without reason: {}", name(record))),
            // A failure must be readable by itself: it says what was expected, and below that what was seen.
            Status::Failed if !record.error.as_ref().is_some_and(|error| error.contains('\n')) => {
                problems.push(format!("failed without saying why: {}", name(record)));
            }
            Status::Failed => {}
            _ if is_wanted => problems.push(format!("did not notice: {}", name(record))),
            _ => {}
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::vocabulary;

    fn record(line: usize, status: Status, error: &str) -> Scenario {
        let step = |text: &str, status| Step { text: text.to_owned(), status, ..Step::default() };
        Scenario {
            feature: "F".to_owned(),
            name: format!("s{line}"),
            file: "f.feature".to_owned(),
            line,
            status,
            error: Some(error.to_owned()).filter(|error| !error.is_empty()),
            steps: vec![step("Grafana is healthy", status), step("no request is answered", Status::Passed)],
            ..Scenario::default()
        }
    }

    #[test]
    fn exactly_those_that_are_named_are_to_notice() {
        let told = "Then x\n  y";
        let records = [
            record(1, Status::Failed, told),
            record(2, Status::Passed, ""),
            record(3, Status::Failed, told),
            record(4, Status::Failed, "x"),
            record(5, Status::Skipped, "the lab has no x"),
            record(6, Status::Passed, ""),
        ];
        let wanted = [1, 2, 4].map(|line| ("f.feature".to_owned(), line)).into();
        let surprises: Vec<usize> = surprising(&records, &wanted).into_iter().map(|(_, line)| line).collect();
        assert_eq!(surprises, [2, 3]);
        assert_eq!(
            problems(&records, &wanted),
            ["did not notice: F: s2", "failed without reason: F: s3", "failed without saying why: F: s4"]
        );
    }

    #[test]
    fn steps_that_failed_are_told_by_their_patterns() {
        let vocabulary = vocabulary().expect("the patterns are expressions");
        let noticed = noticed(&[record(1, Status::Failed, "a\nb"), record(2, Status::Passed, "")], &vocabulary);
        assert_eq!(noticed.len(), 1);
        assert_eq!(noticed[0].steps, ["Grafana is healthy"]);
        let outcome = Outcome { noticed, ..Outcome::default() };
        assert_eq!((outcome.noticed[0].error.as_str(), outcome.brief().noticed[0].error.as_str()), ("a\nb", ""));
    }
}
