//! A registry that wants a login, with credentials as `docker login` leaves them.

use istiolab::error::Kind;
use istiolab::images::copy::Target;
use istiolab::images::layout::Layout;
use istiolab::images::registry::{About, Access, Client};
use reqwest::Method;
use serde_json::json;

use crate::copy::{anew, copy, wanted};
use crate::fixture::{Registry, folder, image, layer, needed, program};

/// `user` with the password `s3cret`.
pub(crate) const LOGINS: &str = "user:$2b$04$TMvsqrEZ/IHmtsVL4P3L..Ptqkmzgg6LcM0.LeWV83tPtToXIabr.\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_shown_where_it_is_asked_for() {
    let found = program("ISTIOLAB_TEST_REGISTRY", &["registry", "docker-registry"]);
    let Some(program) = needed("login", found) else { return };
    let registry = Registry::start_with(&program, Some(LOGINS)).await;
    let (_dir, dir) = folder();
    let store = Layout::open(dir.join("store")).expect("a store");
    let (digest, _) = image(&store, &json!({}), &[&layer("data", 0o644, b"content")]);
    let images = [wanted(&store, "x.test/a:1", digest)];

    let nobody = Target::Registry(anew(&registry.client));
    let failure = copy(store.clone(), nobody, &images).await.expect_err("nobody is let in");
    assert!(failure.to_string().contains("401 Unauthorized"), "{failure}");
    assert!(failure.hints.iter().any(|hint| hint.contains("docker login")), "{failure}");

    let host = registry.client.base().port().map(|port| format!("127.0.0.1:{port}")).expect("a port");
    let run = async |auth: &str| {
        let config = dir.join("config.json");
        // base64 of `user:…`.
        fs_err::write(&config, json!({"auths": {&host: {"auth": auth}}}).to_string()).expect("writable");
        let access = Access { docker_config: Some(config), ..Access::default() };
        let client = Client::of_host(&host, &access).expect("an address");
        copy(store.clone(), Target::Registry(client.clone()), &images).await.map(|_| client.traffic())
    };
    let failure = run("dXNlcjp3cm9uZw==").await.expect_err("the wrong password");
    assert_eq!(failure.kind, Kind::Unavailable);
    assert!(!failure.to_string().contains("dXNlcjp3cm9uZw"), "{failure}");
    let traffic = run("dXNlcjpzM2NyZXQ=").await.expect("the right one");
    assert_eq!(traffic.count(&Method::HEAD, About::Manifest), 2, "it is asked for once");
    assert_eq!(traffic.requests, 1 + (1 + 2 * 2 + 1));
}
