//! The engine's own images as a source, and the engine as a target.

use bollard::query_parameters::RemoveImageOptions;
use istiolab::images::content::Content as _;
use istiolab::images::engine;
use istiolab::images::layout::{Descriptor, INDEX, Layout};
use istiolab::images::reference::Reference;
use istiolab::images::registry::Mirror;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Registry, docker, folder, image, images, index, layer, needed};

#[tokio::test(flavor = "multi_thread")]
async fn images_go_into_the_engine_and_out_of_it() {
    let Some(docker) = needed("engine as a store", docker().await) else { return };
    let Some(registry) = Registry::needed("engine as a store").await else { return };
    let (_dir, home) = folder();
    let layout = Layout::open(home.join("layout")).expect("a layout");
    let name = format!("istiolab.local/test-engine:{}", std::process::id());
    let platforms = ["amd64", "arm64"].map(|platform| {
        let own = layer("own", 0o644, platform.as_bytes());
        (platform, image(&layout, &json!({"Cmd": [platform]}), &[&own, &layer("both", 0o644, b"both")]))
    });
    let root = index(&layout, &[("amd64", platforms[0].1.0), ("arm64", platforms[1].1.0)]);
    let size = fs_err::metadata(layout.path(&root)).expect("it is there").len();
    layout.name(&[(name.clone(), Descriptor::new(INDEX, root, size))]).expect("named");
    let run = async |words: &[&str]| {
        let output = images(&home, words).run(&CancellationToken::new()).await;
        output.unwrap_or_else(|error| panic!("{error}")).stdout
    };

    let into = ["mirror", &name, "--from", layout.dir().as_str(), "--to", "docker-daemon:"];
    let told = run(&into).await;
    assert!(told.contains("loaded into the engine: 1 image\n"), "{told}");
    let own = usize::from(engine::platform(&docker).await.expect("it answers") == "linux/arm64");
    let manifest = &platforms[own].1.1;
    let id = engine::id(&docker, &name).await.expect("it answers").expect("it is there");
    assert!([manifest.config.digest, platforms[own].1.0].map(|digest| digest.to_string()).contains(&id), "{id}");
    let told = run(&into).await;
    assert!(told.contains("loaded into the engine: 0 images\n"), "{told}");

    let out = ["mirror", &name, "--from", "docker-daemon:", "--to", &registry.host()];
    let told = run(&out).await;
    assert!(told.contains("moved: 3 blobs"), "{told}");
    let mirror = Mirror::new(registry.client.clone(), "");
    let reference: Reference = name.parse().expect("a reference");
    let raw = mirror.manifest(&reference, None).await.expect("it answers").expect("it is there");
    let text = String::from_utf8(raw.bytes.to_vec()).expect("text");
    for blob in manifest.blobs() {
        assert!(text.contains(&blob.digest.to_string()), "{} of {text}", blob.digest);
    }
    // Without a rate that was given or measured there is no time in a plan.
    let told = run(&["plan", &name, "--from", "docker-daemon:", "--to", &registry.host()]).await;
    assert!(!told.contains("time:"), "{told}");
    let rates = json!({format!("the container engine at {} -> the image store at {home}/cache/images", engine::host()): 1_500_000});
    fs_err::write(home.join("state/rates.json"), rates.to_string()).expect("writable");
    let told = run(&["plan", &name, "--from", "docker-daemon:"]).await;
    assert!(told.contains("time: about 0s, at the 1.5 MB/s of the last copy between them"), "{told}");
    let told = run(&["pull", &name, "--from", "docker-daemon:"]).await;
    assert!(told.contains("1 image at the image store"), "{told}");
    let left = fs_err::read_dir(home.join("cache/work")).expect("a folder").count();
    assert_eq!(left, 0, "what the engine gave out is not kept twice");

    docker.remove_image(&name, None::<RemoveImageOptions>, None).await.expect("removable");
    let gone = images(&home, &out).run(&CancellationToken::new()).await.expect_err("it is gone");
    let text = gone.to_string();
    assert!(text.contains(&format!("the container engine at {} has no {name}", engine::host())), "{text}");
}
