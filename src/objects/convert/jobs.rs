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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::objects::convert::tests::{converted, refused};

    #[test]
    fn the_alpha_version_kept_all_jobs() {
        let job = |version: &str| {
            format!(
                "{{apiVersion: batch/{version}, kind: CronJob, metadata: {{name: a}}, spec: {{failedJobsHistoryLimit: 4}}}}"
            )
        };
        let (document, _) = converted(&job("v2alpha1"), "1.34");
        assert_eq!(document["spec"], json!({"failedJobsHistoryLimit": 4, "successfulJobsHistoryLimit": i32::MAX}));
        assert_eq!(converted(&job("v1beta1"), "1.34").0["spec"], json!({"failedJobsHistoryLimit": 4}));
    }

    #[test]
    fn an_older_cluster_has_no_time_zones() {
        let text = "{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {timeZone: Europe/Berlin}}";
        assert!(refused(text, "1.20").contains("batch/v1beta1 has no `timeZone`"));
    }
}
