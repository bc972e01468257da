//! Which images a lab needs, read from its objects.

use std::collections::BTreeSet;

use serde_json::Value;

/// What Istio writes where its webhook fills in the proxy's image.
const FILLED_IN: &str = "auto";

/// The images of every container in `documents`, sorted, each once.
pub fn images<'a>(documents: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for document in documents {
        collect(document, &mut found);
    }
    found
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if matches!(name.as_str(), "containers" | "initContainers" | "ephemeralContainers") {
                    let containers = field.as_array().into_iter().flatten();
                    let images = containers.filter_map(|container| container.get("image")?.as_str());
                    found.extend(images.filter(|&image| image != FILLED_IN).map(str::to_owned));
                } else {
                    collect(field, found);
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
}
