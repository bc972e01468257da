//! What objects are like: whether they are there, their fields, how many there are, whether they are ready.

use serde_json::Value;

use super::super::step;
use crate::objects::ready::{self, Verdict};
use crate::verify::arguments::Arguments;
use crate::verify::look::{Choice, is_secret};
use crate::verify::path::{Path, plain};
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(in super::super) const STEPS: [Entry; 11] = [
    step!(
        "objects",
        Check,
        "{object} exists",
        exists,
        "There is an object of this kind and name, whatever its state. The kind is written as kubectl takes it, with \
         its group where several groups have one: Gateway.networking.istio.io."
    ),
    step!(
        "objects",
        Check,
        "{object} does not exist",
        missing,
        "There is no object of this kind and name, not even one that is being deleted."
    ),
    step!(
        "objects",
        Check,
        "{object} is ready",
        is_ready,
        "The object is as it should be, by the rules that `up` waits by, those of the lab file among them. What will \
         not become ready by waiting fails at once."
    ),
    step!(
        "objects",
        Check,
        "field {string} of {object} is {string}",
        field_is,
        "A field, by its path (spec.containers[0].image, metadata.labels[\"a.b/c\"], \
         status.conditions[type=Ready].status), is this text, number or JSON."
    ),
    step!(
        "objects",
        Check,
        "field {string} of {object} matches {regex}",
        field_matches,
        "A regular expression finds something in the field's text; ^ and $ stand for its begin and end."
    ),
    step!(
        "objects",
        Check,
        "field {string} of {object} is at least {float}",
        field_at_least,
        "The field is this number or more."
    ),
    step!(
        "objects",
        Check,
        "field {string} of {object} is at most {float}",
        field_at_most,
        "The field is this number or less."
    ),
    step!(
        "objects",
        Check,
        "{object} has no field {string}",
        no_field,
        "The object is there, and has no field of this path, or nothing in it."
    ),
    step!(
        "objects",
        Check,
        "{object} has these fields:",
        fields,
        "Each field of the table, by its path, has the value beside it; all that have not are told at once."
    ),
    step!(
        "objects",
        Check,
        "there is/are {int} {kind} in namespace {string} with label(s) {string}",
        count,
        "A label selector as kubectl takes it (app=a,version!=v1) finds so many objects that are not being deleted."
    ),
    step!(
        "objects",
        Check,
        "there is/are at least {int} {kind} in namespace {string} with label(s) {string}",
        count_at_least,
        "The label selector finds so many objects that are not being deleted, or more."
    ),
];

async fn exists(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let target = scene.target(arguments.object(0)).await?;
    scene.look_at(&target).await.map(drop)
}

async fn missing(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let target = scene.target(arguments.object(0)).await?;
    match scene.look(&target).await? {
        None => Ok(()),
        Some(object) => Err(Unmet::not_yet(still_there(&target.reference.to_string(), &object))),
    }
}

/// What is told of an object that should not be there.
fn still_there(name: &str, object: &Value) -> String {
    let metadata = &object["metadata"];
    let Some(since) = metadata["deletionTimestamp"].as_str() else { return format!("{name} is there") };
    let held = metadata["finalizers"].as_array().filter(|held| !held.is_empty()).map_or_else(String::new, |held| {
        format!(", held by {}", held.iter().map(plain).collect::<Vec<_>>().join(", "))
    });
    format!("{name} is being deleted since {since}{held}")
}

async fn is_ready(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let target = scene.target(arguments.object(0)).await?;
    let object = scene.look_at(&target).await?;
    let told = |state: String| format!("{} is not ready: {state}", target.reference);
    match ready::stand(&scene.shared.api, &object, &scene.shared.readiness).await? {
        Verdict::Ready => Ok(()),
        Verdict::Waiting(state) | Verdict::Ailing(state) => Err(Unmet::not_yet(told(state))),
        Verdict::Failed(state) => Err(Unmet::Never(told(state))),
    }
}

/// Judges a field of an object; path and object are the step's first two values.
async fn judged(
    scene: &mut Scene,
    arguments: &Arguments,
    judge: impl Fn(&Value) -> Result<bool, Unmet>,
    wanted: &str,
) -> Result<(), Unmet> {
    let path: Path = arguments.text(0).parse()?;
    let target = scene.target(arguments.object(1)).await?;
    let object = scene.look_at(&target).await?;
    let value = path.find(&object).map_err(|why| Unmet::not_yet(format!("{}: {why}", target.reference)))?;
    if judge(value)? {
        return Ok(());
    }
    let is = shown(&object, value);
    Err(Unmet::not_yet(format!("field `{}` of {} is {is}, not {wanted}", arguments.text(0), target.reference)))
}

/// A field's value for a message.
fn shown(object: &Value, value: &Value) -> String {
    if is_secret(object) { "another one (of a Secret, and not shown)".to_owned() } else { value.to_string() }
}

async fn field_is(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted = arguments.text(2);
    judged(scene, &arguments, |value| Ok(plain(value) == wanted), &format!("{wanted:?}")).await
}

async fn field_matches(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let pattern = arguments.regex(2)?;
    let wanted = format!("what matches {:?}", arguments.text(2));
    judged(scene, &arguments, |value| Ok(pattern.is_match(&plain(value))), &wanted).await
}

async fn field_at_least(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let least: f64 = arguments.number(2)?;
    judged(scene, &arguments, |value| Ok(number(value)? >= least), &format!("at least {least}")).await
}

async fn field_at_most(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let most: f64 = arguments.number(2)?;
    judged(scene, &arguments, |value| Ok(number(value)? <= most), &format!("at most {most}")).await
}

/// A number, also one that is written as text.
fn number(value: &Value) -> Result<f64, Unmet> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    number.ok_or_else(|| Unmet::not_yet(format!("{value} is no number")))
}

async fn no_field(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let path: Path = arguments.text(1).parse()?;
    let target = scene.target(arguments.object(0)).await?;
    let object = scene.look_at(&target).await?;
    match path.find(&object) {
        Err(_) | Ok(Value::Null) => Ok(()),
        Ok(value) => {
            let (path, is) = (arguments.text(1), shown(&object, value));
            Err(Unmet::not_yet(format!("{} has the field `{path}`, which is {is}", target.reference)))
        }
    }
}

async fn fields(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let target = scene.target(arguments.object(0)).await?;
    let object = scene.look_at(&target).await?;
    let wrong = differences(&object, &arguments.pairs()?)?;
    if wrong.is_empty() { Ok(()) } else { Err(Unmet::not_yet(format!("{}: {}", target.reference, wrong.join("; ")))) }
}

/// What is not as the table says.
fn differences(object: &Value, wanted: &[(&str, &str)]) -> Result<Vec<String>, Unmet> {
    let mut wrong = Vec::new();
    for (text, wanted) in wanted {
        match text.parse::<Path>()?.find(object) {
            Ok(value) if plain(value) == *wanted => {}
            Ok(value) => wrong.push(format!("field `{text}` is {}, not {wanted:?}", shown(object, value))),
            Err(why) => wrong.push(why),
        }
    }
    Ok(wrong)
}

/// The names of the objects of a kind that a selector finds; the kind, the namespace and the selector
/// are the values from 1 on.
async fn found(scene: &mut Scene, arguments: &Arguments) -> Result<Vec<String>, Unmet> {
    let served = scene.kind(arguments.text(1)).await?;
    let objects = scene.look_for(&served, Some(arguments.text(2)), Choice::Labels(arguments.text(3))).await?;
    let staying = objects.iter().filter(|object| object["metadata"]["deletionTimestamp"].is_null());
    Ok(staying.map(|object| plain(&object["metadata"]["name"])).collect())
}

fn told(names: &[String]) -> Unmet {
    let list = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    Unmet::not_yet(format!("there are {}{list}", names.len()))
}

async fn count(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: usize = arguments.number(0)?;
    let names = found(scene, &arguments).await?;
    if names.len() == wanted { Ok(()) } else { Err(told(&names)) }
}

async fn count_at_least(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: usize = arguments.number(0)?;
    let names = found(scene, &arguments).await?;
    if names.len() >= wanted { Ok(()) } else { Err(told(&names)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_that_differs_is_told() {
        let object = json!({"spec": {"replicas": 2, "paused": false}});
        let wanted = [("spec.replicas", "3"), ("spec.paused", "false"), ("spec.image", "x")];
        let wrong = differences(&object, &wanted).expect("they are paths");
        assert_eq!(
            wrong,
            ["field `spec.replicas` is 2, not \"3\"", "there is no `spec.image`; `spec` has: replicas, paused"]
        );
        assert!(differences(&object, &[("a..b", "")]).is_err());
    }

    #[test]
    fn what_is_secret_is_not_told() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": "c2VjcmV0"}});
        let wrong = differences(&secret, &[("data.password", "x")]).expect("they are paths").remove(0);
        assert_eq!(wrong, "field `data.password` is another one (of a Secret, and not shown), not \"x\"");
    }

    #[test]
    fn what_is_being_deleted_says_what_holds_it() {
        let object = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b", "c"]}});
        assert_eq!(
            still_there("Pod n/x", &object),
            "Pod n/x is being deleted since 2026-01-01T00:00:00Z, held by a/b, c"
        );
        assert_eq!(still_there("Pod n/x", &json!({})), "Pod n/x is there");
    }

    #[test]
    fn numbers_may_be_text() {
        assert!((number(&json!("1.5")).expect("a number") - 1.5).abs() < f64::EPSILON);
        assert_eq!(number(&json!("500m")).expect_err("it has a unit").to_string(), "\"500m\" is no number");
        assert_eq!(told(&["a".to_owned(), "b".to_owned()]).to_string(), "there are 2: a, b");
    }
}
