//! Objects that kubectl applied, in a set that was handed over to us: what kubectl managed of them is
//! ours from now on, or fields that left the files would stay for ever as kubectl's.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::FIELD_MANAGER;
use super::api::{Api, api_error};
use super::error::Error;
use super::inventory::Live;
use super::request::Limit;

/// kubectl's managers: of `apply`, and of `apply --server-side`.
const KUBECTL: [(&str, &str); 2] = [("kubectl-client-side-apply", "Update"), ("kubectl", "Apply")];

/// Writes us in as the manager of what kubectl managed. The caller has seen that the object is in our
/// set. Does nothing where there is nothing of kubectl's, or we have applied the object ourselves.
pub(super) async fn take(api: &Api, live: &Live, limit: &Limit<'_>) -> Result<(), Error> {
    let Some(managed) = renamed(&live.managed) else { return Ok(()) };
    let requests = api.requests(&live.served, live.reference.namespace.as_deref());
    let doing = || format!("taking over {} from kubectl", live.reference);
    let patch: json_patch::Patch = serde_json::from_value(json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": managed},
        // Refused if somebody has written in between.
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live.resource_version},
    ]))
    .map_err(|error| api_error(doing(), kube::Error::SerdeError(error)))?;
    let (params, patch) = (PatchParams::default(), Patch::<()>::Json(patch));
    let answer = limit.tried(doing, || requests.patch_metadata(&live.reference.name, &params, &patch)).await?;
    answer.map(drop).map_err(|source| api_error(doing(), source))
}

/// The managers with kubectl's first entry as ours; `None` if there is none, or one of ours already.
fn renamed(managed: &[ManagedFieldsEntry]) -> Option<Vec<ManagedFieldsEntry>> {
    let is = |entry: &ManagedFieldsEntry, manager: &str, operation: &str| {
        entry.manager.as_deref() == Some(manager)
            && entry.operation.as_deref() == Some(operation)
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    };
    if managed.iter().any(|entry| is(entry, FIELD_MANAGER, "Apply")) {
        return None;
    }
    let index = KUBECTL
        .iter()
        .find_map(|(manager, operation)| managed.iter().position(|entry| is(entry, manager, operation)))?;
    let mut managed = managed.to_vec();
    managed[index].manager = Some(FIELD_MANAGER.to_owned());
    managed[index].operation = Some("Apply".to_owned());
    Some(managed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, subresource: Option<&str>) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.to_owned()),
            operation: Some(operation.to_owned()),
            subresource: subresource.map(str::to_owned),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn what_kubectl_applied_becomes_ours() {
        let others = entry("kube-controller-manager", "Update", Some("status"));
        for (manager, operation) in KUBECTL {
            let managed = renamed(&[others.clone(), entry(manager, operation, None)]).expect("kubectl's");
            assert_eq!(managed, [others.clone(), entry(FIELD_MANAGER, "Apply", None)]);
        }
    }

    #[test]
    fn nothing_changes_where_we_have_applied_or_kubectl_has_not() {
        let ours = entry(FIELD_MANAGER, "Apply", None);
        assert_eq!(renamed(&[ours, entry("kubectl", "Apply", None)]), None);
        assert_eq!(renamed(&[entry("kubectl-edit", "Update", None), entry("kubectl", "Apply", Some("status"))]), None);
        assert_eq!(renamed(&[]), None);
    }
}
