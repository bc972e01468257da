//! Roles and bindings: only the alpha version names subjects differently.

use serde_json::{Value, json};

use super::Refusal;
use super::draft::{Draft, fill, items, take};
use super::kinds::Step;

const ALPHA: &str = "rbac.authorization.k8s.io/v1alpha1";
const GROUP: &str = "rbac.authorization.k8s.io";

/// To `rbac.authorization.k8s.io/v1`.
pub(super) fn up(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    if step.kind.ends_with("Binding") {
        fill(draft.at(&["roleRef"])?, "apiGroup", || json!(GROUP));
    }
    if step.old != ALPHA {
        return Ok(());
    }
    let mut everybody = false;
    for subject in items(draft.root()?, "subjects")? {
        let version = take(subject, "apiVersion");
        let kind = subject.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind.as_str() {
            "ServiceAccount" => {}
            "User" | "Group" => {
                if kind == "User" && subject.get("name").is_some_and(|name| name == "*") {
                    subject.insert("kind".to_owned(), json!("Group"));
                    subject.insert("name".to_owned(), json!("system:authenticated"));
                    everybody = true;
                }
                subject.insert("apiGroup".to_owned(), json!(GROUP));
            }
            _ => {
                let version = version.as_ref().and_then(Value::as_str).unwrap_or_default();
                let group = version.split_once('/').map_or("", |(group, _)| group);
                subject.insert("apiGroup".to_owned(), json!(group));
            }
        }
    }
    if everybody {
        draft.note("the user `*` is the group `system:authenticated` now, which it meant");
    }
    Ok(())
}

/// From `rbac.authorization.k8s.io/v1`.
pub(super) fn down(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    if step.old != ALPHA {
        return Ok(());
    }
    for subject in items(draft.root()?, "subjects")? {
        let group = take(subject, "apiGroup");
        let version = match subject.get("kind").and_then(Value::as_str) {
            Some("ServiceAccount") => "v1",
            Some("User" | "Group") => ALPHA,
            _ => group.as_ref().and_then(Value::as_str).unwrap_or_default(),
        };
        let version = json!(version);
        subject.insert("apiVersion".to_owned(), version);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::objects::convert::tests::converted;

    #[test]
    fn subjects_of_the_alpha_version_get_their_groups() {
        let text = "
apiVersion: rbac.authorization.k8s.io/v1alpha1
kind: ClusterRoleBinding
metadata: {name: a}
roleRef: {kind: ClusterRole, name: r}
subjects:
- {kind: User, name: '*'}
- {kind: Group, name: g, apiVersion: rbac.authorization.k8s.io/v1alpha1}
- {kind: ServiceAccount, name: s, namespace: ns, apiVersion: v1}
";
        let (document, notes) = converted(text, "1.34");
        let group = "rbac.authorization.k8s.io";
        assert_eq!(document["roleRef"], json!({"kind": "ClusterRole", "name": "r", "apiGroup": group}));
        assert_eq!(
            document["subjects"],
            json!([
                {"kind": "Group", "name": "system:authenticated", "apiGroup": group},
                {"kind": "Group", "name": "g", "apiGroup": group},
                {"kind": "ServiceAccount", "name": "s", "namespace": "ns"},
            ])
        );
        assert_eq!(notes.len(), 1);
    }
}
