//! Fields that somebody else manages: who, and whether we may take or must leave them.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::Status;
use serde_json::Value;

/// As whom the horizontal autoscaler, one of its controllers, writes.
const SCALER: &str = "kube-controller-manager";

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The other field manager, `kubectl-edit`.
    pub manager: String,
    /// The field's path, `.spec.replicas`.
    pub field: String,
    /// Whether the other declares the field too (server-side apply), rather than having set it once.
    pub declared: bool,
    /// When the other wrote last, as `2026-11-21T16:02:11Z`, where the object tells.
    pub since: Option<String>,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is managed by `{}`", self.field, self.manager)?;
        self.since.as_ref().map_or(Ok(()), |since| write!(f, " since {since}"))
    }
}

/// The clashes that an answer lists. The server writes them as
/// `conflict with "manager" using apps/v1` where the manager updated, without `using` where it applied.
/// `entries` is what the object says of its managers.
pub(super) fn clashes(status: &Status, entries: &[ManagedFieldsEntry]) -> Vec<Clash> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| {
            let manager = cause.message.split('"').nth(1).unwrap_or("unknown").to_owned();
            let declared = !cause.message.contains(" using ");
            let entry = entries.iter().find(|entry| {
                entry.manager.as_ref() == Some(&manager)
                    && (entry.operation.as_deref() == Some("Apply")) == declared
                    && entry.subresource.as_deref().unwrap_or_default().is_empty()
            });
            let since = entry.and_then(|entry| entry.time.as_ref()).map(|time| time.0.to_string());
            Clash { field: cause.field.clone(), manager, declared, since }
        })
        .collect()
}

/// Whether a field is meant to be handed over once its controller runs: what a webhook's own server
/// writes into its configuration, and the number of replicas under a scaler. Who scales by hand has no
/// such right: the lab file says how many there are.
pub(super) fn is_handed_over(kind: &str, field: &str, manager: &str) -> bool {
    match kind {
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            field.starts_with(".webhooks[") && (field.ends_with(".failurePolicy") || field.ends_with(".caBundle"))
        }
        "CustomResourceDefinition" => field.ends_with(".webhook.clientConfig.caBundle"),
        "APIService" => field == ".spec.caBundle",
        "Deployment" | "StatefulSet" | "ReplicaSet" => field == ".spec.replicas" && manager == SCALER,
        _ => false,
    }
}

/// Takes the fields that their controllers now manage out of the document. Gives back what is left
/// to be decided.
pub(super) fn hand_over(document: &mut Value, clashes: Vec<Clash>) -> Vec<Clash> {
    let kind = document["kind"].as_str().unwrap_or_default().to_owned();
    clashes
        .into_iter()
        .filter(|clash| !(is_handed_over(&kind, &clash.field, &clash.manager) && remove(document, &clash.field)))
        .collect()
}

/// Removes the field at a path as the server writes it: `.webhooks[name="x.y"].clientConfig.caBundle`.
fn remove(document: &mut Value, path: &str) -> bool {
    let mut here = document;
    let mut rest = path;
    while let Some(tail) = rest.strip_prefix('.') {
        let end = tail.find(['.', '[']).unwrap_or(tail.len());
        let (name, after) = tail.split_at(end);
        if after.is_empty() {
            return here.as_object_mut().is_some_and(|fields| fields.remove(name).is_some());
        }
        let Some(next) = here.get_mut(name) else { return false };
        here = next;
        rest = after;
        if let Some(key) = rest.strip_prefix("[name=\"") {
            let Some((value, after)) = key.split_once("\"]") else { return false };
            let Some(items) = here.as_array_mut() else { return false };
            let Some(item) = items.iter_mut().find(|item| item["name"] == value) else { return false };
            here = item;
            rest = after;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn managers_are_read_from_the_answer() {
        let cause =
            |message: &str, field: &str| json!({"reason": "FieldManagerConflict", "message": message, "field": field});
        let causes = [
            cause("conflict with \"kubectl-edit\" using apps/v1", ".spec.replicas"),
            cause("conflict with \"argocd\"", ".data.a"),
        ];
        let status: Status =
            serde_json::from_value(json!({"code": 409, "details": {"causes": causes}})).expect("a status");
        let managed = json!([
            {"manager": "kubectl-edit", "operation": "Update", "subresource": "status", "time": "2026-01-01T00:00:00Z"},
            {"manager": "kubectl-edit", "operation": "Update", "time": "2026-02-03T04:05:06Z"},
        ]);
        let managed: Vec<ManagedFieldsEntry> = serde_json::from_value(managed).expect("entries");
        let found = clashes(&status, &managed);
        assert_eq!(found[0].to_string(), "`.spec.replicas` is managed by `kubectl-edit` since 2026-02-03T04:05:06Z");
        assert_eq!(found[1].to_string(), "`.data.a` is managed by `argocd`");
        assert_eq!(found.iter().map(|clash| clash.declared).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn what_a_webhooks_server_writes_is_left_to_it() {
        let mut document = json!({
            "kind": "ValidatingWebhookConfiguration",
            "webhooks": [{"name": "a.b.c", "failurePolicy": "Ignore", "clientConfig": {"caBundle": "", "url": "u"}}],
        });
        let clash = |field: &str| Clash { manager: "pilot".into(), field: field.into(), declared: false, since: None };
        let left = hand_over(
            &mut document,
            vec![
                clash(".webhooks[name=\"a.b.c\"].failurePolicy"),
                clash(".webhooks[name=\"a.b.c\"].clientConfig.caBundle"),
                clash(".webhooks[name=\"a.b.c\"].rules"),
            ],
        );
        assert_eq!(left, [clash(".webhooks[name=\"a.b.c\"].rules")]);
        assert!(is_handed_over("Deployment", ".spec.replicas", SCALER));
        assert!(!is_handed_over("Deployment", ".spec.replicas", "kubectl"));
        assert_eq!(document["webhooks"][0], json!({"name": "a.b.c", "clientConfig": {"url": "u"}}));
    }
}
