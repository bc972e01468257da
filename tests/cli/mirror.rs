//! `images mirror`, `plan` and `pull` where there is nothing to reach.

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn images(sandbox: &Sandbox, args: &[&str]) -> String {
    sandbox.run(&[&["images"], args].concat())
}

#[test]
fn without_a_lock_there_is_nothing_to_copy() {
    assert_snapshot!(images(&Sandbox::new(), &["mirror", "--to", "localhost:9", "--lock", "images.lock"]), @"
    exit: 65
    --- stderr
    error: there is no lock images.lock
    hint: Run `istiolab images lock`.
    ");
}

#[test]
fn an_image_that_is_not_resolved_is_named() {
    let sandbox = Sandbox::new();
    let lock = "apiVersion: istiolab.dev/v1alpha1\nkind: ImageLock\nimages:\n  \"docker.io/library/nginx:1\": {}\n";
    sandbox.write("images.lock", lock);
    assert_snapshot!(images(&sandbox, &["plan", "--lock", "images.lock"]), @"
    exit: 65
    --- stderr
    error: docker.io/library/nginx:1 is not resolved in the lock
    hint: Run `istiolab images lock`, which resolves it.
    ");
}

#[test]
fn an_empty_layout_has_no_image() {
    let sandbox = Sandbox::new();
    sandbox.write("layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    assert_snapshot!(images(&sandbox, &["plan", &format!("nginx@{DIGEST}"), "--from", "layout"]), @"
    exit: 65
    --- stderr
    error: the image store at layout has no docker.io/library/nginx@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    hint: See that the name is right, and that the image was built (`istiolab images list`) or is where it is looked for.
    ");
}

#[test]
fn a_prefix_is_part_of_a_repository() {
    assert_snapshot!(images(&Sandbox::new(), &["mirror", "nginx", "--to", "a.example/No"]), @"
    exit: 64
    --- stderr
    error: `a.example/No` is not the address of a registry
    hint: Write it as registry.example.com/team/lab.
    ");
}

#[test]
fn a_registry_that_is_down_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let shown = images(&sandbox, &["mirror", &format!("nginx@{DIGEST}"), "--from", "layout", "--to", "127.0.0.1:9"]);
    assert!(shown.starts_with("exit: 69\n"), "{shown}");
    assert!(shown.contains("✗ copying 1 image to the registry at http://127.0.0.1:9: "), "{shown}");
    assert!(
        shown.contains("error: the registry at http://127.0.0.1:9/ does not answer (HEAD /v2/docker.io/"),
        "{shown}"
    );
}
