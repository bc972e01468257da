//! What is as it should be is left alone; what left the set goes; what others made stays.

use std::time::Instant;

use istiolab::objects::{Options, SetName};
use istiolab::plan::event::Progress;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::own::Own;
use crate::server::{api, applied, config_map, get, names};

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
}

#[tokio::test]
async fn an_unchanged_set_is_not_written() {
    let Some(api) = api("unchanged").await else { return };
    let text: String = (0..150).map(|number| config_map(&format!("same-{number}"), "b")).collect();
    let first = applied(&api, "same", &text).await.expect("applied");
    assert_eq!(first.created.len(), 150);
    let versions = async || {
        let mut all = vec![version(&get(&api, "v1", "ConfigMap", "default", "same").await.expect("the parent"))];
        for number in [0, 77, 149] {
            let name = format!("same-{number}");
            all.push(version(&get(&api, "v1", "ConfigMap", "default", &name).await.expect("a member")));
        }
        all
    };
    let before = versions().await;
    let begin = Instant::now();
    let second = applied(&api, "same", &text).await.expect("applied");
    let elapsed = begin.elapsed();
    assert!(second.is_unchanged(), "{second}");
    assert_eq!(versions().await, before);
    assert!(elapsed.as_secs_f64() < 1.0, "150 unchanged objects took {elapsed:?}");
}

#[tokio::test]
async fn only_what_differs_is_changed_and_what_left_is_pruned() {
    let Some(api) = api("prune").await else { return };
    let text = config_map("prune-a", "1") + &config_map("prune-b", "1") + &config_map("prune-c", "1");
    applied(&api, "prune", &text).await.expect("applied");
    // Not of the set, though of the same kind and namespace.
    applied(&api, "prune-other", &config_map("prune-d", "1")).await.expect("applied");

    let done = applied(&api, "prune", &(config_map("prune-a", "1") + &config_map("prune-b", "2"))).await;
    let done = done.expect("applied");
    assert_eq!(names(&done.changed), ["ConfigMap default/prune-b"]);
    assert_eq!(names(&done.unchanged), ["ConfigMap default/prune-a"]);
    assert_eq!(names(&done.pruned), ["ConfigMap default/prune-c"]);
    assert!(get(&api, "v1", "ConfigMap", "default", "prune-c").await.is_none());
    assert!(get(&api, "v1", "ConfigMap", "default", "prune-d").await.is_some());
}

#[tokio::test]
async fn a_kind_that_left_the_set_is_pruned_too() {
    let Some(api) = api("prune a kind").await else { return };
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: kind-left}\nstringData: {a: b}\n";
    applied(&api, "kind-left", &(config_map("kind-stays", "1") + secret)).await.expect("applied");
    let parent = get(&api, "v1", "ConfigMap", "default", "kind-left").await.expect("the parent");
    let kinds = &parent["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"];
    assert_eq!(kinds, "ConfigMap,Secret");

    let done = applied(&api, "kind-left", &config_map("kind-stays", "1")).await.expect("applied");
    assert_eq!(names(&done.pruned), ["Secret default/kind-left"]);
    let parent = get(&api, "v1", "ConfigMap", "default", "kind-left").await.expect("the parent");
    let kinds = &parent["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"];
    assert_eq!(kinds, "ConfigMap");
}

#[tokio::test]
async fn what_was_changed_by_hand_is_set_right() {
    let Some(api) = api("drift").await else { return };
    applied(&api, "drift", &config_map("drift", "right")).await.expect("applied");
    let requests: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(api.client().clone(), "default");
    let by_hand = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
    let wrong = json!({"data": {"a": "wrong", "more": "stays"}});
    requests.patch("drift", &by_hand, &Patch::Merge(&wrong)).await.expect("changed by hand");

    let done = applied(&api, "drift", &config_map("drift", "right")).await.expect("applied");
    assert_eq!(names(&done.changed), ["ConfigMap default/drift"]);
    let object = get(&api, "v1", "ConfigMap", "default", "drift").await.expect("it is there");
    assert_eq!(object["data"], json!({"a": "right", "more": "stays"}));
    assert!(applied(&api, "drift", &config_map("drift", "right")).await.expect("applied").is_unchanged());
}

#[tokio::test]
async fn an_object_of_nobodys_set_is_changed_but_never_deleted() {
    let Some(api) = api("adopt").await else { return };
    let requests: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(api.client().clone(), "default");
    let existing = serde_json::from_value(json!({"metadata": {"name": "foreign"}})).expect("an object");
    requests.create(&kube::api::PostParams::default(), &existing).await.expect("made");

    let done = applied(&api, "adopt", &config_map("foreign", "1")).await.expect("applied");
    assert_eq!(names(&done.changed), ["ConfigMap default/foreign"]);
    assert!(applied(&api, "adopt", &config_map("foreign", "1")).await.expect("applied").is_unchanged());
    let done = applied(&api, "adopt", &config_map("own", "1")).await.expect("applied");
    assert!(done.pruned.is_empty());
    assert!(get(&api, "v1", "ConfigMap", "default", "foreign").await.is_some());
}

#[tokio::test]
async fn what_a_webhooks_server_wrote_is_left_to_it() {
    let Some(api) = api("handed over").await else { return };
    let hook = |note: &str| {
        format!(
            "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: handed.test, annotations: {{note: {note}}}}}
webhooks:
- name: handed.over.test
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  clientConfig: {{service: {{name: none, namespace: handed-over-nowhere, path: /x}}}}
  namespaceSelector: {{matchLabels: {{handed: 'never'}}}}
  rules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}}]
"
        )
    };
    applied(&api, "handed-over", &hook("first")).await.expect("applied");
    let requests: kube::Api<k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration> =
        kube::Api::all(api.client().clone());
    let mut object = serde_json::to_value(requests.get("handed.test").await.expect("there")).expect("JSON");
    object["webhooks"][0]["failurePolicy"] = json!("Fail");
    let by_server =
        kube::api::PostParams { field_manager: Some("pilot-discovery".to_owned()), ..kube::api::PostParams::default() };
    let object = serde_json::from_value(object).expect("an object");
    requests.replace("handed.test", &by_server, &object).await.expect("written by its server");

    assert!(applied(&api, "handed-over", &hook("first")).await.expect("applied").is_unchanged());
    let done = applied(&api, "handed-over", &hook("second")).await.expect("applied");
    assert_eq!(names(&done.changed), ["ValidatingWebhookConfiguration handed.test"]);
    let object = serde_json::to_value(requests.get("handed.test").await.expect("there")).expect("JSON");
    assert_eq!(object["webhooks"][0]["failurePolicy"], "Fail");
    assert_eq!(object["metadata"]["annotations"]["note"], "second");
    assert!(applied(&api, "handed-over", &hook("second")).await.expect("applied").is_unchanged());
}

/// Whatever the server fills in or writes differently must not look like a change by hand.
#[tokio::test]
async fn the_projects_own_manifests_are_unchanged_when_applied_again() {
    // On a server of its own: others have objects of these names, too.
    let Some(own) = Own::start("manifests", &[]) else { return };
    let api = own.api().await;
    let root = camino::Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let folders = ["addons/prometheus", "addons/grafana", "addons/zipkin", "first-istio"];
    let mut objects = istiolab::objects::load(&folders.map(|folder| root.join(folder))).expect("objects");
    objects.extend(crate::server::objects("{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}"));
    let options = Options { default_namespace: Some("istio-system".to_owned()), ..Options::default() };
    let set = SetName::new("manifests", "default");
    let apply = async || {
        istiolab::objects::apply(&api, &set, &objects, &options, &Progress::silent(), &CancellationToken::new())
            .await
            .expect("applied")
    };
    assert_eq!(apply().await.created.len(), objects.len());
    let again = apply().await;
    assert!(again.is_unchanged(), "{again}");
}

#[tokio::test]
async fn a_number_of_replicas_is_left_to_a_scaler_and_to_nobody_else() {
    let Some(api) = api("replicas").await else { return };
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: scaled}\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: s}}\n  template:\n    metadata: {labels: {app: s}}\n    spec: {containers: [{name: c, image: i}]}\n";
    applied(&api, "scaled", text).await.expect("applied");
    let requests: kube::Api<k8s_openapi::api::apps::v1::Deployment> =
        kube::Api::namespaced(api.client().clone(), "default");
    let scale = async |manager: &str, replicas: u8| {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let patch = json!({"spec": {"replicas": replicas}});
        requests.patch_scale("scaled", &params, &Patch::Merge(&patch)).await.expect("scaled");
    };
    scale("kubectl", 3).await;
    let done = applied(&api, "scaled", text).await.expect("applied");
    assert_eq!(names(&done.changed), ["Deployment default/scaled"]);
    let replicas = async || {
        get(&api, "apps/v1", "Deployment", "default", "scaled").await.expect("there")["spec"]["replicas"].clone()
    };
    assert_eq!(replicas().await, 1);

    scale("kube-controller-manager", 4).await;
    assert!(applied(&api, "scaled", text).await.expect("applied").is_unchanged());
    // Other changes leave it, too.
    let changed = text.replace("image: i", "image: j");
    assert_eq!(
        names(&applied(&api, "scaled", &changed).await.expect("applied").changed),
        ["Deployment default/scaled"]
    );
    assert_eq!(replicas().await, 4);
    assert!(applied(&api, "scaled", &changed).await.expect("applied").is_unchanged());
}
