//! A registry that wants tokens of an authority, which is ours: by password, and by identity token.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{RawForm, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use camino::{Utf8Path, Utf8PathBuf};
use istiolab::images::copy::Target;
use istiolab::images::layout::Layout;
use istiolab::images::registry::{Access, Client, Mirror};
use istiolab::process::Command;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::copy::{copy, wanted};
use crate::fixture::{Registry, folder, image, images, layer, needed, program};
use crate::tls::{certificate, helper, named};

/// What the authority knows and keeps.
#[derive(Clone)]
struct Authority {
    dir: Utf8PathBuf,
    /// How it was asked, with the scopes.
    asked: Arc<Mutex<Vec<String>>>,
}

async fn grant(
    State(authority): State<Authority>,
    headers: HeaderMap,
    RawForm(form): RawForm,
) -> Result<String, StatusCode> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(&form).into_owned().collect();
    let first = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let scopes: Vec<&str> = pairs.iter().filter(|(key, _)| key == "scope").map(|(_, value)| value.as_str()).collect();
    let login = headers.get("authorization").and_then(|value| value.to_str().ok());
    let by = match (first("grant_type"), first("refresh_token"), login) {
        // An identity token is asked with one scope that has all in it.
        (Some("refresh_token"), Some("the-identity"), None) if scopes.len() == 1 => "identity",
        (None, None, Some(basic)) if basic == format!("Basic {}", STANDARD.encode("user:s3cret")) => "password",
        _ => return Err(StatusCode::UNAUTHORIZED),
    };
    authority.asked.lock().expect("no panic").push(format!("{by} {}", scopes.join(" ")));
    let mut access: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for scope in scopes.iter().flat_map(|scopes| scopes.split(' ')) {
        let (kind, rest) = scope.split_once(':').ok_or(StatusCode::BAD_REQUEST)?;
        let (name, actions) = rest.rsplit_once(':').ok_or(StatusCode::BAD_REQUEST)?;
        access.insert((kind.into(), name.into()), actions.split(',').map(str::to_owned).collect());
    }
    let access: Vec<_> = access
        .into_iter()
        .map(|((kind, name), actions)| json!({"type": kind, "name": name, "actions": actions}))
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = json!({
        "iss": "tests", "sub": "user", "aud": first("service").unwrap_or_default(), "exp": now + 300,
        "nbf": now - 10, "iat": now, "jti": now.to_string(), "access": access,
    });
    Ok(json!({"token": signed(&authority.dir, &claims.to_string()).await, "expires_in": 300}).to_string())
}

/// A JSON Web Token with the test's certificate in it.
async fn signed(dir: &Utf8Path, claims: &str) -> String {
    let pem = fs_err::read_to_string(dir.join("cert.pem")).expect("it is there");
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [der]}).to_string();
    let content = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let sign = Command::new("sh")
        .args(["-c", "openssl dgst -sha256 -sign key.pem | openssl base64 -A"])
        .stdin(content.clone())
        .dir(dir);
    let signature = sign.run(&CancellationToken::new()).await.expect("openssl signs").stdout;
    let signature = STANDARD.decode(signature.trim()).expect("base64");
    format!("{content}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_got_by_password_and_by_identity_token_one_for_each_repository() {
    let found = program("ISTIOLAB_TEST_REGISTRY", &["registry", "docker-registry"]);
    let Some(program) = needed("tokens", found) else { return };
    let (_dir, dir) = folder();
    certificate(&dir).await;
    let authority = Authority { dir: dir.clone(), asked: Arc::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let realm = format!("http://{}/token", listener.local_addr().expect("an address"));
    let app = Router::new().route("/token", get(grant).post(grant)).with_state(authority.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let token = json!({
        "realm": realm, "service": "the registry of a test", "issuer": "tests", "rootcertbundle": dir.join("ca.pem"),
    });
    let registry = Registry::start_as(&program, json!({"auth": {"token": token}}), &Access::default()).await;
    let host = registry.host();
    let asked = || std::mem::take(&mut *authority.asked.lock().expect("no panic"));

    // By name and password: two repositories that share a layer, which is taken over.
    let store = Layout::open(dir.join("store")).expect("a store");
    let shared = layer("shared", 0o644, b"shared");
    let both = ["x.test/a:1", "x.test/b:1"]
        .map(|name| wanted(&store, name, image(&store, &json!({"Cmd": [name]}), &[&shared]).0));
    let client = |config: serde_json::Value| {
        let file = dir.join("config.json");
        fs_err::write(&file, config.to_string()).expect("writable");
        Client::of_host(&host, &Access { docker_config: Some(file), ..Access::default() }).expect("an address")
    };
    let to = client(json!({"auths": {&host: {"username": "user", "password": "s3cret"}}}));
    let copied = copy(store.clone(), Target::Registry(to.clone()), &both).await.expect("it is let in");
    assert_eq!((copied.blobs, copied.mounted), (3, 1));
    let all = asked();
    assert!(all.iter().all(|one| one.starts_with("password repository:x.test/")), "{all:?}");
    assert!(all.iter().any(|one| one.contains("pull,push repository:x.test/")), "taking over needs both: {all:?}");
    assert!(all.len() <= 5, "tokens are used again: {all:?}");

    // By an identity token, from the file; of what is there nothing is sent again.
    let to = client(json!({"auths": {&host: {"identitytoken": "the-identity"}}}));
    let copied = copy(store.clone(), Target::Registry(to.clone()), &both).await.expect("it is let in");
    assert_eq!((copied.unchanged, to.traffic().requests), (2, 2 + 2 + 2), "a 401, a token, the answer, each");
    let mut all = asked();
    all.sort();
    assert_eq!(all, ["identity repository:x.test/a:pull", "identity repository:x.test/b:pull"]);

    // And from a helper, for the program itself; then out of it again.
    let name = named(&dir).replace("a:1", "c:1");
    let layout = Layout::open(dir.join("layout")).expect("a layout");
    let root = layout.resolve("x.test/a:1").expect("it is named");
    layout.name(&[(name.clone(), root)]).expect("named");
    let path = helper(&dir, "identity", &host, "<token>", "the-identity");
    fs_err::create_dir_all(dir.join(".docker")).expect("writable");
    let config = json!({"credHelpers": {&host: "identity"}});
    fs_err::write(dir.join(".docker/config.json"), config.to_string()).expect("writable");
    let run = async |words: &[&str]| {
        let command = images(&dir, words).env("PATH", &path).env_remove("DOCKER_CONFIG");
        command.run(&CancellationToken::new()).await.map(|output| output.stdout).map_err(|error| error.to_string())
    };
    let told = run(&["mirror", &name, "--from", layout.dir().as_str(), "--to", &host]).await.expect("it is let in");
    assert!(told.contains("moved: 2 blobs"), "{told}");
    run(&["pull", &name, "--from", &host]).await.expect("it is let in");
    assert!(asked().iter().all(|one| one.starts_with("identity ")));

    // What the authority does not know is told, without the secret.
    let to = client(json!({"auths": {&host: {"identitytoken": "another-one"}}}));
    let failure = copy(Mirror::new(to, ""), Target::Store(Layout::open(dir.join("none")).expect("a store")), &both)
        .await
        .map(drop);
    let text = failure.expect_err("nobody is let in").to_string();
    assert!(text.contains("401") && !text.contains("another-one"), "{text}");
}
