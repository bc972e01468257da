//! Scenarios with their steps and what they saw.

use maud::{Markup, html};

use super::{seconds, sign, word};
use crate::report::text;
use crate::verify::record::{Evidence, Scenario, Status, Step, What};

pub(super) fn section(scenarios: &[Scenario]) -> Markup {
    let mut features: Vec<(&str, Vec<&Scenario>)> = Vec::new();
    for scenario in scenarios {
        match features.iter_mut().find(|(feature, _)| *feature == scenario.feature) {
            Some((_, scenarios)) => scenarios.push(scenario),
            None => features.push((&scenario.feature, vec![scenario])),
        }
    }
    for (_, scenarios) in &mut features {
        scenarios.sort_by_key(|scenario| (scenario.file.clone(), scenario.line));
    }
    features.sort_by_key(|(feature, _)| *feature);
    html! {
        section aria-labelledby="scenarios" {
            h2 #scenarios { "Scenarios" }
            form.filter hidden {
                label { "Show " select name="status" {
                    option value="" { "all" }
                    option value="failed" { "failed" }
                    option value="flaky" { "flaky" }
                    option value="passed" { "passed" }
                    option value="skipped" { "skipped" }
                } }
                label { "with the words " input type="search" name="words"; }
                output name="shown" {}
            }
            @for (feature, scenarios) in features {
                section.feature {
                    h3 { (feature) }
                    @for one in scenarios { (scenario(one)) }
                }
            }
        }
    }
}

/// The anchor of a scenario.
pub(super) fn id(scenario: &Scenario) -> String {
    let name: String = scenario.file.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("{name}-{}", scenario.line)
}

fn scenario(scenario: &Scenario) -> Markup {
    let failed = scenario.status == Status::Failed;
    html! {
        details.scenario id=(id(scenario)) data-status=(word(scenario.status)) open[failed] {
            summary {
                (sign(scenario.status)) (scenario.name)
                span.soft { " " (seconds(scenario.elapsed)) }
                @if scenario.status == Status::Skipped {
                    @if let Some(reason) = &scenario.error { span.soft { " · " (reason) } }
                }
                @if !scenario.tries.is_empty() { span.soft { " · try " (scenario.tries.len() + 1) } }
            }
            p.soft { (scenario.file) ":" (scenario.line) @for tag in &scenario.tags { " " span.tag { "@" (tag) } } }
            ol.steps { @for one in &scenario.steps { (step(one)) } }
            @if failed { @if let Some(error) = &scenario.error { pre.error tabindex="0" { (error) } } }
            @for (heading, tried) in text::tries(scenario) {
                details.tried {
                    summary { (sign(Status::Failed)) (heading) }
                    ol.steps { @for one in &tried.steps { (step(one)) } }
                    pre.error tabindex="0" { (tried.error) }
                }
            }
        }
    }
}

fn step(step: &Step) -> Markup {
    html! {
        li.step {
            (sign(step.status)) b { (step.keyword.trim()) } " " (step.text)
            span.soft { " " (seconds(step.elapsed)) }
            @if step.status == Status::Skipped { @if let Some(reason) = &step.error { span.soft { " · " (reason) } } }
            @if !step.evidence.is_empty() {
                details.evidence {
                    summary { "what it asked and saw (" (step.evidence.len() + step.omitted) ")" }
                    @if step.omitted > 0 { p.soft { (step.omitted) " older pieces were left out." } }
                    ol { @for piece in &step.evidence { (evidence(piece)) } }
                }
            }
        }
    }
}

fn evidence(evidence: &Evidence) -> Markup {
    let when = format!("at {}", seconds(evidence.at));
    let times = (evidence.times > 1).then(|| format!(", {} times", evidence.times));
    html! {
        li {
            span.soft { (when) (times.unwrap_or_default()) }
            @match &evidence.what {
                What::Exchange { request, sent, status, answer } => {
                    div.mono { (request) @if let Some(status) = status { " → " (status) } }
                    @if let Some(sent) = sent { pre tabindex="0" { (sent) } }
                    @if !answer.is_empty() { pre tabindex="0" { (answer) } }
                }
                What::Seen { text } | What::Object { text } | What::Note { text } => pre tabindex="0" { (text) },
            }
        }
    }
}
