//! Bundles served as a registry, to the clients that there are: our own, the engine's, a lab's nodes.

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::{CreateImageOptionsBuilder, LogsOptionsBuilder, RemoveImageOptions};
use camino::{Utf8Path, Utf8PathBuf};
use futures::TryStreamExt as _;
use istiolab::cluster::{bundle_container, network};
use istiolab::images::bundle::{self, Request, Stack, inventory};
use istiolab::images::content::Content;
use istiolab::images::copy::Target;
use istiolab::images::engine;
use istiolab::images::layout::Layout;
use istiolab::images::lock::Lock;
use istiolab::images::reference::Reference;
use istiolab::images::registry::{Client, Mirror};
use istiolab::images::serve::Server;
use istiolab::plan::event::Progress;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::copy::{copy, wanted};
use crate::fixture::{Registry, docker, folder, image, index, layer, loaded, needed};

/// A lab's images in a store: one of two platforms, one of one, with a shared layer.
async fn store(dir: &Utf8Path) -> (Layout, Lock) {
    let store = Layout::open(dir.join("store")).expect("a store");
    let base = layer("base", 0o644, &vec![1; 3 << 20]);
    let platforms = ["amd64", "arm64"].map(|name| {
        let own = layer("own", 0o644, name.as_bytes());
        (name, image(&store, &json!({"Cmd": [name]}), &[&base, &own]).0)
    });
    let several = index(&store, &platforms);
    let (one, _) = image(&store, &json!({"Cmd": ["/one"]}), &[&base, &layer("one", 0o755, b"one")]);
    let named = [("docker.io/library/several:1", several), ("x.test:5000/deep/er/one:2", one)];
    let named = named.map(|(name, digest)| {
        let size = fs_err::metadata(store.path(&digest)).expect("there").len();
        let kind = if digest == several { istiolab::images::layout::INDEX } else { istiolab::images::layout::MANIFEST };
        (name.to_owned(), istiolab::images::layout::Descriptor::new(kind, digest, size))
    });
    store.name(&named).expect("named");
    let lock = inventory(&store).await.expect("images");
    (store, lock)
}

async fn write(lock: &Lock, source: &dyn Content, platforms: &[&str], to: &Utf8Path) -> bundle::Written {
    let platforms: Vec<String> = platforms.iter().map(|name| (*name).to_owned()).collect();
    let request = Request { lock, platforms: &platforms, source, base: None, to };
    bundle::write(request, &Progress::silent(), &CancellationToken::new()).await.expect("it is written")
}

/// Serves bundles until the token is cancelled; returns the address.
async fn serve(paths: &[Utf8PathBuf]) -> (String, CancellationToken) {
    let server = Server::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
    let (address, cancel) = (server.address().to_string(), CancellationToken::new());
    let stack = Arc::new(Stack::open(paths).expect("bundles"));
    tokio::spawn(server.run(stack, Box::new(std::io::sink()), cancel.clone()));
    (address, cancel)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_of_what_a_bundle_serves_is_the_same_bundle() {
    let (_dir, dir) = folder();
    let (store, lock) = store(&dir).await;
    let (one, two) = (dir.join("one.tar"), dir.join("two.tar"));
    write(&lock, &store, &[], &one).await;
    let (address, stop) = serve(std::slice::from_ref(&one)).await;
    let mirror = Mirror::new(Client::new(&format!("http://{address}")).expect("an address"), "");
    write(&lock, &mirror, &[], &two).await;
    assert!(fs_err::read(&one).expect("there") == fs_err::read(&two).expect("there"), "byte for byte");
    // From the middle of a blob on, as after a cut.
    let image: Reference = "x.test:5000/deep/er/one:2".parse().expect("a reference");
    let blob = &lock.images[&image].platforms.values().next().expect("one").layers[0];
    let pieces: Vec<_> = mirror.blob(&image, blob, 1000).await.expect("there").try_collect().await.expect("read");
    assert_eq!(pieces.iter().map(bytes::Bytes::len).sum::<usize>() as u64, blob.size - 1000);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bundle_serves_goes_into_a_registry_whole() {
    let Some(registry) = Registry::needed("serve").await else { return };
    let (_dir, dir) = folder();
    let (store, lock) = store(&dir).await;
    let path = dir.join("lab.tar");
    write(&lock, &store, &[], &path).await;
    let (address, stop) = serve(std::slice::from_ref(&path)).await;
    let images: Vec<_> = lock
        .images
        .iter()
        .map(|(image, entry)| wanted(&store, &image.to_string(), *entry.digest().expect("resolved")))
        .collect();
    let source = Mirror::new(Client::new(&format!("http://{address}")).expect("an address"), "");
    copy(source, Target::Registry(registry.client.clone()), &images).await.expect("it is copied");
    for (image, entry) in &lock.images {
        let there = registry.client.head_manifest(&image.mirrored_repository(), image.tag_or_default()).await;
        assert_eq!(there.expect("it answers").as_ref(), entry.digest());
    }
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_pulls_one_platform_of_a_sparse_bundle() {
    let Some(docker) = needed("serve to the engine", docker().await) else { return };
    let (_dir, dir) = folder();
    let (store, lock) = store(&dir).await;
    let path = dir.join("lab.tar");
    let platform = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
    // Both are for it.
    write(&lock, &store, &[platform], &path).await;
    let (address, stop) = serve(&[path]).await;
    for (image, entry) in &lock.images {
        let name = format!("{address}/{}", image.mirrored_repository());
        let options = CreateImageOptionsBuilder::default().from_image(&name).tag(image.tag_or_default()).build();
        let pulled: Result<Vec<_>, _> = docker.create_image(Some(options), None, None).try_collect().await;
        pulled.expect("it is pulled");
        let name = format!("{name}:{}", image.tag_or_default());
        let found = docker.inspect_image(&name).await.expect("it is there");
        let digest = entry.digest().expect("resolved").to_string();
        assert!(found.repo_digests.unwrap_or_default().iter().any(|text| text.ends_with(&digest)), "{name}");
        docker.remove_image(&name, None::<RemoveImageOptions>, None).await.expect("removable");
    }
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_serves_bundles_where_they_are() {
    let Some(docker) = needed("serve from a container", docker().await) else { return };
    let Some(()) = needed("serve from a container", loaded(&docker, IMAGE).await) else { return };
    let (_dir, dir) = folder();
    let (store, lock) = store(&dir).await;
    let path = dir.join("lab.tar");
    write(&lock, &store, &[], &path).await;
    // Only its owner may read it.
    fs_err::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
    let lab = format!("test-{}-bundle", std::process::id());
    let bundles = [path.clone()];
    let wanted = bundle_container::Wanted {
        lab: &lab,
        image: IMAGE,
        program: Utf8Path::new(env!("CARGO_BIN_EXE_istiolab")),
        bundles: &bundles,
        port: None,
    };
    let ensure = async || {
        let limit = Duration::from_mins(1);
        bundle_container::ensure(&docker, &wanted, limit, &CancellationToken::new()).await.expect("it runs")
    };
    let first = ensure().await;
    assert!(first.created);
    let again = ensure().await;
    assert_eq!((again.created, again.host_port), (false, first.host_port));
    let client = Client::new(&first.url()).expect("an address");
    for (image, entry) in &lock.images {
        let there = client.head_manifest(&image.mirrored_repository(), image.tag_or_default()).await;
        assert_eq!(there.expect("it answers").as_ref(), entry.digest());
    }
    let options = LogsOptionsBuilder::default().stderr(true).stdout(true).build();
    let log: Vec<_> = docker.logs(&first.container, Some(options)).try_collect().await.expect("a log");
    let log: String = log.iter().map(ToString::to_string).collect();
    assert!(log.contains(r#""path":"/v2/docker.io/library/several/manifests/1","status":200"#), "{log}");
    // Another bundle under the same name is noticed.
    fs_err::remove_file(&path).expect("ours");
    write(&lock, &store, &["linux/amd64"], &path).await;
    assert!(ensure().await.created);
    assert!(bundle_container::remove(&docker, &lab).await.expect("it goes"));
    assert!(!bundle_container::remove(&docker, &lab).await.expect("there is none"));
    network::remove(&docker, &lab).await.expect("it goes");
    let id = engine::id(&docker, IMAGE).await.expect("it answers");
    assert!(id.is_some(), "the image stays");
}

/// Any image that labs have.
const IMAGE: &str = "istiolab.local/registry:3.1.2";
