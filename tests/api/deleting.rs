//! Taking a set away again.

use std::time::Duration;

use istiolab::objects::{Error, SetName, delete_set};
use istiolab::plan::event::Progress;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::server::{api, applied, get, names};

async fn delete(
    api: &istiolab::objects::Api,
    set: &str,
    deadline: Duration,
) -> Result<istiolab::objects::Deleted, Error> {
    let set = SetName::new(set, "default");
    delete_set(api, &set, deadline, &Progress::silent(), &CancellationToken::new()).await
}

#[tokio::test]
async fn a_set_is_deleted_and_nothing_else() {
    let Some(api) = api("delete").await else { return };
    let text = "
apiVersion: v1
kind: ConfigMap
metadata: {name: delete-a}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.delete.test}
spec:
  group: delete.test
  scope: Cluster
  names: {kind: Boat, plural: boats}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
---
apiVersion: delete.test/v1
kind: Boat
metadata: {name: red}
";
    applied(&api, "delete", text).await.expect("applied");
    applied(&api, "delete-other", "{apiVersion: v1, kind: ConfigMap, metadata: {name: delete-b}}")
        .await
        .expect("applied");
    let deleted = delete(&api, "delete", Duration::from_secs(20)).await.expect("deleted");
    // Instances before their definition.
    let order: Vec<_> = deleted.deleted.iter().map(ToString::to_string).collect();
    assert_eq!(order, ["Boat red", "ConfigMap default/delete-a", "CustomResourceDefinition boats.delete.test"]);
    for (name, there) in [("delete-a", false), ("delete", false), ("delete-b", true)] {
        assert_eq!(get(&api, "v1", "ConfigMap", "default", name).await.is_some(), there, "{name}");
    }
    let again = delete(&api, "delete", Duration::from_secs(20)).await.expect("nothing to delete");
    assert!(names(&again.deleted).is_empty());
}

#[tokio::test]
async fn what_stays_is_named_with_its_finalizers() {
    let Some(api) = api("finalizer").await else { return };
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [test/keep]}}";
    applied(&api, "held-set", text).await.expect("applied");
    let error = delete(&api, "held-set", Duration::from_secs(1)).await.expect_err("it is held");
    let Error::Staying { staying, .. } = &error else { panic!("{error}") };
    assert_eq!(staying[0].0.to_string(), "ConfigMap default/held");
    assert_eq!(staying[0].1, "held by its finalizer: test/keep");

    let requests: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(api.client().clone(), "default");
    let freed = json!({"metadata": {"finalizers": null}});
    requests.patch("held", &PatchParams::default(), &Patch::Merge(&freed)).await.expect("freed");
    delete(&api, "held-set", Duration::from_secs(20)).await.expect("deleted");
    assert!(get(&api, "v1", "ConfigMap", "default", "held").await.is_none());
}

#[tokio::test]
async fn an_object_that_is_going_is_waited_for_and_made_anew() {
    let Some(api) = api("terminating").await else { return };
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: going, finalizers: [test/keep]}, data: {a: '1'}}";
    applied(&api, "going-set", text).await.expect("applied");
    let _ = delete(&api, "going-set", Duration::from_millis(300)).await.expect_err("it is held");
    let requests: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(api.client().clone(), "default");
    let free = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let freed = json!({"metadata": {"finalizers": null}});
        requests.patch("going", &PatchParams::default(), &Patch::Merge(&freed)).await.expect("freed");
    };
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: going}, data: {a: '2'}}";
    let (done, ()) = tokio::join!(applied(&api, "going-set", text), free);
    done.expect("applied");
    let object = get(&api, "v1", "ConfigMap", "default", "going").await.expect("it is there");
    assert_eq!(object["data"]["a"], "2");
}
