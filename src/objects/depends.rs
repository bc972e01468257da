//! What an object says itself that it comes after: the annotation that
//! [cli-utils](https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/object/dependson/annotation.go) reads.

use super::inventory::Identity;
use super::set::GroupKind;

/// Its value lists objects with commas between: `GROUP/namespaces/NAMESPACE/KIND/NAME`, or
/// `GROUP/KIND/NAME` for those in no namespace. The core group is written as nothing, so that such a
/// reference begins with a slash.
pub(super) const ANNOTATION: &str = "config.kubernetes.io/depends-on";

/// Reads the annotation's value.
///
/// # Errors
/// What is wrong with the first reference that can't be read.
pub(super) fn parse(text: &str) -> Result<Vec<Identity>, String> {
    text.split(',').map(|item| one(item.trim())).collect()
}

fn one(text: &str) -> Result<Identity, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let (group, kind, namespace, name) = match parts.as_slice() {
        [group, kind, name] => (group, kind, None, name),
        [group, "namespaces", namespace, kind, name] => (group, kind, Some(*namespace), name),
        _ => {
            return Err(format!(
                "`{text}` is no reference: write GROUP/namespaces/NAMESPACE/KIND/NAME, or GROUP/KIND/NAME for what is \
                 in no namespace; the core group is written as nothing, as in `/namespaces/demo/Service/web`"
            ));
        }
    };
    if kind.is_empty() || name.is_empty() || namespace.is_some_and(str::is_empty) {
        return Err(format!("`{text}` is no reference: a part of it is empty"));
    }
    let kind = GroupKind { group: (*group).to_owned(), kind: (*kind).to_owned() };
    Ok(Identity { kind, namespace: namespace.map(str::to_owned), name: (*name).to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_cli_utils_writes_them() {
        let read = parse(
            "apps/namespaces/demo/Deployment/web, /namespaces/demo/ConfigMap/a,rbac.authorization.k8s.io/ClusterRole/r,/Namespace/n",
        );
        let shown: Vec<_> = read
            .expect("references")
            .iter()
            .map(|item| format!("{} {}/{}", item.kind, item.namespace.as_deref().unwrap_or("-"), item.name))
            .collect();
        assert_eq!(
            shown,
            [
                "Deployment.apps demo/web",
                "ConfigMap demo/a",
                "ClusterRole.rbac.authorization.k8s.io -/r",
                "Namespace -/n"
            ]
        );
    }

    #[test]
    fn what_is_no_reference_is_told() {
        for text in ["", "web", "Deployment/web", "apps/namespace/demo/Deployment/web", "/namespaces//Service/x", "//x"]
        {
            assert!(parse(text).is_err_and(|why| why.contains("is no reference")), "{text}");
        }
    }
}
