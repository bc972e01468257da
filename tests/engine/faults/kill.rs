//! The program killed at random points, and run again.

use std::io::Write as _;
use std::time::Duration;

use camino::Utf8Path;
use istiolab::images::copy::{Known, Target, Wanted};
use istiolab::images::digest::Digest;
use istiolab::images::layout::{CONFIG, Descriptor, LAYER as PLAIN, Layout, MANIFEST};
use istiolab::images::lock::{Entry, Lock, Platform, file};
use istiolab::images::registry::Client;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::proxy::Proxy;
use super::rand;
use crate::copy::{anew, copy, wanted};
use crate::fixture::{Registry, folder, image, layer};

const KILLS: u64 = 20;
const IMAGES: u8 = 2;
const LAYERS: u8 = 4;
/// Larger than what sockets hold: that arrives even after a kill.
const LAYER: usize = 12 << 20;

/// Images of several layers in a store, which has their names.
fn fill(store: &Layout) -> (Vec<Wanted>, u64) {
    let mut bytes = 0;
    let all = (0..IMAGES).map(|number| {
        let layers: Vec<Vec<u8>> = (0..LAYERS)
            .map(|layer_number| layer("data", 0o644, &vec![number * LAYERS + layer_number + 1; LAYER]))
            .collect();
        bytes += layers.iter().map(|layer| layer.len() as u64).sum::<u64>();
        let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
        let (digest, manifest) = image(store, &json!({"Cmd": [number]}), &layers);
        let name = format!("x.test/image{number}:1");
        let size = fs_err::metadata(store.path(&digest)).expect("it is there").len();
        store.name(&[(name.clone(), Descriptor::new(&manifest.media_type, digest, size))]).expect("named");
        wanted(store, &name, digest)
    });
    (all.collect(), bytes)
}

/// Runs `istiolab images` with these words in a home of its own; killed when `until` says so.
async fn run(home: &Utf8Path, words: &[String], until: impl Fn() -> bool) -> bool {
    let cancel = CancellationToken::new();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let command = crate::fixture::images(home, &words);
    let child = cancel.clone();
    // The program is killed outright when its run is cancelled.
    let mut running = tokio::spawn(async move { command.run(&child).await });
    loop {
        tokio::select! {
            ended = &mut running => {
                return match ended.expect("no panic") {
                    Ok(_) => true,
                    Err(istiolab::process::Error::Cancelled { .. }) => false,
                    Err(error) => panic!("{error}"),
                };
            }
            () = tokio::time::sleep(Duration::from_millis(1)) => if until() { cancel.cancel() },
        }
    }
}

/// A line for whoever reads the log: the test harness would keep it to itself.
fn told(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("standard error is open");
}

fn words(verb: &[&str], images: &[Wanted]) -> Vec<String> {
    verb.iter().map(|word| (*word).to_owned()).chain(images.iter().map(|wanted| wanted.image.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_was_killed_goes_on_within_blobs() {
    let Some(target) = Registry::needed("killed mirror").await else { return };
    let (kills, again) = killed(target).await;
    // This registry says how much of an upload arrived: what goes twice is manifests and, of each upload
    // that was cut, what lay in the buffers of 32 KiB between the proxy's count and the registry's disk.
    let uploads = kills * u64::from(IMAGES) * u64::from(LAYERS);
    // Where it tells a length while it still writes, what goes on there is spoilt, and goes again as a whole. That
    // is rare; one that does not go on at all sends half of everything again and more.
    let spoilt = 2 * LAYER as u64;
    assert!(again < uploads * (64 << 10) + spoilt, "{again} bytes after {kills} kills");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_was_killed_goes_on_with_the_next_blob_at_debians_registry() {
    let Some(target) = Registry::debian("killed mirror at Debian's").await else { return };
    let (kills, again) = killed(target).await;
    // This one can't go on with an upload that was cut: what was under way goes again.
    let blobs = u64::from(IMAGES) * u64::from(LAYERS);
    assert!(again <= kills * blobs * LAYER as u64, "{again} bytes after {kills} kills");
}

/// Mirrors into `target`, killed at up to twenty points; how often it was, and how many bytes went twice.
async fn killed(target: Registry) -> (u64, u64) {
    let (_dir, dir) = folder();
    let store = Layout::open(dir.join("store")).expect("a store");
    let (images, bytes) = fill(&store);
    let proxy = Proxy::before(&target.client);
    let words = words(&["mirror", "--to", proxy.address(), "--from", store.dir().as_str()], &images);
    let mut kills = 0;
    for _ in 0..KILLS {
        let at = proxy.sent() + 1 + rand() % (bytes / 24);
        let ended = run(&dir, &words, || proxy.sent() >= at).await;
        kills += u64::from(!ended);
        // What is shown is whole, always.
        for wanted in &images {
            let there = target.client.head_manifest(&wanted.repository, "1").await.expect("it answers");
            if there.is_some() {
                whole(&target.client, &store, wanted).await;
            }
        }
    }
    assert!(run(&dir, &words, || false).await);
    for wanted in &images {
        whole(&target.client, &store, wanted).await;
    }
    let again = proxy.sent().saturating_sub(bytes);
    told(&format!("killed {kills} times: {bytes} bytes, {again} of them sent again"));
    (kills, again)
}

async fn whole(client: &Client, store: &Layout, wanted: &Wanted) {
    let Known::Tree(tree) = &wanted.known else { panic!("it is known") };
    let there = client.head_manifest(&wanted.repository, "1").await.expect("it answers");
    assert_eq!(there.as_ref(), Some(tree.root()));
    for blob in tree.blobs() {
        assert!(store.has_whole(blob));
        assert!(client.head_blob(&wanted.repository, &blob.digest).await.expect("it answers"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_was_killed_twenty_times_fetches_little_twice() {
    let Some(source) = Registry::needed("killed pull").await else { return };
    let (_dir, dir) = folder();
    let store = Layout::open(dir.join("store")).expect("a store");
    let (images, bytes) = fill(&store);
    let target = Target::Registry(anew(&source.client));
    copy(store.clone(), target, &images).await.expect("it is filled");
    let proxy = Proxy::before(&source.client);
    let words = words(&["pull", "--from", proxy.address()], &images);
    let mut kills = 0;
    for _ in 0..KILLS {
        let at = proxy.received() + 1 + rand() % (bytes / 24);
        kills += u64::from(!run(&dir, &words, || proxy.received() >= at).await);
    }
    assert!(run(&dir, &words, || false).await);
    let pulled = Layout::open(dir.join("cache/images")).expect("a store");
    assert_eq!(pulled.images().expect("an index").len(), images.len());
    for wanted in &images {
        let Known::Tree(tree) = &wanted.known else { panic!("it is known") };
        for blob in tree.blobs() {
            pulled.verify(&blob.digest).expect("it is whole");
        }
    }
    let again = proxy.received().saturating_sub(bytes);
    told(&format!("killed {kills} times: {bytes} bytes, {again} of them fetched again"));
    // What lay in sockets between the registry and the disk.
    assert!(again <= kills * u64::from(IMAGES) * u64::from(LAYERS) * (1 << 20), "{again} bytes after {kills} kills");
}

/// What a lock says of the images, which are of one platform and in the store.
fn locked(store: &Layout, images: &[Wanted]) -> Lock {
    let entries = images.iter().map(|wanted| {
        let Known::Tree(tree) = &wanted.known else { panic!("it is known") };
        let size = fs_err::metadata(store.path(tree.root())).expect("it is there").len();
        let manifest = Descriptor::new(MANIFEST, *tree.root(), size);
        let mut blobs = tree.blobs().cloned();
        let config = Descriptor { media_type: CONFIG.to_owned(), ..blobs.next().expect("it has one") };
        let layers = blobs.map(|blob| Descriptor { media_type: PLAIN.to_owned(), ..blob }).collect();
        let platform = Platform { manifest: manifest.clone(), config, layers };
        let platforms = [("linux/amd64".to_owned(), platform)].into();
        (wanted.image.clone(), Entry { root: Some(manifest), platforms, ..Entry::default() })
    });
    Lock { images: entries.collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_was_killed_twenty_times_is_the_same_in_the_end() {
    let Some(source) = Registry::needed("killed bundle").await else { return };
    let (_dir, dir) = folder();
    let store = Layout::open(dir.join("store")).expect("a store");
    let (images, bytes) = fill(&store);
    copy(store.clone(), Target::Registry(anew(&source.client)), &images).await.expect("it is filled");
    let lock = dir.join("images.lock");
    fs_err::write(&lock, file::text(&locked(&store, &images)).expect("it can be written")).expect("writable");
    let proxy = Proxy::before(&source.client);
    let words = |to: &str, from: &str| {
        ["bundle", dir.join(to).as_str(), "--lock", lock.as_str(), "--from", from].map(str::to_owned)
    };
    // Without the network's noise, from the layout itself.
    assert!(run(&dir, &words("whole.tar", store.dir().as_str()), || false).await);
    let words = words("killed.tar", proxy.address());
    let mut kills = 0;
    for _ in 0..KILLS {
        let at = proxy.received() + 1 + rand() % (bytes / 8);
        kills += u64::from(!run(&dir, &words, || proxy.received() >= at).await);
        // What has the bundle's name is whole, always.
        assert!(kills > 0 || dir.join("killed.tar").is_file());
    }
    assert!(run(&dir, &words, || false).await);
    let digest =
        |name: &str| Digest::of_reader(fs_err::File::open(dir.join(name)).expect("it is there")).expect("read");
    assert_eq!(digest("killed.tar"), digest("whole.tar"));
    assert!(!dir.join("killed.tar.part").exists());
    let again = proxy.received().saturating_sub(bytes);
    told(&format!("a bundle killed {kills} times: {bytes} bytes, {again} of them fetched again"));
}
