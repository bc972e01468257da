//! The debug bundle of a real API server in which secrets were planted in every place where they are
//! found in the wild.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use istiolab::collect::{Collected, Grade, Request, collect};
use istiolab::plan::event::Progress;
use istiolab::spec;
use kube::api::{Api as KubeApi, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::server::{api, applied};

/// What must not be in a bundle, each planted in another way.
const CANARIES: [&str; 12] = [
    "c4n4ry-secret-data",
    "c4n4ry-string-data",
    "c4n4ry-in-env",
    "c4n4ry-argument",
    "c4n4ry-annotation",
    "c4n4ry-in-setting",
    "c4n4ry-in-yaml-block",
    "c4n4ry-journal",
    "c4n4ry-kubeconfig",
    "c4n4ry-login",
    "c4n4ry-private-key",
    "c4n4ry-basic-auth",
];

fn planted() -> String {
    let applied = json!({"apiVersion": "v1", "kind": "Secret", "data": {"x": STANDARD.encode("c4n4ry-annotation")}});
    let objects = [
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "planted", "annotations": {
            "note/last-applied-configuration": applied.to_string(), "seen": "c4n4ry-secret-data was here"}},
            "data": {"user": STANDARD.encode("c4n4ry-secret-data")}, "stringData": {"word": "c4n4ry-string-data"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "planted"}, "data": {
            "app.properties": "db.password=c4n4ry-in-setting\nmode=fast\n",
            "app.yaml": "token: |\n  c4n4ry-in-yaml-block\nmode: slow\n",
            "key": "-----BEGIN PRIVATE KEY-----\nc4n4ry-private-key\n-----END PRIVATE KEY-----\n",
            "copied": "the word is c4n4ry-string-data, and in base64 YzRuNHJ5LXN0cmluZy1kYXRh",
            "url": "https://user:c4n4ry-basic-auth@example.test/"}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "planted"}, "spec": {"containers": [{"name": "c",
            "image": "nobody.test/none:1", "args": ["--password", "c4n4ry-argument"],
            "env": [{"name": "DB_PASSWORD", "value": "c4n4ry-in-env"}, {"name": "COPY", "value": "c4n4ry-in-env"}]}]}}),
    ];
    objects.iter().map(|object| istiolab::yaml::to_string(object).expect("YAML") + "---\n").collect()
}

/// Every file of a bundle.
fn unpacked(path: &Utf8Path) -> BTreeMap<String, String> {
    let file = fs_err::File::open(path).expect("the bundle");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("read");
        let (_, below) = path.split_once('/').expect("a folder");
        files.insert(below.to_owned(), String::from_utf8(bytes).expect("text"));
    }
    files
}

struct Folder {
    _dir: tempfile::TempDir,
    path: Utf8PathBuf,
}

/// A lab's state folder, with secrets in it.
fn folder() -> Folder {
    let dir = tempfile::tempdir().expect("a folder");
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("UTF-8");
    let write = |name: &str, text: &str| fs_err::write(path.join(name), text).expect("written");
    write("journal.json", r#"{"step": "done", "registry": {"password": "c4n4ry-journal"}, "note": "c4n4ry-login"}"#);
    write("kubeconfig", "users: [{name: t, user: {token: c4n4ry-kubeconfig}}]\n");
    write("config.json", &json!({"auths": {"r.test": {"auth": STANDARD.encode("me:c4n4ry-login")}}}).to_string());
    write("lab.yaml", "apiVersion: istiolab.dev/v1alpha1\nkind: Lab\nname: planted\n# c4n4ry-kubeconfig\n");
    Folder { _dir: dir, path }
}

async fn collected(folder: &Folder, cluster: Result<kube::Client, String>) -> (Collected, BTreeMap<String, String>) {
    let file = folder.path.join("lab.yaml");
    let lab = spec::load(&file).expect("a lab file");
    let (to, logins) = (folder.path.join("out/planted.tar.gz"), folder.path.join("config.json"));
    let request = Request {
        lab: &lab,
        folder: &folder.path,
        engine: Err("no engine here".to_owned()),
        nodes: Vec::new(),
        cluster,
        logins: Some(&logins),
        plan: Ok(json!({"sets": [{"objects": [{"fields": [{"after": "c4n4ry-in-env"}]}]}]})),
        cause: Some("error: Pod default/planted failed, c4n4ry-in-env".to_owned()),
        to: &to,
        limit: Duration::from_mins(1),
    };
    let done = collect(request, &Progress::silent(), &CancellationToken::new()).await.expect("it is written");
    (done, unpacked(&to))
}

#[tokio::test]
async fn no_secret_leaves_and_what_is_wrong_stands_on_the_first_page() {
    let Some(api) = api("collect").await else { return };
    applied(&api, "planted", &planted()).await.expect("applied");
    let pods: KubeApi<k8s_openapi::api::core::v1::Pod> = KubeApi::namespaced(api.client().clone(), "default");
    let waiting = json!({"name": "c", "ready": false, "restartCount": 0, "image": "x", "imageID": "",
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no c4n4ry-in-env at nobody.test"}}});
    let status = json!({"status": {"phase": "Pending", "containerStatuses": [waiting]}});
    pods.patch_status("planted", &PatchParams::default(), &Patch::Merge(&status)).await.expect("written");
    let event = json!({
        "metadata": {"name": "planted.1", "namespace": "default"}, "type": "Warning", "reason": "Failed",
        "message": "pulling with Authorization: Bearer c4n4ry-secret-data failed", "lastTimestamp": "2026-01-01T00:00:00Z",
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "planted"},
    });
    let events: KubeApi<k8s_openapi::api::core::v1::Event> = KubeApi::namespaced(api.client().clone(), "default");
    let event = serde_json::from_value(event).expect("an event");
    events.create(&PostParams::default(), &event).await.expect("made");

    let folder = folder();
    let (done, files) = collected(&folder, Ok(api.client().clone())).await;
    for canary in CANARIES {
        let encoded = STANDARD.encode(canary);
        let found: Vec<_> = files.iter().filter(|(_, text)| text.contains(canary) || text.contains(&encoded)).collect();
        assert!(found.is_empty(), "{canary} is in {found:#?}");
    }
    let finding = done.findings.iter().find(|finding| finding.object == "Pod default/planted").expect("it is found");
    assert_eq!(finding.grade, Grade::Failed);
    assert_eq!(finding.cause, "container c: ImagePullBackOff: no [removed] at nobody.test");
    assert_eq!(finding.events.len(), 1);
    let page = &files["index.html"];
    assert!(page.contains("Pod default/planted") && page.contains("no [removed] at nobody.test"), "{page}");
    assert!(page.contains("<a href=\"objects/default/pod.yaml\">"));
    assert!(files["objects/default/configmap.yaml"].contains("mode=fast"));
    assert!(
        files["objects/default/secret.yaml"].contains("[removed: 18 bytes]"),
        "{}",
        files["objects/default/secret.yaml"]
    );
    assert!(files["events/default.txt"].contains("Pod default/planted  Failed"));
    assert!(!files.contains_key("kubeconfig") && !files.contains_key("lab/kubeconfig"));
    assert!(done.missing.iter().any(|missing| missing.why == "no engine here"));
    let summary: Value = serde_json::from_str(&files["summary.json"]).expect("JSON");
    assert_eq!(summary["schema"], "istiolab.dev/debug/v1");
    assert!(summary["removed"]["known values"].as_u64().is_some_and(|count| count > 3), "{summary:#}");
}

#[tokio::test]
async fn without_an_api_server_there_is_still_what_the_machine_knows() {
    if api("collect without a server").await.is_none() {
        return;
    }
    // Nobody listens there.
    let mut config = kube::Config::new("https://127.0.0.1:9".parse().expect("an address"));
    config.default_retry = false;
    let client = kube::Client::try_from(config).expect("a client");
    let folder = folder();
    let (done, files) = collected(&folder, Ok(client)).await;
    assert!(done.findings.is_empty());
    let why = &done.missing.iter().find(|missing| missing.what.starts_with("objects")).expect("it is noted").why;
    assert!(why.contains("onnect"), "{why}");
    assert!(files["index.html"].contains("the API server does not answer"));
    assert!(files.contains_key("lab/journal.json") && files.contains_key("lab/lab.yaml"));
    for canary in ["c4n4ry-journal", "c4n4ry-kubeconfig", "c4n4ry-login"] {
        assert!(files.values().all(|text| !text.contains(canary)), "{canary}");
    }
}
