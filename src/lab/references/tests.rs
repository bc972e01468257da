use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use super::*;
use crate::images::registry::Access;
use crate::paths::Paths;
use crate::spec;

fn project() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn recipes() -> Recipes {
    Recipes::load(project().join("parts")).expect("the project's own")
}

fn site(lab: spec::Lab) -> Site {
    let nowhere = Paths { cache: "/nowhere".into(), state: "/nowhere".into() };
    Site::open(lab, &nowhere, Access::default()).expect("its objects can be read")
}

/// A lab whose file would lie in the project's folder `scenarios`.
fn lab(rest: &str) -> Site {
    let text = format!("apiVersion: istiolab.dev/v1alpha1\nkind: Lab\nname: test\n{rest}");
    site(spec::parse(&text, Utf8Path::new("lab.yaml"), &project().join("scenarios/lab.yaml")).expect("it is a lab"))
}

fn told(references: &References) -> Vec<String> {
    let all = references.wanted.iter();
    all.flat_map(|(image, places)| places.iter().map(move |place| format!("{image} {place}"))).collect()
}

#[test]
fn the_quick_start_names_its_images_with_their_places() {
    let site = site(spec::load(&project().join("scenarios/quickstart.yaml")).expect("it has no problem"));
    let object = |document| Object::new(document, "istioctl manifest generate", 7).expect("whole");
    let config = "defaultTemplates: [sidecar]\ntemplates:\n  sidecar: '{{ .ProxyImage }}'\n";
    let values = json!({"global": {"hub": "istiolab.local/istio", "tag": "1.31-dev"}});
    let injector = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-sidecar-injector"},
        "data": {"config": config, "values": values.to_string()}});
    let cni = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "istio-cni-node"},
        "spec": {"template": {"spec": {"containers": [{"name": "install-cni", "image": "docker.io/istio/install-cni:1.31.0"}]}}}});
    let rendered = Rendered { control_plane: vec![object(injector), object(cni)], gateways: Vec::new() };
    let references = of(&site, &recipes(), Some(&rendered)).expect("all are references");
    let told = told(&references);
    for expected in [
        "istiolab.local/istio/proxyv2:1.31-dev istioctl manifest generate:7 (ConfigMap istio-sidecar-injector, the injected proxy)",
        "docker.io/istio/install-cni:1.31.0 istioctl manifest generate:7 (DaemonSet istio-cni-node, container `install-cni`)",
        "istiolab.local/registry:3.1.2 scenarios/quickstart.yaml (the lab's registry)",
        "istiolab.local/kind/node-lab:v1.34.4 scenarios/quickstart.yaml (the node image)",
    ] {
        assert!(told.iter().any(|line| line == expected), "{expected} is not among {told:#?}");
    }
    let demo = told.iter().filter(|line| line.starts_with("istiolab.local/demo:")).count();
    assert!(demo >= 2, "both tiers are told: {told:#?}");
    let inside: Vec<String> = references.inside.keys().map(ToString::to_string).collect();
    for name in ["registry.k8s.io/pause", "registry.k8s.io/etcd", "registry.k8s.io/kube-proxy", "istiolab.local/zipkin"]
    {
        assert!(inside.iter().any(|image| image.starts_with(name)), "{name} is not in {inside:?}");
    }
}

#[test]
fn images_of_the_clusters_own_configuration_count() {
    let images = |rest: &str| {
        let references = of(&lab(rest), &recipes(), None).expect("all are references");
        let told: Vec<String> = told(&references).into_iter().filter(|line| !line.contains("registry")).collect();
        (told, references.inside.is_empty())
    };
    let node = "istiolab.local/kind/node-lab:v1.34.4 scenarios/lab.yaml (the node image)";
    assert_eq!(images(""), (vec![node.to_owned()], false));
    let balancer = "docker.io/envoyproxy/envoy:v1.36.2 scenarios/lab.yaml (kind's load balancer, for there are several control planes)";
    let several = vec![balancer.to_owned(), node.to_owned()];
    assert_eq!(images("cluster: {nodes: {controlPlanes: 3}}\n"), (several, false));
    let own = "docker.io/kindest/node:v1.34.0 scenarios/lab.yaml (`cluster.config.nodes[0].image`)".to_owned();
    let config = "cluster: {config: {nodes: [{role: control-plane, image: 'kindest/node:v1.34.0'}]}}\n";
    assert_eq!(images(config), (vec![own], true));
}

#[test]
fn what_is_no_reference_is_told_with_all_places() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = Utf8PathBuf::from_path_buf(dir.path().join("pods.yaml")).expect("UTF-8");
    let pod = |name: &str, image: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: app, image: {image}}}]}}\n"
        )
    };
    fs_err::write(&file, format!("{}---\n{}", pod("a", "a/B"), pod("b", "'b:'"))).expect("written");
    let site = lab(&format!("applications: [{{name: a, objects: [{file}]}}]\n"));
    let error = of(&site, &recipes(), None).expect_err("both are wrong").to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(
        lines[0].starts_with(&format!("{file}:1 (Pod a, container `app`): `a/B` is not an image reference")),
        "{error}"
    );
    assert!(
        lines[1].starts_with(&format!("{file}:6 (Pod b, container `app`): `b:` is not an image reference")),
        "{error}"
    );
}
