//! Some platforms of images, without a lock.

use std::sync::Arc;

use istiolab::images::copy::{Choice, Copier, Known, Target, Wanted};
use istiolab::images::digest::Digest;
use istiolab::images::layout::Layout;
use istiolab::images::registry::Mirror;
use istiolab::plan::event::Progress;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::copy::{anew, copy, wanted};
use crate::fixture::{Registry, folder, image, index, layer};

#[tokio::test(flavor = "multi_thread")]
async fn one_platform_is_taken_of_an_index_that_stays_as_it_is() {
    let Some(source) = Registry::needed("platform").await else { return };
    let Some(target) = Registry::debian("platform").await else { return };
    let (_dir, dir) = folder();
    let store = Layout::open(dir.join("store")).expect("a store");
    let platforms = ["amd64", "arm64"]
        .map(|name| (name, image(&store, &json!({"Cmd": [name]}), &[&layer("own", 0o644, name.as_bytes())]).0));
    let root = index(&store, &platforms);
    let mut named = wanted(&store, "x.test/a:1", root);
    copy(store.clone(), Target::Registry(anew(&source.client)), std::slice::from_ref(&named)).await.expect("filled");
    named.known = Known::Nothing;

    let run = async |target: Target, choice: Choice, wanted: &Wanted| {
        let from = anew(&source.client);
        let engine = Copier::new(Arc::new(Mirror::new(from.clone(), "")), target).with_choice(choice);
        let copied = engine.copy(std::slice::from_ref(wanted), &Progress::silent(), &CancellationToken::new()).await;
        copied.map(|copied| (copied, from.traffic().requests))
    };
    let only = |name: &str| Choice::Only(vec![name.to_owned()]);
    let pulled = Layout::open(dir.join("pulled")).expect("a store");
    let whole_name = Wanted { name: "x.test/a:1".to_owned(), ..named.clone() };
    let into = || Target::Store(pulled.clone());
    let (copied, requests) = run(into(), only("linux/arm64"), &whole_name).await.expect("it is pulled");
    assert_eq!((copied.images, copied.blobs), (1, 2));
    assert_eq!(requests, 2 + 2, "the index, one manifest, two blobs");
    assert_eq!(pulled.resolve("x.test/a:1").map(|found| found.digest), Some(root));
    assert!(!pulled.has(&platforms[0].1) && pulled.has(&platforms[1].1));
    let (copied, _) = run(into(), only("linux/arm64"), &whole_name).await.expect("it is there");
    assert_eq!(copied.unchanged, 1);

    // Debian's registry takes no index without all it names, but the platform alone.
    let into = || Target::Registry(anew(&target.client));
    let failure = run(into(), only("linux/amd64"), &named).await.expect_err("sparse");
    assert!(failure.to_string().contains("--flatten"), "{failure}");
    let flat = Choice::Flat("linux/amd64".to_owned());
    run(into(), flat.clone(), &named).await.expect("it is taken");
    let there: Option<Digest> = target.client.head_manifest(&named.repository, "1").await.expect("it answers");
    assert_eq!(there, Some(platforms[0].1));
    assert_eq!(run(into(), flat, &named).await.expect("it is there").0.unchanged, 1);

    let failure = run(into(), only("linux/s390x"), &named).await.expect_err("there is none");
    assert!(
        failure.to_string().contains("it is not there for linux/s390x; it is for linux/amd64, linux/arm64"),
        "{failure}"
    );
}
