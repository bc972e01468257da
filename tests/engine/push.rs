//! Pushing into a real registry: what crosses is counted to the request and the byte.

use istiolab::error::Kind;
use istiolab::images::layout::Layout;
use istiolab::images::push::{Session, Target};
use istiolab::images::registry::{Client, Traffic};
use istiolab::plan::event::Progress;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Registry, folder, image, layer};

fn target(digest: istiolab::images::digest::Digest, repository: &str) -> Target {
    Target { digest, repository: repository.to_owned(), tag: "1".to_owned() }
}

async fn push(store: &Layout, registry: &Registry, targets: &[Target]) -> istiolab::images::push::Pushed {
    // A client of its own, so that its counters start at nothing.
    let client = Client::new(registry.client.base().as_str()).expect("an address");
    let session = Session::new(store.clone(), client);
    session.push_all(targets, &Progress::silent(), &CancellationToken::new()).await.expect("it is pushed")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_crosses_once_and_a_second_time_nothing_does() {
    let Some(registry) = Registry::needed("push").await else { return };
    let (_dir, path) = folder();
    let store = Layout::open(path).expect("a store");
    let base = layer("base", 0o644, &vec![1; 3 << 20]);
    let own = |name: &str| layer(name, 0o644, name.as_bytes());
    let images: Vec<_> =
        ["a", "b", "c"].map(|name| image(&store, &json!({"Cmd": [name]}), &[&base, &own(name)])).into_iter().collect();
    let targets: Vec<Target> = images
        .iter()
        .zip(["x.test/a", "x.test/b", "x.test/c"])
        .map(|((digest, _), name)| target(*digest, name))
        .collect();

    let cold = push(&store, &registry, &targets).await;
    // Unique blobs: the base, and of each image a configuration and a layer.
    let (images_count, unique, pairs) = (3, 1 + 3 * 2, 3 * 3);
    assert_eq!((cold.images, cold.unchanged, cold.blobs, cold.mounted), (images_count, 0, unique, pairs - unique));
    assert_eq!(cold.traffic.requests, images_count + 2 * unique + (pairs - unique) + images_count);
    let sizes =
        |kind: fn(&istiolab::images::layout::ImageManifest) -> u64| images.iter().map(|(_, m)| kind(m)).sum::<u64>();
    let manifests: u64 = targets.iter().map(|t| fs_err::metadata(store.path(&t.digest)).expect("there").len()).sum();
    let own_bytes = sizes(|manifest| manifest.config.size + manifest.layers[1].size);
    assert_eq!(cold.traffic.sent, base.len() as u64 + own_bytes + manifests);

    let warm = push(&store, &registry, &targets).await;
    assert_eq!((warm.images, warm.unchanged), (3, 3));
    assert_eq!(
        warm.traffic,
        Traffic { requests: images_count, by_kind: warm.traffic.by_kind.clone(), ..Traffic::default() }
    );

    // One more image on the same base, in a new repository: the base is mounted from one that is
    // known from the warm run of the others.
    let (digest, _) = image(&store, &json!({"Cmd": ["d"]}), &[&base, &own("d")]);
    let mut four = targets.clone();
    four.push(target(digest, "x.test/d"));
    let client = Client::new(registry.client.base().as_str()).expect("an address");
    let session = Session::new(store.clone(), client);
    for target in &four {
        session.push(target, &CancellationToken::new()).await.expect("it is pushed");
    }
    let fourth = session.pushed();
    assert_eq!((fourth.images, fourth.unchanged, fourth.blobs, fourth.mounted), (4, 3, 2, 1));

    // The same tag on another image: what its repository has already is not sent again.
    let (digest, _) = image(&store, &json!({"Cmd": ["e"]}), &[&base, &own("a")]);
    let moved = push(&store, &registry, &[target(digest, "x.test/a")]).await;
    assert_eq!((moved.images, moved.blobs, moved.mounted), (1, 1, 2));
    let there = registry.client.head_manifest("x.test/a", "1").await.expect("it answers");
    assert_eq!(there, Some(digest));
    let gone = registry.client.head_manifest("x.test/none", "1").await.expect("it answers");
    assert_eq!(gone, None);
    for blob in images[0].1.blobs() {
        assert!(registry.client.head_blob("x.test/a", &blob.digest).await.expect("it answers"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_blob_is_named_and_never_becomes_an_image() {
    let Some(registry) = Registry::needed("damaged blob").await else { return };
    let (_dir, path) = folder();
    let store = Layout::open(path).expect("a store");
    let bytes = layer("base", 0o644, &vec![1; 1 << 20]);
    let (digest, manifest) = image(&store, &json!({}), &[&bytes]);
    let blob = manifest.layers[0].digest;
    let mut damaged = bytes.clone();
    damaged[700_000] ^= 1;
    fs_err::write(store.path(&blob), &damaged).expect("writable");
    let session = Session::new(store.clone(), registry.client.clone());
    let targets = [target(digest, "x.test/a")];
    let failure =
        session.push_all(&targets, &Progress::silent(), &CancellationToken::new()).await.expect_err("damaged");
    let text = failure.to_string();
    assert!(text.contains(&blob.to_string()) && text.contains("damaged"), "{text}");
    assert!(text.contains(store.path(&blob).as_str()) && text.contains("istiolab images build"), "{text}");
    assert_eq!(registry.client.head_manifest("x.test/a", "1").await.expect("it answers"), None);
    // Mended, the same session goes on.
    fs_err::write(store.path(&blob), &bytes).expect("writable");
    session.push(&targets[0], &CancellationToken::new()).await.expect("it is pushed now");
    // Missing is told apart.
    let (digest, manifest) = image(&store, &json!({"Cmd": ["gone"]}), &[&bytes]);
    store.remove(&manifest.config.digest).expect("removable");
    let failure = session.push(&target(digest, "x.test/b"), &CancellationToken::new()).await.expect_err("missing");
    assert!(failure.to_string().contains(&manifest.config.digest.to_string()), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_stops_at_once_and_the_next_run_goes_on() {
    let Some(registry) = Registry::needed("interrupted push").await else { return };
    let (_dir, path) = folder();
    let store = Layout::open(path).expect("a store");
    let layers: Vec<Vec<u8>> = (0..8).map(|n| layer("base", 0o644, &vec![n; 4 << 20])).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let (digest, _) = image(&store, &json!({}), &layers);
    let session = Session::new(store.clone(), registry.client.clone());
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let client = registry.client.clone();
    tokio::spawn(async move {
        // After the first blob is over.
        while client.traffic().sent == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        stop.cancel();
    });
    let failure = session.push_all(&[target(digest, "x.test/a")], &Progress::silent(), &cancel).await;
    if let Err(failure) = failure {
        assert_eq!(failure.kind, Kind::Interrupted);
        assert_eq!(registry.client.head_manifest("x.test/a", "1").await.expect("it answers"), None);
    }
    let pushed = push(&store, &registry, &[target(digest, "x.test/a")]).await;
    assert!(pushed.mounted > 0, "what was over before is not sent again: {pushed:?}");
}
