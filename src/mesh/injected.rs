//! The images that stand in no object: those that Istio's webhook puts into pods. They follow from the
//! webhook's own configuration by the rules of
//! [inject.go](https://github.com/istio/istio/blob/master/pkg/kube/inject/inject.go) (`ProxyImage`,
//! `ProxyInitImage`, `imageURL`).

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use crate::objects::Object;
use crate::yaml;

/// What the webhook's configuration is called; revisions have names of their own after it.
const INJECTOR: &str = "istio-sidecar-injector";
/// What a tag may end with that another type of image takes the place of.
const TYPES: [&str; 2] = ["distroless", "debug"];
/// The type that is written as nothing.
const DEFAULT_TYPE: &str = "default";
/// By which pods choose templates, several with commas between.
const TEMPLATES: &str = "inject.istio.io/templates";
/// By which pods choose a type of image.
const IMAGE_TYPE: &str = "sidecar.istio.io/proxyImageType";

/// An image that pods get.
#[derive(Clone, Debug, PartialEq)]
pub struct Injected<'a> {
    /// The config map that it follows from.
    pub object: &'a Object,
    /// What it is, as `the injected proxy`.
    pub what: String,
    /// The reference.
    pub image: String,
}

/// What the webhooks among `mesh`, the mesh's rendered objects, put into the pods of those and of `others`.
///
/// # Errors
/// The webhook's configuration is not YAML.
pub fn injected<'a>(mesh: &'a [&'a Object], others: &[&Object]) -> Result<Vec<Injected<'a>>, yaml::Error> {
    let mut asked = Asked::default();
    mesh.iter().chain(others).for_each(|object| asked.read(&object.document));
    for object in mesh.iter().filter(|object| object.kind() == "ConfigMap") {
        if let Some(text) = object.document["data"]["mesh"].as_str() {
            asked.kind_of_image(&parse(text, object)?["defaultConfig"]["image"]["imageType"]);
        }
    }
    let mut found = Vec::new();
    for object in mesh.iter().filter(|object| object.kind() == "ConfigMap" && object.name().starts_with(INJECTOR)) {
        let data = |key: &str| object.document["data"][key].as_str().unwrap_or_default();
        let template = Template { config: parse(data("config"), object)?, values: parse(data("values"), object)? };
        let images = template.images(&asked).into_iter();
        found.extend(images.map(|(what, image)| Injected { object, what: what.to_owned(), image }));
    }
    Ok(found)
}

fn parse(text: &str, object: &Object) -> Result<Value, yaml::Error> {
    let source = format!("{} of {}", object.reference(), object.source);
    Ok(yaml::documents(text, &source)?.into_iter().next().map_or(Value::Null, |document| document.value))
}

/// What pods ask the webhook for.
#[derive(Default)]
struct Asked {
    templates: BTreeSet<String>,
    types: BTreeSet<String>,
}

impl Asked {
    fn read(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(annotations) = fields.get("annotations") {
                    let templates = annotations[TEMPLATES].as_str().unwrap_or_default();
                    let names = templates.split(',').map(str::trim).filter(|name| !name.is_empty());
                    self.templates.extend(names.map(str::to_owned));
                    self.kind_of_image(&annotations[IMAGE_TYPE]);
                }
                if fields.get("kind").is_some_and(|kind| kind == "ProxyConfig") {
                    self.kind_of_image(&value["spec"]["image"]["imageType"]);
                }
                fields.values().for_each(|field| self.read(field));
            }
            Value::Array(items) => items.iter().for_each(|item| self.read(item)),
            _ => (),
        }
    }

    fn kind_of_image(&mut self, value: &Value) {
        self.types.extend(value.as_str().filter(|kind| !kind.is_empty()).map(str::to_owned));
    }
}

/// A webhook's configuration.
struct Template {
    config: Value,
    values: Value,
}

impl Template {
    fn images(&self, asked: &Asked) -> BTreeSet<(&'static str, String)> {
        let default = self.config["defaultTemplates"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let used: BTreeSet<&str> = default.chain(asked.templates.iter().map(String::as_str)).collect();
        let mut found = BTreeSet::new();
        for text in used.iter().filter_map(|name| self.config["templates"][name].as_str()) {
            if text.contains(".ProxyImage") {
                found.extend(self.of(asked, "proxy").into_iter().map(|image| ("the injected proxy", image)));
            }
            if text.contains(".ProxyInitImage") {
                found.extend(
                    self.of(asked, "proxy_init").into_iter().map(|image| ("the injected init container", image)),
                );
            }
            found.extend(literal(text).map(|image| ("an injected container", image)));
        }
        found
    }

    /// The image that `global.NAME.image` stands for, in each type that somebody asks for.
    fn of(&self, asked: &Asked, name: &str) -> BTreeSet<String> {
        let global = &self.values["global"];
        let text = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let image = Some(text(&global[name]["image"])).filter(|image| !image.is_empty());
        let image = image.unwrap_or_else(|| "proxyv2".to_owned());
        // With a slash it is a reference already.
        if image.contains('/') {
            return [image].into();
        }
        let (hub, tag, variant) = (text(&global["hub"]), text(&global["tag"]), text(&global["variant"]));
        let kinds = asked.types.iter().chain([&variant]);
        kinds.map(|kind| format!("{hub}/{image}:{}", with_type(&tag, kind))).collect()
    }
}

/// `tag` for a type of image, which takes the place of one that it ends with.
fn with_type(tag: &str, kind: &str) -> String {
    if kind.is_empty() {
        return tag.to_owned();
    }
    let plain = TYPES.iter().find_map(|known| tag.strip_suffix(known)?.strip_suffix('-')).unwrap_or(tag);
    if kind == DEFAULT_TYPE { plain.to_owned() } else { format!("{plain}-{kind}") }
}

/// Images that a template names without asking anybody.
fn literal(text: &str) -> impl Iterator<Item = String> {
    let pattern = Regex::new(r#"^\s*(?:- )?image:\s*["']?([^\s"'{}]+)["']?\s*$"#).ok();
    text.lines().filter_map(move |line| Some(pattern.as_ref()?.captures(line)?[1].to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CONFIG: &str = r#"
defaultTemplates: [sidecar]
templates:
  sidecar: |
    spec:
      initContainers:
      - name: istio-init
        image: "{{ .ProxyInitImage }}"
      containers:
      - name: istio-proxy
      {{- if contains "/" .Values.global.proxy.image }}
        image: "{{ .Values.global.proxy.image }}"
      {{- else }}
        image: "{{ .ProxyImage }}"
      {{- end }}
  grpc-simple: |
    spec:
      initContainers:
        - name: grpc-bootstrap-init
          image: busybox:1.28
"#;

    fn object(document: Value) -> Object {
        Object::new(document, "x", 1).expect("whole")
    }

    fn injector(global: &Value) -> Object {
        object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-sidecar-injector-canary"},
            "data": {"config": CONFIG, "values": json!({"global": global}).to_string()}}))
    }

    fn images(mesh: &[&Object], others: &[&Object]) -> Vec<String> {
        let found = injected(mesh, others).expect("it is YAML");
        found.into_iter().map(|injected| format!("{}: {}", injected.what, injected.image)).collect()
    }

    #[test]
    fn proxy_and_init_container_follow_from_hub_and_tag() {
        let global = json!({"hub": "docker.io/istio", "tag": "1.31.0", "proxy": {"image": "proxyv2"}, "proxy_init": {"image": "pinit"}});
        assert_eq!(
            images(&[&injector(&global)], &[]),
            [
                "the injected init container: docker.io/istio/pinit:1.31.0",
                "the injected proxy: docker.io/istio/proxyv2:1.31.0"
            ]
        );
        let global = json!({"hub": "h", "tag": 1, "variant": "distroless", "proxy": {"image": "example.com/own:2"}});
        assert_eq!(
            images(&[&injector(&global)], &[]),
            ["the injected init container: h/proxyv2:1-distroless", "the injected proxy: example.com/own:2"]
        );
    }

    #[test]
    fn types_and_templates_that_pods_ask_for_count() {
        let global = json!({"hub": "h", "tag": "1-distroless"});
        let mesh = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio"},
            "data": {"mesh": "defaultConfig:\n  image:\n    imageType: default\n"}});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": {
            TEMPLATES: "sidecar, grpc-simple", IMAGE_TYPE: "debug"}}});
        assert_eq!(
            images(&[&injector(&global), &object(mesh)], &[&object(pod)]),
            [
                "an injected container: busybox:1.28",
                "the injected init container: h/proxyv2:1",
                "the injected init container: h/proxyv2:1-debug",
                "the injected init container: h/proxyv2:1-distroless",
                "the injected proxy: h/proxyv2:1",
                "the injected proxy: h/proxyv2:1-debug",
                "the injected proxy: h/proxyv2:1-distroless",
            ]
        );
    }
}
