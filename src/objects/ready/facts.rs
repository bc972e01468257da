//! What a judgement needs to know of the cluster beyond the object itself.

use std::collections::BTreeSet;

use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;

use crate::objects::api::{Api, api_error};
use crate::objects::error::Error;
use crate::objects::object::ObjectRef;

/// Facts of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Services of type `LoadBalancer` get an address here.
    pub load_balancers: bool,
    /// Storage classes whose volumes are bound only once a pod uses them. A claim without a class
    /// uses the default one, which is listed as the empty name.
    pub late_binding: BTreeSet<String>,
}

/// Asks for what the judgement of these objects needs.
pub(super) async fn gather(api: &Api, objects: &[ObjectRef]) -> Result<Facts, Error> {
    let mut facts = Facts { load_balancers: api.has_load_balancers(), late_binding: BTreeSet::new() };
    if !objects.iter().any(|object| object.kind == "PersistentVolumeClaim") {
        return Ok(facts);
    }
    let requests: kube::Api<StorageClass> = kube::Api::all(api.client().clone());
    let classes = requests
        .list(&ListParams::default())
        .await
        .map_err(|source| api_error("listing the storage classes", source))?;
    for class in classes {
        if class.volume_binding_mode.as_deref() != Some("WaitForFirstConsumer") {
            continue;
        }
        let annotations = class.metadata.annotations.unwrap_or_default();
        if annotations.get("storageclass.kubernetes.io/is-default-class").is_some_and(|value| value == "true") {
            facts.late_binding.insert(String::new());
        }
        facts.late_binding.extend(class.metadata.name);
    }
    Ok(facts)
}
