//! Registries with an authority of their own, with logins that helpers know.

use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;
use istiolab::images::layout::{Descriptor, Layout, MANIFEST};
use istiolab::images::registry::Access;
use istiolab::process::Command;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Registry, folder, image, images, layer, needed, program};
use crate::login::LOGINS;

/// An authority, `ca.pem`, and a key with a certificate of it for loopback, `key.pem` and `cert.pem`.
pub(crate) async fn certificate(dir: &Utf8Path) {
    let openssl = async |name: &str, key: &str, cert: &str, more: &[&str]| {
        let openssl = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", name])
            .args(["-keyout", key, "-out", cert])
            .args(more)
            .dir(dir);
        openssl.run(&CancellationToken::new()).await.expect("openssl makes one");
    };
    openssl("/CN=an authority of a test", "ca-key.pem", "ca.pem", &[]).await;
    let leaf = ["basicConstraints=critical,CA:FALSE", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    let leaf = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-addext", leaf[0], "-addext", leaf[1]];
    openssl("/CN=localhost", "key.pem", "cert.pem", &leaf).await;
}

/// A credential helper `docker-credential-NAME` in `dir/bin` that knows `host`; returns a `PATH` with it.
pub(crate) fn helper(dir: &Utf8Path, name: &str, host: &str, user: &str, secret: &str) -> String {
    let bin = dir.join("bin");
    fs_err::create_dir_all(&bin).expect("writable");
    let path = bin.join(format!("docker-credential-{name}"));
    let answer = json!({"ServerURL": host, "Username": user, "Secret": secret});
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = get ] || exit 2\nread -r asked\n[ \"$asked\" = '{host}' ] || \
         {{ echo 'credentials not found in native keychain'; exit 1; }}\ncat <<'END'\n{answer}\nEND\n"
    );
    fs_err::write(&path, script).expect("writable");
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("ours");
    format!("{bin}:{}", std::env::var("PATH").unwrap_or_default())
}

/// A layout in `dir/layout` with an image that has a name; returns the name.
pub(crate) fn named(dir: &Utf8Path) -> String {
    let layout = Layout::open(dir.join("layout")).expect("a layout");
    let (digest, _) = image(&layout, &json!({}), &[&layer("data", 0o644, b"content")]);
    let size = fs_err::metadata(layout.path(&digest)).expect("it is there").len();
    let name = "x.test/a:1".to_owned();
    layout.name(&[(name.clone(), Descriptor::new(MANIFEST, digest, size))]).expect("named");
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_and_a_helper_with_a_password_are_used() {
    let found = program("ISTIOLAB_TEST_REGISTRY", &["registry", "docker-registry"]);
    let Some(program) = needed("TLS", found) else { return };
    let (_dir, dir) = folder();
    certificate(&dir).await;
    fs_err::write(dir.join("logins"), LOGINS).expect("writable");
    let settings = json!({
        "http": {"tls": {"certificate": dir.join("cert.pem"), "key": dir.join("key.pem")}},
        "auth": {"htpasswd": {"realm": "test", "path": dir.join("logins")}},
    });
    let access = Access { authorities: Some(dir.join("ca.pem")), ..Access::default() };
    let registry = Registry::start_as(&program, settings, &access).await;
    let (name, layout, host) = (named(&dir), dir.join("layout"), registry.host());
    let to = format!("https://{host}");
    let path = helper(&dir, "test", &host, "user", "s3cret");
    fs_err::create_dir_all(dir.join(".docker")).expect("writable");
    let run = async |config: serde_json::Value, authorities: bool| {
        fs_err::write(dir.join(".docker/config.json"), config.to_string()).expect("writable");
        let mut words = vec!["mirror", &name, "--from", layout.as_str(), "--to", &to];
        let cert = dir.join("ca.pem");
        if authorities {
            words.extend(["--authorities", cert.as_str()]);
        }
        let command = images(&dir, &words).env("PATH", &path).env_remove("DOCKER_CONFIG");
        command.run(&CancellationToken::new()).await.map(|output| output.stdout).map_err(|error| error.to_string())
    };
    let helped = json!({"credHelpers": {&host: "test"}});
    let error = run(helped.clone(), false).await.expect_err("nobody vouches for it");
    assert!(error.contains("does not answer") && error.to_lowercase().contains("certificate"), "{error}");
    let error = run(json!({}), true).await.expect_err("nobody is let in");
    assert!(error.contains("401 Unauthorized") && error.contains("docker login"), "{error}");
    let error = run(json!({"credHelpers": {&host: "no-such"}}), true).await.expect_err("there is no such helper");
    assert!(error.contains("docker-credential-no-such"), "{error}");
    let told = run(helped, true).await.expect("the helper knows");
    assert!(told.contains("moved: 2 blobs"), "{told}");
    // A store for all hosts, and one that has nothing for this host, after which the file itself counts.
    let told = run(json!({"credsStore": "test"}), true).await.expect("the store knows");
    assert!(told.contains("there already: 1"), "{told}");
    helper(&dir, "other", "elsewhere.test", "user", "wrong");
    let both = json!({"credsStore": "other", "auths": {&host: {"auth": "dXNlcjpzM2NyZXQ="}}});
    run(both, true).await.expect("the file knows");
    let error = run(json!({"auths": {&host: {"auth": "dXNlcjp3cm9uZw=="}}}), true).await.expect_err("wrong");
    assert!(error.contains("401") && !error.contains("dXNlcjp3cm9uZw"), "{error}");
}
