//! Signatures and the like, which refer to images: between registries that list them and such that do not.

use std::sync::Arc;

use istiolab::images::copy::{Copied, Copier, Target, Wanted};
use istiolab::images::digest::Digest;
use istiolab::images::layout::{Descriptor, Layout, MANIFEST};
use istiolab::images::registry::{Mirror, Referrers};
use istiolab::plan::event::Progress;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::copy::{anew, copy, wanted};
use crate::fixture::{Registry, folder, image, index, layer};

const REPOSITORY: &str = "x.test/a";

/// Puts something into the store that refers to `subject`, and returns it with its descriptor.
fn referring(store: &Layout, subject: &Descriptor, text: &str) -> (Wanted, Descriptor, Value) {
    let put = |kind: &str, bytes: &[u8]| {
        let (digest, size) = store.put(bytes).expect("there is room");
        Descriptor::new(kind, digest, size)
    };
    let kind = "application/vnd.example.signature";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
        "config": put("application/vnd.oci.empty.v1+json", b"{}"), "layers": [put(kind, text.as_bytes())],
        "subject": subject,
    });
    let own = put(MANIFEST, manifest.to_string().as_bytes());
    let mut listed = serde_json::to_value(&own).expect("JSON");
    listed["artifactType"] = json!(kind);
    let mut copied = wanted(store, "x.test/a:1", own.digest);
    copied.name = own.digest.to_string();
    (copied, own, listed)
}

async fn with_referrers(from: &Registry, to: &Registry, image: &Wanted) -> Copied {
    let source = Mirror::new(anew(&from.client), "");
    let engine = Copier::new(Arc::new(source), Target::Registry(anew(&to.client))).with_referrers();
    let (silent, cancel) = (Progress::silent(), CancellationToken::new());
    let images = std::slice::from_ref(image);
    let plan = engine.plan(images, &silent, &cancel).await.expect("it answers");
    let copied = engine.copy(images, &silent, &cancel).await.expect("it is copied");
    assert_eq!((plan.images, plan.referrers, plan.blobs), (copied.images, copied.referrers, copied.blobs));
    copied
}

async fn digests(registry: &Registry, subject: &Digest) -> (bool, Vec<String>) {
    let found = registry.client.referrers(REPOSITORY, subject).await.expect("it answers");
    let kept = matches!(found, Referrers::Kept(_));
    let mut all: Vec<String> =
        found.into_descriptors().iter().map(|one| one["digest"].as_str().expect("a digest").to_owned()).collect();
    all.sort();
    (kept, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_an_image_goes_with_it() {
    let Some(source) = Registry::needed("referrers").await else { return };
    let Some(tagging) = Registry::debian("referrers").await else { return };
    let Some(listing) = Registry::listing("referrers").await else { return };
    let (_dir, dir) = folder();
    let store = Layout::open(dir.join("store")).expect("a store");
    let (platform, _) = image(&store, &json!({}), &[&layer("own", 0o644, b"own")]);
    let root = index(&store, &[("amd64", platform)]);
    let descriptor = |digest: Digest| {
        Descriptor::new(MANIFEST, digest, fs_err::metadata(store.path(&digest)).expect("it is there").len())
    };
    let app = wanted(&store, "x.test/a:1", root);
    let (signature, signed, listed) = referring(&store, &descriptor(root), "signature");
    let (list, _, contents) = referring(&store, &descriptor(platform), "bill of materials");
    let (second, _, over) = referring(&store, &signed, "a signature of the signature");
    let all = [app.clone(), signature, list, second];
    copy(store.clone(), Target::Registry(anew(&source.client)), &all).await.expect("it is filled");
    for (subject, new) in [(root, &listed), (platform, &contents), (signed.digest, &over)] {
        source.client.add_referrers(REPOSITORY, &subject, std::slice::from_ref(new)).await.expect("it is taken");
    }

    // Without being asked for they stay.
    let source_only = Mirror::new(anew(&source.client), "");
    let plain = copy(source_only, Target::Registry(anew(&tagging.client)), std::slice::from_ref(&app)).await;
    assert_eq!(plain.expect("it is copied").referrers, 0);
    assert_eq!(digests(&tagging, &root).await, (false, Vec::new()));

    // From one that has no list of its own to another such, to one that has, and back.
    let again = Registry::debian("referrers").await.expect("it was there before");
    for (from, to, kept) in [(&source, &tagging, false), (&source, &listing, true), (&listing, &again, false)] {
        let copied = with_referrers(from, to, &app).await;
        assert_eq!((copied.images, copied.referrers), (1, 3));
        for (subject, new) in [(root, &listed), (platform, &contents), (signed.digest, &over)] {
            let expected = vec![new["digest"].as_str().expect("a digest").to_owned()];
            assert_eq!(digests(to, &subject).await, (kept, expected));
        }
        let copied = with_referrers(from, to, &app).await;
        assert_eq!((copied.unchanged, copied.referrers, copied.blobs), (1, 3, 0));
    }
}
