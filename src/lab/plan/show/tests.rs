use serde_json::json;

use super::*;
use crate::objects::{Fixed, ObjectRef, Phase, Planned, SetName};

fn item(kind: &str, name: &str, phase: Phase, intent: Intent) -> Item {
    let namespace = (phase != Phase::Namespaces).then(|| "demo".to_owned());
    let object = ObjectRef { api_version: "v1".to_owned(), kind: kind.to_owned(), namespace, name: name.to_owned() };
    let origin = (!matches!(intent, Intent::Prune)).then(|| "demo.yaml:3".to_owned());
    Item { object, origin, phase, intent, converted: None, known_after: None, note: None }
}

fn plan(items: Vec<Item>, unchanged: usize) -> Plan {
    let name = SetName::new("istiolab-application-demo", "default");
    let known = Ok(Planned { set: name.clone(), items, unchanged });
    Plan {
        lab: "x".to_owned(),
        cluster: true,
        sets: vec![PlannedSet { phase: "applications", name: name.to_string(), known }],
    }
}

fn change(field: &str, before: Value, after: Value) -> Change {
    let some = |value: Value| Some(value).filter(|value| !value.is_null());
    Change { field: field.to_owned(), before: some(before), after: some(after) }
}

fn text(plan: &Plan) -> String {
    show(plan, Style { color: false }, false)
}

#[test]
fn every_kind_of_intent_has_its_sign() {
    let fields = vec![
        change(".spec.replicas", json!(1), json!(2)),
        change(".spec.paused", Value::Null, json!(true)),
        change(".data[\"a.txt\"]", json!("one\ntwo\nthree\nfour\nfive\n"), json!("one\ntwo\n3\nfour\nfive\n")),
    ];
    let fixed = vec![Fixed { field: ".spec.selector".to_owned(), reason: "field is immutable".to_owned() }];
    let replace = Intent::Replace {
        fixed,
        fields: vec![change(".spec.selector.matchLabels.app", json!("a"), json!("b"))],
        ours: true,
    };
    let mut later = item("Boat", "red", Phase::Resources, Intent::Create);
    later.known_after = Some(Phase::Definitions);
    let plan = plan(
        vec![
            item("Namespace", "demo", Phase::Namespaces, Intent::Create),
            item("ConfigMap", "a", Phase::Configuration, Intent::Change(fields)),
            item("Deployment", "b", Phase::Workloads, replace),
            item("Service", "c", Phase::Services, Intent::Prune),
            later,
        ],
        7,
    );
    insta::assert_snapshot!(text(&plan), @r#"
    applications (default/istiolab-application-demo), 7 unchanged
      + Namespace demo (namespaces, demo.yaml:3)
      ~ ConfigMap demo/a (configuration, demo.yaml:3)
          .spec.replicas: 1 -> 2
          .spec.paused: + true
          .data["a.txt"]:
              one
              two
            - three
            + 3
              four
              five
      ± Deployment demo/b must be replaced (workloads, demo.yaml:3)
          `.spec.selector`: field is immutable
          lost with --recreate: its pods, until they are made anew
          .spec.selector.matchLabels.app: "a" -> "b"
      - Service demo/c left the set and is deleted (services)
      + Boat demo/red (custom resources, more is known after definitions, demo.yaml:3)

    Plan: 2 to create, 1 to change, 1 to replace (needs --recreate), 1 to prune, 7 unchanged.
    "#);
}

#[test]
fn secrets_and_long_fields_are_cut() {
    let long = (0..40).map(|number| format!("line {number}")).collect::<Vec<_>>().join("\n");
    let fields =
        vec![change(".data.password", json!("***"), json!("***")), change(".data.new", Value::Null, json!(long))];
    let shown = text(&plan(vec![item("Secret", "s", Phase::Configuration, Intent::Change(fields))], 0));
    assert!(shown.contains(".data.password: \"***\" -> another value"), "{shown}");
    assert!(shown.contains("+ line 19\n        … 20 more lines; -v shows all"), "{shown}");
}

#[test]
fn nothing_to_do_is_said_in_a_line() {
    assert_eq!(text(&plan(Vec::new(), 62)), "Nothing to do: 62 objects are as they should be.");
}
