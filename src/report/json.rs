//! The whole run as JSON. Its shape is versioned: fields are added, never changed.

use serde_json::{Value, json};

use super::tally::{Slow, StepRecord, Tally, Waited};
use crate::plan::event::Outcome;
use crate::verify::record::Status;

/// The version of the shape.
const SCHEMA: &str = "istiolab.dev/report/v1";

/// The report of a run, finished or not.
pub(super) fn render(tally: &Tally) -> String {
    let lab = tally.lab.as_ref().map(|lab| {
        json!({
            "name": lab.name,
            "file": lab.file,
            "kubernetes": lab.cluster.kubernetes,
            "provider": lab.cluster.provider,
            "mesh": lab.mesh.as_ref().map(|mesh| json!({"version": mesh.version, "profile": mesh.profile})),
        })
    });
    let phases: Vec<Value> = tally
        .phases()
        .into_iter()
        .map(|phase| {
            json!({
                "name": phase.name,
                "from": phase.from.as_secs_f64(),
                "to": phase.to.as_secs_f64(),
                "steps": phase.steps,
                "changed": phase.changed,
                "failed": phase.failed,
            })
        })
        .collect();
    let report = json!({
        "schema": SCHEMA,
        "istiolab": env!("CARGO_PKG_VERSION"),
        "complete": tally.ended.is_some(),
        "exitCode": tally.ended.as_ref().map(|(code, _)| code),
        "error": tally.ended.as_ref().and_then(|(_, error)| error.as_ref()),
        "started": humantime::format_rfc3339_millis(tally.started).to_string(),
        "seconds": tally.elapsed().as_secs_f64(),
        "lab": lab,
        "images": tally.images,
        "mesh": tally.mesh,
        "phases": phases,
        "steps": tally.steps.iter().map(step).collect::<Vec<_>>(),
        "slowestObjects": tally.slowest.iter().map(slow).collect::<Vec<_>>(),
        "unreadyObjects": tally.waiting.iter().map(waited).collect::<Vec<_>>(),
        "warnings": tally.warnings,
        "totals": {
            "passed": tally.count(Status::Passed),
            "flaky": tally.count(Status::Flaky),
            "failed": tally.count(Status::Failed),
            "skipped": tally.count(Status::Skipped),
        },
        "scenarios": tally.scenarios,
    });
    format!("{report:#}\n")
}

fn slow(slow: &Slow) -> Value {
    json!({"object": slow.object, "step": slow.step, "seconds": slow.elapsed.as_secs_f64(), "lastState": slow.state})
}

/// An object that was not ready when it was last heard of.
fn waited(((step, object), waited): (&(String, String), &Waited)) -> Value {
    json!({"object": object, "step": step, "seconds": waited.elapsed.as_secs_f64(), "lastState": waited.state})
}

fn step(step: &StepRecord) -> Value {
    let (outcome, detail, seconds) = match &step.finished {
        None => ("running", None, None),
        Some((outcome, elapsed)) => {
            let (name, detail) = match outcome {
                Outcome::Done { what } => ("done", Some(what).filter(|what| !what.is_empty())),
                Outcome::Unchanged => ("unchanged", None),
                Outcome::Failed { error } => ("failed", Some(error)),
                Outcome::Cancelled => ("cancelled", None),
            };
            (name, detail, Some(elapsed.as_secs_f64()))
        }
    };
    json!({
        "id": step.id,
        "phase": step.phase,
        "title": step.title,
        "started": step.started.as_secs_f64(),
        "seconds": seconds,
        "outcome": outcome,
        "detail": detail,
    })
}
