//! Configurations of admission webhooks: v1 has other defaults, and asks for what v1beta1 did not.

use std::collections::HashSet;

use serde_json::json;

use super::Refusal;
use super::draft::{Draft, fill, forbid, items};
use super::kinds::Step;

/// To `admissionregistration.k8s.io/v1`.
pub(super) fn up(draft: &mut Draft, _: &Step<'_>) -> Result<(), Refusal> {
    let mut names = HashSet::new();
    let mut unsaid = Vec::new();
    for webhook in items(draft.root()?, "webhooks")? {
        let name = webhook.get("name").and_then(|name| name.as_str()).unwrap_or_default().to_owned();
        if !names.insert(name.clone()) {
            return Err(Refusal::new(
                format!("two webhooks have the name `{name}`"),
                "give each webhook a name of its own, as v1 wants it",
            ));
        }
        fill(webhook, "failurePolicy", || json!("Ignore"));
        fill(webhook, "matchPolicy", || json!("Exact"));
        fill(webhook, "timeoutSeconds", || json!(30));
        fill(webhook, "admissionReviewVersions", || json!(["v1beta1"]));
        match webhook.get("sideEffects").and_then(|effects| effects.as_str()) {
            None | Some("Unknown") => {
                webhook.insert("sideEffects".to_owned(), json!("NoneOnDryRun"));
                unsaid.push(name);
            }
            Some("Some") => {
                return Err(Refusal::new(
                    format!("the webhook `{name}` has side effects also in dry runs, which v1 does not allow"),
                    "make it heed `dryRun` and write `sideEffects: NoneOnDryRun`",
                ));
            }
            Some(_) => {}
        }
    }
    if !unsaid.is_empty() {
        draft.note(format!(
            "it does not say which side effects {} has: `NoneOnDryRun` is written, so that dry runs, \
             which were refused where it matched, reach it",
            unsaid.join(", ")
        ));
    }
    Ok(())
}

/// From `admissionregistration.k8s.io/v1`.
pub(super) fn down(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    for webhook in items(draft.root()?, "webhooks")? {
        forbid(webhook, &["matchConditions"], step.old)?;
        fill(webhook, "failurePolicy", || json!("Fail"));
        fill(webhook, "matchPolicy", || json!("Equivalent"));
        fill(webhook, "timeoutSeconds", || json!(10));
        let versions = webhook.get("admissionReviewVersions").and_then(|versions| versions.as_array());
        if !versions.is_some_and(|versions| versions.iter().any(|version| version == "v1beta1")) {
            return Err(Refusal::new(
                "its server does not take reviews of v1beta1, the only ones that the cluster sends",
                "add v1beta1 to `admissionReviewVersions` if the server understands it",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::objects::convert::tests::{converted, refused};

    fn configuration(version: &str, webhooks: &str) -> String {
        format!(
            "{{apiVersion: admissionregistration.k8s.io/{version}, kind: MutatingWebhookConfiguration, \
             metadata: {{name: a}}, webhooks: {webhooks}}}"
        )
    }

    #[test]
    fn defaults_are_written_out() {
        let (document, notes) =
            converted(&configuration("v1beta1", "[{name: x}, {name: y, sideEffects: None}]"), "1.34");
        assert_eq!(
            document["webhooks"][0],
            json!({"name": "x", "failurePolicy": "Ignore", "matchPolicy": "Exact", "timeoutSeconds": 30,
                "admissionReviewVersions": ["v1beta1"], "sideEffects": "NoneOnDryRun"})
        );
        assert_eq!(document["webhooks"][1]["sideEffects"], "None");
        assert!(notes[0].starts_with("it does not say which side effects x has"), "{notes:?}");
    }

    #[test]
    fn what_v1_does_not_allow_is_refused() {
        let message = refused(&configuration("v1beta1", "[{name: x, sideEffects: Some}]"), "1.34");
        assert!(message.contains("side effects also in dry runs"), "{message}");
        let message = refused(&configuration("v1beta1", "[{name: x}, {name: x}]"), "1.34");
        assert!(message.contains("two webhooks have the name `x`"), "{message}");
    }

    #[test]
    fn an_older_cluster_sends_other_reviews() {
        let new = "[{name: x, sideEffects: None, admissionReviewVersions: [v1, v1beta1]}]";
        let (document, _) = converted(&configuration("v1", new), "1.15");
        assert_eq!(document["webhooks"][0]["failurePolicy"], "Fail");
        assert_eq!(document["webhooks"][0]["timeoutSeconds"], 10);
        let message = refused(&configuration("v1", &new.replace(", v1beta1", "")), "1.15");
        assert!(message.contains("does not take reviews of v1beta1"), "{message}");
    }
}
