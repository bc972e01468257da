//! What can't be applied, and what is said about it.

use istiolab::error::{Failure, Kind};
use istiolab::objects::{Error, parse};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::server::{api, applied, get};

#[tokio::test]
async fn a_missing_definition_is_named_before_anything_is_applied() {
    let Some(api) = api("missing definition").await else { return };
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: before}\n---\napiVersion: missing.test/v1\nkind: Ship\nmetadata: {name: blue}\n";
    let error = applied(&api, "missing", text).await.expect_err("nobody defines it");
    assert_eq!(
        error.to_string(),
        "test.yaml:5: Ship blue needs a CustomResourceDefinition for Ship.missing.test that is neither among the objects nor in the cluster"
    );
    assert_eq!(Failure::from(error).kind, Kind::BadInput);
    for name in ["before", "missing"] {
        assert!(get(&api, "v1", "ConfigMap", "default", name).await.is_none(), "nothing is applied");
    }
}

#[tokio::test]
async fn a_version_that_is_not_served_is_told_with_those_that_are() {
    let Some(api) = api("version").await else { return };
    let text = "apiVersion: apps/v1beta9\nkind: Deployment\nmetadata: {name: old}\n";
    let error = applied(&api, "old", text).await.expect_err("it is not served");
    assert_eq!(
        error.to_string(),
        "test.yaml:1: Deployment old is written for apps/v1beta9, but only apps/v1 is served"
    );
}

#[tokio::test]
async fn fields_of_another_manager_are_not_taken() {
    let Some(api) = api("conflict").await else { return };
    let requests: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(api.client().clone(), "default");
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}, "data": {"a": "1"}});
    requests.patch("theirs", &PatchParams::apply("gitops"), &Patch::Apply(&theirs)).await.expect("made");

    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: theirs}, data: {a: '2'}}";
    let error = applied(&api, "conflict", text).await.expect_err("it is theirs");
    let told = error.to_string();
    let begin = "test.yaml:1: ConfigMap default/theirs has fields that others manage:\n  - `.data.a` is managed by `gitops` since 20";
    assert!(told.starts_with(begin), "{told}");
    assert_eq!(Failure::from(error).kind, Kind::Refused);
}

#[tokio::test]
async fn an_object_of_another_set_is_not_taken() {
    let Some(api) = api("another set").await else { return };
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: taken}}";
    applied(&api, "first-set", text).await.expect("applied");
    let error = applied(&api, "second-set", text).await.expect_err("it belongs to the first");
    assert!(matches!(error, Error::Owned { .. }), "{error}");
}

#[tokio::test]
async fn what_admission_says_is_told_with_object_and_line() {
    let Some(api) = api("admission").await else { return };
    let policy = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-red.refusals.test}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
  validations: [{expression: \"!has(object.data) || !('colour' in object.data) || object.data.colour != 'red'\", message: red is not allowed}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-red.refusals.test}
spec: {policyName: no-red.refusals.test, validationActions: [Deny]}
";
    applied(&api, "policy", policy).await.expect("applied");
    let text = "# a comment\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: NUMBER}\ndata: {colour: red}\n";
    // The server takes a moment until it enforces a new policy.
    for number in 0.. {
        let result = applied(&api, "red", &text.replace("NUMBER", &format!("red-{number}"))).await;
        match result {
            Ok(_) => assert!(number < 100, "the policy is never enforced"),
            Err(error) => {
                let message = error.to_string();
                let begin = format!("test.yaml:2: ConfigMap default/red-{number} is refused: ");
                assert!(message.starts_with(&begin) && message.ends_with("red is not allowed"), "{message}");
                break;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_invalid_field_is_told() {
    let Some(api) = api("invalid").await else { return };
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: odd}, daten: {a: b}}";
    let error = applied(&api, "odd", text).await.expect_err("no such field").to_string();
    assert!(error.starts_with("test.yaml:1: ConfigMap default/odd is refused: ") && error.contains("daten"), "{error}");
}

#[tokio::test]
async fn a_webhook_that_never_answers_is_named_when_time_is_over() {
    let Some(api) = api("webhook").await else { return };
    let hook = "
apiVersion: v1
kind: Namespace
metadata: {name: hooked, labels: {hooked: 'yes'}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: dead.refusals.test}
webhooks:
- name: dead.refusals.test
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  clientConfig: {url: 'https://127.0.0.1:1/none'}
  namespaceSelector: {matchLabels: {hooked: 'yes'}}
  rules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
";
    applied(&api, "dead-hook", hook).await.expect("applied");
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: hooked, namespace: hooked}}";
    let begin = std::time::Instant::now();
    let options = istiolab::objects::Options {
        deadline: std::time::Duration::from_secs(2),
        ..istiolab::objects::Options::default()
    };
    // The server takes a moment until it calls a new webhook.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let error = istiolab::objects::apply(
        &api,
        &istiolab::objects::SetName::new("hooked", "default"),
        &crate::server::objects(text),
        &options,
        &istiolab::plan::event::Progress::silent(),
        &tokio_util::sync::CancellationToken::new(),
    )
    .await
    .expect_err("it never answers");
    assert!(begin.elapsed().as_secs() < 10);
    let message = error.to_string();
    assert!(message.contains("applying ConfigMap hooked/hooked did not succeed within"), "{message}");
    assert!(message.contains("dead.refusals.test"), "{message}");
    assert_eq!(Failure::from(error).kind, Kind::TimedOut);
}

#[test]
fn what_is_not_yaml_is_told_with_its_place() {
    let error = parse("apiVersion: v1\nkind: [Pod\nmetadata: x\n", "broken.yaml").expect_err("it is not YAML");
    assert!(error.to_string().starts_with("broken.yaml:"), "{error}");
    assert_eq!(Failure::from(error).kind, Kind::BadInput);
}
