//! Waiting: what a watch shows, the early verdict, the last state seen.

use std::fmt::Write as _;
use std::time::Duration;

use istiolab::objects::ready::{Grace, wait, wait_with};
use istiolab::objects::{Api, Error, ObjectRef};
use istiolab::plan::event::Progress;
use kube::api::{Api as KubeApi, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::server::{api, applied};

pub(crate) fn deployment(name: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: [{{name: c, image: nobody.test/none:1}}]}}\n"
    )
}

pub(crate) fn reference(kind: &str, version: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: version.to_owned(),
        kind: kind.to_owned(),
        namespace: Some("default".to_owned()),
        name: name.to_owned(),
    }
}

/// Writes a status, as a controller or a kubelet does.
pub(crate) async fn set_status(api: &Api, object: &ObjectRef, status: Value) {
    let served = api.served(object.group(), object.version(), &object.kind).await.expect("discovery").expect("served");
    let requests: KubeApi<DynamicObject> = KubeApi::namespaced_with(api.client().clone(), "default", &served.resource);
    let patch = json!({"status": status});
    requests
        .patch_status(&object.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .expect("the status is written");
}

#[tokio::test]
async fn a_deployment_is_ready_when_its_status_says_so() {
    let Some(api) = api("ready").await else { return };
    let object = reference("Deployment", "apps/v1", "soon");
    applied(&api, "soon", &deployment("soon")).await.expect("applied");
    let become_ready = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let status = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1});
        set_status(&api, &object, status).await;
    };
    let (progress, mut events) = Progress::channel();
    let objects = [object.clone()];
    let cancel = CancellationToken::new();
    let waited = wait(&api, &objects, Duration::from_secs(10), &progress, &cancel);
    let (result, ()) = tokio::join!(waited, become_ready);
    result.expect("it is ready");
    drop(progress);
    let mut seen = String::new();
    while let Some(event) = events.recv().await {
        let _ = writeln!(seen, "{:?}", event.what);
    }
    assert!(
        seen.contains("0 of 1 ready, waiting for Deployment default/soon: its controller has not seen it"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_time_out_tells_the_last_state() {
    let Some(api) = api("time-out").await else { return };
    let object = reference("Deployment", "apps/v1", "never");
    applied(&api, "never", &deployment("never")).await.expect("applied");
    set_status(&api, &object, json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1})).await;
    let error = wait(&api, &[object], Duration::from_millis(700), &Progress::silent(), &CancellationToken::new())
        .await
        .expect_err("it is never ready");
    let Error::NotReady { waiting, limit, .. } = &error else { panic!("{error}") };
    assert_eq!(*limit, Duration::from_millis(700));
    assert_eq!(waiting[0].1, "0 of 1 replicas ready");
}

#[tokio::test]
async fn an_image_that_nobody_has_is_named_after_the_grace() {
    let Some(api) = api("image").await else { return };
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: imageless-1, labels: {app: imageless}}\nspec: {containers: [{name: c, image: nobody.test/none:1}]}\n";
    applied(&api, "imageless", &(deployment("imageless") + pod)).await.expect("applied");
    let object = reference("Deployment", "apps/v1", "imageless");
    set_status(&api, &object, json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1})).await;
    let waiting = json!({"name": "c", "ready": false, "restartCount": 0, "image": "x", "imageID": "",
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image nobody.test/none:1"}}});
    let status = json!({"phase": "Pending", "containerStatuses": [waiting]});
    set_status(&api, &reference("Pod", "v1", "imageless-1"), status).await;
    let grace = Grace { image: Duration::from_millis(500), ..Grace::default() };
    let begin = std::time::Instant::now();
    let error =
        wait_with(&api, &[object], grace, Duration::from_mins(1), &Progress::silent(), &CancellationToken::new())
            .await
            .expect_err("nobody has it");
    assert!(begin.elapsed() < Duration::from_secs(50), "named early");
    let Error::Failed { cause, .. } = &error else { panic!("{error}") };
    assert_eq!(
        cause,
        "0 of 1 replicas ready; pod imageless-1: container c: ImagePullBackOff: Back-off pulling image nobody.test/none:1; \
         not better within 0.5s, the grace for images (limit 1m)"
    );
}

#[tokio::test]
async fn what_is_ready_by_being_there_is_not_waited_for() {
    let Some(api) = api("at once").await else { return };
    let objects = [reference("ConfigMap", "v1", "not-even-there")];
    wait(&api, &objects, Duration::from_secs(1), &Progress::silent(), &CancellationToken::new())
        .await
        .expect("at once");
}

#[tokio::test]
async fn an_object_that_is_not_there_is_told() {
    let Some(api) = api("absent").await else { return };
    let objects = [reference("Deployment", "apps/v1", "absent")];
    let error = wait(&api, &objects, Duration::from_millis(500), &Progress::silent(), &CancellationToken::new())
        .await
        .expect_err("it is not there");
    assert!(error.to_string().ends_with("Deployment default/absent: it is not there"), "{error}");
}
