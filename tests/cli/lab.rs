//! Lab files that are wrong, in every way that one meets.

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

const HEAD: &str = "apiVersion: istiolab.dev/v1alpha1\nkind: Lab\nname: quickstart\n";

fn status(text: &str) -> String {
    let sandbox = Sandbox::new();
    sandbox.write("lab.yaml", text);
    sandbox.run(&["status", "-f", "lab.yaml"])
}

#[test]
fn there_is_none() {
    let sandbox = Sandbox::new();
    assert_snapshot!(sandbox.run(&["status"]), @"
    exit: 64
    --- stderr
    error: no lab file: there is no scenarios/quickstart.yaml in this folder or above it
    hint: Name one with -f FILE.
    ");
    assert_snapshot!(sandbox.run(&["status", "-f", "no/lab.yaml"]), @"
    exit: 65
    --- stderr
    error: no/lab.yaml: no such file; name the lab file with -f FILE
    hint: `istiolab schema` prints what a lab file may hold; docs/lab-file.md explains it.
    ");
}

#[test]
fn not_yaml() {
    assert_snapshot!(status("name: [quickstart\nkind: Lab\n"), @"
    exit: 65
    --- stderr
    error: lab.yaml:2:5: not YAML: illegal placement of ':' indicator
    hint: `istiolab schema` prints what a lab file may hold; docs/lab-file.md explains it.
    ");
}

#[test]
fn not_a_lab() {
    assert_snapshot!(status("apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n"), @"
    exit: 65
    --- stderr
    error: 4 problems in the lab file
      lab.yaml:1:1: field `name` is missing
      lab.yaml:1:13: unknown value `v1` of `apiVersion`; known: istiolab.dev/v1alpha1
      lab.yaml:2:7: unknown value `Service` of `kind`; known: Lab
      lab.yaml:3:1: unknown field `metadata`; known here: apiVersion, kind, name, cluster, images, registry, mesh, addons, applications, readiness, grace, features
    hint: `istiolab schema` prints what a lab file may hold; docs/lab-file.md explains it.
    ");
}

#[test]
fn an_unknown_field() {
    assert_snapshot!(status(&format!("{HEAD}cluster:\n  provder: kind\n")), @"
    exit: 65
    --- stderr
    error: lab.yaml:5:3: unknown field `provder` in `cluster`; did you mean `provider`?
    hint: `istiolab schema` prints what a lab file may hold; docs/lab-file.md explains it.
    ");
}

#[test]
fn an_unknown_provider() {
    assert_snapshot!(status(&format!("{HEAD}cluster:\n  provider: k3d\n")), @"
    exit: 65
    --- stderr
    error: lab.yaml:5:13: unknown value `k3d` of `cluster.provider`; known: kind
    hint: `istiolab schema` prints what a lab file may hold; docs/lab-file.md explains it.
    ");
}

#[test]
fn several_faults_are_told_at_once() {
    assert_snapshot!(status(&format!(
        "{HEAD}cluster:\n  kubernetes: 1.30\nmesh:\n  version: \"1.31\"\n  operator: mesh.yaml\n\
         addons:\n- name: kiali\nfeatures:\n  tags: \"@a or\"\n"
    )), @r#"
    exit: 65
    --- stderr
    error: 4 problems in the lab file
      lab.yaml:5:15: `cluster.kubernetes`: YAML reads 1.30 as the number 1.3; put it in quotes: "1.30"
      lab.yaml:8:13: no such file: mesh.yaml; paths are relative to [ROOT]/work
      lab.yaml:10:9: unknown add-on `kiali`; known: prometheus, grafana, zipkin, jaeger, servicegraph; any other needs `objects`
      lab.yaml:12:9: `features.tags` is no tag expression: error at 1:6: expected one of "(", "@", "not"; write it as "@mtls and not @slow"
    hint: `istiolab schema` prints what a lab file may hold; docs/lab-file.md explains it.
    "#);
}

#[test]
fn on_standard_input() {
    let sandbox = Sandbox::new();
    assert_snapshot!(sandbox.run_with(&["status", "-f", "-"], "kind: Lab\n"), @"
    exit: 65
    --- stderr
    error: 2 problems in the lab file
      <stdin>:1:1: field `apiVersion` is missing; add `apiVersion: istiolab.dev/v1alpha1`
      <stdin>:1:1: field `name` is missing
    hint: `istiolab schema` prints what a lab file may hold; docs/lab-file.md explains it.
    ");
}

#[test]
fn nothing_is_left_behind_by_a_bad_file() {
    let sandbox = Sandbox::new();
    sandbox.write("lab.yaml", "kind: Lab\n");
    sandbox.run(&["up", "-f", "lab.yaml"]);
    for folder in ["cache", "state"] {
        assert!(!sandbox.work().with_file_name(folder).exists(), "{folder} was made");
    }
}
