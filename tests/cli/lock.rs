//! `images lock` without a registry that answers.

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const LOCK: &str = "apiVersion: istiolab.dev/v1alpha1\nkind: ImageLock\n";

/// A project whose recipes make no images, and a lab in it with one pod.
fn sandbox(image: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "parts/base/part.yaml",
        "apiVersion: istiolab.dev/v1alpha1\nkind: Part\nname: base\nversion: '12'\ntitle: Nothing\n",
    );
    sandbox.write(
        "web.yaml",
        &format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec: {{containers: [{{name: app, image: '{image}'}}]}}\n"),
    );
    sandbox.write(
        "lab.yaml",
        "apiVersion: istiolab.dev/v1alpha1\nkind: Lab\nname: test\napplications: [{name: web, objects: [web.yaml]}]\n",
    );
    sandbox
}

fn lock(sandbox: &Sandbox, args: &[&str]) -> String {
    sandbox.run(&[&["images", "lock", "-f", "lab.yaml", "--recipes", "parts"], args].concat())
}

/// The lock's file after a run.
fn written(sandbox: &Sandbox) -> String {
    fs_err::read_to_string(sandbox.work().join("images.lock")).unwrap_or_else(|_| "there is none".to_owned())
}

#[test]
fn a_lab_without_a_lock_is_told_what_it_lacks() {
    let sandbox = sandbox("nginx");
    assert_snapshot!(lock(&sandbox, &["--check", "--offline"]), @"
    exit: 65
    --- stdout
    referenced but unlocked: docker.io/library/nginx:latest
        web.yaml:1 (Pod web, container `app`)
    moving tag: docker.io/library/nginx:latest
        web.yaml:1 (Pod web, container `app`)
    --- stderr
    error: the lock and the lab do not agree in 2 points
    hint: `istiolab images lock` writes what is missing, with `--update` also what moved.
    hint: An image whose tag is made to move needs a version or a digest in the object that names it.
    ");
    assert_snapshot!(lock(&sandbox, &["--frozen"]), @"
    exit: 77
    --- stderr
    error: the lock does not say what 1 image of the lab is
      docker.io/library/nginx:latest is not in the lock; named in web.yaml:1 (Pod web, container `app`)
    hint: Run `istiolab images lock`, look at what it changed, and keep the lock.
    ");
    assert_eq!(written(&sandbox), "there is none");
}

#[test]
fn what_nobody_has_stays_absent() {
    let sandbox = sandbox("127.0.0.1:9/app:1");
    let told = lock(&sandbox, &[]);
    assert!(told.starts_with("exit: 69\n"), "{told}");
    assert!(told.contains("error: 127.0.0.1:9/app:1 can't be resolved\n"), "{told}");
    assert_snapshot!(written(&sandbox), @r#"
    # Which bytes every image is. Written by `istiolab images lock`; changes by hand get lost.
    apiVersion: istiolab.dev/v1alpha1
    kind: ImageLock
    images:
      "127.0.0.1:9/app:1":
        labs:
        - test
    "#);
}

#[test]
fn what_was_found_out_in_time_is_kept() {
    // Connections are taken, and nothing is ever said.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let image = format!("127.0.0.1:{}/app:1", silent.local_addr().expect("an address").port());
    let sandbox = sandbox(&image);
    let told = lock(&sandbox, &["--timeout", "1s"]);
    assert!(told.starts_with("exit: 75\n"), "{told}");
    assert!(written(&sandbox).contains(&format!("\"{image}\":\n    labs:\n    - test\n")), "{}", written(&sandbox));
}

#[test]
fn a_bad_lock_stays_as_it_is() {
    let sandbox = sandbox("nginx");
    sandbox.write("images.lock", &format!("{LOCK}images:\n  docker.io/library/nginx:latest:\n    digets: {DIGEST}\n"));
    let before = written(&sandbox);
    assert_snapshot!(lock(&sandbox, &[]), @"
    exit: 65
    --- stderr
    error: [ROOT]/work/images.lock:5:5: unknown field `digets`, expected one of digest, mediaType, size, trustedOnFirstUse, from, labs, part, platforms
    hint: Nothing was changed. Put [ROOT]/work/images.lock right, or move it away and run `istiolab images lock`.
    ");
    assert_eq!(written(&sandbox), before);
}

#[test]
fn what_is_no_reference_is_told_with_its_place() {
    assert_snapshot!(lock(&sandbox("a b"), &[]), @"
    exit: 65
    --- stderr
    error: web.yaml:1 (Pod web, container `app`): `a b` is not an image reference: each part of a repository is lower-case letters and digits, separated by `.`, `_`, `__` or dashes
    hint: An image is written `[registry/]repository[:tag][@sha256:…]`.
    ");
}

#[test]
fn an_image_that_no_recipe_makes_is_not_asked_for() {
    assert_snapshot!(lock(&sandbox("istiolab.local/nothing:1"), &[]), @"
    exit: 65
    --- stdout
    IMAGE                     DIGEST                    SIZE  FROM                    STATE
    istiolab.local/nothing:1  -                            -  no recipe               unresolved
    images.lock: written
    --- stderr
    error: no recipe makes istiolab.local/nothing:1
    hint: `istiolab images list` shows the names and versions that are made.
    ");
}

#[test]
fn a_lock_of_imgpkg_comes_and_goes() {
    let sandbox = sandbox("127.0.0.1:9/app:1");
    let foreign = format!(
        "---\napiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n\
         - image: 127.0.0.1:9/app@{DIGEST}\n  annotations: {{kbld.carvel.dev/id: '127.0.0.1:9/app:1'}}\n\
         - image: example.com/other@{DIGEST}\n"
    );
    sandbox.write("images.yml", &foreign);
    let told = lock(&sandbox, &["--import", "images.yml"]);
    assert!(told.contains(&format!("warning: example.com/other@{DIGEST} is left out")), "{told}");
    // The digest is known, the content is not: nobody answered.
    assert_snapshot!(written(&sandbox), @r#"
    # Which bytes every image is. Written by `istiolab images lock`; changes by hand get lost.
    apiVersion: istiolab.dev/v1alpha1
    kind: ImageLock
    images:
      "127.0.0.1:9/app:1":
        digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        labs:
        - test
    "#);
    assert_snapshot!(lock(&sandbox, &["--export", "imgpkg"]), @"
    exit: 0
    --- stdout
    ---
    apiVersion: imgpkg.carvel.dev/v1alpha1
    kind: ImagesLock
    images:
    - image: 127.0.0.1:9/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
      annotations:
        kbld.carvel.dev/id: 127.0.0.1:9/app:1
    ");
    sandbox.write("images.yml", &foreign.replace(&format!("@{DIGEST}"), ":1"));
    assert_snapshot!(lock(&sandbox, &["--import", "images.yml"]), @"
    exit: 65
    --- stderr
    error: images.yml: `127.0.0.1:9/app:1` has no digest
    hint: Only files of `kind: ImagesLock` whose images all have digests can be imported.
    ");
}

#[test]
fn flags_that_contradict() {
    let sandbox = sandbox("nginx");
    for args in
        [["--check", "--frozen"], ["--check", "--update"], ["--frozen", "--import=x"], ["--offline", "--update"]]
    {
        assert!(lock(&sandbox, &args).starts_with("exit: 64\n"), "{args:?}");
    }
    assert_snapshot!(lock(&sandbox, &["--trust-first-use", "busybox"]), @"
    exit: 64
    --- stderr
    error: the lab does not refer to docker.io/library/busybox:latest
    hint: `--trust-first-use` names an image as the lab's objects do.
    ");
}
