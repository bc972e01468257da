//! The vocabulary's page, and the lint of features.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use crate::sandbox::Sandbox;

#[test]
fn the_published_page_is_the_programs() {
    let output = Sandbox::new().command(&["steps", "--as", "markdown"]).output().expect("istiolab can be started");
    let file = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scenarios/steps.md");
    let published = fs_err::read_to_string(&file).unwrap_or_default();
    let printed = String::from_utf8(output.stdout).expect("it is text");
    assert!(published == printed, "{file} is stale: cargo run -- steps --as markdown > docs/scenarios/steps.md");
}

#[test]
fn steps_are_found_by_words() {
    insta::assert_snapshot!(Sandbox::new().run(&["steps", "--search", "GRAFANA healthy"]), @r"
    exit: 0
    --- stdout
    Grafana
      Grafana is healthy
          Grafana answers and its database works.
    ");
    insta::assert_snapshot!(Sandbox::new().run(&["steps", "--search", "submarine"]), @r"
    exit: 64
    --- stderr
    error: no step has the words `submarine`
    hint: `istiolab steps` shows them all.
    ");
}

/// What the lint of each of our labs prints, as JSON.
fn linted() -> Vec<(Utf8PathBuf, serde_json::Value)> {
    let labs = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let labs = labs.read_dir_utf8().expect("the folder can be read").flatten().map(|entry| entry.path().to_owned());
    let lint = |lab: Utf8PathBuf| {
        let arguments = ["lint", "-o", "json", "-f", lab.as_str()];
        let output = Sandbox::new().command(&arguments).output().expect("istiolab can be started");
        assert!(output.status.success(), "{lab}: {}", String::from_utf8_lossy(&output.stderr));
        (lab, serde_json::from_slice(&output.stdout).expect("it is JSON"))
    };
    // A lock may stand beside them.
    labs.filter(|path| path.extension() == Some("yaml")).map(lint).collect()
}

#[test]
fn our_own_features_have_no_fault() {
    assert!(linted().len() >= 3, "labs are missing");
}

#[test]
fn a_feature_of_ours_uses_every_step() {
    let unused = |linted: &serde_json::Value| -> BTreeSet<String> {
        serde_json::from_value(linted["unused"].clone()).expect("a list of patterns")
    };
    let all = linted().into_iter().map(|(_, linted)| unused(&linted));
    let nowhere = all.reduce(|one, other| one.intersection(&other).cloned().collect()).expect("there are labs");
    assert!(nowhere.is_empty(), "no scenario of any lab uses: {nowhere:#?}");
}

#[test]
fn every_feature_file_belongs_to_a_lab() {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
    let labs = root.join("scenarios").read_dir_utf8().expect("the folder can be read").flatten();
    let named: Vec<String> = labs.map(|lab| fs_err::read_to_string(lab.path()).expect("it can be read")).collect();
    let mut folders = vec![root.join("features")];
    while let Some(folder) = folders.pop() {
        let relative = folder.strip_prefix(root).expect("it is below");
        let line = format!("- ../{relative}");
        let has = named.iter().any(|lab| lab.lines().any(|text| text.trim() == line));
        assert!(has, "no lab in scenarios/ names the folder {relative} under features.paths");
        let entries = folder.read_dir_utf8().expect("the folder can be read").flatten();
        folders.extend(entries.map(|entry| entry.path().to_owned()).filter(|path| path.is_dir()));
    }
}

#[test]
fn faults_are_told_with_file_and_line() {
    let sandbox = Sandbox::new();
    let lab =
        "apiVersion: istiolab.dev/v1alpha1\nkind: Lab\nname: l\nfeatures:\n  paths: [a.feature]\n  knownTags: [fast]\n";
    sandbox.write("lab.yaml", lab);
    let feature =
        "@fsat\nFeature: F\n  Scenario: s\n    Then the query 'up{' gives a value\n    Then the moon is full\n";
    sandbox.write("a.feature", feature);
    insta::assert_snapshot!(sandbox.run(&["lint", "-f", "lab.yaml"]), @r"
    exit: 65
    --- stdout
    1 files, 1 scenarios, 2 steps
    --- stderr
    error: a.feature:2: `@fsat` is not known; did you mean `fast`?; known tags stand in the lab's features.knownTags
    a.feature:4: `up{` is not PromQL: unexpected end of input inside braces
    a.feature:5: `the moon is full`: there is no step that reads so; the nearest is: the injection is undone
    hint: `istiolab steps --search WORD` shows the steps that there are.
    ");
}

#[test]
fn the_graph_of_a_lab_that_is_not_up_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("lab.yaml", "apiVersion: istiolab.dev/v1alpha1\nkind: Lab\nname: l\n");
    insta::assert_snapshot!(sandbox.run(&["graph", "-f", "lab.yaml"]), @r"
    exit: 69
    --- stderr
    error: the lab `l` is not up
    hint: Run `istiolab up` first, or name another Prometheus with --prometheus URL.
    ");
    insta::assert_snapshot!(sandbox.run(&["graph", "-f", "lab.yaml", "--prometheus", "nowhere"]), @r"
    exit: 64
    --- stderr
    error: `nowhere` is not an address: relative URL without a base
    ");
}
