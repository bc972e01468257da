//! The engine, a registry of each test's own, and small images.

use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use bollard::Docker;
use camino::Utf8PathBuf;
use istiolab::cluster::{network, registry_container};
use istiolab::images::compose::{self, Layer, RunConfig, Source};
use istiolab::images::digest::Digest;
use istiolab::images::engine;
use istiolab::images::layout::Layout;
use istiolab::images::registry::Client;
use istiolab::paths::Paths;
use istiolab::plan::event::Progress;
use tokio_util::sync::CancellationToken;

/// Set by `./test` where an engine answers and the registry's image is built.
const ENABLED: &str = "ISTIOLAB_TEST_ENGINE";
/// The image of labs' registries.
pub(crate) const REGISTRY_IMAGE: &str = "istiolab.local/registry:3.1.2";
/// How long a container may take to answer.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// Held while the registry's image is loaded.
static TURN: OnceLock<tokio::sync::Mutex<()>> = OnceLock::new();

/// A lab of a test: its name, the engine with the registry's image, and what has to go afterwards.
pub(crate) struct Lab {
    pub(crate) docker: Docker,
    pub(crate) name: String,
    pub(crate) cancel: CancellationToken,
}

/// The lab of `test`, or `None` where there is no engine: said, and an error in CI.
pub(crate) async fn lab(test: &str) -> Option<Lab> {
    // Fails only if another test's client has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if std::env::var_os(ENABLED).is_none() {
        let reason = format!("SKIPPED {test}: {ENABLED} is not set\n");
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        // Past the capture of output, which hides what tests that pass print.
        let mut stderr = fs_err::OpenOptions::new().append(true).open("/dev/stderr").expect("standard error");
        stderr.write_all(reason.as_bytes()).expect("told");
        return None;
    }
    let docker = engine::connect().await.expect("the engine answers");
    let store = Layout::open(Paths::from_env().expect("folders").cache.join("images")).expect("the store opens");
    let image = store.resolve(REGISTRY_IMAGE).expect("`istiolab images build registry` has been run");
    let cancel = CancellationToken::new();
    // One test loads it, the others find it.
    let _turn = TURN.get_or_init(tokio::sync::Mutex::default).lock().await;
    engine::load(&docker, &store, &image.digest, REGISTRY_IMAGE, &Progress::silent(), &cancel).await.expect("it loads");
    Some(Lab { docker, name: format!("test-{}-{}", std::process::id(), test.replace('_', "-")), cancel })
}

impl Lab {
    /// The lab's registry, on any free port.
    pub(crate) async fn registry(&self) -> registry_container::Handle {
        self.ensure(None).await.expect("it runs")
    }

    pub(crate) async fn ensure(
        &self,
        port: Option<u16>,
    ) -> Result<registry_container::Handle, istiolab::cluster::Error> {
        registry_container::ensure(&self.docker, &self.name, REGISTRY_IMAGE, port, LIMIT, &self.cancel).await
    }

    pub(crate) async fn client(&self) -> Client {
        Client::new(&self.registry().await.url()).expect("its address is one")
    }

    /// Takes everything of the lab away again. Async, so not a destructor: a test that fails leaves
    /// its containers for a look, labelled with its name.
    pub(crate) async fn clean(self) {
        registry_container::remove(&self.docker, &self.name).await.expect("it goes");
        network::remove(&self.docker, &self.name).await.expect("it goes");
    }
}

/// A store of a test's own.
pub(crate) struct Store {
    pub(crate) layout: Layout,
    _dir: tempfile::TempDir,
}

pub(crate) fn store() -> Store {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("its path is UTF-8");
    Store { layout: Layout::open(path).expect("it can be made"), _dir: dir }
}

impl Store {
    /// A layer with one file of `size` bytes that repeat `text`.
    pub(crate) fn layer(&self, text: &str, size: usize) -> istiolab::images::layout::Descriptor {
        let bytes = text.bytes().cycle().take(size).collect();
        Layer::new().file("/data", Source::Bytes(bytes), 0o644).write(&self.layout).expect("it is written")
    }

    /// An image of these layers, told apart from others by `name`.
    pub(crate) fn image(&self, name: &str, layers: &[istiolab::images::layout::Descriptor]) -> Digest {
        let config = RunConfig { env: vec![format!("NAME={name}")], ..RunConfig::default() };
        compose::image(&self.layout, layers, &config).expect("it is written").digest
    }

    /// Turns one bit of a blob over.
    pub(crate) fn damage(&self, digest: &Digest) {
        let path = self.layout.path(digest);
        let mut bytes = fs_err::read(&path).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs_err::remove_file(&path).expect("it can be replaced");
        fs_err::write(&path, bytes).expect("it can be written");
    }
}
