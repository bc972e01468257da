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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::objects::convert::tests::{converted, refused};

    fn workload(api: &str, kind: &str, spec: &Value) -> String {
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": "a"}, "spec": spec}).to_string()
    }

    fn template() -> Value {
        json!({"metadata": {"labels": {"app": "a"}}, "spec": {}})
    }

    #[test]
    fn defaults_of_the_first_versions_are_written_out() {
        for (api, kind, expected) in [
            (
                "extensions/v1beta1",
                "Deployment",
                json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
                    "revisionHistoryLimit": 2_147_483_647, "progressDeadlineSeconds": 2_147_483_647}),
            ),
            ("apps/v1beta1", "Deployment", json!({"revisionHistoryLimit": 2})),
            ("extensions/v1beta1", "DaemonSet", json!({"updateStrategy": {"type": "OnDelete"}})),
            ("apps/v1beta1", "StatefulSet", json!({"updateStrategy": {"type": "OnDelete"}})),
            ("extensions/v1beta1", "ReplicaSet", json!({})),
        ] {
            let (document, notes) = converted(&workload(api, kind, &json!({"template": template()})), "1.34");
            assert_eq!(document["apiVersion"], "apps/v1");
            assert_eq!(document["metadata"]["labels"], json!({"app": "a"}), "{kind}");
            assert_eq!(document["spec"]["selector"], json!({"matchLabels": {"app": "a"}}), "{kind}");
            for (name, value) in expected.as_object().expect("fields") {
                assert_eq!(document["spec"][name], *value, "{api} {kind}");
            }
            assert!(notes.is_empty(), "{notes:?}");
        }
    }

    #[test]
    fn what_is_said_is_kept() {
        let spec = json!({"template": template(), "selector": {"matchLabels": {"b": "c"}}, "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 5, "strategy": {"type": "Recreate"}});
        let (document, _) = converted(&workload("extensions/v1beta1", "Deployment", &spec), "1.34");
        assert_eq!(document["spec"], spec);
        let spec =
            json!({"template": template(), "templateGeneration": 4, "updateStrategy": {"type": "RollingUpdate"}});
        let (document, notes) = converted(&workload("extensions/v1beta1", "DaemonSet", &spec), "1.34");
        assert_eq!(document["spec"]["updateStrategy"]["type"], "RollingUpdate");
        assert_eq!(notes, ["`templateGeneration` is left out: the cluster counts by itself"]);
    }

    #[test]
    fn what_can_not_be_said_is_refused() {
        let message = refused(&workload("apps/v1beta1", "Deployment", &json!({"template": {}})), "1.34");
        assert!(message.contains("neither a selector nor labels"), "{message}");
        let message = refused(&workload("apps/v1beta2", "Deployment", &json!({"template": template()})), "1.34");
        assert!(message.contains("it has no selector"), "{message}");
        let spec = json!({"template": template(), "rollbackTo": {"revision": 1}});
        let message = refused(&workload("extensions/v1beta1", "Deployment", &spec), "1.34");
        assert!(message.contains("use kubectl rollout undo"), "{message}");
        let spec = json!({"selector": {}, "minReadySeconds": 3});
        let message = refused(&workload("apps/v1", "StatefulSet", &spec), "1.8");
        assert!(message.ends_with("apps/v1beta2 has no `minReadySeconds`; leave `minReadySeconds` out"), "{message}");
    }
}
