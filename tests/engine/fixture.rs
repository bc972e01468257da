//! What the tests of this tier need: programs, an engine, stores with small images.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::OnceLock;
use std::time::Duration;

use bollard::Docker;
use camino::{Utf8Path, Utf8PathBuf};
use istiolab::images::digest::Digest;
use istiolab::images::engine;
use istiolab::images::layout::{CONFIG, Descriptor, ImageIndex, ImageManifest, LAYER, Layout, MANIFEST, Platform};
use istiolab::images::registry::{Access, Client};
use istiolab::paths::Paths;
use istiolab::plan::event::Progress;
use istiolab::process::Command;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Held while an image is loaded.
static TURN: OnceLock<tokio::sync::Mutex<()>> = OnceLock::new();

/// Takes what a test needs out of `found`, or says that the test is skipped and why. Where `CI` is
/// set, nothing may be skipped.
pub(crate) fn needed<T>(test: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(value) => Some(value),
        Err(reason) if std::env::var_os("CI").is_some() => panic!("{test} can't run: {reason}"),
        Err(reason) => {
            // Straight to the stream: the test harness would keep it to itself.
            writeln!(std::io::stderr(), "SKIPPED {test}: {reason}").expect("standard error is open");
            None
        }
    }
}

/// A program named by a variable, or one of `names` on the path.
pub(crate) fn program(variable: &str, names: &[&str]) -> Result<Utf8PathBuf, String> {
    if let Ok(path) = std::env::var(variable) {
        return if Utf8Path::new(&path).is_file() {
            Ok(path.into())
        } else {
            Err(format!("{variable} names {path}, which is no file"))
        };
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let find = |name: &&str| path.split(':').map(|dir| Utf8Path::new(dir).join(name)).find(|file| file.is_file());
    names
        .iter()
        .find_map(find)
        .ok_or_else(|| format!("{variable} is not set and none of {} is on the path", names.join(", ")))
}

/// The engine, if it answers.
pub(crate) async fn docker() -> Result<Docker, String> {
    engine::connect().await.map_err(|error| error.to_string())
}

/// Makes sure that the engine has the image `name`, from the user's store of built images if need be.
pub(crate) async fn loaded(docker: &Docker, name: &str) -> Result<(), String> {
    // One test loads it, the others find it.
    let _turn = TURN.get_or_init(tokio::sync::Mutex::default).lock().await;
    if engine::id(docker, name).await.map_err(|error| error.to_string())?.is_some() {
        return Ok(());
    }
    let paths = Paths::from_env().map_err(|failure| failure.to_string())?;
    let store = Layout::open(paths.cache.join("images")).map_err(|error| error.to_string())?;
    let image = store.resolve(name).ok_or_else(|| format!("neither the engine nor {} has {name}", store.dir()))?;
    let silent = (Progress::silent(), CancellationToken::new());
    let result = engine::load(docker, &store, &image.digest, name, &silent.0, &silent.1).await;
    result.map(drop).map_err(|failure| failure.to_string())
}

/// A temporary folder with a UTF-8 path.
pub(crate) fn folder() -> (TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("UTF-8");
    (dir, path)
}

/// A port of loopback that nobody listens at.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// `istiolab images` with these words, in a home of its own.
pub(crate) fn images(home: &Utf8Path, words: &[&str]) -> Command {
    Command::new(env!("CARGO_BIN_EXE_istiolab"))
        .arg("images")
        .args(words)
        .env("ISTIOLAB_CACHE", home.join("cache"))
        .env("ISTIOLAB_STATE", home.join("state"))
        .env("HOME", home)
}

/// A running registry on a port of loopback; it ends with this value.
pub(crate) struct Registry {
    pub(crate) client: Client,
    stop: CancellationToken,
    _dir: TempDir,
    /// What its settings lead to.
    more: Option<TempDir>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Registry {
    /// Starts the program with an empty storage.
    pub(crate) async fn start(program: &Utf8Path) -> Self {
        Self::start_with(program, None).await
    }

    /// As [`Registry::start`], with logins as the program `htpasswd` writes them.
    pub(crate) async fn start_with(program: &Utf8Path, logins: Option<&str>) -> Self {
        let Some(logins) = logins else { return Self::start_as(program, json!({}), &Access::default()).await };
        let (dir, path) = folder();
        fs_err::write(path.join("logins"), logins).expect("writable");
        let settings = json!({"auth": {"htpasswd": {"realm": "test", "path": path.join("logins")}}});
        let mut registry = Self::start_as(program, settings, &Access::default()).await;
        registry.more = Some(dir);
        registry
    }

    /// As [`Registry::start`], with these settings besides; with TLS if `http` is in them, reached with `access`.
    pub(crate) async fn start_as(program: &Utf8Path, settings: serde_json::Value, access: &Access) -> Self {
        let (dir, path) = folder();
        let port = free_port();
        let scheme = if settings["http"].is_null() { "http" } else { "https" };
        let mut config = json!({
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": path.join("data")}},
            "http": {"addr": format!("127.0.0.1:{port}")},
        });
        json_patch::merge(&mut config, &settings);
        fs_err::write(path.join("config.yml"), config.to_string()).expect("writable");
        let command =
            Command::new(program).args(["serve", path.join("config.yml").as_str()]).env("OTEL_TRACES_EXPORTER", "none");
        let client = || Client::with(&format!("{scheme}://127.0.0.1:{port}"), access).expect("an address");
        Self::run(command, &client, dir).await
    }

    /// One that keeps lists of what refers to images: go-containerregistry's.
    pub(crate) async fn listing(test: &str) -> Option<Self> {
        let program = needed(test, program("ISTIOLAB_TEST_LISTING_REGISTRY", &["listing-registry"]))?;
        let (dir, _) = folder();
        let address = format!("127.0.0.1:{}", free_port());
        let command = Command::new(&program).arg(&address);
        let client = || Client::new(&format!("http://{address}")).expect("an address");
        Some(Self::run(command, &client, dir).await)
    }

    async fn run(command: Command, client: &(impl Fn() -> Client + Sync), dir: TempDir) -> Self {
        let stop = CancellationToken::new();
        let (child, command) = (stop.clone(), command.limit(Duration::from_mins(10)));
        tokio::spawn(async move { command.run(&child).await });
        let asking = client();
        for _ in 0..100 {
            if asking.ping().await.is_ok() {
                // The tries until it answered must not be in the test's count.
                return Self { client: client(), stop, _dir: dir, more: None };
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the registry did not answer within 10 s");
    }

    /// Its host and port.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.client.base().port().expect("a port"))
    }

    /// The registry, if there is a program.
    pub(crate) async fn needed(test: &str) -> Option<Self> {
        let program = needed(test, program("ISTIOLAB_TEST_REGISTRY", &["registry", "docker-registry"]))?;
        Some(Self::start(&program).await)
    }

    /// Debian's registry, which is older, if it is there.
    pub(crate) async fn debian(test: &str) -> Option<Self> {
        let program = needed(test, program("ISTIOLAB_TEST_DEBIAN_REGISTRY", &["docker-registry"]))?;
        Some(Self::start(&program).await)
    }
}

/// Puts an image of these layers into the store.
pub(crate) fn image(store: &Layout, config: &serde_json::Value, layers: &[&[u8]]) -> (Digest, ImageManifest) {
    let put = |kind: &str, bytes: &[u8]| {
        let (digest, size) = store.put(bytes).expect("there is room");
        Descriptor::new(kind, digest, size)
    };
    let layers: Vec<Descriptor> = layers.iter().map(|bytes| put(LAYER, bytes)).collect();
    let full = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| layer.digest).collect::<Vec<_>>()},
    });
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        config: put(CONFIG, full.to_string().as_bytes()),
        layers,
        annotations: BTreeMap::new(),
    };
    let digest = put(MANIFEST, &serde_json::to_vec(&manifest).expect("JSON")).digest;
    (digest, manifest)
}

/// Puts an index of these manifests, by architecture, into the store.
pub(crate) fn index(store: &Layout, manifests: &[(&str, Digest)]) -> Digest {
    let manifests: Vec<Descriptor> = manifests
        .iter()
        .map(|(architecture, digest)| {
            let size = fs_err::metadata(store.path(digest)).expect("it is there").len();
            let platform = Platform { architecture: (*architecture).to_owned(), os: "linux".to_owned() };
            Descriptor { platform: Some(platform), ..Descriptor::new(MANIFEST, *digest, size) }
        })
        .collect();
    let index = ImageIndex { manifests, ..ImageIndex::default() };
    store.put(&serde_json::to_vec(&index).expect("JSON")).expect("there is room").0
}

/// A layer with one file.
pub(crate) fn layer(path: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content).expect("memory takes it");
    archive.into_inner().expect("memory takes it")
}
