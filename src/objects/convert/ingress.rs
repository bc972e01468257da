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
    for note in notes {
        draft.note(note);
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::objects::convert::tests::{converted, refused};

    #[test]
    fn backends_are_rewritten() {
        let text = "
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: a, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  backend: {serviceName: d, servicePort: 8080}
  rules:
  - host: h
    http: {paths: [{backend: {serviceName: s, servicePort: http}}, {path: /x, backend: {serviceName: s, servicePort: '80'}}]}
  - host: none
";
        let (document, notes) = converted(text, "1.34");
        assert_eq!(
            document["spec"],
            json!({
                "rules": [
                    {"host": "h", "http": {"paths": [
                        {"backend": {"service": {"name": "s", "port": {"name": "http"}}}, "pathType": "ImplementationSpecific"},
                        {"path": "/x", "backend": {"service": {"name": "s", "port": {"number": 80}}},
                            "pathType": "ImplementationSpecific"},
                    ]}},
                    {"host": "none"},
                ],
                "defaultBackend": {"service": {"name": "d", "port": {"number": 8080}}},
            })
        );
        assert_eq!(document["metadata"]["annotations"]["kubernetes.io/ingress.class"], "istio");
        assert_eq!(notes, ["the port \"80\" is a number now: names of ports have letters"]);
    }

    const NEW: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a}
spec:
  ingressClassName: istio
  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]
";

    #[test]
    fn older_clusters_get_what_they_know() {
        let (document, notes) = converted(NEW, "1.18");
        assert_eq!(document["apiVersion"], "networking.k8s.io/v1beta1");
        assert_eq!(document["spec"]["ingressClassName"], "istio");
        assert_eq!(document["spec"]["rules"][0]["http"]["paths"][0]["pathType"], "Prefix");
        assert!(notes.is_empty());
        let (document, notes) = converted(NEW, "1.10");
        assert_eq!(document["apiVersion"], "extensions/v1beta1");
        assert_eq!(document["metadata"]["annotations"]["kubernetes.io/ingress.class"], "istio");
        assert_eq!(
            document["spec"]["rules"][0]["http"]["paths"][0],
            json!({"path": "/", "backend": {"serviceName": "s", "servicePort": 80}})
        );
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn a_type_of_path_that_an_older_cluster_does_not_have_is_refused() {
        let message = refused(&NEW.replace("Prefix", "Exact"), "1.10");
        assert!(message.contains("has no `pathType: Exact`; write `pathType: ImplementationSpecific`"), "{message}");
    }

    #[test]
    fn a_file_that_makes_no_sense_is_refused() {
        for spec in ["{rules: 5}", "{rules: [{http: {paths: [5]}}]}", "{backend: x}", "{backend: {serviceName: a}}"] {
            let text =
                format!("{{apiVersion: extensions/v1beta1, kind: Ingress, metadata: {{name: a}}, spec: {spec}}}");
            assert!(refused(&text, "1.34").starts_with("x.yaml:1: Ingress a of extensions/v1beta1"), "{spec}");
        }
    }
}
