//! Completion scripts.

use crate::sandbox::Sandbox;

#[test]
fn every_shell_gets_a_script_that_knows_the_verbs() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = sandbox.command(&["completion", shell]).output().expect("istiolab can be started");
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).expect("it is text");
        assert!(script.contains("istiolab") && script.contains("status") && script.contains("schema"), "{shell}");
    }
}

#[test]
fn an_unknown_shell_is_refused_with_those_that_are_known() {
    let text = Sandbox::new().run(&["completion", "tcsh"]);
    assert!(text.starts_with("exit: 64\n") && text.contains("[possible values: bash"), "{text}");
}
