//! Images into a registry and into the engine: how much crosses the wire, and that nothing damaged does.

use bollard::query_parameters::RemoveImageOptions;
use istiolab::error::Kind;
use istiolab::images::engine;
use istiolab::images::push::{Session, Target};
use istiolab::plan::event::Progress;

use crate::fixture::{lab, store};

fn target(digest: istiolab::images::digest::Digest, repository: &str) -> Target {
    Target { digest, repository: format!("istiolab.local/{repository}"), tag: "1".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_layers_cross_once_and_a_second_push_asks_once_an_image() {
    let Some(lab) = lab("push").await else { return };
    let store = store();
    let base = store.layer("base", 3_000_000);
    let targets: Vec<Target> = (0..4)
        .map(|number| {
            let own = store.layer(&format!("own {number}"), 200_000);
            target(store.image(&number.to_string(), &[base.clone(), own]), &format!("app-{number}"))
        })
        .collect();
    let client = lab.client().await;
    let cold = Session::new(store.layout.clone(), client.clone());
    let pushed = cold.push_all(&targets, &Progress::silent(), &lab.cancel).await.expect("they are pushed");
    // Four configurations, four layers of their own, one that all share; the shared one is mounted by three.
    assert_eq!((pushed.images, pushed.unchanged, pushed.blobs, pushed.mounted), (4, 0, 9, 3), "{pushed:?}");
    assert!(pushed.traffic.sent < 3_000_000 + 4 * 200_000 + 100_000, "{pushed:?}");
    for target in &targets {
        let there = client.head_manifest(&target.repository, &target.tag).await.expect("it answers");
        assert_eq!(there, Some(target.digest), "{}", target.repository);
    }
    // As another run would, with a client that has counted nothing.
    let warm = Session::new(store.layout.clone(), lab.client().await);
    let again = warm.push_all(&targets, &Progress::silent(), &lab.cancel).await.expect("they are there");
    assert_eq!((again.images, again.unchanged, again.blobs), (0, 4, 0), "{again:?}");
    assert_eq!((again.traffic.requests, again.traffic.sent), (4, 0), "{again:?}");
    lab.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_layer_is_found_and_never_shown() {
    let Some(lab) = lab("damaged").await else { return };
    let store = store();
    let layer = store.layer("to be damaged", 500_000);
    let target = target(store.image("damaged", std::slice::from_ref(&layer)), "damaged");
    store.damage(&layer.digest);
    let client = lab.client().await;
    let session = Session::new(store.layout.clone(), client.clone());
    let failure = session.push(&target, &lab.cancel).await.expect_err("its digest is wrong");
    assert!(failure.to_string().contains(&layer.digest.hex()), "{failure}");
    let there = client.head_manifest(&target.repository, &target.tag).await.expect("it answers");
    assert_eq!(there, None, "the image must not be there");
    lab.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_gone_is_named() {
    let Some(lab) = lab("gone").await else { return };
    let store = store();
    let target = target(store.image("gone", &[store.layer("gone", 1000)]), "gone");
    let client = lab.client().await;
    let address = client.base().to_string();
    let session = Session::new(store.layout.clone(), client);
    lab.clean().await;
    let failure =
        session.push(&target, &tokio_util::sync::CancellationToken::new()).await.expect_err("nobody is there");
    assert_eq!(failure.kind, Kind::Unavailable);
    assert!(failure.to_string().contains(&address), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_gets_an_image_once_and_by_its_digest() {
    let Some(lab) = lab("load").await else { return };
    let store = store();
    let name = format!("istiolab.local/{}:1", lab.name);
    let image = store.image("load", &[store.layer("load", 100_000)]);
    let load = async || engine::load(&lab.docker, &store.layout, &image, &name, &Progress::silent(), &lab.cancel).await;
    assert!(load().await.expect("it is taken"), "it was not there");
    assert!(!load().await.expect("it is there"), "it is there now");
    assert!(engine::has(&lab.docker, &store.layout, &image, &name).await.expect("it answers"));
    // Another image under the same name is not taken for it.
    let other = store.image("other", &[store.layer("other", 1000)]);
    assert!(!engine::has(&lab.docker, &store.layout, &other, &name).await.expect("it answers"));
    lab.docker.remove_image(&name, None::<RemoveImageOptions>, None).await.expect("it goes");
    lab.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_is_not_given_a_damaged_image() {
    let Some(lab) = lab("load_damaged").await else { return };
    let store = store();
    let name = format!("istiolab.local/{}:1", lab.name);
    let layer = store.layer("damaged", 100_000);
    let image = store.image("damaged", std::slice::from_ref(&layer));
    store.damage(&layer.digest);
    let loaded = engine::load(&lab.docker, &store.layout, &image, &name, &Progress::silent(), &lab.cancel).await;
    let failure = loaded.expect_err("its digest is wrong");
    assert!(failure.to_string().contains(&layer.digest.hex()), "{failure}");
    assert_eq!(engine::id(&lab.docker, &name).await.expect("it answers"), None);
    lab.clean().await;
}
