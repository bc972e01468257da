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
    assert_eq!(lab.features.deadline, std::time::Duration::from_mins(5));
}

#[test]
fn paths_are_made_absolute_and_defaults_follow_the_mesh() {
    let (_dir, root) = project();
    let text = format!(
        "{HEAD}mesh: {{version: '1.31', operator: ../operator.yaml, set: {{a.b: true, c: 5, d: '1.0'}}}}\n\
         addons: [{{name: prometheus}}, {{name: own, objects: [../manifests/demo]}}]\n\
         applications: [{{name: demo, objects: [../manifests/demo/app.yaml]}}]\n\
         features: {{paths: [../features], tags: not @slow, parallel: 2, deadline: 90s}}\n"
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
    assert_eq!(lab.features.deadline, std::time::Duration::from_secs(90));
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
         addons:\n- name: promtheus\n- name: grafana\n- name: own\n  objects: [nowhere]\n- name: own\n  objects: [../empty]\n\
         applications:\n- {name: demo, injection: automatic, objects: []}\n- {namespace: x}\n\
         features: {tags: '@a and', paths: ../features}\n"
    ), @r#"
    22 problems in the lab file
      lab.yaml:1:13: unknown value `istiolab.dev/v1` of `apiVersion`; did you mean `istiolab.dev/v1alpha1`? (known: istiolab.dev/v1alpha1)
      lab.yaml:2:7: unknown value `Lap` of `kind`; did you mean `Lab`? (known: Lab)
      lab.yaml:3:7: `name` can't be `Quick_Start`; a DNS label has small letters, digits and `-`, and starts and ends with a letter or digit
      lab.yaml:4:1: unknown field `clster`; did you mean `cluster`?
      lab.yaml:6:13: unknown value `knd` of `cluster.provider`; did you mean `kind`? (known: kind)
      lab.yaml:7:15: `cluster.kubernetes`: YAML reads 1.30 as the number 1.3; put it in quotes: "1.30"
      lab.yaml:8:26: `cluster.nodes.controlPlanes` is 0; it must be 1 to 7
      lab.yaml:8:38: `cluster.nodes.workers` is text; it must be a whole number
      lab.yaml:9:18: unknown value `pats` of `images.source`; did you mean `parts`? (known: auto, registry, parts)
      lab.yaml:10:18: `registry.port` is 70000; it must be 1 to 65535
      lab.yaml:13:12: `mesh.version`: YAML reads yes as the boolean true; put it in quotes: "yes"
      lab.yaml:14:13: no such file: none.yaml; paths are relative to DIR
      lab.yaml:16:9: unknown add-on `promtheus`; did you mean `prometheus`? known: prometheus, grafana, zipkin, jaeger, servicegraph; any other needs `objects`
      lab.yaml:19:13: no such file or folder: nowhere; paths are relative to DIR
      lab.yaml:20:9: `own` stands twice in `addons`; the first is in line 18
      lab.yaml:21:13: the folder ../empty holds no file to read; looked for *.yaml, *.yml, *.json
      lab.yaml:23:27: unknown value `automatic` of `applications[0].injection`; known: none, manual, auto
      lab.yaml:23:47: `applications[0].objects` is empty; it needs at least one entry
      lab.yaml:24:3: field `name` is missing in `applications[1]`
      lab.yaml:24:3: field `objects` is missing in `applications[1]`
      lab.yaml:25:18: `features.tags` is no tag expression: error at 1:7: expected one of "(", "@", "not"; write it as "@mtls and not @slow"
      lab.yaml:25:35: `features.paths` is text; it must be a list
    "#);
}

#[test]
fn a_file_that_is_no_lab_at_all() {
    assert_snapshot!(problems("a: [1\nb: }\n"), @"lab.yaml:2:2: not YAML: illegal placement of ':' indicator");
    assert_snapshot!(problems("# nothing\n"), @"lab.yaml: the file is empty; start it with `apiVersion: istiolab.dev/v1alpha1` and `kind: Lab`");
    assert_snapshot!(problems("- a\n- b\n"), @"lab.yaml:1:1: the file is a list; it must be a mapping");
    assert_snapshot!(problems(&format!("{HEAD}---\n{HEAD}")), @"lab.yaml:5:1: a second document; a lab file holds one lab; put the other one into a file of its own");
    assert_snapshot!(problems(&format!("{HEAD}name: twice\n")), @"lab.yaml:4:1: the key `name` stands twice");
    assert_snapshot!(problems("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n"), @"
    4 problems in the lab file
      lab.yaml:1:1: field `name` is missing
      lab.yaml:1:13: unknown value `v1` of `apiVersion`; known: istiolab.dev/v1alpha1
      lab.yaml:2:7: unknown value `Pod` of `kind`; known: Lab
      lab.yaml:3:1: unknown field `metadata`; known here: apiVersion, kind, name, cluster, images, registry, mesh, addons, applications, readiness, grace, features
    ");
}

#[test]
fn one_server_keeps_the_traces() {
    assert_snapshot!(body("addons:\n- name: zipkin\n- name: grafana\n- name: jaeger\n"), @"lab.yaml:7:9: `zipkin` and `jaeger` can't be in one lab: both are the Service `zipkin`; keep one of them; `zipkin` stands in line 5");
    let own = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/addons/jaeger");
    let text = format!("{HEAD}addons:\n- name: zipkin\n- name: jaeger\n  objects: [{own}]\n");
    let lab = parse(&text, Utf8Path::new("lab.yaml"), Utf8Path::new("/x/lab.yaml"));
    assert!(lab.is_ok(), "objects of one's own are one's own affair: {lab:?}");
}

#[test]
fn versions_that_look_like_numbers_must_be_quoted() {
    assert_snapshot!(body("cluster:\n  kubernetes: 1.30 # the zero would be lost\n"), @r#"lab.yaml:5:15: `cluster.kubernetes`: YAML reads 1.30 as the number 1.3; put it in quotes: "1.30""#);
    assert_snapshot!(body("cluster: {kubernetes: v1.34}\n"), @r#"lab.yaml:4:23: `cluster.kubernetes` can't be `v1.34`; a version is written as "1.34" or "1.34.4""#);
    assert_snapshot!(body("mesh: {version: 1.20, set: {x: 1.10}}\n"), @r#"
    2 problems in the lab file
      lab.yaml:4:17: `mesh.version`: YAML reads 1.20 as the number 1.2; put it in quotes: "1.20"
      lab.yaml:4:32: `mesh.set.x`: YAML reads 1.10 as the number 1.1; put it in quotes: "1.10"
    "#);
}

#[test]
fn readiness_and_grace() {
    let lab = read(&format!("{HEAD}{}", "readiness:\n- {kind: Lake, group: a.b, expression: object.status.depth > 3, message: shallow}\ngrace: {image: 2m}\n")).expect("a lab");
    let rule = &lab.readiness[0];
    assert_eq!((rule.kind.as_str(), rule.group.as_str(), rule.message.as_deref()), ("Lake", "a.b", Some("shallow")));
    assert_eq!((lab.grace.image, lab.grace.crash), (Some(std::time::Duration::from_mins(2)), None));
    assert_snapshot!(body("readiness:\n- {kind: Lake, expression: object.status.depth >}\n- {expresion: 'true'}\ngrace: {image: 90}\n"), @r#"
    5 problems in the lab file
      lab.yaml:5:49: `readiness[0].expression` is no CEL expression: mismatched input 'the end'
      lab.yaml:6:3: field `expression` is missing in `readiness[1]`
      lab.yaml:6:3: field `kind` is missing in `readiness[1]`
      lab.yaml:6:4: unknown field `expresion` in `readiness[1]`; did you mean `expression`?
      lab.yaml:7:16: `grace.image`: YAML reads 90 as the number 90; put it in quotes: "90"
    "#);
}

#[test]
fn sections_without_a_value() {
    assert_snapshot!(body("mesh:\naddons:\nfeatures: {parallel: 0, tags: }\n"), @"
    4 problems in the lab file
      lab.yaml:4:5: `mesh` has no value; give it a mapping, or remove it
      lab.yaml:5:7: `addons` has no value; give it a list, or remove it
      lab.yaml:6:22: `features.parallel` is 0; it must be 1 to 64
      lab.yaml:6:29: `features.tags` has no value; give it text, or remove it
    ");
}

#[test]
fn applications_that_contradict() {
    assert_snapshot!(body(
        "applications:\n- {name: a, namespace: ns, injection: manual, objects: [../manifests/demo]}\n"
    ), @"lab.yaml:5:39: `a` is to be injected, but the lab has no mesh; add `mesh`, or take `injection: none`");
    assert_snapshot!(body(
        "mesh: {version: '1.31'}\napplications:\n\
         - {name: a, namespace: ns, injection: manual, objects: [../manifests/demo]}\n\
         - {name: b, namespace: ns, objects: [../manifests/demo]}\n"
    ), @"lab.yaml:7:3: `a` and `b` share the namespace `ns`, but only one is injected automatically; give one of them a namespace of its own");
}

#[test]
fn configuration_of_the_provider_that_contradicts() {
    assert_snapshot!(body(
        "cluster:\n  nodes: {workers: 1}\n  config:\n    kind: Cluster\n    name: other\n    nodes: [{role: control-plane}]\n"
    ), @r#"
    2 problems in the lab file
      lab.yaml:8:11: `cluster.config.name` can't be "other"; `name` says that
      lab.yaml:9:12: `cluster.nodes` and `cluster.config.nodes` both say which nodes there are; keep one of them
    "#);
}

#[test]
fn a_file_that_is_not_there() {
    assert_snapshot!(load(Utf8Path::new("/no/such/lab.yaml")).expect_err("it is not there"), @"/no/such/lab.yaml: no such file; name the lab file with -f FILE");
    assert_snapshot!(load(Utf8Path::new("/")).expect_err("it is a folder"), @"/: it is a folder; name the lab file with -f FILE");
}

#[test]
fn the_quick_start_is_a_lab() {
    let file = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/quickstart.yaml");
    let lab = load(&file).expect("it has no problem");
    assert_eq!(lab.name, "quickstart");
}

#[test]
fn alternates_are_references_and_stand_once() {
    assert_snapshot!(body(
        "images:\n  alternates:\n    nginx: [mirror.example/nginx]\n    docker.io/library/nginx:latest: []\n    A: [a b]\n"
    ), @"
    3 problems in the lab file
      lab.yaml:7:5: `docker.io/library/nginx:latest` stands twice in `images.alternates`; the first is in line 6
      lab.yaml:8:5: `A` is not an image reference: a repository is written in lower case; an image is written `[registry/]repository[:tag][@sha256:…]`
      lab.yaml:8:9: `a b` is not an image reference: each part of a repository is lower-case letters and digits, separated by `.`, `_`, `__` or dashes; an image is written `[registry/]repository[:tag][@sha256:…]`
    ");
    let text = format!("{HEAD}images: {{alternates: {{nginx: [mirror.example/nginx:1]}}}}\n");
    let lab = parse(&text, Utf8Path::new("lab.yaml"), Utf8Path::new("/lab.yaml")).expect("it is a lab");
    let all: Vec<_> = lab.images.alternates.iter().map(|(image, places)| format!("{image} {}", places[0])).collect();
    assert_eq!(all, ["docker.io/library/nginx:latest mirror.example/nginx:1"]);
}

#[test]
fn programs_of_scenarios_are_pinned() {
    let (_dir, root) = project();
    let load = |programs: &str| {
        let text = format!("{HEAD}features:\n  programs:\n{programs}");
        parse(&text, Utf8Path::new("lab.yaml"), &root.join("scenarios/lab.yaml"))
    };
    let lab = load(
        "    k: {path: ../bin/kubectl, version: v1.34, versionArguments: [version, --client]}\n    jq: {version: jq-1}\n",
    );
    let programs = lab.expect("it is a lab").features.programs;
    assert_eq!(programs["k"].path, root.join("bin/kubectl"));
    assert_eq!(programs["k"].version_arguments, ["version", "--client"]);
    assert_eq!(
        (programs["jq"].path.as_str(), programs["jq"].version_arguments.as_slice()),
        ("jq", ["--version".to_owned()].as_slice())
    );
    let problems = load("    jq: {path: jq, verson: jq-1}\n").expect_err("it has no version").to_string();
    assert!(
        problems.contains("unknown field `verson` in `features.programs.jq`; did you mean `version`?"),
        "{problems}"
    );
    assert!(problems.contains("field `version` is missing in `features.programs.jq`"), "{problems}");
}
