//! Runtime classes: the alpha version had them below `spec`.

use serde_json::Value;

use super::Refusal;
use super::draft::{self, Draft, rename};
use super::kinds::Step;

const ALPHA: &str = "node.k8s.io/v1alpha1";
/// Fields below `spec`, and their names beside it.
const FIELDS: [(&str, &str); 3] =
    [("runtimeHandler", "handler"), ("overhead", "overhead"), ("scheduling", "scheduling")];

/// To `node.k8s.io/v1`.
pub(super) fn up(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    if step.old != ALPHA {
        return Ok(());
    }
    let root = draft.root()?;
    let Some(mut spec) = draft::take(root, "spec") else { return Ok(()) };
    let spec = draft::mapping(&mut spec, "spec")?;
    for (old, new) in FIELDS {
        rename(spec, old, new);
        if let Some(value) = draft::take(spec, new) {
            root.insert(new.to_owned(), value);
        }
    }
    Ok(())
}

/// From `node.k8s.io/v1`.
pub(super) fn down(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    if step.old != ALPHA {
        return Ok(());
    }
    let root = draft.root()?;
    let mut spec = draft::Fields::new();
    for (old, new) in FIELDS {
        if let Some(value) = draft::take(root, new) {
            spec.insert(old.to_owned(), value);
        }
    }
    root.insert("spec".to_owned(), Value::Object(spec));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::objects::convert::tests::converted;

    #[test]
    fn what_was_below_the_specification_is_beside_it() {
        let text = "{apiVersion: node.k8s.io/v1alpha1, kind: RuntimeClass, metadata: {name: a}, \
                    spec: {runtimeHandler: h, overhead: {podFixed: {cpu: 1}}}}";
        let (document, _) = converted(text, "1.34");
        assert_eq!(
            document,
            json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "a"}, "handler": "h",
                "overhead": {"podFixed": {"cpu": 1}}})
        );
    }
}
