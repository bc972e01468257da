//! Phases and steps on a line of time.

use std::time::Duration;

use maud::{Markup, html};

use super::{seconds, sign};
use crate::plan::event::Outcome;
use crate::report::tally::{StepRecord, Tally};
use crate::verify::record::Status;

pub(super) fn section(tally: &Tally) -> Markup {
    let phases = tally.phases();
    let whole = phases.iter().map(|phase| phase.to).max().unwrap_or_default().max(Duration::from_millis(1));
    let share = |time: Duration| format!("{:.2}%", 100.0 * time.as_secs_f64() / whole.as_secs_f64());
    html! {
        section aria-labelledby="phases" {
            h2 #phases { "Where the time went" }
            div.wide tabindex="0" role="region" aria-label="Phases" {
                table.phases {
                    thead { tr {
                        th scope="col" { "Phase" } th scope="col" { "From" } th scope="col" { "To" }
                        th scope="col" { "Steps" } th scope="col" { "Changed" } th.bar scope="col" { "Time" }
                    } }
                    tbody {
                        @for phase in &phases {
                            tr {
                                th scope="row" { (phase.name) }
                                td.number { (seconds(phase.from)) } td.number { (seconds(phase.to)) }
                                td.number { (phase.steps) } td.number { (phase.changed) }
                                td.bar aria-hidden="true" {
                                    div.lane { @for step in tally.steps.iter().filter(|step| step.phase == phase.name) {
                                        (bar(step, tally, &share))
                                    } }
                                }
                            }
                        }
                    }
                }
            }
            details {
                summary { "Every step" }
                ol.steps { @for step in &tally.steps { (told(step)) } }
            }
        }
    }
}

fn bar(step: &StepRecord, tally: &Tally, share: &impl Fn(Duration) -> String) -> Markup {
    let elapsed =
        step.finished.as_ref().map_or_else(|| tally.elapsed().saturating_sub(step.started), |(_, time)| *time);
    let class = match &step.finished {
        Some((Outcome::Failed { .. }, _)) => "failed",
        Some((Outcome::Unchanged, _)) => "unchanged",
        _ => "changed",
    };
    let place = format!("left:{};width:max(2px,{})", share(step.started), share(elapsed));
    html! { span.step-bar.(class) style=(place) title=(format!("{}: {}", step.title, seconds(elapsed))) {} }
}

fn told(step: &StepRecord) -> Markup {
    let (status, detail, elapsed) = match &step.finished {
        None => (Status::Skipped, "had not ended", None),
        Some((Outcome::Done { what }, elapsed)) => (Status::Passed, what.as_str(), Some(*elapsed)),
        Some((Outcome::Unchanged, elapsed)) => (Status::Passed, "unchanged", Some(*elapsed)),
        Some((Outcome::Failed { error }, elapsed)) => (Status::Failed, error.as_str(), Some(*elapsed)),
        Some((Outcome::Cancelled, elapsed)) => (Status::Skipped, "cancelled", Some(*elapsed)),
    };
    html! {
        li.step {
            (sign(status)) (step.title)
            @if !detail.is_empty() { ": " (detail) }
            span.soft { " at " (seconds(step.started)) @if let Some(elapsed) = elapsed { ", " (seconds(elapsed)) } }
        }
    }
}
