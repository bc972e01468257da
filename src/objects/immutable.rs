//! Fields that can't be changed once the object is there: how the API server says so, and what is
//! lost by deleting the object and making it anew.

use std::fmt;

use kube::core::Status;
use serde::Serialize;

/// What the API server's own validation says of a field that stays as it was made. Each is the end of
/// a sentence in `k8s.io/kubernetes/pkg/apis/*/validation` or apiextensions' validation.
const SAYINGS: [&str; 6] = [
    "is immutable",
    "may not change once set",
    "may not be changed",
    "cannot change roleRef",
    "fields other than",
    "updates to ",
];

/// A field that can't be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fixed {
    /// Its path, `.spec.selector`.
    pub field: String,
    /// What the server says of it.
    pub reason: String,
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.field, self.reason)
    }
}

/// The fields because of which the object would have to be replaced; nothing if it is refused for
/// another reason as well, because then replacing it would fail too.
pub(super) fn fixed(status: &Status) -> Option<Vec<Fixed>> {
    if status.code != 422 {
        return None;
    }
    let causes = &status.details.as_ref()?.causes;
    let fixed: Option<Vec<_>> = causes
        .iter()
        .map(|cause| {
            // After the first line comes a difference in the words of Go.
            let line = cause.message.lines().next().unwrap_or_default();
            let is_fixed = matches!(cause.reason.as_str(), "FieldValueInvalid" | "FieldValueForbidden")
                && SAYINGS.iter().any(|saying| line.contains(saying));
            is_fixed.then(|| Fixed { field: format!(".{}", cause.field), reason: reason(line) })
        })
        .collect();
    fixed.filter(|all| !all.is_empty())
}

/// The last part of `Invalid value: {"a":"b"}: field is immutable`, without the value.
fn reason(line: &str) -> String {
    let text = line.strip_prefix("Forbidden: ").unwrap_or(line);
    let text = if text.starts_with("Invalid value: ") { text.rsplit(": ").next().unwrap_or(text) } else { text };
    text.trim_end_matches('.').to_owned()
}

/// What is gone when an object of a kind is deleted and made anew.
#[must_use]
pub fn lost(kind: &str) -> &'static str {
    match kind {
        "CustomResourceDefinition" => "every object of the kind that it defines, whoever made it",
        "PersistentVolumeClaim" => "what is on its volume, unless the volume's reclaim policy keeps it",
        "PersistentVolume" => "its binding; what is on it stays only if its reclaim policy says so",
        "StatefulSet" => "its pods, until they are made anew; the volumes of its claims stay",
        "Deployment" | "DaemonSet" | "ReplicaSet" | "ReplicationController" => "its pods, until they are made anew",
        "Pod" => "the pod with its logs",
        "Job" => "its pods with their logs; its work is done again",
        "Service" => "its addresses and node ports, unless it names them itself",
        "ClusterRoleBinding" | "RoleBinding" => "the rights that it gives, for a moment",
        "ServiceAccount" => "the tokens that were made for it",
        _ => "its status, and what others noted of its identifier",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(causes: &Value) -> Status {
        serde_json::from_value(json!({"code": 422, "reason": "Invalid", "details": {"causes": causes}}))
            .expect("a status")
    }

    fn cause(reason: &str, message: &str, field: &str) -> Value {
        json!({"reason": reason, "message": message, "field": field})
    }

    #[test]
    fn immutable_fields_are_recognised() {
        let said = |reason: &str, message: &str, field: &str| {
            fixed(&status(&json!([cause(reason, message, field)]))).map(|all| all[0].to_string())
        };
        assert_eq!(
            said(
                "FieldValueInvalid",
                "Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: field is immutable",
                "spec.selector"
            ),
            Some("`.spec.selector`: field is immutable".to_owned())
        );
        assert_eq!(
            said("FieldValueForbidden", "Forbidden: updates to provisioner are forbidden.", "provisioner"),
            Some("`.provisioner`: updates to provisioner are forbidden".to_owned())
        );
        assert_eq!(
            said(
                "FieldValueForbidden",
                "Forbidden: spec is immutable after creation except resources.requests\n  core.PersistentVolumeClaimSpec{",
                "spec"
            ),
            Some("`.spec`: spec is immutable after creation except resources.requests".to_owned())
        );
        assert_eq!(said("FieldValueRequired", "Required value", "spec.selector"), None);
        assert_eq!(
            said("FieldValueInvalid", "Invalid value: -1: must be greater than or equal to 0", "spec.replicas"),
            None
        );
    }

    #[test]
    fn what_is_wrong_besides_is_not_mended_by_replacing() {
        let both = json!([
            cause("FieldValueInvalid", "Invalid value: \"x\": field is immutable", "spec.selector"),
            cause("FieldValueRequired", "Required value", "spec.template"),
        ]);
        assert_eq!(fixed(&status(&both)), None);
    }
}
