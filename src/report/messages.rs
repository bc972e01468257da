//! The scenarios as Cucumber messages, one JSON object a line, so that other Cucumber tools read them.
//! <https://github.com/cucumber/messages>
//!
//! The documents hold what ran, not what lies in the feature files: an example of an outline is a
//! scenario, and a background's steps stand in each of its scenarios. A run that was cut off has no
//! `testRunFinished`, which is how readers know.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::tally::Tally;
use crate::verify::record::{Scenario, Status, Step, What};

/// The version of the protocol that the shapes follow.
const PROTOCOL: &str = "27.0.0";
/// The run's own name in its messages.
const RUN: &str = "run";

/// The messages of a run, finished or not.
pub(super) fn render(tally: &Tally) -> String {
    let mut lines = vec![json!({"meta": {
        "protocolVersion": PROTOCOL,
        "implementation": {"name": "istiolab", "version": env!("CARGO_PKG_VERSION")},
        "runtime": {"name": "istiolab", "version": env!("CARGO_PKG_VERSION")},
        "os": {"name": std::env::consts::OS},
        "cpu": {"name": std::env::consts::ARCH},
    }})];
    let mut files: Vec<(&str, Vec<(usize, &Scenario)>)> = Vec::new();
    for (index, scenario) in tally.scenarios.iter().enumerate() {
        match files.iter_mut().find(|(file, _)| *file == scenario.file) {
            Some((_, scenarios)) => scenarios.push((index, scenario)),
            None => files.push((&scenario.file, vec![(index, scenario)])),
        }
    }
    lines.extend(files.iter().map(|(file, scenarios)| document(file, scenarios)));
    let all = || tally.scenarios.iter().enumerate();
    lines.extend(all().map(|(index, scenario)| pickle(index, scenario)));
    lines.push(json!({"testRunStarted": {"id": RUN, "timestamp": timestamp(tally.started)}}));
    lines.extend(all().map(|(index, scenario)| case(index, scenario)));
    lines.extend(all().flat_map(|(index, scenario)| ran(index, scenario)));
    if let Some((code, error)) = &tally.ended {
        let mut finished =
            json!({"testRunStartedId": RUN, "success": *code == 0, "timestamp": timestamp(tally.newest)});
        if let Some(error) = error {
            finished["message"] = json!(error);
        }
        lines.push(json!({"testRunFinished": finished}));
    }
    lines.into_iter().fold(String::new(), |text, line| text + &line.to_string() + "\n")
}

fn document(file: &str, scenarios: &[(usize, &Scenario)]) -> Value {
    let children: Vec<Value> = scenarios
        .iter()
        .map(|(index, scenario)| {
            let steps = scenario.steps.iter().enumerate().map(|(step, record)| {
                json!({
                    "id": format!("{index}.ast.{step}"),
                    "location": location(record.line),
                    "keyword": format!("{} ", record.keyword.trim()),
                    "keywordType": keyword_type(&record.keyword),
                    "text": record.text,
                })
            });
            let tags = scenario.tags.iter().enumerate().map(|(tag, name)| {
                json!({"id": format!("{index}.tag.{tag}"), "location": location(scenario.line), "name": format!("@{name}")})
            });
            json!({"scenario": {
                "id": format!("{index}.ast"),
                "location": location(scenario.line),
                "keyword": "Scenario",
                "name": scenario.name,
                "description": "",
                "tags": tags.collect::<Vec<_>>(),
                "steps": steps.collect::<Vec<_>>(),
                "examples": [],
            }})
        })
        .collect();
    let name = scenarios.first().map_or("", |(_, scenario)| scenario.feature.as_str());
    json!({"gherkinDocument": {
        "uri": file,
        "comments": [],
        "feature": {
            "location": location(1),
            "language": "en",
            "keyword": "Feature",
            "name": name,
            "description": "",
            "tags": [],
            "children": children,
        },
    }})
}

fn pickle(index: usize, scenario: &Scenario) -> Value {
    let steps = scenario.steps.iter().enumerate().map(|(step, record)| {
        json!({
            "id": format!("{index}.pickle.{step}"),
            "astNodeIds": [format!("{index}.ast.{step}")],
            "type": keyword_type(&record.keyword),
            "text": record.text,
        })
    });
    let tags = scenario
        .tags
        .iter()
        .enumerate()
        .map(|(tag, name)| json!({"name": format!("@{name}"), "astNodeId": format!("{index}.tag.{tag}")}));
    json!({"pickle": {
        "id": format!("{index}.pickle"),
        "uri": scenario.file,
        "name": scenario.name,
        "language": "en",
        "astNodeIds": [format!("{index}.ast")],
        "tags": tags.collect::<Vec<_>>(),
        "steps": steps.collect::<Vec<_>>(),
    }})
}

fn case(index: usize, scenario: &Scenario) -> Value {
    let steps = (0..scenario.steps.len()).map(|step| {
        json!({
            "id": format!("{index}.step.{step}"),
            "pickleStepId": format!("{index}.pickle.{step}"),
            "stepDefinitionIds": [],
            "stepMatchArgumentsLists": [],
        })
    });
    json!({"testCase": {
        "id": format!("{index}.case"),
        "pickleId": format!("{index}.pickle"),
        "testRunStartedId": RUN,
        "testSteps": steps.collect::<Vec<_>>(),
    }})
}

fn ran(index: usize, scenario: &Scenario) -> Vec<Value> {
    let started = format!("{index}.started");
    let mut lines = vec![json!({"testCaseStarted": {
        "id": started,
        "testCaseId": format!("{index}.case"),
        "attempt": 0,
        "timestamp": timestamp(scenario.started),
    }})];
    let mut now = scenario.started;
    for (step, record) in scenario.steps.iter().enumerate() {
        let id = format!("{index}.step.{step}");
        lines.push(json!({"testStepStarted": {
            "testCaseStartedId": started, "testStepId": id, "timestamp": timestamp(now),
        }}));
        for text in evidence(record) {
            lines.push(json!({"attachment": {
                "testCaseStartedId": started,
                "testStepId": id,
                "mediaType": "text/plain",
                "contentEncoding": "IDENTITY",
                "body": text,
            }}));
        }
        now += record.elapsed;
        let mut result = json!({"status": status(record.status), "duration": duration(record.elapsed)});
        if let Some(error) = &record.error {
            result["message"] = json!(error);
        }
        lines.push(json!({"testStepFinished": {
            "testCaseStartedId": started, "testStepId": id, "testStepResult": result, "timestamp": timestamp(now),
        }}));
    }
    lines.push(json!({"testCaseFinished": {
        "testCaseStartedId": started,
        "willBeRetried": false,
        "timestamp": timestamp(scenario.started + scenario.elapsed),
    }}));
    lines
}

/// What a step asked and saw, each piece as a text.
fn evidence(step: &Step) -> impl Iterator<Item = String> {
    step.evidence.iter().map(|evidence| match &evidence.what {
        What::Exchange { request, sent, status, answer } => {
            let sent = sent.as_ref().map_or_else(String::new, |sent| format!("\n{sent}"));
            let status = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            format!("{request}{sent}\n\n{status}\n{answer}")
        }
        What::Seen { text } | What::Note { text } => text.clone(),
    })
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Passed => "PASSED",
        Status::Failed => "FAILED",
        Status::Skipped => "SKIPPED",
    }
}

fn keyword_type(keyword: &str) -> &'static str {
    match keyword.trim() {
        "Given" => "Context",
        "When" => "Action",
        "Then" => "Outcome",
        "And" | "But" => "Conjunction",
        _ => "Unknown",
    }
}

/// Lines count from 1; what came after the steps has none.
fn location(line: usize) -> Value {
    json!({"line": line.max(1), "column": 1})
}

fn timestamp(time: SystemTime) -> Value {
    duration(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn duration(time: Duration) -> Value {
    json!({"seconds": time.as_secs(), "nanos": time.subsec_nanos()})
}
