//! What applying would do, and that nothing is done by asking.

use std::time::Duration;

use istiolab::objects::{Expected, Intent, Options, Phase, Place, Planned, SetName, plan};
use istiolab::plan::event::Progress;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::server::{api, applied, get, objects};

async fn planned(place: Place<'_>, set: &str, text: &str) -> Planned {
    let options = Options { deadline: Duration::from_secs(10), ..Options::default() };
    let set = SetName::new(set, "default");
    let mut expected = Expected::default();
    let (progress, cancel) = (Progress::silent(), CancellationToken::new());
    plan(place, &set, &objects(text), &mut expected, &options, &progress, &cancel).await.expect("a plan")
}

/// What would be done, a line each: sign, object, phase that it is known after.
fn shown(planned: &Planned) -> Vec<String> {
    let line = |item: &istiolab::objects::Item| {
        let sign = match &item.intent {
            Intent::Create => "+".to_owned(),
            Intent::Change(fields) => {
                let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
                let fields: Vec<_> = fields
                    .iter()
                    .map(|change| format!("{} {} > {}", change.field, text(&change.before), text(&change.after)))
                    .collect();
                format!("~ [{}]", fields.join("; "))
            }
            Intent::Replace { fixed, .. } => format!("± [{}]", fixed[0]),
            Intent::Prune => "-".to_owned(),
            Intent::Fail(error) => format!("! [{error}]"),
        };
        let after = item.known_after.map(|phase| format!(" after {phase}")).unwrap_or_default();
        format!("{sign} {}{after}", item.object)
    };
    planned.items.iter().map(line).collect()
}

const SET: &str = "
{apiVersion: planned.test/v1, kind: Boat, metadata: {name: red, namespace: planned}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: planned}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.planned.test}
spec: {group: planned.test, scope: Namespaced, names: {kind: Boat, plural: boats}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: planned}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: planned-here}}
";

#[tokio::test]
async fn a_set_is_planned_before_anything_of_it_is_there_and_empty_afterwards() {
    let Some(api) = api("plan").await else { return };
    let expected = [
        "+ Namespace planned",
        "+ CustomResourceDefinition boats.planned.test",
        "+ ConfigMap default/planned-here",
        "+ Service planned/web after namespaces",
        "+ Boat planned/red after definitions",
    ];
    assert_eq!(shown(&planned(Place::Cluster(&api), "planned", SET).await), expected);
    for (version, kind, name) in
        [("v1", "Namespace", "planned"), ("v1", "ConfigMap", "planned-here"), ("v1", "ConfigMap", "planned")]
    {
        assert!(get(&api, version, kind, "default", name).await.is_none(), "planning makes nothing: {name}");
    }
    let without: Vec<_> = expected.iter().map(|line| line.split(" after").next().expect("one").to_owned()).collect();
    assert_eq!(shown(&planned(Place::Release("1.34".parse().expect("a release")), "planned", SET).await), without);

    applied(&api, "planned", SET).await.expect("applied");
    let after = planned(Place::Cluster(&api), "planned", SET).await;
    assert_eq!((shown(&after), after.unchanged), (Vec::new(), 5));
}

#[tokio::test]
async fn changes_are_shown_field_by_field_without_what_others_set() {
    let Some(api) = api("plan fields").await else { return };
    let text = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: planned-fields}
spec:
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec: {containers: [{name: c, image: one}]}
---
{apiVersion: v1, kind: Secret, metadata: {name: planned-fields}, stringData: {password: one}}
";
    applied(&api, "planned-fields", text).await.expect("applied");
    // Somebody else's field, which is none of our business.
    let requests: kube::Api<k8s_openapi::api::apps::v1::Deployment> =
        kube::Api::namespaced(api.client().clone(), "default");
    let theirs = json!({"spec": {"minReadySeconds": 7}});
    requests.patch("planned-fields", &PatchParams::default(), &Patch::Merge(&theirs)).await.expect("patched");

    let next =
        text.replace("image: one", "image: two, env: [{name: A, value: b}]").replace("password: one", "password: two");
    let lines = shown(&planned(Place::Cluster(&api), "planned-fields", &next).await);
    assert_eq!(
        lines,
        [
            "~ [.data.password \"***\" > \"***\"] Secret default/planned-fields",
            "~ [.spec.template.spec.containers[name=\"c\"].env - > [{\"name\":\"A\",\"value\":\"b\"}]; .spec.template.spec.containers[name=\"c\"].image \"one\" > \"two\"] Deployment default/planned-fields",
        ]
    );
    let live = get(&api, "apps/v1", "Deployment", "default", "planned-fields").await.expect("it is there");
    assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], "one", "planning changes nothing");
}

#[tokio::test]
async fn what_left_the_set_and_what_must_be_replaced_or_is_refused_is_shown() {
    let Some(api) = api("plan the rest").await else { return };
    let service = |address: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Service, metadata: {{name: plan-rest}}, spec: {{clusterIP: {address}, ports: [{{port: 80}}]}}}}\n"
        )
    };
    let left = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: plan-rest-left}}\n";
    applied(&api, "plan-rest", &(service("10.0.0.13") + left)).await.expect("applied");
    applied(&api, "plan-rest-other", "{apiVersion: v1, kind: ConfigMap, metadata: {name: plan-rest-other}}")
        .await
        .expect("applied");
    let requests: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(api.client().clone(), "default");
    let theirs =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plan-rest-theirs"}, "data": {"a": "1"}});
    requests.patch("plan-rest-theirs", &PatchParams::apply("gitops"), &Patch::Apply(&theirs)).await.expect("made");

    let text = service("10.0.0.14")
        + "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: plan-rest-odd}, daten: {a: b}}\n"
        + "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: plan-rest-other}}\n"
        + "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: plan-rest-theirs}, data: {a: '2'}}\n";
    let plan = planned(Place::Cluster(&api), "plan-rest", &text).await;
    let lines = shown(&plan);
    assert_eq!(lines.len(), 5, "{lines:#?}");
    let has = |begin: &str, end: &str| lines.iter().any(|line| line.starts_with(begin) && line.ends_with(end));
    assert!(has("± [`.spec.clusterIPs[0]`: may not change once set]", "Service default/plan-rest"), "{lines:#?}");
    assert!(has("- ConfigMap default/plan-rest-left", "left"), "{lines:#?}");
    assert!(
        has("! [test.yaml:4: ConfigMap default/plan-rest-odd is refused: ", "ConfigMap default/plan-rest-odd"),
        "{lines:#?}"
    );
    assert!(
        has("! [test.yaml:6: ConfigMap default/plan-rest-other belongs to another set", "plan-rest-other"),
        "{lines:#?}"
    );
    assert!(
        has("! [test.yaml:8: ConfigMap default/plan-rest-theirs has fields that others manage:", "plan-rest-theirs"),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line.contains("`.data.a` is managed by `gitops` since 20")), "{lines:#?}");
    assert_eq!(plan.items.iter().filter(|item| item.phase == Phase::Services).count(), 1);
    assert!(get(&api, "v1", "ConfigMap", "default", "plan-rest-left").await.is_some(), "planning deletes nothing");
}

#[tokio::test]
async fn what_is_converted_is_shown() {
    let Some(api) = api("plan a conversion").await else { return };
    let text = "{apiVersion: policy/v1beta1, kind: PodDisruptionBudget, metadata: {name: plan-old}, spec: {minAvailable: 1, selector: {matchLabels: {a: b}}}}";
    for place in [Place::Cluster(&api), Place::Release("1.34".parse().expect("a release"))] {
        let plan = planned(place, "plan-old", text).await;
        let converted = plan.items[0].converted.as_ref().expect("it is converted");
        assert_eq!(
            (converted.from.as_str(), plan.items[0].object.api_version.as_str()),
            ("policy/v1beta1", "policy/v1")
        );
    }
    applied(&api, "plan-old", text).await.expect("applied");
    assert_eq!(shown(&planned(Place::Cluster(&api), "plan-old", text).await), [""; 0]);
}

#[tokio::test]
async fn what_a_set_before_makes_is_expected() {
    let Some(api) = api("plan after another").await else { return };
    let (progress, cancel, options) = (Progress::silent(), CancellationToken::new(), Options::default());
    let mut expected = Expected::default();
    let first = "
{apiVersion: v1, kind: Namespace, metadata: {name: plan-after}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: cars.after.test}
spec: {group: after.test, scope: Namespaced, names: {kind: Car, plural: cars}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}
";
    let second = "
{apiVersion: after.test/v1, kind: Car, metadata: {name: red, namespace: plan-after}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: red, namespace: plan-after}}
";
    let mut lines = Vec::new();
    for (name, text) in [("plan-after-1", first), ("plan-after-2", second)] {
        let (set, place) = (SetName::new(name, "default"), Place::Cluster(&api));
        let planned = plan(place, &set, &objects(text), &mut expected, &options, &progress, &cancel).await;
        lines.extend(shown(&planned.expect("a plan")));
    }
    assert_eq!(
        lines,
        [
            "+ Namespace plan-after",
            "+ CustomResourceDefinition cars.after.test",
            "+ ConfigMap plan-after/red after namespaces",
            "+ Car plan-after/red after definitions",
        ]
    );
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_leaves_the_plan_with_what_the_file_says() {
    let Some(api) = api("plan past a webhook").await else { return };
    let hook = "
apiVersion: v1
kind: Namespace
metadata: {name: plan-hooked, labels: {plan-hooked: 'yes'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: plan-hooked}, data: {a: '1'}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: dead.planned.test}
webhooks:
- name: dead.planned.test
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  clientConfig: {url: 'https://127.0.0.1:1/none'}
  namespaceSelector: {matchLabels: {plan-hooked: 'yes'}}
  rules: [{apiGroups: [''], apiVersions: [v1], operations: [UPDATE], resources: [configmaps]}]
";
    applied(&api, "plan-hooked", hook).await.expect("applied");
    // The server takes a moment until it calls a new webhook.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let set = SetName::new("plan-hooked", "default");
    let options = Options { deadline: Duration::from_secs(2), ..Options::default() };
    let changed = objects(&hook.replace("a: '1'", "a: '2'"));
    let (progress, cancel, mut expected) = (Progress::silent(), CancellationToken::new(), Expected::default());
    let plan = plan(Place::Cluster(&api), &set, &changed, &mut expected, &options, &progress, &cancel).await;
    let plan = plan.expect("a plan all the same");
    assert_eq!(shown(&plan), ["~ [.data.a \"1\" > \"2\"] ConfigMap plan-hooked/settings"]);
    let note = plan.items[0].note.as_deref().expect("it is said");
    assert!(note.starts_with("it could not be tried out: webhook dead.planned.test does not answer: "), "{note}");
}
