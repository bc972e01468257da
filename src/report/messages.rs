//! The scenarios as Cucumber messages, one JSON object a line, so that other Cucumber tools read them.
//! <https://github.com/cucumber/messages>
//!
//! The documents hold what ran, not what lies in the feature files: an example of an outline is a
//! scenario, and a background's steps stand in each of its scenarios. A run that was cut off has no
//! `testRunFinished`, which is how readers know. What happens after a scenario's steps is a hook.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::tally::Tally;
use crate::verify::record::{Scenario, Status, Step, Try, What};

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
    lines.extend(hooks(tally.scenarios.iter().flat_map(all_steps)).into_iter().map(hook));
    lines.extend(all().map(|(index, scenario)| pickle(index, scenario)));
    lines.push(json!({"testRunStarted": {"id": RUN, "timestamp": timestamp(tally.started)}}));
    lines.extend(all().map(|(index, scenario)| case(index, scenario)));
    for (index, scenario) in all() {
        for (number, tried) in scenario.tries.iter().enumerate() {
            lines.extend(attempt(index, &Attempt::failed(number, tried)));
        }
        lines.extend(attempt(index, &Attempt::last(scenario)));
    }
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

/// The steps of a scenario in all of its tries.
fn all_steps(scenario: &Scenario) -> impl Iterator<Item = &Step> {
    scenario.tries.iter().flat_map(|tried| &tried.steps).chain(&scenario.steps)
}

/// Whether it happened after the scenario's own steps: then it stands in no file.
fn is_hook(step: &Step) -> bool {
    step.line == 0
}

/// The scenario's own steps, those of its backgrounds first.
fn own_steps(scenario: &Scenario) -> impl Iterator<Item = &Step> {
    scenario.steps.iter().filter(|step| !is_hook(step))
}

/// What happened after scenarios' own steps, each kind once.
fn hooks<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for step in steps.filter(|step| is_hook(step)) {
        if !names.contains(&step.text.as_str()) {
            names.push(&step.text);
        }
    }
    names
}

/// Ids are made of names, so that nothing needs to be looked up.
fn hook_id(name: &str) -> String {
    format!("hook: {name}")
}

fn hook(name: &str) -> Value {
    json!({"hook": {
        "id": hook_id(name),
        "name": name,
        "type": "AFTER_TEST_CASE",
        "sourceReference": {"uri": "istiolab"},
    }})
}

fn document(file: &str, scenarios: &[(usize, &Scenario)]) -> Value {
    let children: Vec<Value> = scenarios
        .iter()
        .map(|(index, scenario)| {
            let steps = own_steps(scenario).map(|step| {
                json!({
                    "id": format!("{index}.ast.{}", step.line),
                    "location": location(step.line),
                    "keyword": format!("{} ", step.keyword.trim()),
                    "keywordType": keyword_type(&step.keyword),
                    "text": step.text,
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
    let mut kind = "Unknown";
    let steps = own_steps(scenario).map(|step| {
        // What is joined is of the kind of what it is joined to.
        let own = keyword_type(&step.keyword);
        if own != "Conjunction" {
            kind = own;
        }
        json!({
            "id": format!("{index}.pickle.{}", step.line),
            "astNodeIds": [format!("{index}.ast.{}", step.line)],
            "type": kind,
            "text": step.text,
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
    let own = own_steps(scenario).map(|step| {
        json!({
            "id": step_id(index, step),
            "pickleStepId": format!("{index}.pickle.{}", step.line),
            "stepDefinitionIds": [],
            "stepMatchArgumentsLists": [],
        })
    });
    let after = hooks(all_steps(scenario))
        .into_iter()
        .map(|name| json!({"id": format!("{index}.{}", hook_id(name)), "hookId": hook_id(name)}));
    json!({"testCase": {
        "id": format!("{index}.case"),
        "pickleId": format!("{index}.pickle"),
        "testRunStartedId": RUN,
        "testSteps": own.chain(after).collect::<Vec<_>>(),
    }})
}

fn step_id(index: usize, step: &Step) -> String {
    if is_hook(step) { format!("{index}.{}", hook_id(&step.text)) } else { format!("{index}.step.{}", step.line) }
}

/// One try of a scenario.
struct Attempt<'a> {
    number: usize,
    started: SystemTime,
    elapsed: Duration,
    steps: &'a [Step],
    is_last: bool,
}

impl<'a> Attempt<'a> {
    fn failed(number: usize, tried: &'a Try) -> Self {
        Self { number, started: tried.started, elapsed: tried.elapsed, steps: &tried.steps, is_last: false }
    }

    fn last(scenario: &'a Scenario) -> Self {
        let Scenario { started, elapsed, ref steps, ref tries, .. } = *scenario;
        Self { number: tries.len(), started, elapsed, steps, is_last: true }
    }
}

/// The messages of a try.
fn attempt(index: usize, attempt: &Attempt<'_>) -> Vec<Value> {
    let started = format!("{index}.started.{}", attempt.number);
    let mut lines = vec![json!({"testCaseStarted": {
        "id": started,
        "testCaseId": format!("{index}.case"),
        "attempt": attempt.number,
        "timestamp": timestamp(attempt.started),
    }})];
    let mut now = attempt.started;
    for record in attempt.steps {
        let id = step_id(index, record);
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
        "willBeRetried": !attempt.is_last,
        "timestamp": timestamp(attempt.started + attempt.elapsed),
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
        What::Seen { text } | What::Object { text } | What::Note { text } => text.clone(),
    })
}

fn status(status: Status) -> &'static str {
    match status {
        // Only scenarios are flaky, and these messages tell of steps.
        Status::Passed | Status::Flaky => "PASSED",
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

/// Lines count from 1.
fn location(line: usize) -> Value {
    json!({"line": line.max(1), "column": 1})
}

fn timestamp(time: SystemTime) -> Value {
    duration(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn duration(time: Duration) -> Value {
    json!({"seconds": time.as_secs(), "nanos": time.subsec_nanos()})
}
