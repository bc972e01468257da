//! The vocabulary's page, and the lint of features.

use camino::Utf8Path;

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

#[test]
fn our_own_features_have_no_fault() {
    let lab = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/quickstart.yaml");
    let output = Sandbox::new().command(&["lint", "-f", lab.as_str()]).output().expect("istiolab can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
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
