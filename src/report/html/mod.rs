//! The run as one page for people. It needs nothing from elsewhere, reads well on a small screen, in
//! the dark, by keyboard and aloud; what is folded opens without a script.

mod chart;
mod mesh;
mod scenarios;
mod timeline;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::tally::Tally;
use super::text::counted;
use crate::plan::event::Outcome;
use crate::verify::record::{Scenario, Status};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("filter.js");

/// The report of a run, finished or not.
pub(super) fn render(tally: &Tally) -> String {
    let title = tally.lab.as_ref().map_or_else(|| "istiolab".to_owned(), |lab| format!("Lab {}", lab.name));
    let (verdict, word) = verdict(tally);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
                title { (word) " · " (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#scenarios" { "To the scenarios" }
                header {
                    h1 { (title) }
                    p.verdict.(verdict) role="status" { (word) }
                    (facts(tally))
                }
                main {
                    (failures(tally))
                    @if !tally.steps.is_empty() { (timeline::section(tally)) }
                    @if !tally.scenarios.is_empty() { (scenarios::section(&tally.scenarios)) }
                    @if let Some(mesh) = &tally.mesh { (mesh::section(mesh)) }
                    (environment(tally))
                }
                footer { "Written by istiolab " (env!("CARGO_PKG_VERSION")) "." }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// A class for the colour, and the word that says it without colour.
fn verdict(tally: &Tally) -> (&'static str, &'static str) {
    match &tally.ended {
        None => ("skipped", "Not finished"),
        Some((0, _)) => ("passed", "Passed"),
        Some(_) => ("failed", "Failed"),
    }
}

/// `passed` and the like, for classes and for reading.
fn word(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Flaky => "flaky",
        Status::Failed => "failed",
        Status::Skipped => "skipped",
    }
}

/// A sign that differs by more than its colour.
fn sign(status: Status) -> Markup {
    let sign = match status {
        Status::Passed => "✓",
        Status::Flaky => "~",
        Status::Failed => "✗",
        Status::Skipped => "–",
    };
    html! { span.sign.(word(status)) aria-hidden="true" { (sign) } span.aloud { (word(status)) ": " } }
}

fn seconds(time: std::time::Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn facts(tally: &Tally) -> Markup {
    let counts = [Status::Passed, Status::Flaky, Status::Failed, Status::Skipped];
    let counts = counts.map(|status| (status, tally.count(status)));
    html! {
        dl.facts {
            div { dt { "Began" } dd { (humantime::format_rfc3339_seconds(tally.started)) } }
            div { dt { "Took" } dd { (seconds(tally.elapsed())) } }
            @if !tally.scenarios.is_empty() {
                div { dt { "Scenarios" } dd {
                    @for (status, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                        span.count.(word(status)) { (count) " " (word(status)) }
                    }
                } }
            }
            @if let Some((code, _)) = &tally.ended { div { dt { "Exit code" } dd { (code) } } }
        }
    }
}

/// What went wrong, before everything else.
fn failures(tally: &Tally) -> Markup {
    let steps = tally.steps.iter().filter_map(|step| match &step.finished {
        Some((Outcome::Failed { error }, _)) => Some((step, error)),
        _ => None,
    });
    let steps: Vec<_> = steps.filter(|(step, _)| step.phase != "scenarios").collect();
    let with = |status| tally.scenarios.iter().filter(move |scenario| scenario.status == status).collect::<Vec<_>>();
    let (failed, flaky) = (with(Status::Failed), with(Status::Flaky));
    let error = tally.ended.as_ref().and_then(|(_, error)| error.as_ref()).filter(|_| failed.is_empty());
    let unfinished = tally.ended.is_none();
    html! {
        @if unfinished || !steps.is_empty() || !failed.is_empty() || !flaky.is_empty() || error.is_some() || !tally.warnings.is_empty() {
            section aria-labelledby="failures" {
                h2 #failures { "What to look at" }
                @if unfinished { p { "The run was cut off; this is what had been seen by then." } }
                @if let Some(error) = error { pre.error tabindex="0" { (error) } }
                @for (step, error) in steps {
                    h3 { (sign(Status::Failed)) (step.title) }
                    pre.error tabindex="0" { (error) }
                }
                @for scenario in failed {
                    h3 { (link(scenario)) }
                    @if let Some(error) = &scenario.error { pre.error tabindex="0" { (error) } }
                }
                @for scenario in flaky {
                    h3 { (link(scenario)) }
                    p { "Passed at try " (scenario.tries.len() + 1) "; what failed before is told there." }
                }
                @if !tally.warnings.is_empty() {
                    h3 { (counted(tally.warnings.len(), "warning")) }
                    ul { @for warning in &tally.warnings { li { (warning) } } }
                }
            }
        }
    }
}

/// The way to a scenario on this page.
fn link(scenario: &Scenario) -> Markup {
    html! {
        a href=(format!("#{}", scenarios::id(scenario))) { (sign(scenario.status)) (scenario.feature) ": " (scenario.name) }
    }
}

/// What the run was made with.
fn environment(tally: &Tally) -> Markup {
    let lab = tally.lab.as_ref();
    let mesh = lab.and_then(|lab| lab.mesh.as_ref());
    let system = format!("{}, {}", std::env::consts::OS, std::env::consts::ARCH);
    let processors =
        std::thread::available_parallelism().map_or_else(|_| "unknown".to_owned(), |count| count.to_string());
    let mut facts = vec![("istiolab", env!("CARGO_PKG_VERSION").to_owned())];
    if let Some(lab) = lab {
        facts.push(("Lab file", lab.file.to_string()));
        facts.push(("Kubernetes", lab.cluster.kubernetes.clone()));
    }
    facts.extend(mesh.map(|mesh| ("Istio", format!("{}, profile {}", mesh.version, mesh.profile))));
    facts.push(("System", system));
    facts.push(("Processors", processors));
    html! {
        section aria-labelledby="environment" {
            h2 #environment { "Versions and images" }
            dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
            @if !tally.images.is_empty() {
                details {
                    summary { (counted(tally.images.len(), "image")) }
                    div.wide tabindex="0" role="region" aria-label="Images" {
                        table {
                            thead { tr { th scope="col" { "Image" } th scope="col" { "Digest" } } }
                            tbody { @for (name, digest) in &tally.images { tr { td { (name) } td.mono { (digest) } } } }
                        }
                    }
                }
            }
        }
    }
}
