//! An API server and its etcd: started in seconds, killed and started again at will.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use istiolab::objects::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::programs::{Process, binaries, free_ports, link, run};

/// Whose requests the server takes for whom: token, name, identifier, group. The last ones are there
/// for flow schemas of tests to name.
const USERS: &str =
    "test-token,admin,admin,system:masters\ntiny-token,tiny,tiny,tiny\ntiny-jam-token,tiny-jam,tiny-jam,tiny\n";

/// A server. Its processes end, and its folder goes, when it is dropped or this program ends.
pub(crate) struct Own {
    folder: Utf8PathBuf,
    etcd_port: u16,
    port: u16,
    arguments: Vec<String>,
    /// In this order they are dropped.
    controllers: Mutex<Option<Process>>,
    apiserver: Mutex<Option<Process>>,
    _etcd: Process,
}

impl Own {
    /// Starts etcd and an API server with these arguments more; `None` where the programs are not there.
    pub(crate) fn start(test: &str, more: &[&str]) -> Option<Self> {
        let binaries = binaries(test)?;
        // Fails only if another test's client has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = Utf8PathBuf::from_path_buf(tempfile::tempdir().expect("a folder").keep()).expect("UTF-8");
        link(&binaries, &folder);
        fs_err::write(folder.join("tokens"), USERS).expect("written");
        let [etcd_port, peer, port] = free_ports();
        fs_err::write(folder.join("kubeconfig"), kubeconfig("test-token", port)).expect("written");
        let pki = folder.join("pki");
        let version = ["--kubernetes-version", "v1.34.0", "--cert-dir", pki.as_str()];
        run(&folder.join("kubeadm"), &[&["init", "phase", "certs", "sa"], version.as_slice()].concat());
        let etcd = etcd(&binaries, &folder, etcd_port, peer);
        let arguments = arguments(&folder, etcd_port, port, more);
        let (controllers, apiserver) = (Mutex::new(None), Mutex::new(None));
        let own = Self { folder, etcd_port, port, arguments, controllers, apiserver, _etcd: etcd };
        own.start_server();
        Some(own)
    }

    /// Kills the API server as `kill -9` does; etcd stays.
    pub(crate) fn kill_server(&self) {
        self.apiserver.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Starts the API server, at the same port.
    pub(crate) fn start_server(&self) {
        let started = Process::start(
            &self.folder.join("apiserver.log"),
            None,
            &self.folder.join("kube-apiserver"),
            &self.arguments,
        );
        *self.apiserver.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
    }

    /// Starts controllers, unless they run: names as kube-controller-manager has them.
    pub(crate) fn start_controllers(&self, names: &str) {
        let mut running = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            let kubeconfig = self.kubeconfig_file();
            let arguments = [
                format!("--kubeconfig={kubeconfig}"),
                format!("--controllers={names}"),
                "--leader-elect=false".to_owned(),
                "--secure-port=0".to_owned(),
                "--kube-api-qps=200".to_owned(),
                "--kube-api-burst=400".to_owned(),
            ];
            let program = self.folder.join("kube-controller-manager");
            *running = Some(Process::start(&self.folder.join("controllers.log"), None, &program, &arguments));
        }
    }

    /// Waits until the server is ready.
    pub(crate) async fn ready(&self) {
        let client = kube::Client::try_from(self.config().await).expect("a client");
        let begin = Instant::now();
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
            if client.request_text(request).await.is_ok() {
                return;
            }
            let log = self.folder.join("apiserver.log");
            assert!(begin.elapsed() < Duration::from_mins(2), "the API server does not answer, see {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The way to the server. Each test has a runtime of its own, and a client lives on one.
    pub(crate) async fn config(&self) -> kube::Config {
        config_of("test-token", self.port).await
    }

    /// The API, once the server is ready.
    pub(crate) async fn api(&self) -> Api {
        self.ready().await;
        Api::new(kube::Client::try_from(self.config().await).expect("a client"))
    }

    /// The port that the server listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps its files: programs by their names, logs.
    pub(crate) fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// A kubeconfig for programs.
    pub(crate) fn kubeconfig_file(&self) -> Utf8PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Makes etcd forget everything but the newest state, as the API server does every five minutes.
    pub(crate) async fn compact(&self) {
        let url = format!("http://127.0.0.1:{}/v3/kv", self.etcd_port);
        let http = reqwest::Client::new();
        let ask = async |what: &str, body: String| -> serde_json::Value {
            let answer = http.post(format!("{url}/{what}")).body(body).send().await.expect("etcd answers");
            assert!(answer.status().is_success(), "{what}: {}", answer.status());
            answer.json().await.expect("JSON")
        };
        // "\0", which is no key.
        let now = ask("range", r#"{"key": "AA=="}"#.to_owned()).await;
        let revision = now["header"]["revision"].as_str().expect("a revision").to_owned();
        ask("compaction", format!(r#"{{"revision": "{revision}", "physical": true}}"#)).await;
    }
}

/// The way to the server at this port as somebody with this token.
pub(crate) async fn config_of(token: &str, port: u16) -> kube::Config {
    let file = Kubeconfig::from_yaml(&kubeconfig(token, port)).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let mut config = config.expect("a configuration");
    // As the lab's own client: what the server says must reach the engine.
    config.default_retry = false;
    config
}

/// The API at this port, as somebody with this token.
pub(crate) async fn api_of(token: &str, port: u16) -> Api {
    Api::new(kube::Client::try_from(config_of(token, port).await).expect("a client"))
}

fn kubeconfig(token: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: t\n\
         clusters: [{{name: t, cluster: {{server: 'https://127.0.0.1:{port}', insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: t, user: {{token: {token}}}}}]\n\
         contexts: [{{name: t, context: {{cluster: t, user: t}}}}]\n"
    )
}

fn etcd(binaries: &Utf8Path, folder: &Utf8Path, port: u16, peer: u16) -> Process {
    let client = format!("http://127.0.0.1:{port}");
    let arguments = [
        format!("--data-dir={folder}/data"),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=error".to_owned(),
    ];
    Process::start(&folder.join("etcd.log"), Some(folder), &binaries.join("etcd"), &arguments)
}

fn arguments(folder: &Utf8Path, etcd: u16, port: u16, more: &[&str]) -> Vec<String> {
    let keys = folder.join("pki");
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={folder}/cert"),
        format!("--service-account-key-file={keys}/sa.pub"),
        format!("--service-account-signing-key-file={keys}/sa.key"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--token-auth-file={folder}/tokens"),
        "--authorization-mode=AlwaysAllow".to_owned(),
        "--allow-privileged".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ];
    arguments.extend(more.iter().map(|&argument| argument.to_owned()));
    arguments
}
