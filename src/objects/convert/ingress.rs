//! Ingresses: what they send requests to is written differently.

use serde_json::{Value, json};

use super::Refusal;
use super::draft::{self, Draft, Fields, fill, items, take};
use super::kinds::Step;

const CLASS: &str = "kubernetes.io/ingress.class";

/// To `networking.k8s.io/v1`. The annotation that names the class stays: v1 takes it on, and a class
/// named by the field would have to exist as an object.
pub(super) fn up(draft: &mut Draft, _: &Step<'_>) -> Result<(), Refusal> {
    let mut notes = Vec::new();
    let spec = draft.at(&["spec"])?;
    if let Some(mut backend) = take(spec, "backend") {
        new_backend(draft::mapping(&mut backend, "backend")?, &mut notes)?;
        spec.insert("defaultBackend".to_owned(), backend);
    }
    for rule in items(spec, "rules")? {
        if rule.get("http").is_none_or(Value::is_null) {
            continue;
        }
        for path in items(draft::at(rule, &["http"])?, "paths")? {
            fill(path, "pathType", || json!("ImplementationSpecific"));
            new_backend(draft::at(path, &["backend"])?, &mut notes)?;
        }
    }
    notes.into_iter().for_each(|note| draft.note(note));
    Ok(())
}

fn new_backend(backend: &mut Fields, notes: &mut Vec<String>) -> Result<(), Refusal> {
    let (name, port) = (take(backend, "serviceName"), take(backend, "servicePort"));
    if name.is_none() && port.is_none() {
        return Ok(());
    }
    let port = match port {
        Some(Value::Number(number)) => json!({"number": number}),
        Some(Value::String(text)) => match text.parse::<u16>() {
            Ok(number) => {
                notes.push(format!("the port \"{text}\" is a number now: names of ports have letters"));
                json!({"number": number})
            }
            Err(_) => json!({"name": text}),
        },
        _ => return Err(Refusal::new("a backend has no `servicePort`", "write the port of the service")),
    };
    backend.insert("service".to_owned(), json!({"name": name, "port": port}));
    Ok(())
}

/// From `networking.k8s.io/v1`. Clusters before 1.18 know neither types of paths nor classes.
pub(super) fn down(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    let has_types = step.target.serves("networking.k8s.io/v1beta1", "IngressClass");
    let spec = draft.at(&["spec"])?;
    if let Some(mut backend) = take(spec, "defaultBackend") {
        old_backend(draft::mapping(&mut backend, "defaultBackend")?, has_types)?;
        spec.insert("backend".to_owned(), backend);
    }
    for rule in items(spec, "rules")? {
        if rule.get("http").is_none_or(Value::is_null) {
            continue;
        }
        for path in items(draft::at(rule, &["http"])?, "paths")? {
            old_backend(draft::at(path, &["backend"])?, has_types)?;
            if !has_types {
                untyped(path)?;
            }
        }
    }
    if !has_types && let Some(class) = take(spec, "ingressClassName") {
        let class = class.as_str().unwrap_or_default().to_owned();
        draft.annotate(CLASS, &class)?;
        draft.note(format!("the class `{class}` is an annotation now, which the controller must know by that name"));
    }
    Ok(())
}

/// Without types, what a path matches is up to the controller; all agree on `/`.
fn untyped(path: &mut Fields) -> Result<(), Refusal> {
    let kind = take(path, "pathType");
    match kind.as_ref().and_then(Value::as_str) {
        None | Some("ImplementationSpecific") => Ok(()),
        Some("Prefix") if path.get("path").is_some_and(|path| path == "/") => Ok(()),
        Some(kind) => Err(Refusal::new(
            format!("a cluster before 1.18 has no `pathType: {kind}`"),
            "write `pathType: ImplementationSpecific` and the path as the ingress controller understands it",
        )),
    }
}

fn old_backend(backend: &mut Fields, has_resources: bool) -> Result<(), Refusal> {
    if !has_resources {
        draft::forbid(backend, &["resource"], "an Ingress of a cluster before 1.18")?;
    }
    let Some(mut service) = take(backend, "service") else { return Ok(()) };
    let service = draft::mapping(&mut service, "service")?;
    let port = draft::at(service, &["port"])?;
    let port = take(port, "name").or_else(|| take(port, "number"));
    backend.insert("serviceName".to_owned(), take(service, "name").unwrap_or_default());
    backend.insert("servicePort".to_owned(), port.unwrap_or_default());
    Ok(())
}
