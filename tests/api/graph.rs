//! The order of a set on a real server: needs across kinds, readiness between, independent branches.

use std::time::Duration;

use istiolab::error::{Failure, Kind};
use istiolab::objects::Error;
use kube::api::{Api as KubeApi, DynamicObject, Patch, PatchParams};
use serde_json::json;

use crate::server::{api, applied, get};

fn job(name: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  template:\n    spec: {{restartPolicy: Never, containers: [{{name: c, image: nobody.test/none:1}}]}}\n"
    )
}

fn after(name: &str, others: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, annotations: {{config.kubernetes.io/depends-on: '{others}'}}}}\n"
    )
}

/// Waits until an object is there.
async fn there(api: &istiolab::objects::Api, version: &str, kind: &str, name: &str) {
    let begin = std::time::Instant::now();
    while get(api, version, kind, "default", name).await.is_none() {
        assert!(begin.elapsed() < Duration::from_secs(25), "{kind} {name} is not applied");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_is_annotated_waits_until_the_other_is_ready() {
    let Some(api) = api("depends-on").await else { return };
    // A config map after a job, against the order of their kinds; another that waits for nobody.
    let text = job("first")
        + &after("second", "batch/namespaces/default/Job/first")
        + "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: unbound}}\n";
    let finish = async {
        // The job is applied, and a branch of its own goes on.
        there(&api, "batch/v1", "Job", "first").await;
        there(&api, "v1", "ConfigMap", "unbound").await;
        assert!(get(&api, "v1", "ConfigMap", "default", "second").await.is_none(), "what needs the job waits");
        let served = api.served("batch", "v1", "Job").await.expect("discovery").expect("served");
        let requests: KubeApi<DynamicObject> =
            KubeApi::namespaced_with(api.client().clone(), "default", &served.resource);
        let now = "2026-01-01T00:00:00Z";
        let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
        let status = json!({"status": {
            "succeeded": 1, "startTime": now, "completionTime": now, "uncountedTerminatedPods": {},
            "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
        }});
        requests.patch_status("first", &PatchParams::default(), &Patch::Merge(&status)).await.expect("finished");
    };
    let (done, ()) = tokio::join!(applied(&api, "depends-on", &text), finish);
    assert_eq!(done.expect("applied").created.len(), 3);
    assert!(get(&api, "v1", "ConfigMap", "default", "second").await.is_some());
    // What is there as it should be is not waited for again.
    let again = applied(&api, "depends-on", &text).await.expect("applied again");
    assert!(again.is_unchanged(), "{again}");
}

#[tokio::test]
async fn a_failure_stops_what_needs_it_and_nothing_else() {
    let Some(api) = api("branches").await else { return };
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: branch-a}, daten: {a: b}}\n".to_owned()
        + &after("branch-b", "/namespaces/default/ConfigMap/branch-a")
        + "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: branch-c}}\n";
    let error = applied(&api, "branches", &text).await.expect_err("no such field");
    assert!(matches!(&error, Error::Refused { object, .. } if object.name == "branch-a"), "{error}");
    assert!(get(&api, "v1", "ConfigMap", "default", "branch-b").await.is_none());
    assert!(get(&api, "v1", "ConfigMap", "default", "branch-c").await.is_some());
}

#[tokio::test]
async fn a_cycle_is_refused_before_anything_is_applied() {
    let Some(api) = api("cycle").await else { return };
    let text = after("round-a", "/namespaces/default/ConfigMap/round-b")
        + &after("round-b", "/namespaces/default/ConfigMap/round-a");
    let error = applied(&api, "round", &text).await.expect_err("they wait for each other");
    assert_eq!(
        error.to_string(),
        "objects wait for each other:\n  - ConfigMap default/round-a (test.yaml:2) waits for\n  - ConfigMap default/round-b (test.yaml:6) waits for the first"
    );
    assert_eq!(Failure::from(error).kind, Kind::BadInput);
    assert!(get(&api, "v1", "ConfigMap", "default", "round").await.is_none());
}

/// Custom resources of two definitions, one of which is never established, because its names are taken.
#[tokio::test]
async fn custom_resources_wait_for_their_own_definition_only() {
    let Some(api) = api("own definition").await else { return };
    let definition = |group: &str, kind: &str, plural: &str| {
        format!(
            "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: {kind}, plural: {plural}}}\n  versions:\n  - {{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}\n"
        )
    };
    applied(&api, "own-first", &definition("own.test", "Kite", "kites")).await.expect("applied");
    let text = definition("own.test", "Kite", "dragons")
        + &definition("other.test", "Ball", "balls")
        + "---\n{apiVersion: own.test/v1, kind: Kite, metadata: {name: never}}\n"
        + "---\n{apiVersion: other.test/v1, kind: Ball, metadata: {name: soon}}\n";
    let options = istiolab::objects::Options { deadline: Duration::from_secs(30), ..Default::default() };
    let error = istiolab::objects::apply(
        &api,
        &istiolab::objects::SetName::new("own-second", "default"),
        &crate::server::objects(&text),
        &options,
        &istiolab::plan::event::Progress::silent(),
        &tokio_util::sync::CancellationToken::new(),
    )
    .await
    .expect_err("the kind is taken");
    assert!(error.to_string().contains("CustomResourceDefinition dragons.own.test"), "{error}");
    assert!(get(&api, "other.test/v1", "Ball", "default", "soon").await.is_some(), "it need not wait for the other");
}
