//! Cron jobs.

use serde_json::json;

use super::Refusal;
use super::draft::{Draft, fill, forbid};
use super::kinds::Step;

/// To `batch/v1`. The alpha version kept all jobs unless it was told how many.
pub(super) fn up(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    let spec = draft.at(&["spec"])?;
    if step.old == "batch/v2alpha1" {
        fill(spec, "successfulJobsHistoryLimit", || json!(i32::MAX));
        fill(spec, "failedJobsHistoryLimit", || json!(i32::MAX));
    }
    Ok(())
}

/// From `batch/v1`.
pub(super) fn down(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    let spec = draft.at(&["spec"])?;
    forbid(spec, &["timeZone"], step.old)?;
    if step.old == "batch/v2alpha1" {
        fill(spec, "successfulJobsHistoryLimit", || json!(3));
        fill(spec, "failedJobsHistoryLimit", || json!(1));
    }
    Ok(())
}
