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
