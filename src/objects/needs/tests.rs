use proptest::prelude::*;

use super::super::resolve::tests::members;
use super::*;

/// `who -> whom` with the way in which it waits.
fn found(text: &str) -> Vec<String> {
    let members = members(text);
    let name = |index: usize| members[index].reference.to_string();
    let needs = of(&members).expect("needs");
    needs.iter().map(|need| format!("{} -> {} {:?}", name(need.who), name(need.whom), need.until)).collect()
}

fn error(text: &str) -> String {
    of(&members(text)).expect_err("a fault").to_string()
}

#[test]
fn members_need_their_namespace_and_instances_their_definition() {
    let text = "
{apiVersion: boats.test/v1, kind: Boat, metadata: {name: red, namespace: sea}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: sea}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.boats.test}
spec: {group: boats.test, scope: Namespaced, names: {kind: Boat, plural: boats}, versions: [{name: v1, served: true}]}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: elsewhere, namespace: land}}
";
    assert_eq!(
        found(text),
        ["Boat sea/red -> Namespace sea Applied", "Boat sea/red -> CustomResourceDefinition boats.boats.test Served"]
    );
}

const SERVER: &str = "
---
{apiVersion: v1, kind: Service, metadata: {name: hook, namespace: a}, spec: {selector: {app: hook}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: server, namespace: a}, spec: {template: {metadata: {labels: {app: hook, more: x}}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: other, namespace: a}, spec: {template: {metadata: {labels: {app: other}}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: elsewhere, namespace: b}, spec: {template: {metadata: {labels: {app: hook}}}}}
";

#[test]
fn a_webhook_waits_for_its_service_and_what_runs_it() {
    let hook = |authority: &str| {
        format!(
            "{{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {{name: h}}, webhooks: [{{clientConfig: {{{authority}service: {{namespace: a, name: hook}}}}}}]}}{SERVER}"
        )
    };
    let (service, server) = (
        "ValidatingWebhookConfiguration h -> Service a/hook Applied",
        "ValidatingWebhookConfiguration h -> Deployment a/server",
    );
    assert_eq!(found(&hook("caBundle: abc, ")), [service.to_owned(), format!("{server} Ready")]);
    // Its server writes the authority, perhaps before it is ready.
    assert_eq!(found(&hook("")), [service.to_owned(), format!("{server} Applied")]);
}

#[test]
fn an_aggregated_api_waits_for_its_service_too() {
    let text = format!(
        "{{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {{name: v1.x}}, spec: {{insecureSkipTLSVerify: true, service: {{namespace: a, name: hook}}}}}}{SERVER}"
    );
    assert_eq!(
        found(&text),
        ["APIService v1.x -> Service a/hook Applied", "APIService v1.x -> Deployment a/server Ready"]
    );
}

fn config_map(name: &str, after: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, annotations: {{config.kubernetes.io/depends-on: '{after}'}}}}\n"
    )
}

#[test]
fn what_an_annotation_names_is_waited_for_until_it_is_ready() {
    let text = config_map("a", "/namespaces/default/ConfigMap/b")
        + "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}";
    assert_eq!(found(&text), ["ConfigMap default/a -> ConfigMap default/b Ready"]);
}

#[test]
fn what_is_not_there_or_comes_round_is_told_with_its_lines() {
    let text = config_map("a", "/namespaces/default/ConfigMap/nobody")
        + &config_map("b", "b")
        + &config_map("c", "/namespaces/default/ConfigMap/c");
    let told = error(&text);
    assert!(told.starts_with("3 objects failed:"), "{told}");
    for part in [
        "test.yaml:2: ConfigMap default/a: `config.kubernetes.io/depends-on`: there is no ConfigMap default/nobody among the objects that it is applied with",
        "test.yaml:6: ConfigMap default/b: `config.kubernetes.io/depends-on`: `b` is no reference",
        "test.yaml:10: ConfigMap default/c: `config.kubernetes.io/depends-on`: it names the object itself",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let text = config_map("a", "/namespaces/default/ConfigMap/b")
        + &config_map("b", "/namespaces/default/ConfigMap/c")
        + &config_map("c", "/namespaces/default/ConfigMap/a");
    assert_eq!(
        error(&text),
        "objects wait for each other:\n  - ConfigMap default/a (test.yaml:2) waits for\n  - ConfigMap default/b (test.yaml:6) waits for\n  - ConfigMap default/c (test.yaml:10) waits for the first"
    );
}

proptest! {
    #[test]
    fn a_cycle_is_found_exactly_if_there_is_one(
        count in 1..12_usize, picks in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..20)
    ) {
        let needs: Vec<Need> = picks
            .iter()
            .map(|(who, whom)| Need { who: who.index(count), whom: whom.index(count), until: Until::Applied })
            .collect();
        let leads = |from: usize, to: usize| needs.iter().any(|need| need.who == from && need.whom == to);
        // Whoever reaches itself, by steps of any number.
        let mut reach: Vec<Vec<bool>> = (0..count).map(|from| (0..count).map(|to| leads(from, to)).collect()).collect();
        for middle in 0..count {
            for from in 0..count {
                for to in 0..count {
                    reach[from][to] |= reach[from][middle] && reach[middle][to];
                }
            }
        }
        match cycle(count, &needs) {
            None => prop_assert!((0..count).all(|index| !reach[index][index])),
            Some(cycle) => {
                prop_assert!(!cycle.is_empty());
                for (place, &who) in cycle.iter().enumerate() {
                    prop_assert!(leads(who, cycle[(place + 1) % cycle.len()]), "{cycle:?}");
                }
            }
        }
    }
}
