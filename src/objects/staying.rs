//! Why objects that were deleted do not go away: finalizers, and what remains in a namespace or of a kind.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use kube::api::{DynamicObject, ListParams, PartialObjectMeta};
use serde_json::Value;

use super::api::{Api, Served};
use super::object::ObjectRef;

/// How long may be asked; this comes after the deadline, so that an error says what holds.
const WITHIN: Duration = Duration::from_secs(8);
/// How many kinds are listed at once.
const CONCURRENCY: usize = 16;
/// How many objects are asked for of each kind.
const PAGE: u32 = 50;
/// How many objects are named.
const NAMED: usize = 5;

/// What the finalizers of Kubernetes' own wait for.
const FINALIZERS: [(&str, &str); 6] = [
    ("customresourcecleanup.apiextensions.k8s.io", "its instances go first"),
    ("foregroundDeletion", "what it owns goes first"),
    ("kubernetes.io/pv-protection", "a claim still uses it"),
    ("kubernetes.io/pvc-protection", "a pod still uses it"),
    ("orphan", "what it owns is let go of first"),
    ("service.kubernetes.io/load-balancer-cleanup", "its load balancer goes first"),
];

/// An object that was deleted and is still there.
#[derive(Debug)]
pub(super) struct Staying {
    pub(super) reference: ObjectRef,
    pub(super) served: Served,
    pub(super) finalizers: Vec<String>,
}

/// Finalizers as a person reads them.
pub(super) fn held(finalizers: &[String]) -> String {
    let told: Vec<_> = finalizers
        .iter()
        .map(|name| match FINALIZERS.iter().find(|(known, _)| known == name) {
            Some((_, what)) => format!("{name} ({what})"),
            None => name.clone(),
        })
        .collect();
    format!("held by its finalizer{}: {}", if told.len() == 1 { "" } else { "s" }, told.join(", "))
}

/// Each object with what holds it, as far as that can be found out in a few seconds.
pub(super) async fn reasons(api: &Api, staying: Vec<Staying>) -> Vec<(ObjectRef, String)> {
    let mut reasons = Vec::new();
    for object in staying {
        let (kind, name) = (object.reference.kind.as_str(), object.reference.name.as_str());
        let found = match (object.reference.group(), kind) {
            ("", "Namespace") => tokio::time::timeout(WITHIN, namespace(api, name)).await.ok().flatten(),
            ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                tokio::time::timeout(WITHIN, definition(api, &object)).await.ok().flatten()
            }
            _ => None,
        };
        let reason = found.unwrap_or_else(|| match object.finalizers.as_slice() {
            [] => "deleted, but still there".to_owned(),
            finalizers => held(finalizers),
        });
        reasons.push((object.reference, reason));
    }
    reasons.sort();
    reasons
}

/// What the namespace's controller says, and what is still in the namespace.
async fn namespace(api: &Api, name: &str) -> Option<String> {
    let requests: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(api.client().clone());
    let object = serde_json::to_value(requests.get_opt(name).await.ok()??).ok()?;
    let mut told = conditions(&object["status"], |_| true);
    let left = contents(api, name).await;
    if told.is_empty() {
        told.push("its controller (in kube-controller-manager) has not said why".to_owned());
    }
    told.extend(named("still in it", &left));
    Some(told.join("; "))
}

/// What the definition says, and the instances that are still there.
async fn definition(api: &Api, object: &Staying) -> Option<String> {
    let requests = api.requests(&object.served, None);
    let whole = serde_json::to_value(requests.get_opt(&object.reference.name).await.ok()??).ok()?;
    let mut told = vec![held(&object.finalizers)];
    told.extend(conditions(&whole["status"], |condition| condition == "Terminating"));
    let spec = &whole["spec"];
    let (group, kind) = (spec["group"].as_str()?, spec["names"]["kind"].as_str()?);
    if let Some(served) = api.recommended(group, kind).await.ok().flatten() {
        told.extend(named("still there", &remaining(api, &served, None).await));
    }
    Some(told.join("; "))
}

/// Messages of the conditions that hold.
fn conditions(status: &Value, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut told: Vec<String> = conditions
        .filter(|condition| condition["status"] == "True" && wanted(condition["type"].as_str().unwrap_or_default()))
        .filter_map(|condition| condition["message"].as_str())
        .map(|message| message.trim().trim_end_matches('.').to_owned())
        .filter(|message| !message.is_empty())
        .collect();
    told.dedup();
    told
}

/// Everything in a namespace; first what its finalizers hold.
async fn contents(api: &Api, namespace: &str) -> Vec<(ObjectRef, Vec<String>)> {
    let Ok(mut kinds) = api.listable().await else { return Vec::new() };
    kinds.retain(|kind| kind.namespaced);
    let mut lists = Vec::with_capacity(kinds.len());
    for kind in &kinds {
        lists.push(remaining(api, kind, Some(namespace)).boxed());
    }
    let lists: Vec<_> = stream::iter(lists).buffer_unordered(CONCURRENCY).collect().await;
    let mut found: Vec<_> = lists.into_iter().flatten().collect();
    found.sort_by(|(a, held_a), (b, held_b)| (held_a.is_empty(), a).cmp(&(held_b.is_empty(), b)));
    found
}

/// Objects of a kind, with their finalizers. What can't be asked is left out: this only helps to explain.
async fn remaining(api: &Api, served: &Served, namespace: Option<&str>) -> Vec<(ObjectRef, Vec<String>)> {
    let requests = api.metadata(served, namespace);
    let Ok(list) = requests.list(&ListParams::default().limit(PAGE)).await else { return Vec::new() };
    let reference = |object: PartialObjectMeta<DynamicObject>| {
        let reference = ObjectRef {
            api_version: served.resource.api_version.clone(),
            kind: served.resource.kind.clone(),
            namespace: object.metadata.namespace,
            name: object.metadata.name.unwrap_or_default(),
        };
        (reference, object.metadata.finalizers.unwrap_or_default())
    };
    list.items.into_iter().map(reference).collect()
}

/// `still in it: ConfigMap a/b (held by its finalizer: c), Pod a/d and 3 more`.
fn named(what: &str, objects: &[(ObjectRef, Vec<String>)]) -> Option<String> {
    let name = |(object, finalizers): &(ObjectRef, Vec<String>)| match finalizers.as_slice() {
        [] => object.to_string(),
        finalizers => format!("{object} ({})", held(finalizers)),
    };
    let first: Vec<_> = objects.iter().take(NAMED).map(name).collect();
    let more = objects.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!first.is_empty()).then(|| format!("{what}: {}{more}", first.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finalizers_of_kubernetes_are_explained() {
        let text = |names: &[&str]| held(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(text(&["a.test/b"]), "held by its finalizer: a.test/b");
        assert_eq!(
            text(&["kubernetes.io/pvc-protection", "a.test/b"]),
            "held by its finalizers: kubernetes.io/pvc-protection (a pod still uses it), a.test/b"
        );
    }

    #[test]
    fn only_conditions_that_hold_are_told() {
        let status = json!({"conditions": [
            {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "all is well"},
            {"type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: pods."},
            {"type": "NamespaceFinalizersRemaining", "status": "True", "message": ""},
        ]});
        assert_eq!(conditions(&status, |_| true), ["Some resources are remaining: pods"]);
        assert!(conditions(&status, |condition| condition == "Terminating").is_empty());
    }

    #[test]
    fn a_few_are_named_and_the_rest_is_counted() {
        let object = |name: usize| {
            let reference = ObjectRef {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                namespace: Some("n".to_owned()),
                name: format!("p{name}"),
            };
            (reference, Vec::new())
        };
        let objects: Vec<_> = (0..7).map(object).collect();
        assert_eq!(
            named("still in it", &objects).expect("some"),
            "still in it: Pod n/p0, Pod n/p1, Pod n/p2, Pod n/p3, Pod n/p4 and 2 more"
        );
        assert_eq!(named("still in it", &[]), None);
    }
}
