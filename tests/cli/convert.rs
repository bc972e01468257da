//! `istiolab convert`, without a cluster.

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

const OLD: &str = "\
# A comment.
apiVersion: extensions/v1beta1
kind: DaemonSet
metadata: {name: agent, namespace: kube-system}
spec:
  templateGeneration: 2
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: agent}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: 'yes', a: 'no'}
";

#[test]
fn what_is_old_is_written_anew() {
    let sandbox = Sandbox::new();
    sandbox.write("old.yaml", OLD);
    assert_snapshot!(sandbox.run(&["convert", "--to", "1.34", "-f", "old.yaml"]), @r#"
    exit: 0
    --- stdout
    apiVersion: apps/v1
    kind: DaemonSet
    metadata:
      name: agent
      namespace: kube-system
      labels:
        app: agent
    spec:
      template:
        metadata:
          labels:
            app: agent
        spec:
          containers:
          - name: agent
            image: agent
      selector:
        matchLabels:
          app: agent
      updateStrategy:
        type: OnDelete
    ---
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: settings
    data:
      a: "no"
    --- stderr
    warning: old.yaml:14:18: the key `a` stands twice: the last one counts, as for kubectl.
    converted: DaemonSet kube-system/agent extensions/v1beta1 -> apps/v1 (old.yaml:2)
      `templateGeneration` is left out: the cluster counts by itself.
    1 of 2 converted. The files are as they were; their comments are not in what is printed.
    "#);
    let file = fs_err::read_to_string(sandbox.work().join("old.yaml")).expect("the file");
    assert_eq!(file, OLD, "the file is as it was");
}

#[test]
fn for_programs_it_is_a_list() {
    let text = "{apiVersion: policy/v1beta1, kind: PodDisruptionBudget, metadata: {name: a}}\n";
    let one = Sandbox::new().run_with(&["convert", "--to", "1.34", "-f", "-", "-o", "json", "-q"], text);
    assert_snapshot!(one, @r#"
    exit: 0
    --- stdout
    {
      "apiVersion": "policy/v1",
      "kind": "PodDisruptionBudget",
      "metadata": {
        "name": "a"
      },
      "spec": {}
    }
    "#);
    let two = Sandbox::new().run_with(&["convert", "--to", "1.20", "-", "-o", "json"], &format!("{text}---\n{text}"));
    assert_snapshot!(two, @r#"
    exit: 0
    --- stdout
    {
      "apiVersion": "v1",
      "kind": "List",
      "items": [
        {
          "apiVersion": "policy/v1beta1",
          "kind": "PodDisruptionBudget",
          "metadata": {
            "name": "a"
          }
        },
        {
          "apiVersion": "policy/v1beta1",
          "kind": "PodDisruptionBudget",
          "metadata": {
            "name": "a"
          }
        }
      ]
    }
    --- stderr
    0 of 2 converted. The files are as they were; their comments are not in what is printed.
    "#);
}

#[test]
fn all_that_can_not_be_converted_is_told() {
    let text = "\
apiVersion: policy/v1beta1
kind: PodSecurityPolicy
metadata: {name: privileged}
---
apiVersion: apps/v1beta2
kind: Deployment
metadata: {name: web}
";
    assert_snapshot!(Sandbox::new().run_with(&["convert", "--to", "v1.34.4", "-f", "-"], text), @"
    exit: 65
    --- stderr
    error: 2 objects failed:
      - <stdin>:1: PodSecurityPolicy privileged of policy/v1beta1 can't be converted for Kubernetes 1.34: Kubernetes has no PodSecurityPolicy since 1.25, and nothing that does the same; leave it out together with the roles that `use` it; label the namespace with pod-security.kubernetes.io/enforce (privileged, baseline or restricted) instead
      - <stdin>:5: Deployment web of apps/v1beta2 can't be converted for apps/v1: it has no selector; write `spec.selector` with labels of the pod template
    ");
}

#[test]
fn a_release_must_be_a_known_one() {
    assert_snapshot!(Sandbox::new().run(&["convert", "--to", "1.99", "-f", "-"]), @"
    exit: 64
    --- stderr
    error: invalid value '1.99' for '--to <VERSION>': known are Kubernetes 1.8 to 1.36

    For more information, try '--help'.
    ");
}

#[test]
fn without_objects_or_a_cluster_there_is_nothing_to_do() {
    assert_snapshot!(Sandbox::new().run(&["convert"]), @"
    exit: 64
    --- stderr
    error: no objects to convert
    hint: Name a file with -f FILE, or `-f -`.
    ");
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}";
    assert_snapshot!(Sandbox::new().run_with(&["convert", "-f", "-"], text), @"
    exit: 69
    --- stderr
    error: the kubeconfig [ROOT]/no-kubeconfig can't be used
      caused by: failed to read from file `[ROOT]/no-kubeconfig`: No such file or directory (os error 2)
    hint: Run `istiolab up`: it writes the file again.
    hint: Or name a release of Kubernetes instead of a cluster: --to 1.34.
    ");
}
