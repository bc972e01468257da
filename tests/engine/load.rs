//! Images from the store into a real engine.

use bollard::query_parameters::RemoveImageOptions;
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
