//! Admission policies in CEL.

use serde_json::json;

use super::Refusal;
use super::draft::{Draft, fill};
use super::kinds::Step;

/// To `admissionregistration.k8s.io/v1`. The first alpha had no list of actions: what did not hold was refused.
pub(super) fn up(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    if step.kind == "ValidatingAdmissionPolicyBinding" {
        fill(draft.at(&["spec"])?, "validationActions", || json!(["Deny"]));
    }
    Ok(())
}
