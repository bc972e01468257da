//! Which images a lab needs, read from its objects.

use std::collections::BTreeSet;

use serde_json::Value;

/// What Istio writes where its webhook fills in the proxy's image.
const FILLED_IN: &str = "auto";
/// The annotation by which a pod asks for another proxy.
const PROXY_IMAGE: &str = "sidecar.istio.io/proxyImage";

/// An image that a document names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What names it, as ``container `web` ``.
    pub what: String,
    /// The reference as it is written.
    pub image: String,
}

/// The images that `documents` name, sorted, each once.
pub fn images<'a>(documents: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    documents.into_iter().flat_map(named).map(|named| named.image).collect()
}

/// What `document` names: images of containers of each kind, images mounted as volumes, proxies by
/// annotation, and the extensions that proxies fetch as images.
#[must_use]
pub fn named(document: &Value) -> Vec<Named> {
    let mut found = Vec::new();
    collect(document, &mut found);
    if document["kind"] == "WasmPlugin"
        && let Some(url) = document["spec"]["url"].as_str()
    {
        // Without a scheme it is an image too.
        let image = url.strip_prefix("oci://").or((!url.contains("://")).then_some(url));
        found.extend(image.map(|image| Named { what: "`spec.url`".to_owned(), image: image.to_owned() }));
    }
    found
}

fn collect(value: &Value, found: &mut Vec<Named>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let kind = match name.as_str() {
                    "containers" => "container",
                    "initContainers" => "init container",
                    "ephemeralContainers" => "ephemeral container",
                    "volumes" => "volume",
                    "annotations" => {
                        let image = field.get(PROXY_IMAGE).and_then(Value::as_str);
                        let what = format!("annotation `{PROXY_IMAGE}`");
                        found.extend(image.map(|image| Named { what, image: image.to_owned() }));
                        continue;
                    }
                    _ => {
                        collect(field, found);
                        continue;
                    }
                };
                for item in field.as_array().into_iter().flatten() {
                    let image = if kind == "volume" { item.pointer("/image/reference") } else { item.get("image") };
                    let image = image.and_then(Value::as_str).filter(|image| *image != FILLED_IN);
                    let what = format!("{kind} `{}`", item["name"].as_str().unwrap_or_default());
                    found.extend(image.map(|image| Named { what, image: image.to_owned() }));
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_container_counts_once() {
        let deployment = json!({"kind": "Deployment", "spec": {"template": {"spec": {
            "initContainers": [{"image": "b"}],
            "containers": [{"image": "a"}, {"image": "auto"}, {"name": "no image"}],
        }}}});
        let list = json!({"kind": "List", "items": [{"kind": "Pod", "spec": {"containers": [{"image": "a"}]}}]});
        assert_eq!(images([&deployment, &list]), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn what_is_no_container_is_not_forgotten() {
        let pod = json!({"kind": "Pod", "metadata": {"annotations": {PROXY_IMAGE: "example/proxy:1"}}, "spec": {
            "containers": [{"name": "app", "image": "app"}],
            "ephemeralContainers": [{"name": "debug", "image": "shell"}],
            "volumes": [{"name": "model", "image": {"reference": "model:1"}}, {"name": "tmp", "emptyDir": {}}],
        }});
        let told: Vec<_> = named(&pod).into_iter().map(|named| format!("{} {}", named.what, named.image)).collect();
        let expected = [
            "annotation `sidecar.istio.io/proxyImage` example/proxy:1",
            "container `app` app",
            "ephemeral container `debug` shell",
            "volume `model` model:1",
        ];
        assert_eq!(told, expected);
        let plugin = |url: &str| images([&json!({"kind": "WasmPlugin", "spec": {"url": url}})]);
        assert_eq!(plugin("oci://example/filter:1"), BTreeSet::from(["example/filter:1".to_owned()]));
        assert_eq!(plugin("example/filter:1"), BTreeSet::from(["example/filter:1".to_owned()]));
        assert_eq!(plugin("https://example/filter.wasm"), BTreeSet::new());
    }
}
