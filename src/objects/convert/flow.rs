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
