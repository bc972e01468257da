//! Copying between real registries and stores: what crosses is counted to the request and the byte.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use istiolab::error::{Failure, Kind};
use istiolab::images::content::Content;
use istiolab::images::copy::{Copied, Copier, Known, Target, Tree, Wanted};
use istiolab::images::digest::Digest;
use istiolab::images::layout::Layout;
use istiolab::images::reference::Reference;
use istiolab::images::registry::{About, Client, Mirror};
use istiolab::plan::event::Progress;
use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Registry, folder, image, index, layer};

/// The image of this digest in the store, to be shown under its name's repository and tag.
pub(crate) fn wanted(store: &Layout, name: &str, root: Digest) -> Wanted {
    let image: Reference = name.parse().expect("a reference");
    let tree = Tree::of_store(store, &image, &root).expect("it is in the store");
    let (repository, tag) = (image.mirrored_repository(), image.tag_or_default().to_owned());
    Wanted { image, from: Vec::new(), known: Known::Tree(tree), repository, name: tag }
}

/// A client with counters of its own.
pub(crate) fn anew(client: &Client) -> Client {
    Client::new(client.base().as_str()).expect("an address")
}

pub(crate) async fn copy(source: impl Content + 'static, target: Target, images: &[Wanted]) -> Result<Copied, Failure> {
    Copier::new(Arc::new(source), target).copy(images, &Progress::silent(), &CancellationToken::new()).await
}

async fn push(store: &Layout, registry: &Registry, images: &[Wanted]) -> Copied {
    copy(store.clone(), Target::Registry(anew(&registry.client)), images).await.expect("it is copied")
}

/// Three images of two platforms in a store. All share a layer for each platform.
fn three(store: &Layout) -> Vec<Wanted> {
    let names = ["x.test/a:1", "x.test/b:1", "y.test/deep/c:2"];
    let image_of = |name: &str| {
        let platforms = ["amd64", "arm64"].map(|platform| {
            let base = layer("base", 0o644, &platform.repeat(100_000).into_bytes());
            let own = layer("own", 0o644, format!("{name} {platform}").as_bytes());
            (platform, image(store, &json!({"Cmd": [name, platform]}), &[&base, &own]).0)
        });
        wanted(store, name, index(store, &platforms))
    };
    names.map(image_of).into()
}

/// The formula's numbers for these images.
struct Numbers {
    images: u64,
    manifests: u64,
    unique: u64,
    pairs: u64,
    blob_bytes: u64,
    manifest_bytes: u64,
}

impl Numbers {
    fn of(store: &Layout, images: &[Wanted]) -> Self {
        let (mut unique, mut pairs, mut manifests) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        for wanted in images {
            let Known::Tree(tree) = &wanted.known else { panic!("it is known") };
            for blob in tree.blobs() {
                unique.insert(blob.digest, blob.size);
                pairs.insert((blob.digest, &wanted.repository));
            }
            manifests.extend(tree.manifests.iter().map(|manifest| (manifest.digest, &wanted.repository)));
        }
        let length = |digest: &Digest| fs_err::metadata(store.path(digest)).expect("it is there").len();
        Self {
            images: images.len() as u64,
            manifests: manifests.len() as u64,
            unique: unique.len() as u64,
            pairs: pairs.len() as u64,
            blob_bytes: unique.values().sum(),
            manifest_bytes: manifests.iter().map(|(digest, _)| length(digest)).sum(),
        }
    }
}

/// Copies from one registry to another of the same program, cold, with known manifests, and warm.
async fn formula(source: Registry, target: Registry, again: Registry) {
    let (_dir, path) = folder();
    let store = Layout::open(path.join("store")).expect("a store");
    let images = three(&store);
    let n = Numbers::of(&store, &images);
    assert_eq!((n.images, n.manifests, n.unique, n.pairs), (3, 9, 2 + 3 * 2 * 2, 3 * 2 * 3));
    push(&store, &source, &images).await;

    let manifests = Layout::open(path.join("manifests")).expect("a store");
    let run = async |to: &Registry| {
        let (from, to) = (anew(&source.client), anew(&to.client));
        let copier = Copier::new(Arc::new(Mirror::new(from.clone(), "")), Target::Registry(to.clone()))
            .with_manifests(manifests.clone());
        let silent = (Progress::silent(), CancellationToken::new());
        let plan = copier.plan(&images, &silent.0, &silent.1).await.expect("it answers");
        assert_eq!(from.traffic().requests, 0, "a plan of what is locked asks the source for nothing");
        let to = anew(&to);
        let copier = Copier::new(Arc::new(Mirror::new(from.clone(), "")), Target::Registry(to.clone()))
            .with_manifests(manifests.clone());
        let done = copier.copy(&images, &silent.0, &silent.1).await.expect("it is copied");
        assert_eq!(plan.target_requests, to.traffic().requests, "the plan said so");
        assert_eq!(plan.source_requests, from.traffic().requests, "the plan said so");
        (done, from.traffic(), to.traffic())
    };

    let (done, from, to) = run(&target).await;
    assert_eq!((done.images, done.unchanged, done.blobs, done.mounted), (3, 0, n.unique, n.pairs - n.unique));
    assert_eq!(from.requests, n.manifests + n.unique);
    assert_eq!(from.count(&Method::GET, About::Blob), n.unique);
    assert_eq!(from.count(&Method::GET, About::Manifest), n.manifests);
    assert_eq!(from.received, n.blob_bytes + n.manifest_bytes);
    assert_eq!(to.requests, n.images + 2 * n.unique + (n.pairs - n.unique) + n.manifests);
    assert_eq!(to.count(&Method::HEAD, About::Manifest), n.images);
    assert_eq!(to.count(&Method::POST, About::Upload), n.pairs);
    assert_eq!(to.count(&Method::PUT, About::Upload), n.unique);
    assert_eq!(to.count(&Method::PUT, About::Manifest), n.manifests);
    assert_eq!(to.sent, n.blob_bytes + n.manifest_bytes);

    // The manifests are known now.
    let (done, from, to) = run(&again).await;
    assert_eq!((done.blobs, from.requests, from.received), (n.unique, n.unique, n.blob_bytes));
    assert_eq!(to.requests, n.images + 2 * n.unique + (n.pairs - n.unique) + n.manifests);

    let (done, from, to) = run(&target).await;
    assert_eq!((done.images, done.unchanged, done.bytes), (3, 3, 0));
    assert_eq!((from.requests, to.requests, to.sent), (0, n.images, 0));

    // What is shown there is byte for byte what was built.
    let mirror = Mirror::new(anew(&target.client), "");
    for wanted in &images {
        let Known::Tree(tree) = &wanted.known else { panic!("it is known") };
        let raw = mirror.manifest(&wanted.image, None).await.expect("it answers").expect("it is there");
        assert_eq!(raw.digest, *tree.root());
        assert_eq!(raw.bytes, store.read(tree.root()).expect("it is there"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_bytes_are_the_formulas_at_distribution() {
    let Some(source) = Registry::needed("formula").await else { return };
    let Some(target) = Registry::needed("formula").await else { return };
    let Some(again) = Registry::needed("formula").await else { return };
    formula(source, target, again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_bytes_are_the_formulas_at_debians_registry() {
    let Some(source) = Registry::debian("formula at Debian's").await else { return };
    let Some(target) = Registry::debian("formula at Debian's").await else { return };
    let Some(again) = Registry::debian("formula at Debian's").await else { return };
    formula(source, target, again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_image_takes_over_what_the_others_have() {
    let Some(registry) = Registry::needed("taking over").await else { return };
    let (_dir, path) = folder();
    let store = Layout::open(path).expect("a store");
    let base = layer("base", 0o644, &vec![1; 3 << 20]);
    let of = |name: &str, text: &str| {
        let own = layer("own", 0o644, text.as_bytes());
        wanted(&store, name, image(&store, &json!({"Cmd": [name, text]}), &[&base, &own]).0)
    };
    let mut images = vec![of("x.test/a:1", "a"), of("x.test/b:1", "b")];
    push(&store, &registry, &images).await;
    images.push(of("x.test/c:1", "c"));
    let third = push(&store, &registry, &images).await;
    assert_eq!((third.images, third.unchanged, third.blobs, third.mounted), (3, 2, 2, 1));
    // The same tag on another image: what its repository has already is not sent again.
    let moved = push(&store, &registry, &[of("x.test/a:1", "b")]).await;
    assert_eq!((moved.images, moved.unchanged, moved.mounted), (1, 0, 1));
    let Known::Tree(tree) = &of("x.test/a:1", "b").known.clone() else { panic!("it is known") };
    let there = registry.client.head_manifest("x.test/a", "1").await.expect("it answers");
    assert_eq!(there.as_ref(), Some(tree.root()));
    assert_eq!(registry.client.head_manifest("x.test/none", "1").await.expect("it answers"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_takes_what_a_registry_has_and_gets_back_what_it_lost() {
    let Some(registry) = Registry::needed("into a store").await else { return };
    let (_dir, path) = folder();
    let store = Layout::open(path.join("store")).expect("a store");
    let mut images = three(&store);
    push(&store, &registry, &images).await;
    let n = Numbers::of(&store, &images);
    // By name alone: what they are is found out.
    for image in &mut images {
        image.known = Known::Nothing;
        image.name = image.image.to_string();
    }
    let copy_of = Layout::open(path.join("copy")).expect("a store");
    let run = async || {
        let from = anew(&registry.client);
        let source = Mirror::new(from.clone(), "");
        let done = copy(source, Target::Store(copy_of.clone()), &images).await.expect("it is copied");
        (done, from.traffic())
    };
    let (done, from) = run().await;
    assert_eq!((done.images, done.blobs, done.bytes), (3, n.unique, n.blob_bytes));
    assert_eq!((from.requests, from.received), (n.manifests + n.unique, n.blob_bytes + n.manifest_bytes));
    let (done, from) = run().await;
    assert_eq!((done.unchanged, from.requests), (3, 3), "what the names mean is asked");
    let Known::Tree(tree) = three(&store).remove(0).known else { panic!("it is known") };
    let lost = tree.blobs().next().expect("it has one");
    copy_of.remove(&lost.digest).expect("removable");
    let (done, _) = run().await;
    assert_eq!((done.unchanged, done.blobs, done.bytes), (2, 1, lost.size));
    for name in copy_of.images().expect("an index").keys() {
        assert_eq!(copy_of.resolve(name).map(|found| found.digest), {
            let image: Reference = name.parse().expect("a reference");
            registry
                .client
                .head_manifest(&image.mirrored_repository(), image.tag_or_default())
                .await
                .expect("it answers")
        });
    }
}

/// A plan asks for images, not for blobs: each that a repository has already, of an image that is not among those
/// that are asked for, saves a request at both ends.
async fn planned_at_most(target: Registry) {
    let (_dir, path) = folder();
    let store = Layout::open(path).expect("a store");
    let (base, own) = (layer("base", 0o644, &[7; 5000]), layer("own", 0o644, b"own"));
    let old = wanted(&store, "x.test/a:1", image(&store, &json!({"Cmd": ["old"]}), &[&base]).0);
    let new = [wanted(&store, "x.test/a:2", image(&store, &json!({"Cmd": ["new"]}), &[&base, &own]).0)];
    push(&store, &target, &[old]).await;
    let to = anew(&target.client);
    let copier = Copier::new(Arc::new(store.clone()), Target::Registry(to.clone()));
    let (silent, cancel) = (Progress::silent(), CancellationToken::new());
    let plan = copier.plan(&new, &silent, &cancel).await.expect("it answers");
    assert_eq!((plan.blobs, plan.target_requests), (3, 1 + 2 * 3 + 1));
    let done = push(&store, &target, &new).await;
    assert_eq!((done.blobs, done.mounted, done.traffic.requests), (2, 1, plan.target_requests - 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_the_most_that_a_copy_takes() {
    let Some(target) = Registry::needed("plan").await else { return };
    planned_at_most(target).await;
    let Some(target) = Registry::debian("plan at Debian's").await else { return };
    planned_at_most(target).await;
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
    let images = [wanted(&store, "x.test/a:1", digest)];
    let target = || Target::Registry(registry.client.clone());
    let failure = copy(store.clone(), target(), &images).await.expect_err("damaged");
    let text = failure.to_string();
    assert!(text.contains(&blob.to_string()) && text.contains("damaged"), "{text}");
    assert!(text.contains(store.dir().as_str()) && text.contains("istiolab images verify"), "{text}");
    assert_eq!(registry.client.head_manifest("x.test/a", "1").await.expect("it answers"), None);
    fs_err::write(store.path(&blob), &bytes[..5000]).expect("writable");
    let failure = copy(store.clone(), target(), &images).await.expect_err("cut");
    assert!(failure.to_string().contains("another length"), "{failure}");
    // Mended, it goes.
    fs_err::write(store.path(&blob), &bytes).expect("writable");
    copy(store.clone(), target(), &images).await.expect("it is copied now");
    // Missing is told apart.
    let (digest, manifest) = image(&store, &json!({"Cmd": ["gone"]}), &[&bytes]);
    let images = [wanted(&store, "x.test/b:1", digest)];
    store.remove(&manifest.config.digest).expect("removable");
    let failure = copy(store.clone(), target(), &images).await.expect_err("missing");
    assert!(failure.to_string().contains(&format!("lacks the blob {}", manifest.config.digest)), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_stops_at_once_and_the_next_run_goes_on() {
    let Some(registry) = Registry::needed("interrupted copy").await else { return };
    let (_dir, path) = folder();
    let store = Layout::open(path).expect("a store");
    let layers: Vec<Vec<u8>> = (0..8).map(|n| layer("base", 0o644, &vec![n; 4 << 20])).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let images = [wanted(&store, "x.test/a:1", image(&store, &json!({}), &layers).0)];
    let (cancel, client) = (CancellationToken::new(), registry.client.clone());
    let copier = Copier::new(Arc::new(store.clone()), Target::Registry(client.clone()));
    let stop = cancel.clone();
    tokio::spawn(async move {
        while client.traffic().sent == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        stop.cancel();
    });
    if let Err(failure) = copier.copy(&images, &Progress::silent(), &cancel).await {
        assert_eq!(failure.kind, Kind::Interrupted);
        assert_eq!(registry.client.head_manifest("x.test/a", "1").await.expect("it answers"), None);
    }
    push(&store, &registry, &images).await;
    assert_eq!(push(&store, &registry, &images).await.unchanged, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_without_all_its_platforms_is_refused_with_what_to_do() {
    let Some(registry) = Registry::debian("sparse index").await else { return };
    let (_dir, path) = folder();
    let store = Layout::open(path).expect("a store");
    let platforms =
        ["amd64", "arm64"].map(|name| (name, image(&store, &json!({}), &[&layer("own", 0o644, name.as_bytes())]).0));
    let mut sparse = wanted(&store, "x.test/a:1", index(&store, &platforms));
    let Known::Tree(tree) = &mut sparse.known else { panic!("it is known") };
    tree.manifests.remove(0);
    let failure = copy(store.clone(), Target::Registry(registry.client.clone()), &[sparse]).await.expect_err("sparse");
    let text = failure.to_string();
    assert!(text.contains("x.test/a:1 has 2 manifests, of which 1 are to be copied"), "{text}");
    assert!(text.contains("--flatten"), "{text}");
    assert_eq!(failure.kind, Kind::Refused);
}
