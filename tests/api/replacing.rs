//! Fields that can't be changed: told with what is lost, replaced only when asked for, and only what is ours.

use std::time::Duration;

use istiolab::error::{Failure, Kind};
use istiolab::objects::{Api, Applied, Error, Options, SetName, apply};
use istiolab::plan::event::Progress;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::server::{api, applied, get, names, objects};

fn deployment(name: &str, label: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {label}}}}}\n  template:\n    metadata: {{labels: {{app: {label}}}}}\n    spec: {{containers: [{{name: c, image: nobody.test/none:1}}]}}\n"
    )
}

async fn recreated(api: &Api, set: &str, text: &str) -> Result<Applied, Error> {
    let options = Options { deadline: Duration::from_secs(30), recreate: true, ..Options::default() };
    let set = SetName::new(set, "default");
    apply(api, &set, &objects(text), &options, &Progress::silent(), &CancellationToken::new()).await
}

#[tokio::test]
async fn an_immutable_field_is_named_and_replaced_only_when_asked_for() {
    let Some(api) = api("immutable").await else { return };
    applied(&api, "fixed", &deployment("fixed", "a")).await.expect("applied");
    let before = get(&api, "apps/v1", "Deployment", "default", "fixed").await.expect("it is there");

    let error = applied(&api, "fixed", &deployment("fixed", "b")).await.expect_err("a selector stays");
    assert_eq!(
        error.to_string(),
        "test.yaml:1: Deployment default/fixed can't be changed in place:\n  - `.spec.selector`: field is immutable"
    );
    let failure = Failure::from(error);
    assert_eq!(failure.kind, Kind::Refused);
    assert_eq!(
        failure.hints,
        ["With --recreate it is deleted and made anew; lost is then its pods, until they are made anew."]
    );

    let done = recreated(&api, "fixed", &deployment("fixed", "b")).await.expect("replaced");
    assert_eq!(names(&done.replaced), ["Deployment default/fixed"]);
    let after = get(&api, "apps/v1", "Deployment", "default", "fixed").await.expect("it is there again");
    assert_ne!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert_eq!(after["spec"]["selector"]["matchLabels"]["app"], "b");
    assert!(recreated(&api, "fixed", &deployment("fixed", "b")).await.expect("applied").is_unchanged());
}

#[tokio::test]
async fn what_others_made_is_never_replaced() {
    let Some(api) = api("immutable of others").await else { return };
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs-fixed"}, "immutable": true, "data": {"a": "1"}});
    let requests: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(api.client().clone(), "default");
    requests.patch("theirs-fixed", &PatchParams::apply("gitops"), &Patch::Apply(&theirs)).await.expect("made");
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: theirs-fixed}, data: {b: '2'}}";
    let error = recreated(&api, "theirs-fixed-set", text).await.expect_err("it is theirs");
    let Error::Immutable { ours: false, .. } = &error else { panic!("{error}") };
    let there = get(&api, "v1", "ConfigMap", "default", "theirs-fixed").await.expect("it stays");
    assert_eq!(there["data"], json!({"a": "1"}));
}

/// Each kind says it in words of its own.
#[tokio::test]
async fn the_server_s_words_are_known_for_each_kind() {
    let Some(api) = api("immutable kinds").await else { return };
    let cases = [
        (
            "StatefulSet",
            "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: w}, spec: {serviceName: @, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}",
        ),
        (
            "Job",
            "{apiVersion: batch/v1, kind: Job, metadata: {name: w}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: @}]}}}}",
        ),
        (
            "Pod",
            "{apiVersion: v1, kind: Pod, metadata: {name: w}, spec: {hostname: @, containers: [{name: c, image: i}]}}",
        ),
        (
            "PersistentVolumeClaim",
            "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: w}, spec: {storageClassName: @, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}",
        ),
        ("Secret", "{apiVersion: v1, kind: Secret, metadata: {name: w}, type: @.test/x}"),
        (
            "StorageClass",
            "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: w}, provisioner: @.test}",
        ),
        (
            "PriorityClass",
            "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: w-immutable}, value: 1#}",
        ),
        (
            "RoleBinding",
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: w}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: @}}",
        ),
        (
            "CustomResourceDefinition",
            "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: wheels.fixed.test}, spec: {group: fixed.test, scope: !, names: {kind: Wheel, plural: wheels}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}}",
        ),
        (
            "Service",
            "{apiVersion: v1, kind: Service, metadata: {name: w}, spec: {clusterIP: 10.0.0.1#, ports: [{port: 80}]}}",
        ),
    ];
    for (kind, text) in cases {
        let set = format!("words-{}", kind.to_lowercase());
        let written = |with: &str, number: &str, scope: &str| {
            text.replace('@', with).replace('#', number).replace("scope: !", &format!("scope: {scope}"))
        };
        applied(&api, &set, &written("one", "1", "Cluster")).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        let error = applied(&api, &set, &written("two", "2", "Namespaced")).await.expect_err(kind);
        assert!(matches!(&error, Error::Immutable { ours: true, .. }), "{kind}: {error}");
        let shown = error.to_string();
        assert!(shown.lines().count() == 2 && shown.lines().all(|line| line.len() < 400), "{shown}");
    }
}
