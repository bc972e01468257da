//! The record of a scenario, made of its trails: one for each try.

use std::fmt::Write as _;

use cucumber::gherkin::{self, Feature, Scenario};

use super::record::{self, Status, Step, Try};
use super::trail::Summary;
use super::{select, tags};
use crate::observe::proxy::cut;

/// Why a scenario that began was not brought to its end, or one that was selected did not begin.
pub(super) const INTERRUPTED: &str = "interrupted";

fn blank(feature: &Feature, scenario: &Scenario) -> record::Scenario {
    record::Scenario {
        feature: feature.name.clone(),
        name: scenario.name.clone(),
        file: select::file(feature),
        line: scenario.position.line,
        tags: tags::of(feature, scenario).cloned().collect(),
        ..record::Scenario::default()
    }
}

/// The record of a scenario that did not begin.
pub(super) fn unrun(feature: &Feature, scenario: &Scenario, reason: &str) -> record::Scenario {
    let steps = complete(Vec::new(), feature, scenario);
    record::Scenario { status: Status::Skipped, error: Some(reason.to_owned()), steps, ..blank(feature, scenario) }
}

/// The record of a scenario that ran; `earlier` are the tries that failed before.
pub(super) fn told(
    feature: &Feature,
    scenario: &Scenario,
    summary: Summary,
    earlier: Vec<Summary>,
) -> record::Scenario {
    let file = select::file(feature);
    let (status, error) = match failure(&file, &summary) {
        Some(error) => (Status::Failed, Some(error)),
        None if summary.interrupted => (Status::Skipped, Some(INTERRUPTED.to_owned())),
        None if earlier.is_empty() => (Status::Passed, None),
        None => (Status::Flaky, None),
    };
    let tries = earlier.into_iter().map(|summary| Try {
        started: summary.started,
        elapsed: summary.elapsed,
        error: failure(&file, &summary).unwrap_or_default(),
        steps: complete(summary.steps, feature, scenario),
    });
    record::Scenario {
        status,
        error,
        tries: tries.collect(),
        steps: complete(summary.steps, feature, scenario),
        started: summary.started,
        elapsed: summary.elapsed,
        ..blank(feature, scenario)
    }
}

/// Why a try failed, whole; nothing if it did not.
pub(super) fn failure(file: &str, summary: &Summary) -> Option<String> {
    let failed = summary.steps.iter().filter(|step| step.status == Status::Failed);
    let texts: Vec<String> = failed.map(|step| explained(file, step)).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// Steps in order; one that did not come to run is in the record all the same.
fn complete(mut steps: Vec<Step>, feature: &Feature, scenario: &Scenario) -> Vec<Step> {
    for step in select::steps(feature, scenario) {
        if !steps.iter().any(|ran| ran.line == step.position.line) {
            steps.push(unrun_step(step));
        }
    }
    // What happened after the steps has line 0 and stays at the end.
    steps.sort_by_key(|step| if step.line == 0 { usize::MAX } else { step.line });
    steps
}

fn unrun_step(step: &gherkin::Step) -> Step {
    Step {
        keyword: step.keyword.trim().to_owned(),
        text: step.value.clone(),
        line: step.position.line,
        status: Status::Skipped,
        ..Step::default()
    }
}

/// A failed step as a person reads it: where, what, why, and the last question with its answer.
fn explained(file: &str, step: &Step) -> String {
    let mut text = if step.line == 0 { String::new() } else { format!("{file}:{}: ", step.line) };
    // Writing to a string can't fail, here and below.
    let _ = write!(text, "{} {}", step.keyword, step.text);
    if let Some(error) = &step.error {
        let _ = write!(text, "\n  {}", error.replace('\n', "\n  "));
    }
    let last = step.evidence.iter().rev().find_map(|evidence| match &evidence.what {
        record::What::Exchange { request, sent, status, answer } => Some((request, sent, status, answer)),
        _ => None,
    });
    if let Some((request, sent, status, answer)) = last {
        let _ = write!(text, "\n  last request: {request}");
        if let Some(sent) = sent {
            let _ = write!(text, "\n    with {}", cut(sent, 600));
        }
        let status = status.map_or_else(|| "none:".to_owned(), |status| format!("status {status},"));
        let answer = cut(answer.trim(), 600).replace('\n', "\n    ");
        let _ = write!(text, "\n  last answer: {status} {answer}");
    }
    let objects = step.evidence.iter().filter_map(|evidence| match &evidence.what {
        record::What::Object { text } => Some(text),
        _ => None,
    });
    for (number, object) in objects.enumerate() {
        let heading = if number == 0 { "\n  objects of the scenario:" } else { "" };
        let _ = write!(text, "{heading}\n    {}", object.replace('\n', "\n      "));
    }
    text
}
