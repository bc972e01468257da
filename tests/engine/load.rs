//! Images from the store into a real engine.

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptions, RemoveImageOptions};
use istiolab::images::digest::Digest;
use istiolab::images::engine;
use istiolab::images::layout::Layout;
use istiolab::plan::event::Progress;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fixture::{docker, folder, image, layer, needed};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_loaded_once_under_its_full_name() {
    let Some(docker) = needed("load", docker().await) else { return };
    let (_dir, path) = folder();
    let store = Layout::open(path).expect("a store");
    let name = format!("istiolab.local/test-load:{}", std::process::id());
    let (digest, manifest) =
        image(&store, &json!({"Cmd": ["/a"]}), &[&layer("a", 0o755, b"a"), &layer("b", 0o644, b"b")]);
    let (progress, cancel) = (Progress::silent(), CancellationToken::new());
    assert!(!engine::has(&docker, &store, &digest, &name).await.expect("it answers"));
    assert!(engine::load(&docker, &store, &digest, &name, &progress, &cancel).await.expect("it is loaded"));
    assert!(engine::has(&docker, &store, &digest, &name).await.expect("it answers"));
    assert!(!engine::load(&docker, &store, &digest, &name, &progress, &cancel).await.expect("nothing to do"));
    // The name moves to another image.
    let (other, _) = image(&store, &json!({"Cmd": ["/b"]}), &[&layer("a", 0o755, b"a")]);
    assert!(!engine::has(&docker, &store, &other, &name).await.expect("it answers"));
    assert!(engine::load(&docker, &store, &other, &name, &progress, &cancel).await.expect("it is loaded"));
    let first = manifest.config.digest.to_string();
    for image in [&name, &first] {
        docker.remove_image(image, None::<RemoveImageOptions>, None).await.expect("removable");
    }
    let id = engine::id(&docker, &name).await.expect("it answers");
    assert_eq!(id, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_ours_goes_when_another_has_its_name_and_no_container_needs_it() {
    let Some(docker) = needed("outlived", docker().await) else { return };
    let (_dir, path) = folder();
    let store = Layout::open(path).expect("a store");
    let name = format!("istiolab.local/test-outlived:{}", std::process::id());
    let container = format!("istiolab-test-outlived-{}", std::process::id());
    let versions: Vec<(Digest, String)> = ["1", "2", "3"]
        .iter()
        .map(|version| {
            let config = json!({"Cmd": ["/a"], "Labels": {engine::PART: "test", "version": version}});
            let (digest, manifest) = image(&store, &config, &[&layer("a", 0o755, b"a")]);
            (digest, manifest.config.digest.to_string())
        })
        .collect();
    let load = async |version: &(Digest, String)| {
        let (progress, cancel) = (Progress::silent(), CancellationToken::new());
        assert!(engine::load(&docker, &store, &version.0, &name, &progress, &cancel).await.expect("it is loaded"));
    };
    let there = async |version: &(Digest, String)| engine::id(&docker, &version.1).await.expect("it answers").is_some();

    load(&versions[0]).await;
    let body = ContainerCreateBody { image: Some(name.clone()), ..ContainerCreateBody::default() };
    let options = CreateContainerOptionsBuilder::default().name(&container).build();
    docker.create_container(Some(options), body).await.expect("it is made");
    load(&versions[1]).await;
    assert!(there(&versions[0]).await, "a container is of it");
    assert!(!engine::outlived(&docker, &versions[1].1).await.expect("it answers"), "it has its name");
    load(&versions[2]).await;
    assert!(!there(&versions[1]).await, "nobody needs it");
    docker.remove_container(&container, None::<RemoveContainerOptions>).await.expect("removable");
    assert!(engine::outlived(&docker, &versions[0].1).await.expect("it answers"));
    assert!(!there(&versions[0]).await && !engine::outlived(&docker, &versions[0].1).await.expect("it is gone"));
    docker.remove_image(&name, None::<RemoveImageOptions>, None).await.expect("removable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_layer_is_named_and_nothing_is_loaded() {
    let Some(docker) = needed("damaged load", docker().await) else { return };
    let (_dir, path) = folder();
    let store = Layout::open(path).expect("a store");
    let name = format!("istiolab.local/test-damaged:{}", std::process::id());
    let (digest, manifest) = image(&store, &json!({}), &[&layer("a", 0o755, &vec![7; 1 << 20])]);
    let blob = manifest.layers[0].digest;
    let mut bytes = fs_err::read(store.path(&blob)).expect("there");
    bytes[600_000] ^= 1;
    fs_err::write(store.path(&blob), bytes).expect("writable");
    let failure = engine::load(&docker, &store, &digest, &name, &Progress::silent(), &CancellationToken::new()).await;
    let text = failure.expect_err("damaged").to_string();
    assert!(text.contains(&blob.to_string()) && text.contains("damaged"), "{text}");
    assert_eq!(engine::id(&docker, &name).await.expect("it answers"), None);
}
