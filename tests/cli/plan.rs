//! `plan` before there is a cluster: what would be made, what is wrong, exit codes. No engine is asked.

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

const LAB: &str =
    "apiVersion: istiolab.dev/v1alpha1\nkind: Lab\nname: small\napplications:\n- name: shop\n  objects: [shop.yaml]\n";
const SHOP: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: prices, annotations: {config.kubernetes.io/depends-on: 'apps/namespaces/shop/Deployment/till'}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: till}
spec:
  selector: {matchLabels: {app: till}}
  template:
    metadata: {labels: {app: till}}
    spec: {containers: [{name: c, image: istiolab.local/none:1}]}
";

fn sandbox(shop: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("lab.yaml", LAB);
    sandbox.write("shop.yaml", shop);
    sandbox
}

#[test]
fn without_a_cluster_everything_is_made() {
    let sandbox = sandbox(SHOP);
    assert_snapshot!(sandbox.run(&["plan", "-f", "lab.yaml", "-q"]), @"
    exit: 0
    --- stdout
    + the cluster `small`, with everything in it

    cluster (default/istiolab-namespaces)
      + Namespace istio-system (namespaces, istiolab:1)

    applications (default/istiolab-application-shop)
      + Namespace shop (namespaces, application shop:1)
      + ConfigMap shop/prices (configuration, shop.yaml:2)
      + Deployment shop/till (workloads, shop.yaml:6)

    Plan: 4 to create.
    ");
    assert!(sandbox.run(&["plan", "-f", "lab.yaml", "-q", "--exit-code"]).starts_with("exit: 2\n--- stdout\n"));
    let json = sandbox.run(&["plan", "-f", "lab.yaml", "-q", "-o", "json"]);
    for part in [
        "\"schema\": \"istiolab.dev/plan/v1\"",
        "\"cluster\": \"absent\"",
        "\"pending\": true",
        "\"create\": 4",
        "\"origin\": \"shop.yaml:6\",\n          \"phase\": \"workloads\"",
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
    assert!(!sandbox.work().with_file_name("state").exists(), "planning leaves nothing behind");
}

#[test]
fn what_would_stop_it_is_told_with_its_line() {
    let round = SHOP.replace(
        "metadata: {name: till}",
        "metadata: {name: till, annotations: {config.kubernetes.io/depends-on: /namespaces/shop/ConfigMap/prices}}",
    );
    assert_snapshot!(sandbox(&round).run(&["plan", "-f", "lab.yaml", "-q"]), @"
    exit: 65
    --- stderr
    error: objects wait for each other:
      - ConfigMap shop/prices ([ROOT]/work/shop.yaml:2) waits for
      - Deployment shop/till ([ROOT]/work/shop.yaml:6) waits for the first
    hint: Take away what makes one of them wait: an annotation `config.kubernetes.io/depends-on`, most often.
    ");
    let unknown = SHOP.replace("Deployment/till'", "Deployment/tills'");
    assert_snapshot!(sandbox(&unknown).run(&["plan", "-f", "lab.yaml", "-q"]), @"
    exit: 65
    --- stderr
    error: [ROOT]/work/shop.yaml:2: ConfigMap shop/prices: `config.kubernetes.io/depends-on`: there is no Deployment.apps shop/tills among the objects that it is applied with
    ");
    let kind = format!("{SHOP}---\n{{apiVersion: boats.test/v1, kind: Boat, metadata: {{name: red}}}}\n");
    assert_snapshot!(sandbox(&kind).run(&["plan", "-f", "lab.yaml", "-q"]), @"
    exit: 65
    --- stderr
    error: [ROOT]/work/shop.yaml:15: Boat red needs a CustomResourceDefinition for Boat.boats.test that is neither among the objects nor in the cluster
    hint: Add the definition of Boat.boats.test to the objects, or install what brings it first.
    ");
}
