//! Scalers: metrics have had three forms; and what a scaler scales may have moved to another version itself.

use serde_json::{Value, json};

use super::Refusal;
use super::draft::{self, Draft, Fields, at, forbid, items, take};
use super::kinds::{self, Step};
use super::target::Target;

const V1: &str = "autoscaling/v1";
const BETA2: &str = "autoscaling/v2beta2";
/// Where v1 keeps what it has no field for.
const HIDDEN: [&str; 2] = ["autoscaling.alpha.kubernetes.io/metrics", "autoscaling.alpha.kubernetes.io/behavior"];
const CPU: &str = "targetCPUUtilizationPercentage";

/// To `autoscaling/v2`.
pub(super) fn up(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    match step.old {
        BETA2 => Ok(()),
        V1 => {
            if let Ok(annotations) = draft.at(&["metadata", "annotations"]) {
                forbid(annotations, &HIDDEN, "autoscaling/v2 takes annotations for nothing; it")?;
                if annotations.is_empty() {
                    draft.at(&["metadata"])?.remove("annotations");
                }
            }
            let spec = draft.at(&["spec"])?;
            if let Some(percentage) = take(spec, CPU) {
                spec.insert("metrics".to_owned(), json!([cpu(&percentage)]));
            }
            Ok(())
        }
        _ => each_metric(draft, new_metric),
    }
}

/// From `autoscaling/v2`.
pub(super) fn down(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    if step.old == BETA2 {
        return Ok(());
    }
    let spec = draft.at(&["spec"])?;
    forbid(spec, &["behavior"], step.old)?;
    if step.old != V1 {
        return each_metric(draft, old_metric);
    }
    let metrics = match take(spec, "metrics") {
        None => Vec::new(),
        Some(Value::Array(metrics)) => metrics,
        Some(_) => return Err(Refusal::new("`metrics` is not a list", "correct the file")),
    };
    match metrics.as_slice() {
        [] => {}
        [metric] if *metric == cpu(&metric["resource"]["target"]["averageUtilization"]) => {
            spec.insert(CPU.to_owned(), metric["resource"]["target"]["averageUtilization"].clone());
        }
        _ => {
            return Err(Refusal::new(
                format!("{V1} scales by the utilization of the CPU only"),
                "leave one metric: the resource cpu with `averageUtilization`",
            ));
        }
    }
    Ok(())
}

fn cpu(percentage: &Value) -> Value {
    json!({"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": percentage}}})
}

fn each_metric(draft: &mut Draft, rule: fn(&str, &mut Fields) -> Result<(), Refusal>) -> Result<(), Refusal> {
    for metric in items(draft.at(&["spec"])?, "metrics")? {
        let kind = metric.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let source = match kind.as_str() {
            "Resource" => "resource",
            "ContainerResource" => "containerResource",
            "Pods" => "pods",
            "Object" => "object",
            "External" => "external",
            _ => {
                return Err(Refusal::new(
                    format!("nobody knows metrics of the type `{kind}`"),
                    "write Resource, ContainerResource, Pods, Object or External",
                ));
            }
        };
        rule(source, at(metric, &[source])?)?;
    }
    Ok(())
}

/// Where a source of the first form keeps what it aims at, what that is called now, and the type that it
/// gives the target. Where there are several, the first of them counts.
fn aims(source: &str) -> [(&'static str, &'static str, &'static str); 3] {
    let utilization = ("targetAverageUtilization", "averageUtilization", "Utilization");
    let value = ("targetValue", "value", "Value");
    match source {
        "object" => [("averageValue", "averageValue", "AverageValue"), value, utilization],
        "external" => [value, ("targetAverageValue", "averageValue", "AverageValue"), utilization],
        _ => [utilization, ("targetAverageValue", "averageValue", "AverageValue"), value],
    }
}

fn new_metric(source: &str, fields: &mut Fields) -> Result<(), Refusal> {
    if source == "object"
        && let Some(object) = take(fields, "target")
    {
        fields.insert("describedObject".to_owned(), object);
    }
    if !source.ends_with("esource") {
        let selector = take(fields, if source == "external" { "metricSelector" } else { "selector" });
        let mut metric = json!({"name": take(fields, "metricName")});
        if let Some(selector) = selector {
            metric["selector"] = selector;
        }
        fields.insert("metric".to_owned(), metric);
    }
    let mut target = None;
    for (old, new, kind) in aims(source) {
        if let Some(value) = take(fields, old) {
            target.get_or_insert_with(|| json!({"type": kind, new: value}));
        }
    }
    let target = target.ok_or_else(|| Refusal::new("a metric has no target", "write what is to be reached"))?;
    fields.insert("target".to_owned(), target);
    Ok(())
}

fn old_metric(source: &str, fields: &mut Fields) -> Result<(), Refusal> {
    let mut target = take(fields, "target").unwrap_or_default();
    let target = draft::mapping(&mut target, "target")?;
    let mut value = None;
    for (old, new, _) in aims(source) {
        if let Some(aim) = take(target, new) {
            value.get_or_insert(aim.clone());
            fields.insert(old.to_owned(), aim);
        }
    }
    if let Some(mut metric) = take(fields, "metric") {
        let metric = draft::mapping(&mut metric, "metric")?;
        fields.insert("metricName".to_owned(), take(metric, "name").unwrap_or_default());
        if let Some(selector) = take(metric, "selector") {
            let name = if source == "external" { "metricSelector" } else { "selector" };
            fields.insert(name.to_owned(), selector);
        }
    }
    if source == "object" {
        draft::rename(fields, "describedObject", "target");
        // The old form always has a value, even where the average counts.
        draft::fill(fields, "targetValue", || value.unwrap_or_default());
    }
    Ok(())
}

/// Whether objects of a kind refer to others by version.
pub(super) fn has_references(kind: &str) -> bool {
    kind == "HorizontalPodAutoscaler"
}

/// Brings the references of a scaler to a version that is served: to the workload that it scales, and to
/// the objects that its metrics describe.
pub(super) fn redirect(draft: &mut Draft, kind: &str, target: &Target) {
    if !has_references(kind) {
        return;
    }
    let mut notes = Vec::new();
    let mut point = |reference: &mut Value| {
        let (Some(api), Some(kind)) = (reference["apiVersion"].as_str(), reference["kind"].as_str()) else { return };
        let Some(family) = kinds::family(api, kind).filter(|_| !target.serves(api, kind)) else { return };
        let Some(best) = family.best(kind, target) else { return };
        let name = reference["name"].as_str().unwrap_or_default();
        notes.push(format!("it refers to {kind} {name} of {best} now, not of {api}"));
        reference["apiVersion"] = Value::from(best);
    };
    if let Some(reference) = draft.document.pointer_mut("/spec/scaleTargetRef") {
        point(reference);
    }
    if let Some(Value::Array(metrics)) = draft.document.pointer_mut("/spec/metrics") {
        for metric in metrics {
            for field in ["describedObject", "target"] {
                if let Some(reference) = metric.pointer_mut(&format!("/object/{field}")) {
                    point(reference);
                }
            }
        }
    }
    for note in notes {
        draft.note(note);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::objects::convert::tests::{converted, refused};

    fn scaler(version: &str, spec: &Value) -> String {
        json!({"apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a"}, "spec": spec})
        .to_string()
    }

    fn metrics() -> (Value, Value) {
        let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "i"});
        let old = json!([
            {"type": "Resource", "resource": {"name": "cpu", "targetAverageUtilization": 80}},
            {"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "1Gi"}},
            {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "targetAverageUtilization": 5}},
            {"type": "Pods", "pods": {"metricName": "m", "targetAverageValue": "3", "selector": {"matchLabels": {"a": "b"}}}},
            {"type": "Object", "object": {"target": ingress, "metricName": "m", "targetValue": "9"}},
            {"type": "External", "external": {"metricName": "m", "metricSelector": {}, "targetValue": "7"}},
        ]);
        let new = json!([
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
            {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
            {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c",
                "target": {"type": "Utilization", "averageUtilization": 5}}},
            {"type": "Pods", "pods": {"metric": {"name": "m", "selector": {"matchLabels": {"a": "b"}}},
                "target": {"type": "AverageValue", "averageValue": "3"}}},
            {"type": "Object", "object": {"describedObject": ingress, "metric": {"name": "m"},
                "target": {"type": "Value", "value": "9"}}},
            {"type": "External", "external": {"metric": {"name": "m", "selector": {}},
                "target": {"type": "Value", "value": "7"}}},
        ]);
        (old, new)
    }

    #[test]
    fn metrics_have_another_form() {
        let (old, new) = metrics();
        assert_eq!(converted(&scaler("v2beta1", &json!({"metrics": old})), "1.26").0["spec"]["metrics"], new);
        assert_eq!(converted(&scaler("v2beta2", &json!({"metrics": new})), "1.26").0["spec"]["metrics"], new);
    }

    #[test]
    fn metrics_go_back_to_the_old_form() {
        let (old, new) = metrics();
        // No ingress of this version then: the reference goes back with it.
        let old = old.to_string().replace("networking.k8s.io/v1", "extensions/v1beta1");
        let (document, notes) = converted(&scaler("v2", &json!({"metrics": new})), "1.10");
        assert_eq!(document["apiVersion"], "autoscaling/v2beta1");
        assert_eq!(document["spec"]["metrics"], serde_json::from_str::<Value>(&old).expect("JSON"));
        assert_eq!(notes, ["it refers to Ingress i of extensions/v1beta1 now, not of networking.k8s.io/v1"]);
        let message = refused(&scaler("v2", &json!({"behavior": {"scaleUp": {}}})), "1.10");
        assert!(message.contains("autoscaling/v2beta1 has no `behavior`"), "{message}");
    }

    #[test]
    fn what_is_scaled_is_brought_up_to_date_in_every_version() {
        for version in ["v1", "v2beta1"] {
            let spec = json!({"scaleTargetRef": {"apiVersion": "apps/v1beta1", "kind": "Deployment", "name": "d"}});
            let (document, notes) = converted(&scaler(version, &spec), "1.34");
            assert_eq!(document["spec"]["scaleTargetRef"]["apiVersion"], "apps/v1");
            assert_eq!(notes, ["it refers to Deployment d of apps/v1 now, not of apps/v1beta1"]);
        }
    }

    #[test]
    fn a_metric_without_a_target_is_refused() {
        let spec = json!({"metrics": [{"type": "Resource", "resource": {"name": "cpu"}}]});
        assert!(refused(&scaler("v2beta1", &spec), "1.34").contains("a metric has no target"));
        let spec = json!({"metrics": [{"type": "Odd"}]});
        assert!(refused(&scaler("v2beta1", &spec), "1.34").contains("metrics of the type `Odd`"));
    }
}
