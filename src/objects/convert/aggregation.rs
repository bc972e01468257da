//! Aggregated APIs.

use super::Refusal;
use super::draft::{Draft, take};
use super::kinds::Step;

/// To `apiregistration.k8s.io/v1`. Its first form had one priority; 1.7 put two into its place.
pub(super) fn up(draft: &mut Draft, _: &Step<'_>) -> Result<(), Refusal> {
    let spec = draft.at(&["spec"])?;
    if take(spec, "priority").is_some() {
        for name in ["groupPriorityMinimum", "versionPriority"] {
            if spec.get(name).is_none_or(super::is_empty) {
                return Err(Refusal::new(
                    format!("it has no `{name}`, in whose place `priority` once stood"),
                    format!("write `{name}`"),
                ));
            }
        }
        draft.note("`priority` is left out, which has had no effect since Kubernetes 1.7");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::objects::convert::tests::{converted, refused};

    #[test]
    fn a_priority_of_the_first_form_is_left_out() {
        let service = |spec: &str| {
            format!(
                "{{apiVersion: apiregistration.k8s.io/v1beta1, kind: APIService, metadata: {{name: a}}, spec: {spec}}}"
            )
        };
        let (document, notes) =
            converted(&service("{priority: 1, groupPriorityMinimum: 2, versionPriority: 3}"), "1.34");
        assert_eq!(document["spec"], json!({"groupPriorityMinimum": 2, "versionPriority": 3}));
        assert_eq!(notes.len(), 1);
        assert!(refused(&service("{priority: 1}"), "1.34").contains("it has no `groupPriorityMinimum`"));
    }
}
