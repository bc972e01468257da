//! Lab files: whatever is put where, the checks end, tell places that are in the file, and agree with
//! the types that they guard.

use camino::Utf8Path;
use istiolab::{spec, yaml};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A lab without files, so that the shape alone decides.
fn good() -> Value {
    json!({
        "apiVersion": "istiolab.dev/v1alpha1",
        "kind": "Lab",
        "name": "quickstart",
        "cluster": {"provider": "kind", "kubernetes": "1.34", "nodes": {"controlPlanes": 1, "workers": 2}, "config": {"networking": {}}},
        "images": {"source": "parts"},
        "registry": {"port": 5001},
        "mesh": {"version": "1.31", "profile": "default", "set": {"a.b": "c", "d": true, "e": 5}},
        "features": {"tags": "@a and not @b", "parallel": 2},
    })
}

/// Every place in a value, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    if let Value::Object(map) = value {
        map.iter().for_each(|(key, value)| places(value, &format!("{at}/{}", key.replace('/', "~1")), found));
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(json!(1.3)),
        "[ -~]{0,50}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!(["a", 1, null])),
        Just(json!({"name": "x", "nodes": 1})),
    ]
}

fn parse(text: &str) -> Result<spec::Lab, spec::Problems> {
    spec::parse(text, Utf8Path::new("lab.yaml"), Utf8Path::new("/nowhere/lab.yaml"))
}

#[test]
fn the_lab_that_is_bent_is_good() {
    parse(&yaml::to_string(&good()).expect("it has a YAML form")).expect("it is a lab");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn one_thing_changed_is_taken_or_told(place in any::<prop::sample::Index>(), value in any_value(), remove in any::<bool>()) {
        let mut lab = good();
        let mut all = Vec::new();
        places(&lab, "", &mut all);
        let place = place.get(&all).clone();
        let (above, key) = place.rsplit_once('/').unwrap_or(("", ""));
        match lab.pointer_mut(above) {
            Some(Value::Object(map)) if remove => drop(map.remove(&key.replace("~1", "/"))),
            _ => if let Some(found) = lab.pointer_mut(&place) { *found = value; },
        }
        let text = yaml::to_string(&lab).expect("it has a YAML form");
        let lines = u64::try_from(text.lines().count()).expect("few");
        if let Err(problems) = parse(&text) {
            // A file that is refused says why: the checks and the types must not disagree.
            prop_assert!(!problems.list().is_empty(), "refused without a word:\n{text}");
            for problem in problems.list() {
                prop_assert!(problem.line <= lines, "{problem} of {lines} lines");
            }
        }
    }

    #[test]
    fn an_unknown_field_is_always_told(place in any::<prop::sample::Index>(), key in "[a-zA-Z]{9,12}") {
        let mut lab = good();
        let closed = ["", "/cluster", "/cluster/nodes", "/images", "/registry", "/mesh", "/features"];
        let at = *place.get(&closed);
        lab.pointer_mut(at).and_then(Value::as_object_mut).expect("a mapping").insert(key.clone(), json!(1));
        let problems = parse(&yaml::to_string(&lab).expect("it has a YAML form")).expect_err("it has an unknown field");
        prop_assert!(problems.to_string().contains(&format!("unknown field `{key}`")), "{problems}");
    }
}
