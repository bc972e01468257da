use serde_json::json;

use super::*;

const CANARY: &str = "c4n4ry-Zx9";

fn clean(text: &str) -> String {
    Redactor::default().text(text)
}

fn cleaned(mut object: Value) -> Value {
    Redactor::default().document(&mut object);
    object
}

#[test]
fn the_data_of_secrets_goes_and_its_keys_stay() {
    let secret = json!({"kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque",
        "data": {"user": STANDARD.encode(CANARY)}, "stringData": {"plain": CANARY}});
    let clean = cleaned(secret);
    assert_eq!(clean["data"]["user"], format!("[removed: {} bytes]", CANARY.len()));
    assert!(clean["stringData"]["plain"].as_str().expect("text").starts_with("[removed"));
    assert_eq!(clean["type"], "Opaque");
}

#[test]
fn what_kubectl_remembers_of_a_secret_goes_too() {
    let applied = json!({"kind": "Secret", "data": {"user": STANDARD.encode(CANARY)}}).to_string();
    let key = "kubectl.kubernetes.io/last-applied-configuration";
    let secret = cleaned(json!({"kind": "Secret", "metadata": {"annotations": {key: applied}}}));
    let text = secret.to_string();
    assert!(!text.contains(&STANDARD.encode(CANARY)) && text.contains("user"), "{text}");
    let broken = cleaned(json!({"kind": "Pod", "metadata": {"annotations": {key: "{broken"}}}));
    assert_eq!(broken["metadata"]["annotations"][key], REMOVED);
}

#[test]
fn environments_and_command_lines_lose_their_secrets() {
    let container = cleaned(json!({
        "env": [{"name": "DB_PASSWORD", "value": CANARY}, {"name": "MODE", "value": "fast"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "args": ["--listen=:80", format!("--api-token={CANARY}"), "--password", CANARY, "last"],
        "command": ["sh", "-c", format!("login --secret {CANARY} && run")],
    }));
    let text = container.to_string();
    assert!(!text.contains(CANARY), "{text}");
    assert_eq!(container["env"][1]["value"], "fast");
    assert_eq!(container["env"][2]["valueFrom"]["secretKeyRef"]["key"], "k");
    assert_eq!((container["args"][0].as_str(), container["args"][4].as_str()), (Some("--listen=:80"), Some("last")));
}

#[test]
fn references_to_secrets_stay() {
    let object = json!({"spec": {"tls": {"credentialName": "gateway-tls"}, "volumes": [{"secret": {"secretName": "s"}}],
        "automountServiceAccountToken": true, "tokenExpirationSeconds": 60}});
    assert_eq!(cleaned(object.clone()), object);
}

#[test]
fn texts_lose_what_looks_like_a_secret() {
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl";
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIICanary\nc4n4ry\n-----END RSA PRIVATE KEY-----";
    for (text, expected) in [
        (format!("a {token} b"), "a [removed] b".to_owned()),
        (format!("Authorization: Bearer {CANARY}{CANARY}"), "Authorization: [removed] [removed]".to_owned()),
        (format!("curl -H 'x: Basic {}'", STANDARD.encode(CANARY)), "curl -H 'x: Basic [removed]'".to_owned()),
        (format!("key:\n{key}\nend"), "key:\n[removed]\nend".to_owned()),
        ("-----BEGIN PRIVATE KEY-----\nMIIcut off".to_owned(), REMOVED.to_owned()),
        (format!("x {} y", STANDARD.encode(key)), "x [removed] y".to_owned()),
        (format!("get https://user:{CANARY}@host/x"), "get https://[removed]@host/x".to_owned()),
        ("kubeadm join --token abcdef.0123456789abcdef".to_owned(), "kubeadm join --token [removed]".to_owned()),
        ("id AKIAABCDEFGHIJKLMNOP".to_owned(), "id [removed]".to_owned()),
        (format!("password={CANARY}&x=1"), "password=[removed]&x=1".to_owned()),
        (
            format!("level=info client_secret=\"{CANARY} more\" n=1"),
            "level=info client_secret=\"[removed]\" n=1".to_owned(),
        ),
        (format!("db:\n  password: {CANARY}\n  host: h\n"), "db:\n  password: [removed]\n  host: h\n".to_owned()),
        (
            format!("a:\n  token: |\n    {CANARY}\n    more\n  b: 1\n"),
            "a:\n  token: |\n    [removed]\n  b: 1\n".to_owned(),
        ),
        (
            format!(r#"msg: {{\"apiKey\":\"{CANARY}\",\"n\":1}}"#),
            r#"msg: {\"apiKey\":\"[removed]\",\"n\":1}"#.to_owned(),
        ),
    ] {
        assert_eq!(clean(&text), expected, "{text}");
    }
}

#[test]
fn texts_keep_what_is_none() {
    for text in [
        "mounting volume token-path for pod frontend-6f7d8b9c5-x2x4z",
        "secretName: gateway-tls, key: value, author: somebody",
        "reading secret demo/frontend failed",
        "-----BEGIN CERTIFICATE-----\nMIIBcertificate\n-----END CERTIFICATE-----",
        "automountServiceAccountToken: true",
        "10.244.0.5:15021 cluster outbound|80||frontend.demo.svc.cluster.local",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "[2026-11-21T16:00:00.000Z] \"GET /healthz HTTP/1.1\" 200 - via_upstream",
    ] {
        assert_eq!(clean(text), text);
    }
}

#[test]
fn json_within_text_is_cleaned_as_json() {
    let text = json!({"users": [{"name": "a", "password": "short"}], "n": 1}).to_string();
    assert_eq!(clean(&text), r#"{"users":[{"name":"a","password":"[removed]"}],"n":1}"#);
}

#[test]
fn known_values_are_found_wherever_they_stand() {
    let mut redactor = Redactor::default();
    redactor.learn(&json!({"kind": "Secret", "metadata": {"name": "postgres"}, "data": {
        "user": STANDARD.encode("postgres"), "word": STANDARD.encode("open sesame"), "no": STANDARD.encode("1234"),
        "ca.crt": STANDARD.encode("-----BEGIN CERTIFICATE-----\nMIIBThisIsPublicAndMustStayAsItIs\n-----END CERTIFICATE-----\n"),
    }}));
    redactor
        .learn(&json!({"kind": "Pod", "spec": {"containers": [{"env": [{"name": "MY_TOKEN", "value": "t0k3n-value"}],
        "args": ["--password", "by-flag-1", "DB_SECRET=by-pair-2"]}]}}));
    redactor.seal();
    let encoded = STANDARD.encode("open sesame");
    let text = format!("postgres said open sesame, or {encoded}, 1234 times; t0k3n-value; by-flag-1; by-pair-2");
    let clean = "postgres said [removed], or [removed], 1234 times; [removed]; [removed]; [removed]";
    assert_eq!(redactor.text(&text), clean);
    let public = "-----BEGIN CERTIFICATE-----\nMIIBThisIsPublicAndMustStayAsItIs\n-----END CERTIFICATE-----\n";
    for public in [public.to_owned(), STANDARD.encode(public)] {
        assert_eq!(redactor.text(&public), public);
    }
    let mut map = json!({"kind": "ConfigMap", "data": {"a": "x open sesame y"}});
    redactor.document(&mut map);
    assert_eq!(map["data"]["a"], "x [removed] y");
    assert!(redactor.counts()["known values"] >= 5);
}
