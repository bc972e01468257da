//! One API server for all tests of this program, started by the first that needs it and stopped
//! when the program ends, however it ends.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use istiolab::objects::{Api, Applied, Error, Object, Options, SetName, apply, parse};
use istiolab::plan::event::Progress;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio_util::sync::CancellationToken;

/// The folder with `etcd` and `kube`.
const BINARIES: &str = "ISTIOLAB_TEST_BINARIES";
const TOKEN: &str = "test-token";

/// Both processes end when the shell's input does, that is, when this program ends. What they
/// print is kept for the message of a start that fails.
const SCRIPT: &str = r#"
cd "$1"
"$2/etcd" --data-dir data --listen-client-urls "http://127.0.0.1:$3" --advertise-client-urls "http://127.0.0.1:$3" \
  --listen-peer-urls "http://127.0.0.1:$4" --unsafe-no-fsync --log-level error > etcd.log 2>&1 &
etcd=$!
./kube-apiserver --etcd-servers "http://127.0.0.1:$3" --bind-address 127.0.0.1 --secure-port "$5" --cert-dir cert \
  --service-account-key-file pki/sa.pub --service-account-signing-key-file pki/sa.key \
  --service-account-issuer https://kubernetes.default.svc --token-auth-file tokens --authorization-mode AlwaysAllow --allow-privileged \
  --service-cluster-ip-range 10.0.0.0/24 --disable-admission-plugins ServiceAccount > apiserver.log 2>&1 &
apiserver=$!
cat > /dev/null
kill $apiserver $etcd
wait
rm -rf "$1"
"#;

struct Server {
    port: u16,
    _shell: Child,
}

static SERVER: OnceLock<Option<Server>> = OnceLock::new();

/// The API of the shared server, or `None` where its programs are not there: then the test is
/// skipped, which is said and is an error in CI.
pub(crate) async fn api(test: &str) -> Option<Api> {
    let client = kube::Client::try_from(config(test).await?).expect("a client");
    let begin = Instant::now();
    while client.apiserver_version().await.is_err() || !ready(&client).await {
        assert!(begin.elapsed() < Duration::from_mins(1), "the API server does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Some(Api::new(client))
}

/// The way to the shared server, which may still be starting; `None` as with [`api`].
pub(crate) async fn config(test: &str) -> Option<kube::Config> {
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(start)).await.expect("the server starts");
    let Some(server) = server else {
        let reason = format!("SKIPPED {test}: {BINARIES} does not name a folder with etcd and kube\n");
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        // Past the capture of output, which hides what tests that pass print.
        fs_err::OpenOptions::new()
            .append(true)
            .open("/dev/stderr")
            .and_then(|mut file| file.write_all(reason.as_bytes()))
            .expect("told");
        return None;
    };
    // Each test has a runtime of its own, and a client lives on one.
    let kubeconfig = Kubeconfig::from_yaml(&format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: t\n\
         clusters: [{{name: t, cluster: {{server: 'https://127.0.0.1:{}', insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: t, user: {{token: {TOKEN}}}}}]\n\
         contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\n",
        server.port
    ))
    .expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Some(config.expect("a configuration"))
}

async fn ready(client: &kube::Client) -> bool {
    let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
    client.request_text(request).await.is_ok()
}

fn start() -> Option<Server> {
    // Fails only if another test's client has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let binaries = Utf8PathBuf::from(std::env::var(BINARIES).ok()?);
    if !binaries.join("etcd").is_file() || !binaries.join("kube").is_file() {
        return None;
    }
    let dir = Utf8PathBuf::from_path_buf(tempfile::tempdir().expect("a folder").keep()).expect("UTF-8");
    for name in ["kube-apiserver", "kubeadm"] {
        std::os::unix::fs::symlink(binaries.join("kube"), dir.join(name)).expect("a link");
    }
    fs_err::write(dir.join("tokens"), format!("{TOKEN},admin,admin,system:masters\n")).expect("written");
    make_keys(&dir);
    let [client, peer, secure] = free_ports();
    let arguments = [dir.as_str(), binaries.as_str(), &client.to_string(), &peer.to_string(), &secure.to_string()];
    let shell = command("sh").args(["-c", SCRIPT, "sh"]).args(arguments).stdin(Stdio::piped()).spawn();
    Some(Server { port: secure, _shell: shell.expect("a shell") })
}

fn make_keys(dir: &Utf8Path) {
    let made = command(dir.join("kubeadm").as_str())
        .args(["init", "phase", "certs", "sa", "--kubernetes-version", "v1.34.0", "--cert-dir"])
        .arg(dir.join("pki"))
        .output()
        .expect("kubeadm runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[expect(clippy::disallowed_methods, reason = "the server outlives every runtime that the library's own spawner needs")]
fn command(program: &str) -> std::process::Command {
    std::process::Command::new(program)
}

fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

/// The objects of a text.
pub(crate) fn objects(text: &str) -> Vec<Object> {
    parse(text, "test.yaml").expect("objects")
}

/// Applies a text as a set in the namespace `default`.
pub(crate) async fn applied(api: &Api, set: &str, text: &str) -> Result<Applied, Error> {
    let options = Options { deadline: Duration::from_secs(30), ..Options::default() };
    apply(api, &SetName::new(set, "default"), &objects(text), &options, &Progress::silent(), &CancellationToken::new())
        .await
}

/// An object as the server has it.
pub(crate) async fn get(
    api: &Api,
    version: &str,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Option<serde_json::Value> {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let served = api.served(group, version, kind).await.expect("discovery").expect("a kind that is served");
    let requests: kube::Api<kube::api::DynamicObject> = if served.namespaced {
        kube::Api::namespaced_with(api.client().clone(), namespace, &served.resource)
    } else {
        kube::Api::all_with(api.client().clone(), &served.resource)
    };
    let object = requests.get_opt(name).await.expect("an answer")?;
    Some(serde_json::to_value(object).expect("JSON"))
}

/// Names of references, `Kind namespace/name`, sorted.
pub(crate) fn names(objects: &[istiolab::objects::ObjectRef]) -> Vec<String> {
    let mut names: Vec<_> = objects.iter().map(ToString::to_string).collect();
    names.sort();
    names
}
