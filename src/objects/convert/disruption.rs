//! Disruption budgets: an empty selector meant no pods once, and means all of them now.

use serde_json::{Value, json};

use super::Refusal;
use super::draft::{Draft, forbid};
use super::kinds::Step;

/// The label by which Kubernetes itself says "all" in v1beta1 and "none" in v1.
const LABEL: &str = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";

fn empty(operator: &str) -> Value {
    json!({"matchExpressions": [{"key": LABEL, "operator": operator}]})
}

/// To `policy/v1`.
pub(super) fn up(draft: &mut Draft, _: &Step<'_>) -> Result<(), Refusal> {
    let spec = draft.at(&["spec"])?;
    let Some(selector) = spec.get("selector") else { return Ok(()) };
    if *selector == empty("DoesNotExist") {
        spec.insert("selector".to_owned(), json!({}));
    } else if selects_nothing(selector) {
        spec.insert("selector".to_owned(), empty("Exists"));
        draft.note("its empty selector means no pods, as before: policy/v1 would take it for all");
    }
    Ok(())
}

/// From `policy/v1`.
pub(super) fn down(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    let spec = draft.at(&["spec"])?;
    if spec.get("unhealthyPodEvictionPolicy").is_some_and(|policy| policy != "IfHealthyBudget") {
        forbid(spec, &["unhealthyPodEvictionPolicy"], step.old)?;
    }
    spec.remove("unhealthyPodEvictionPolicy");
    let Some(selector) = spec.get("selector") else { return Ok(()) };
    if *selector == empty("Exists") {
        spec.insert("selector".to_owned(), json!({}));
    } else if selects_nothing(selector) {
        spec.insert("selector".to_owned(), empty("DoesNotExist"));
    }
    Ok(())
}

/// Whether a selector is there, but holds nothing. A missing one matches no pods in either version.
fn selects_nothing(selector: &Value) -> bool {
    selector.as_object().is_some_and(|fields| fields.values().all(super::is_empty))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::objects::convert::tests::{converted, refused};

    fn budget(version: &str, spec: &str) -> String {
        format!("{{apiVersion: policy/{version}, kind: PodDisruptionBudget, metadata: {{name: a}}, spec: {spec}}}")
    }

    #[test]
    fn an_empty_selector_keeps_its_meaning_there_and_back() {
        let (document, notes) = converted(&budget("v1beta1", "{minAvailable: 1, selector: {}}"), "1.34");
        assert_eq!(document["spec"]["selector"], super::empty("Exists"));
        assert_eq!(notes.len(), 1);
        assert_eq!(converted(&document.to_string(), "1.20").0["spec"]["selector"], json!({}));
        let (document, _) = converted(&budget("v1", "{selector: {}}"), "1.20");
        assert_eq!(document["spec"]["selector"], super::empty("DoesNotExist"));
        assert_eq!(converted(&document.to_string(), "1.34").0["spec"]["selector"], json!({}));
        assert_eq!(converted(&budget("v1beta1", "{minAvailable: 1}"), "1.34").0["spec"], json!({"minAvailable": 1}));
    }

    #[test]
    fn a_policy_of_eviction_is_newer() {
        let message = refused(&budget("v1", "{unhealthyPodEvictionPolicy: AlwaysAllow}"), "1.20");
        assert!(message.contains("policy/v1beta1 has no `unhealthyPodEvictionPolicy`"), "{message}");
    }
}
