//! Deployments and their like. The versions differ in what they make of fields that are left out.

use serde_json::{Value, json};

use super::draft::{self, Draft, fill, forbid};
use super::kinds::Step;
use super::{Refusal, is_empty};

const EXTENSIONS: &str = "extensions/v1beta1";
const BETA1: &str = "apps/v1beta1";

/// What `extensions/v1beta1` means by leaving a number out: without end.
const ENDLESS: i32 = i32::MAX;

/// To `apps/v1`.
pub(super) fn up(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    if step.kind == "ControllerRevision" {
        return Ok(());
    }
    if matches!(step.old, EXTENSIONS | BETA1) {
        labels_and_selector(draft)?;
    } else if draft.get(&["spec", "selector"]).is_null() {
        return Err(Refusal::new("it has no selector", "write `spec.selector` with labels of the pod template"));
    }
    match (step.kind, step.old) {
        ("Deployment", EXTENSIONS) => {
            let spec = undo_nothing(draft)?;
            let strategy = draft::at(spec, &["strategy"])?;
            let rolling = strategy.get("rollingUpdate").is_some_and(|value| !value.is_null());
            fill(strategy, "type", || json!("RollingUpdate"));
            if strategy["type"] == "RollingUpdate" || rolling {
                let rolling = draft::at(strategy, &["rollingUpdate"])?;
                fill(rolling, "maxSurge", || json!(1));
                fill(rolling, "maxUnavailable", || json!(1));
            }
            fill(spec, "revisionHistoryLimit", || json!(ENDLESS));
            fill(spec, "progressDeadlineSeconds", || json!(ENDLESS));
        }
        ("Deployment", BETA1) => {
            fill(undo_nothing(draft)?, "revisionHistoryLimit", || json!(2));
        }
        ("DaemonSet", EXTENSIONS) => {
            let spec = draft.at(&["spec"])?;
            fill(draft::at(spec, &["updateStrategy"])?, "type", || json!("OnDelete"));
            if draft::take(spec, "templateGeneration").is_some() {
                draft.note("`templateGeneration` is left out: the cluster counts by itself");
            }
        }
        ("StatefulSet", BETA1) => fill(draft.at(&["spec", "updateStrategy"])?, "type", || json!("OnDelete")),
        _ => {}
    }
    Ok(())
}

/// From `apps/v1`.
pub(super) fn down(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    if step.kind == "ControllerRevision" {
        return Ok(());
    }
    let spec = draft.at(&["spec"])?;
    match step.kind {
        "Deployment" => {
            if step.old == EXTENSIONS {
                let strategy = draft::at(spec, &["strategy"])?;
                fill(strategy, "type", || json!("RollingUpdate"));
                if strategy["type"] == "RollingUpdate" {
                    let rolling = draft::at(strategy, &["rollingUpdate"])?;
                    fill(rolling, "maxSurge", || json!("25%"));
                    fill(rolling, "maxUnavailable", || json!("25%"));
                }
                fill(spec, "progressDeadlineSeconds", || json!(600));
            }
            if matches!(step.old, EXTENSIONS | BETA1) {
                fill(spec, "revisionHistoryLimit", || json!(10));
            }
        }
        "DaemonSet" => {
            let strategy = draft::at(spec, &["updateStrategy"])?;
            fill(strategy, "type", || json!("RollingUpdate"));
            if let Some(Value::Object(rolling)) = strategy.get("rollingUpdate")
                && rolling.get("maxSurge").is_some_and(|surge| !matches!(surge.to_string().as_str(), "null" | "0"))
            {
                forbid(rolling, &["maxSurge"], step.old)?;
            }
        }
        "StatefulSet" => {
            forbid(spec, &["minReadySeconds", "ordinals", "persistentVolumeClaimRetentionPolicy"], step.old)?;
            fill(draft::at(spec, &["updateStrategy"])?, "type", || json!("RollingUpdate"));
        }
        _ => {}
    }
    Ok(())
}

/// A deployment's specification, which must not ask for a roll-back.
fn undo_nothing(draft: &mut Draft) -> Result<&mut draft::Fields, Refusal> {
    let spec = draft.at(&["spec"])?;
    if draft::take(spec, "rollbackTo").is_some() {
        return Err(Refusal::new(
            "`spec.rollbackTo` asks for a roll-back, which apps/v1 can't be asked for",
            "leave it out and use kubectl rollout undo",
        ));
    }
    Ok(spec)
}

/// The first versions took both from the labels of the pod template.
fn labels_and_selector(draft: &mut Draft) -> Result<(), Refusal> {
    let labels = draft.get(&["spec", "template", "metadata", "labels"]).clone();
    if draft.get(&["spec", "selector"]).is_null() {
        if is_empty(&labels) {
            return Err(Refusal::new(
                "it has neither a selector nor labels on its pod template",
                "write `spec.template.metadata.labels`",
            ));
        }
        draft.at(&["spec"])?.insert("selector".to_owned(), json!({"matchLabels": labels}));
    }
    if is_empty(draft.get(&["metadata", "labels"])) && !is_empty(&labels) {
        draft.at(&["metadata"])?.insert("labels".to_owned(), labels);
    }
    Ok(())
}
