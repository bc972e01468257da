//! Priority and fairness: the shares of a priority level changed their name.

use super::Refusal;
use super::draft::{Draft, rename};
use super::kinds::Step;

const OLD: &str = "assuredConcurrencyShares";
const NEW: &str = "nominalConcurrencyShares";
/// In v1beta3, zero shares are the default of 30 unless this stands at the object.
const ZERO: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";

fn is_beta3(step: &Step<'_>) -> bool {
    step.old.ends_with("/v1beta3")
}

/// To `flowcontrol.apiserver.k8s.io/v1`.
pub(super) fn up(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    if step.kind != "PriorityLevelConfiguration" || draft.get(&["spec", "limited"]).is_null() {
        return Ok(());
    }
    let annotations = draft.get(&["metadata", "annotations"]);
    let zero = is_beta3(step) && annotations.get(ZERO).is_some();
    if zero {
        draft.at(&["metadata", "annotations"])?.remove(ZERO);
    }
    let limited = draft.at(&["spec", "limited"])?;
    if !is_beta3(step) {
        rename(limited, OLD, NEW);
    }
    if !zero && limited.get(NEW).is_some_and(|shares| *shares == 0) {
        limited.remove(NEW);
    }
    Ok(())
}

/// From `flowcontrol.apiserver.k8s.io/v1`.
pub(super) fn down(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    if step.kind != "PriorityLevelConfiguration" || draft.get(&["spec", "limited"]).is_null() {
        return Ok(());
    }
    let limited = draft.at(&["spec", "limited"])?;
    let zero = limited.get(NEW).is_some_and(|shares| *shares == 0);
    match (is_beta3(step), zero) {
        (true, true) => draft.annotate(ZERO, "")?,
        (true, false) => {}
        (false, true) => {
            return Err(Refusal::new(
                format!("{} takes zero shares for the default of 30", step.old),
                "write at least one share",
            ));
        }
        (false, false) => rename(limited, NEW, OLD),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::objects::convert::tests::{converted, refused};

    fn level(version: &str, limited: &Value) -> String {
        json!({"apiVersion": format!("flowcontrol.apiserver.k8s.io/{version}"), "kind": "PriorityLevelConfiguration",
            "metadata": {"name": "a"}, "spec": {"type": "Limited", "limited": limited}})
        .to_string()
    }

    #[test]
    fn shares_have_another_name() {
        let (document, _) = converted(&level("v1beta2", &json!({"assuredConcurrencyShares": 5})), "1.34");
        assert_eq!(document["spec"]["limited"], json!({"nominalConcurrencyShares": 5}));
        assert_eq!(
            converted(&document.to_string(), "1.24").0["spec"]["limited"],
            json!({"assuredConcurrencyShares": 5})
        );
    }

    #[test]
    fn zero_shares_were_the_default_once() {
        let (document, _) = converted(&level("v1beta3", &json!({"nominalConcurrencyShares": 0})), "1.34");
        assert_eq!(document["spec"]["limited"], json!({}));
        let zero = level("v1", &json!({"nominalConcurrencyShares": 0}));
        let (document, _) = converted(&zero, "1.28");
        assert_eq!(document["metadata"]["annotations"], json!({super::ZERO: ""}));
        assert_eq!(
            converted(&document.to_string(), "1.34").0["spec"]["limited"],
            json!({"nominalConcurrencyShares": 0})
        );
        assert!(refused(&zero, "1.24").contains("takes zero shares for the default"));
    }
}
