//! The self-test, as far as it needs no lab.

use crate::sandbox::Sandbox;

const LAB: &str = "apiVersion: istiolab.dev/v1alpha1\nkind: Lab\nname: l\n";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("lab.yaml", LAB);
    sandbox
}

#[test]
fn nothing_is_broken_without_the_users_word() {
    insta::assert_snapshot!(sandbox().run(&["selftest", "mutate", "-f", "lab.yaml", "--only", "webhook"]), @r"
    exit: 64
    --- stderr
    error: the lab `l` would be broken on purpose, which needs your word
    hint: Add --yes to agree; --list shows what would be broken.
    ");
}

#[test]
fn a_lab_that_is_not_up_is_refused() {
    insta::assert_snapshot!(sandbox().run(&["selftest", "mutate", "-f", "lab.yaml", "--yes"]), @r"
    exit: 69
    --- stderr
    error: the lab `l` is not up
    hint: Run `istiolab up` first.
    ");
}

#[test]
fn a_mutation_that_nobody_knows() {
    insta::assert_snapshot!(sandbox().run(&["selftest", "mutate", "-f", "lab.yaml", "--yes", "--only", "webhok"]), @r"
    exit: 64
    --- stderr
    error: there is no mutation `webhok`
    hint: `istiolab selftest mutate --list` shows them.
    ");
}

#[test]
fn mutations_are_listed_with_what_came_of_them() {
    let shown = sandbox().run(&["selftest", "mutate", "-f", "lab.yaml", "--list"]);
    assert!(shown.starts_with("exit: 0\n--- stdout\n* webhook "), "{shown}");
    assert!(shown.contains("is to fail: @webhook; not made yet"), "{shown}");
    assert!(shown.contains("\n0 of "), "{shown}");
    let page = sandbox().run(&["selftest", "mutate", "-f", "lab.yaml", "--list", "--as", "markdown"]);
    assert!(page.contains("| **webhook** | "), "{page}");
    let json = sandbox().run(&["selftest", "mutate", "-f", "lab.yaml", "--list", "-o", "json"]);
    assert!(json.contains(r#""noticedBy": "@webhook""#) && json.contains(r#""uncovered": ["#), "{json}");
}
