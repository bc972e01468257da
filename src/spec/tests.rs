//! What lab files are taken, what is refused, and with which words.

use camino::{Utf8Path, Utf8PathBuf};
use insta::assert_snapshot;

use super::*;

/// A project with one object file, one feature and the folder of one add-on.
fn project() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("its path is UTF-8");
    for file in
        ["manifests/demo/app.yaml", "manifests/addons/prometheus/all.yaml", "features/a.feature", "operator.yaml"]
    {
        let file = root.join(file);
        fs_err::create_dir_all(file.parent().expect("it has one")).expect("the folder can be made");
        fs_err::write(file, "").expect("the file can be written");
    }
    for folder in ["scenarios", "empty"] {
        fs_err::create_dir_all(root.join(folder)).expect("the folder can be made");
    }
    (dir, root)
}

fn read(text: &str) -> Result<Lab, Problems> {
    let (_dir, root) = project();
    parse(text, Utf8Path::new("lab.yaml"), &root.join("scenarios/lab.yaml"))
}

/// The problems of a text, without the temporary folder's name.
fn problems(text: &str) -> String {
    let text = read(text).expect_err("it has a problem").to_string();
    regex::Regex::new(r"relative to \S+").expect("a pattern").replace_all(&text, "relative to DIR").into_owned()
}

const HEAD: &str = "apiVersion: istiolab.dev/v1alpha1\nkind: Lab\nname: quickstart\n";

fn body(text: &str) -> String {
    problems(&format!("{HEAD}{text}"))
}

#[test]
fn the_shortest_lab_has_every_default() {
    let (_dir, root) = project();
    let lab = parse(HEAD, Utf8Path::new("lab.yaml"), &root.join("scenarios/lab.yaml")).expect("it is a lab");
    assert_eq!(lab.name, "quickstart");
    assert_eq!(lab.dir, root.join("scenarios"));
    assert_eq!((lab.cluster.kubernetes.as_str(), lab.cluster.provider), ("1.34", Provider::Kind));
    assert_eq!(lab.cluster.nodes, Nodes { control_planes: 1, workers: 0 });
    assert_eq!((lab.images.source, lab.registry.port, lab.mesh), (Source::Auto, None, None));
    assert_eq!((lab.features.parallel, lab.features.paths.len()), (3, 0));
}

#[test]
fn paths_are_made_absolute_and_defaults_follow_the_mesh() {
    let (_dir, root) = project();
    let text = format!(
        "{HEAD}mesh: {{version: '1.31', operator: ../operator.yaml, set: {{a.b: true, c: 5, d: '1.0'}}}}\n\
         addons: [{{name: prometheus}}, {{name: own, objects: [../manifests/demo]}}]\n\
         applications: [{{name: demo, objects: [../manifests/demo/app.yaml]}}]\n\
         features: {{paths: [../features], tags: not @slow, parallel: 2}}\n"
    );
    let lab = parse(&text, Utf8Path::new("lab.yaml"), &root.join("scenarios/lab.yaml")).expect("it is a lab");
    let mesh = lab.mesh.expect("it has one");
    assert_eq!((mesh.profile.as_str(), mesh.operator), ("default", Some(root.join("operator.yaml"))));
    assert_eq!(mesh.set.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["a.b=true", "c=5", "d=1.0"]);
    assert_eq!(lab.addons[0].objects, [root.join("manifests/addons/prometheus")]);
    let demo = &lab.applications[0];
    assert_eq!((demo.namespace.as_str(), demo.injection), ("demo", Injection::Auto));
    assert_eq!(demo.objects, [root.join("manifests/demo/app.yaml")]);
    assert_eq!(lab.features.paths, [root.join("features")]);
}

#[test]
fn everything_wrong_is_told_at_once() {
    assert_snapshot!(problems(
        "apiVersion: istiolab.dev/v1\n\
         kind: Lap\n\
         name: Quick_Start\n\
         clster: {}\n\
         cluster:\n  provider: knd\n  kubernetes: 1.30\n  nodes: {controlPlanes: 0, workers: many}\n\
         images: {source: pats}\n\
         registry: {port: 70000}\n\
         mesh:\n  profile: default\n  version: yes\n  operator: none.yaml\n\
         addons:\n- name: promtheus\n- name: zipkin\n- name: own\n  objects: [nowhere]\n- name: own\n  objects: [../empty]\n\
         applications:\n- {name: demo, injection: automatic, objects: []}\n- {namespace: x}\n\
         features: {tags: '@a and', paths: ../features}\n"
    ), @"");
}

#[test]
fn a_file_that_is_no_lab_at_all() {
    assert_snapshot!(problems("a: [1\nb: }\n"), @"");
    assert_snapshot!(problems("# nothing\n"), @"");
    assert_snapshot!(problems("- a\n- b\n"), @"");
    assert_snapshot!(problems(&format!("{HEAD}---\n{HEAD}")), @"");
    assert_snapshot!(problems(&format!("{HEAD}name: twice\n")), @"");
    assert_snapshot!(problems("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n"), @"");
}

#[test]
fn versions_that_look_like_numbers_must_be_quoted() {
    assert_snapshot!(body("cluster:\n  kubernetes: 1.30 # the zero would be lost\n"), @"");
    assert_snapshot!(body("cluster: {kubernetes: v1.34}\n"), @"");
    assert_snapshot!(body("mesh: {version: 1.20, set: {x: 1.10}}\n"), @"");
}

#[test]
fn sections_without_a_value() {
    assert_snapshot!(body("mesh:\naddons:\nfeatures: {parallel: 0, tags: }\n"), @"");
}

#[test]
fn applications_that_contradict() {
    assert_snapshot!(body(
        "applications:\n- {name: a, namespace: n, injection: manual, objects: [../manifests/demo]}\n"
    ), @"");
    assert_snapshot!(body(
        "mesh: {version: '1.31'}\napplications:\n\
         - {name: a, namespace: n, injection: manual, objects: [../manifests/demo]}\n\
         - {name: b, namespace: n, objects: [../manifests/demo]}\n"
    ), @"");
}

#[test]
fn configuration_of_the_provider_that_contradicts() {
    assert_snapshot!(body(
        "cluster:\n  nodes: {workers: 1}\n  config:\n    kind: Cluster\n    name: other\n    nodes: [{role: control-plane}]\n"
    ), @"");
}

#[test]
fn a_file_that_is_not_there() {
    assert_snapshot!(load(Utf8Path::new("/no/such/lab.yaml")).expect_err("it is not there"), @"");
    assert_snapshot!(load(Utf8Path::new("/")).expect_err("it is a folder"), @"");
}

#[test]
fn the_quick_start_is_a_lab() {
    let file = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/quickstart.yaml");
    let lab = load(&file).expect("it has no problem");
    assert_eq!(lab.name, "quickstart");
}
