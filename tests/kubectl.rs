//! YAML against the real kubectl: what it reads we read alike, and what we write it reads unchanged.
//! Works without a cluster: `kubectl patch --local` prints what it has read as JSON.

mod skipped;

use assert_cmd::Command;
use camino::Utf8PathBuf;
use istiolab::yaml;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// The folder with `kube`, which is kubectl when it is called so.
const BINARIES: &str = "ISTIOLAB_TEST_BINARIES";

/// kubectl, in a folder that must be kept, or `None` where it is not there: said, and an error in CI.
fn kubectl(test: &str) -> Option<(tempfile::TempDir, Utf8PathBuf)> {
    let kube =
        std::env::var(BINARIES).ok().map(|dir| Utf8PathBuf::from(dir).join("kube")).filter(|kube| kube.is_file());
    let Some(kube) = kube else {
        skipped::skipped(test, &format!("{BINARIES} does not name a folder with kube"));
        return None;
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let link = Utf8PathBuf::from_path_buf(dir.path().join("kubectl")).expect("its path is UTF-8");
    std::os::unix::fs::symlink(kube, &link).expect("a link");
    Some((dir, link))
}

/// What kubectl reads from `text`, an object with a `spec`.
fn read_by(kubectl: &Utf8PathBuf, text: &str) -> Result<Value, String> {
    let output = Command::new(kubectl.as_std_path())
        .args(["patch", "--local", "--type", "merge", "-p", "{}", "-o", "json", "-f", "-", "--kubeconfig", "/dev/null"])
        .write_stdin(text)
        .output()
        .expect("kubectl can be started");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let object: Value = serde_json::from_slice(&output.stdout).expect("kubectl prints JSON");
    Ok(object["spec"].clone())
}

const HEAD: &str = "apiVersion: test.istiolab.dev/v1\nkind: Thing\nmetadata: {name: a}\n";

#[test]
#[expect(clippy::too_many_lines, reason = "a list of words")]
fn scalars_are_read_alike() {
    let Some((_dir, kubectl)) = kubectl("scalars_are_read_alike") else { return };
    let words = [
        "yes",
        "Yes",
        "YES",
        "no",
        "on",
        "Off",
        "y",
        "N",
        "true",
        "False",
        "null",
        "Null",
        "~",
        "''",
        "' '",
        "0",
        "-0",
        "00",
        "0644",
        "0o644",
        "089",
        "0x1F",
        "0b101",
        "-0x1f",
        "1_000",
        "_1",
        "+5",
        "-5",
        "1e3",
        "1E3",
        "1e+3",
        "1.5e-3",
        ".5",
        "5.",
        "-.5",
        "1.2.3",
        "1.30",
        "1:30",
        "190:20:30",
        "2024-01-02",
        "2024-01-02T03:04:05Z",
        "inf",
        "nan",
        "100m",
        "1Gi",
        "!!str 5",
        "!!str yes",
        "\"a\\tb\\u00e9\"",
        "'it''s'",
        "a#b",
        "a #b",
        "a:b",
        "http://x:80/y",
        "-",
        "- a",
        "=",
        "-9223372036854775808",
        "0.1",
        "1e-7",
        "|\n    a\n     b\n",
        ">\n    a\n    b\n",
        "|-\n    a\n",
        "[a, yes, 0644]",
        "{a: b, 1: c, yes: d}",
        "&x 5",
        "0_7",
        "0x",
        "-.5e3",
        "1e",
        "0.",
        "00.5",
        "-089",
        "0o8",
        "0b2",
        "0x_1",
        ".inf",
        ".nan",
        "+.5",
        "-0644",
        "-0o7",
        "+0x1",
        "-0b1",
        "0O7",
        "0B1",
        "0X1f",
        "@a",
        "`a",
        "%a",
        "a: b",
        "!custom x",
        "!!int \"5\"",
        "!!float 5",
        "!!bool yes",
        "!!binary aGk=",
        "*none",
        "2024-1-2",
        "!!str",
        "!!str null",
        "\"\"",
        "+",
        "+-5",
        "0-",
        "1,000",
        "1 000",
        "$x",
        "!!int 0x10",
    ];
    for word in words {
        let text = format!("{HEAD}spec:\n  v: {word}\n");
        let theirs = read_by(&kubectl, &text);
        let ours = yaml::documents(&text, "x").map(|documents| documents[0].value["spec"].clone());
        match (theirs, ours) {
            // Written as JSON, 1e-7 is one number in many forms.
            (Ok(theirs), Ok(ours)) => assert_eq!(ours, theirs, "{word}"),
            (Err(_), Err(_)) => {}
            (theirs, ours) => panic!("{word}: kubectl reads {theirs:?}, we read {ours:?}"),
        }
    }
}

/// Where the two differ, and why that is left so: nobody writes these, and the first is told as an error.
#[test]
fn differences_are_the_known_ones() {
    let Some((_dir, kubectl)) = kubectl("differences_are_the_known_ones") else { return };
    // Text to kubectl, an error with a hint to us: too large for a number.
    // Words in odd capitals are words to kubectl; underscores in odd places are left out by it.
    for word in ["1e400", "tRUE", "yEs", "nULL", "1_", "1__0", "1_000.5", "1.5_0"] {
        let text = format!("{HEAD}spec:\n  v: {word}\n");
        let theirs = read_by(&kubectl, &text).expect("kubectl reads it");
        let ours = yaml::documents(&text, "x").map(|documents| documents[0].value["spec"].clone());
        assert!(ours.ok() != Some(theirs), "{word} is read alike now: move it up");
    }
}

#[test]
fn merges_and_documents_are_read_alike() {
    let Some((_dir, kubectl)) = kubectl("merges_and_documents_are_read_alike") else { return };
    for spec in [
        "  base: &base {a: 1, b: 2}\n  new: {<<: *base, b: 3}\n",
        "  a: &a {x: 1}\n  b: &b {y: 2}\n  c:\n    <<: [*a, *b]\n    z: 3\n",
        "  list: &l [1, 2]\n  again: *l\n",
        "  text: \"a\\\n    b\"\n  folded: >+\n    a\n\n    b\n\n  end: true\n",
    ] {
        let text = format!("{HEAD}spec:\n{spec}");
        let theirs = read_by(&kubectl, &text).expect("kubectl reads it");
        let ours = &yaml::documents(&text, "x").expect("it is YAML")[0].value["spec"];
        assert_eq!(ours, &theirs, "{spec}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~\n\t\u{e9}]{0,24}".prop_map(Value::from),
        "(yes|no|on|y|N|0[0-9]{1,3}|[0-9]e[0-9]|[-+.0-9_:x]{1,6}|~|null|- a|a: b|#|\\|)".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::hash_map("[ -~]{1,12}|yes|on|0644|~", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn what_we_write_kubectl_reads_unchanged() {
    let Some((_dir, kubectl)) = kubectl("what_we_write_kubectl_reads_unchanged") else { return };
    // Many values in each object, as a process for each would take long.
    let values = proptest::collection::vec(any_value(), 60);
    let mut runner = TestRunner::deterministic();
    for _ in 0..25 {
        let spec: serde_json::Map<String, Value> = values
            .new_tree(&mut runner)
            .expect("values can be made")
            .current()
            .into_iter()
            .enumerate()
            .map(|(index, value)| (format!("v{index}"), value))
            .collect();
        let object = json!({
            "apiVersion": "test.istiolab.dev/v1",
            "kind": "Thing",
            "metadata": {"name": "a"},
            "spec": spec,
        });
        let text = yaml::to_string(&object).expect("JSON has a YAML form");
        let theirs = read_by(&kubectl, &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        for (name, value) in &spec {
            assert_eq!(&theirs[name], value, "{name} in\n{text}");
        }
    }
}
