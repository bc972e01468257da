//! What does not go away: the error names what holds it.

use std::time::Duration;

use istiolab::objects::{Api, Error, SetName, delete_set};
use istiolab::plan::event::Progress;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::server::{api, applied, get, patch, shared};

async fn delete(api: &Api, set: &str, seconds: u64) -> Result<(), Error> {
    let (set, limit) = (SetName::new(set, "default"), Duration::from_secs(seconds));
    delete_set(api, &set, limit, &Progress::silent(), &CancellationToken::new()).await.map(drop)
}

#[tokio::test]
async fn a_namespace_that_stays_is_explained_by_what_is_in_it() {
    let Some(own) = shared("stuck namespace").await else { return };
    let api = own.api().await;
    let text = "
apiVersion: v1
kind: Namespace
metadata: {name: stuck}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: goes, namespace: stuck}
";
    applied(&api, "stuck", text).await.expect("applied");
    let foreign =
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: held, namespace: stuck, finalizers: [test/keep]}}";
    applied(&api, "stuck-foreign", foreign).await.expect("applied");

    // Nobody looks after namespaces yet.
    let error = delete(&api, "stuck", 1).await.expect_err("it stays").to_string();
    let told = "Namespace stuck: its controller (in kube-controller-manager) has not said why; still in it: \
                ConfigMap stuck/held (held by its finalizer: test/keep)";
    assert!(error.contains(told), "{error}");

    own.start_controllers("namespace-controller");
    let mut message = String::new();
    // Until the controller has begun and come to it.
    for _ in 0..30 {
        message = delete(&api, "stuck", 2).await.expect_err("it stays").to_string();
        if message.contains("finalizers remaining") {
            break;
        }
    }
    assert!(message.starts_with("still there after "), "{message}");
    for part in [
        "\n  - Namespace stuck: ",
        "Some resources are remaining: configmaps. has 1 resource instances",
        "Some content in the namespace has finalizers remaining: test/keep in 1 resource instances",
        "still in it: ConfigMap stuck/held (held by its finalizer: test/keep)",
    ] {
        assert!(message.contains(part), "{message}");
    }

    patch(&api, "ConfigMap", "stuck", "held", &json!({"metadata": {"finalizers": null}})).await;
    // The same command goes on from there; the namespace is going already.
    delete(&api, "stuck", 60).await.expect("deleted");
    assert!(get(&api, "v1", "Namespace", "", "stuck").await.is_none());
    assert!(get(&api, "v1", "ConfigMap", "default", "stuck").await.is_none(), "the set is gone too");
}

#[tokio::test]
async fn a_definition_that_stays_is_explained_by_its_instances() {
    let Some(api) = api("stuck definition").await else { return };
    let text = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: anchors.stuck.test}
spec:
  group: stuck.test
  scope: Namespaced
  names: {kind: Anchor, plural: anchors}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
";
    applied(&api, "anchors", text).await.expect("applied");
    let foreign = "{apiVersion: stuck.test/v1, kind: Anchor, metadata: {name: heavy, finalizers: [test/keep]}}";
    applied(&api, "anchors-foreign", foreign).await.expect("applied");
    let error = delete(&api, "anchors", 3).await.expect_err("it stays").to_string();
    for part in [
        "CustomResourceDefinition anchors.stuck.test: held by its finalizer: \
         customresourcecleanup.apiextensions.k8s.io (its instances go first)",
        "still there: Anchor default/heavy (held by its finalizer: test/keep)",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let served = api.served("stuck.test", "v1", "Anchor").await.expect("discovery").expect("served");
    let requests: kube::Api<kube::api::DynamicObject> =
        kube::Api::namespaced_with(api.client().clone(), "default", &served.resource);
    let freed = kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
    requests.patch("heavy", &kube::api::PatchParams::default(), &freed).await.expect("freed");
    delete(&api, "anchors", 30).await.expect("deleted");
}

/// Somebody deleted the object and made another of the same name between our look and our request.
#[tokio::test]
async fn an_object_that_took_the_name_is_left_alone() {
    let Some(api) = api("same name").await else { return };
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: same-name, finalizers: [test/keep]}}";
    applied(&api, "again", text).await.expect("applied");
    let requests: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(api.client().clone(), "default");
    let swap = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        patch(&api, "ConfigMap", "default", "same-name", &json!({"metadata": {"finalizers": null}})).await;
        let new = serde_json::from_value(json!({"metadata": {"name": "same-name"}})).expect("an object");
        requests.create(&kube::api::PostParams::default(), &new).await.expect("made");
    };
    let (deleted, ()) = tokio::join!(delete(&api, "again", 20), swap);
    deleted.expect("what was the set's is gone");
    assert!(get(&api, "v1", "ConfigMap", "default", "same-name").await.is_some(), "the new one is not the set's");
}
