//! Custom resource definitions: v1 has everything per version, wants a schema, and a structural one.

use serde_json::{Value, json};

use super::draft::{self, Draft, Fields, at, fill, forbid, items, rename, take};
use super::kinds::Step;
use super::{Refusal, schema};

/// Groups of Kubernetes' own need somebody's word.
const APPROVED: &str = "api-approved.kubernetes.io";
/// What v1beta1 has beside the versions and v1 in each of them, with the names in both.
const SHARED: [(&str, &str); 4] = [
    ("validation", "schema"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// To `apiextensions.k8s.io/v1`.
pub(super) fn up(draft: &mut Draft, _: &Step<'_>) -> Result<(), Refusal> {
    let mut loosened = Vec::new();
    let spec = draft.at(&["spec"])?;
    fill(spec, "scope", || json!("Namespaced"));
    // Unless told otherwise, v1beta1 keeps fields that no schema knows.
    let preserve = take(spec, "preserveUnknownFields").is_none_or(|value| value != false);
    let version = take(spec, "version");
    if spec.get("versions").is_none_or(super::is_empty) {
        let Some(name) = version else {
            return Err(Refusal::new("it names no version", "write `spec.versions`"));
        };
        spec.insert("versions".to_owned(), json!([{"name": name, "served": true, "storage": true}]));
    }
    for (old, new) in SHARED {
        let Some(shared) = take(spec, old) else { continue };
        for version in items(spec, "versions")? {
            fill(version, new, || shared.clone());
        }
    }
    for version in items(spec, "versions")? {
        for column in items(version, "additionalPrinterColumns")? {
            rename(column, "JSONPath", "jsonPath");
        }
        let schema = at(version, &["schema"])?;
        let schema = schema.entry("openAPIV3Schema").or_insert(Value::Null);
        loosened.extend(schema::structural(schema, preserve));
    }
    if let Some(mut conversion) = take(spec, "conversion") {
        new_conversion(draft::mapping(&mut conversion, "conversion")?);
        spec.insert("conversion".to_owned(), conversion);
    }
    let group = spec.get("group").and_then(Value::as_str).unwrap_or_default().to_owned();
    if group.ends_with(".k8s.io") || group.ends_with(".kubernetes.io") {
        draft.annotate(APPROVED, "unapproved, converted from apiextensions.k8s.io/v1beta1")?;
        draft.note(format!("`{APPROVED}` says that the group {group} is not approved, which v1 wants to be told"));
    }
    loosened.sort();
    loosened.dedup();
    if !loosened.is_empty() {
        draft.note(format!("its schema checks less than before at {}", loosened.join(", ")));
    }
    Ok(())
}

fn new_conversion(conversion: &mut Fields) {
    fill(conversion, "strategy", || json!("None"));
    let (client, versions) = (take(conversion, "webhookClientConfig"), take(conversion, "conversionReviewVersions"));
    if conversion["strategy"] == "Webhook" {
        let versions = versions.unwrap_or_else(|| json!(["v1beta1"]));
        conversion.insert("webhook".to_owned(), json!({"clientConfig": client, "conversionReviewVersions": versions}));
    }
}

/// From `apiextensions.k8s.io/v1`. What all versions share goes beside them, where clusters before 1.13
/// look for it.
pub(super) fn down(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    let spec = draft.at(&["spec"])?;
    spec.insert("preserveUnknownFields".to_owned(), json!(false));
    let mut versions = items(spec, "versions")?;
    for version in &mut versions {
        forbid(version, &["selectableFields"], step.old)?;
        for column in items(version, "additionalPrinterColumns")? {
            rename(column, "jsonPath", "JSONPath");
        }
        if let Some(keyword) = version.get("schema").and_then(schema::newer) {
            return Err(Refusal::new(
                format!("a cluster with {} only does not heed `{keyword}` in a schema", step.old),
                format!("leave `{keyword}` out"),
            ));
        }
    }
    let first = versions.first().and_then(|version| version.get("name")).cloned();
    let mut shared = Vec::new();
    for (old, new) in SHARED {
        let value = versions.first().and_then(|version| version.get(new)).cloned();
        if let Some(value) = value
            && versions.iter().all(|version| version.get(new) == Some(&value))
        {
            for version in &mut versions {
                version.shift_remove(new);
            }
            shared.push((old, value));
        }
    }
    for (name, value) in shared {
        spec.insert(name.to_owned(), value);
    }
    if let Some(first) = first {
        spec.insert("version".to_owned(), first);
    }
    if let Some(mut conversion) = take(spec, "conversion") {
        old_conversion(draft::mapping(&mut conversion, "conversion")?)?;
        spec.insert("conversion".to_owned(), conversion);
    }
    Ok(())
}

fn old_conversion(conversion: &mut Fields) -> Result<(), Refusal> {
    let Some(mut webhook) = take(conversion, "webhook") else { return Ok(()) };
    let webhook = draft::mapping(&mut webhook, "webhook")?;
    let versions = take(webhook, "conversionReviewVersions").unwrap_or_default();
    if !versions.as_array().is_some_and(|versions| versions.iter().any(|version| version == "v1beta1")) {
        return Err(Refusal::new(
            "its webhook does not take reviews of v1beta1, the only ones that the cluster sends",
            "add v1beta1 to `conversionReviewVersions` if the webhook understands it",
        ));
    }
    conversion.insert("conversionReviewVersions".to_owned(), versions);
    if let Some(client) = take(webhook, "clientConfig") {
        conversion.insert("webhookClientConfig".to_owned(), client);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::objects::convert::tests::{converted, refused};

    const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";

    fn definition(version: &str, spec: &Value) -> String {
        json!({"apiVersion": format!("apiextensions.k8s.io/{version}"), "kind": "CustomResourceDefinition",
            "metadata": {"name": "a"}, "spec": spec, "status": {"conditions": null}})
        .to_string()
    }

    #[test]
    fn everything_goes_into_the_versions() {
        let spec = json!({"group": "g", "version": "v1alpha1", "names": {"kind": "K"}, "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": "A", "JSONPath": ".a"}], "conversion": {"strategy": "None"}});
        let (document, notes) = converted(&definition("v1beta1", &spec), "1.34");
        assert_eq!(
            document["spec"],
            json!({"group": "g", "names": {"kind": "K"}, "scope": "Namespaced", "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "A", "jsonPath": ".a"}],
                "schema": {"openAPIV3Schema": {"type": "object", PRESERVE: true}},
            }], "conversion": {"strategy": "None"}})
        );
        assert!(document.get("status").is_none() && notes.is_empty());
    }

    #[test]
    fn a_webhook_that_converts_is_kept() {
        let spec = json!({"group": "g.k8s.io", "versions": [{"name": "v1"}, {"name": "v2"}], "preserveUnknownFields": false,
            "validation": {"openAPIV3Schema": {"type": "object"}},
            "conversion": {"strategy": "Webhook", "webhookClientConfig": {"url": "u"}}});
        let (document, notes) = converted(&definition("v1beta1", &spec), "1.34");
        assert_eq!(
            document["spec"]["conversion"],
            json!({"strategy": "Webhook", "webhook": {"clientConfig": {"url": "u"}, "conversionReviewVersions": ["v1beta1"]}})
        );
        for version in document["spec"]["versions"].as_array().expect("versions") {
            assert_eq!(version["schema"], json!({"openAPIV3Schema": {"type": "object"}}));
        }
        assert!(
            document["metadata"]["annotations"]["api-approved.kubernetes.io"]
                .as_str()
                .is_some_and(|text| text.starts_with("unapproved"))
        );
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn what_is_not_checked_any_more_is_said() {
        let schema = json!({"properties": {"spec": {"oneOf": [{"type": "string"}, {"type": "object"}]}}});
        let spec = json!({"group": "g", "version": "v1", "validation": {"openAPIV3Schema": schema}});
        let (_, notes) = converted(&definition("v1beta1", &spec), "1.34");
        assert_eq!(notes, ["its schema checks less than before at `.spec`"]);
    }

    #[test]
    fn an_older_cluster_has_it_beside_the_versions() {
        let version = |name: &str| {
            json!({"name": name, "served": true, "storage": name == "v1",
            "schema": {"openAPIV3Schema": {"type": "object"}}, "additionalPrinterColumns": [{"name": name, "jsonPath": ".a"}]})
        };
        let spec = json!({"group": "g", "scope": "Cluster", "versions": [version("v1"), version("v2")],
            "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {"url": "u"}, "conversionReviewVersions": ["v1", "v1beta1"]}}});
        let (document, _) = converted(&definition("v1", &spec), "1.15");
        assert_eq!(
            document["spec"],
            json!({"group": "g", "scope": "Cluster", "version": "v1", "preserveUnknownFields": false,
                "validation": {"openAPIV3Schema": {"type": "object"}},
                "versions": [
                    {"name": "v1", "served": true, "storage": true, "additionalPrinterColumns": [{"name": "v1", "JSONPath": ".a"}]},
                    {"name": "v2", "served": true, "storage": false, "additionalPrinterColumns": [{"name": "v2", "JSONPath": ".a"}]},
                ],
                "conversion": {"strategy": "Webhook", "webhookClientConfig": {"url": "u"}, "conversionReviewVersions": ["v1", "v1beta1"]}})
        );
        let mut newer = spec;
        newer["versions"][0]["schema"]["openAPIV3Schema"]["properties"] = json!({"a": {"default": 1}});
        assert!(refused(&definition("v1", &newer), "1.15").contains("does not heed `default` in a schema"));
    }
}
