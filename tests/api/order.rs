//! Definitions, namespaces and what needs them in one set.

use crate::server::{api, applied, get, names};

/// A custom resource first, what it needs last: the order of the file must not matter.
fn set(group: &str, namespace: &str) -> String {
    format!(
        "
apiVersion: {group}/v1
kind: Wheel
metadata: {{name: front, namespace: {namespace}}}
spec: {{size: 28}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: {namespace}}}
data: {{a: b}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: wheels.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{kind: Wheel, plural: wheels, singular: wheel, listKind: WheelList}}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {{spec: {{type: object, properties: {{size: {{type: integer}}}}}}}}
"
    )
}

#[tokio::test]
async fn a_definition_and_its_instance_are_applied_in_one_go() {
    let Some(api) = api("order").await else { return };
    let text = set("order.test", "order");
    let done = applied(&api, "order", &text).await.expect("applied");
    assert_eq!(
        names(&done.created),
        [
            "ConfigMap order/settings",
            "CustomResourceDefinition wheels.order.test",
            "Namespace order",
            "Wheel order/front"
        ]
    );
    let wheel = get(&api, "order.test/v1", "Wheel", "order", "front").await.expect("it is there");
    assert_eq!(wheel["spec"]["size"], 28);
    assert!(wheel["metadata"]["labels"]["applyset.kubernetes.io/part-of"].is_string());

    let again = applied(&api, "order", &text).await.expect("applied again");
    assert!(again.is_unchanged(), "{again}");
    assert_eq!(again.unchanged.len(), 4);
}
