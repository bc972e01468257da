//! Locks of images that real registries have: what is resolved, what is refused, and what is noticed
//! when tags move.

use istiolab::error::Kind;
use istiolab::images::digest::Digest;
use istiolab::images::layout::{CONFIG, Descriptor, INDEX, LAYER, MANIFEST};
use istiolab::images::lock::check::{self, Fault};
use istiolab::images::lock::resolve::{Resolved, Wish, resolve};
use istiolab::images::lock::{Entry, Lock, Place, References};
use istiolab::images::reference::Reference;
use istiolab::images::registry::{Access, Upstreams};
use serde_json::{Value, json};

use crate::fixture::Registry;

/// A registry and what asks it.
struct Upstream {
    registry: Registry,
    http: reqwest::Client,
    asked: Upstreams,
}

impl Upstream {
    async fn needed(test: &str) -> Option<Self> {
        let registry = Registry::needed(test).await?;
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Some(Self { registry, http, asked: Upstreams::new(Access::default()) })
    }

    fn host(&self) -> String {
        let base = self.registry.client.base();
        format!("{}:{}", base.host_str().expect("a host"), base.port().expect("a port"))
    }

    fn name(&self, rest: &str) -> Reference {
        format!("{}/{rest}", self.host()).parse().expect("a reference")
    }

    fn url(&self, rest: &str) -> String {
        format!("http://{}/v2/{rest}", self.host())
    }

    async fn blob(&self, repository: &str, kind: &str, bytes: &[u8]) -> Descriptor {
        let digest = Digest::of(bytes);
        let begun = self.http.post(self.url(&format!("{repository}/blobs/uploads/"))).send().await.expect("it answers");
        let location = begun.headers()["location"].to_str().expect("text").to_owned();
        let mut url = self.registry.client.base().join(&location).expect("an address");
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let put = self.http.put(url).body(bytes.to_vec()).send().await.expect("it answers");
        assert_eq!(put.status().as_u16(), 201);
        Descriptor::new(kind, digest, bytes.len() as u64)
    }

    async fn manifest(&self, repository: &str, name: &str, document: &Value) -> Descriptor {
        let bytes = serde_json::to_vec_pretty(document).expect("JSON");
        let kind = document["mediaType"].as_str().expect("text");
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        let name = if name.is_empty() { digest.to_string() } else { name.to_owned() };
        let put = self.http.put(self.url(&format!("{repository}/manifests/{name}"))).header("content-type", kind);
        let put = put.body(bytes).send().await.expect("it answers");
        assert_eq!(put.status().as_u16(), 201, "{}", put.text().await.unwrap_or_default());
        Descriptor::new(kind, digest, size)
    }

    /// An image of one layer for a platform; `tag` may be empty.
    async fn image(&self, repository: &str, tag: &str, architecture: &str, content: &str) -> Descriptor {
        let config = json!({"os": "linux", "architecture": architecture, "content": content});
        let config = self.blob(repository, CONFIG, config.to_string().as_bytes()).await;
        let layer = self.blob(repository, LAYER, content.as_bytes()).await;
        let document = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        self.manifest(repository, tag, &document).await
    }

    /// An image for two platforms.
    async fn index(&self, repository: &str, tag: &str, content: &str) -> Descriptor {
        let mut manifests = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let image = self.image(repository, "", architecture, &format!("{content} {architecture}")).await;
            let mut image = serde_json::to_value(image).expect("JSON");
            image["platform"] = json!({"os": "linux", "architecture": architecture});
            manifests.push(image);
        }
        let document = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        self.manifest(repository, tag, &document).await
    }

    async fn resolve(&self, image: &Reference, wish: &Wish) -> Result<Resolved, istiolab::error::Failure> {
        resolve(&self.asked, image, wish).await
    }

    fn requests(&self) -> u64 {
        self.asked.traffic().requests
    }
}

fn platforms(entry: &Entry) -> Vec<&str> {
    entry.platforms.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_locked_with_all_that_moving_it_takes() {
    let Some(upstream) = Upstream::needed("an index").await else { return };
    let root = upstream.index("team/app", "1", "app").await;
    let image = upstream.name("team/app:1");
    let all = upstream.resolve(&image, &Wish::default()).await.expect("it is there").entry;
    assert_eq!(all.root.as_ref(), Some(&root));
    assert_eq!(platforms(&all), ["linux/amd64", "linux/arm64"]);
    assert_eq!(all.platforms["linux/arm64"].layers, [Descriptor::new(LAYER, Digest::of("app arm64"), 9)]);
    // The index and two manifests.
    assert_eq!(upstream.requests(), 3);
    let again = Wish { known: all.clone(), ..Wish::default() };
    assert_eq!(upstream.resolve(&image, &again).await.expect("it is known").entry, all);
    assert_eq!(upstream.requests(), 3, "what is known is not asked for");

    let one = Wish { platforms: vec!["linux/arm64".to_owned()], ..Wish::default() };
    let one = upstream.resolve(&image, &one).await.expect("it is there").entry;
    assert_eq!((one.digest(), platforms(&one)), (Some(&root.digest), vec!["linux/arm64"]));
    let fewer = Wish { known: all.clone(), platforms: vec!["linux/amd64".to_owned()], ..Wish::default() };
    let fewer = upstream.resolve(&image, &fewer).await.expect("it is there").entry;
    assert_eq!((fewer.digest(), platforms(&fewer)), (Some(&root.digest), vec!["linux/amd64"]));
    let none = Wish { platforms: vec!["linux/s390x".to_owned()], ..Wish::default() };
    let failure = upstream.resolve(&image, &none).await.expect_err("it is not there");
    assert!(failure.to_string().contains("it is for linux/amd64, linux/arm64"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_an_index_says_itself_what_it_runs_on() {
    let Some(upstream) = Upstream::needed("no index").await else { return };
    let root = upstream.image("app", "1", "arm64", "x").await;
    let entry = upstream.resolve(&upstream.name("app:1"), &Wish::default()).await.expect("it is there").entry;
    assert_eq!(platforms(&entry), ["linux/arm64"]);
    assert_eq!(entry.platforms["linux/arm64"].manifest, root);
    let by_digest = upstream.name(&format!("app@{}", root.digest));
    assert_eq!(upstream.resolve(&by_digest, &Wish::default()).await.expect("it is there").entry, entry);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_is_asked_for_by_digest_until_an_update() {
    let Some(upstream) = Upstream::needed("update").await else { return };
    let old = upstream.index("app", "1", "old").await;
    let new = upstream.index("app", "1", "new").await;
    let image = upstream.name("app:1");
    let known = Entry { pinned: Some(old.digest), ..Entry::default() };
    let wish = Wish { known, ..Wish::default() };
    let entry = upstream.resolve(&image, &wish).await.expect("it is there").entry;
    assert_eq!((entry.digest(), entry.pinned), (Some(&old.digest), None));
    let wish = Wish { known: entry, update: true, ..Wish::default() };
    let entry = upstream.resolve(&image, &wish).await.expect("it is there").entry;
    assert_eq!(entry.digest(), Some(&new.digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moved_is_noticed() {
    let Some(upstream) = Upstream::needed("moved").await else { return };
    let old = upstream.index("app", "1", "old").await;
    let still = upstream.index("still", "1", "still").await;
    let closed = "127.0.0.1:9/app:1".parse::<Reference>().expect("a reference");
    let (mut lock, mut references) = (Lock::default(), References::default());
    for (image, digest) in [
        (upstream.name("app:1"), old.digest),
        (upstream.name("gone:1"), Digest::of("x")),
        (upstream.name("still:1"), still.digest),
        (closed.clone(), old.digest),
        (upstream.name("elsewhere:1"), still.digest),
    ] {
        let place = Place { origin: "web.yaml:1".to_owned(), what: "Pod web, container `app`".to_owned() };
        references.add(&image.to_string(), place).expect("a reference");
        lock.images.insert(image, Entry { pinned: Some(digest), ..Entry::default() });
    }

    // Its own place does not have it, another one has it under the same tag.
    let elsewhere = lock.images.get_mut(&upstream.name("elsewhere:1")).expect("it is there");
    elsewhere.from = vec![upstream.name("still:1")];
    let new = upstream.index("app", "1", "new").await;
    let (findings, unasked) = check::moved(&upstream.asked, &lock, &references).await;
    let told: Vec<_> = findings.iter().map(|finding| (finding.image.clone(), finding.fault.clone())).collect();
    let moved = |locked: Digest, now: Option<Digest>| Fault::Moved { locked, now };
    let expected = [
        (upstream.name("app:1"), moved(old.digest, Some(new.digest))),
        (upstream.name("gone:1"), moved(Digest::of("x"), None)),
    ];
    assert_eq!(told, expected);
    assert_eq!(unasked.into_iter().map(|(image, _)| image).collect::<Vec<_>>(), [closed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn alternates_must_have_the_same_digest() {
    let Some(upstream) = Upstream::needed("alternates").await else { return };
    let root = upstream.index("app", "1", "app").await;
    upstream.index("mirror/app", "1", "app").await;
    let other = upstream.index("fake/app", "1", "something else").await;
    let image = upstream.name("app:1");
    let wish = |alternates: &[&str]| Wish {
        alternates: alternates.iter().map(|name| upstream.name(name)).collect(),
        ..Wish::default()
    };
    let good = upstream.resolve(&image, &wish(&["mirror/app:1"])).await.expect("they are the same").entry;
    assert_eq!(good.from, [upstream.name("mirror/app:1")]);
    let failure = upstream.resolve(&image, &wish(&["fake/app:1"])).await.expect_err("it is another one");
    assert_eq!(failure.kind, Kind::Refused);
    assert!(
        failure
            .to_string()
            .contains(&format!("does not have {image} as {}; its tag names {}", root.digest, other.digest)),
        "{failure}"
    );

    // The image's own place is gone: the alternate serves what is known, and nothing else.
    let gone = upstream.name("gone:1");
    let known = Entry { pinned: Some(root.digest), ..Entry::default() };
    let served = Wish { known: known.clone(), ..wish(&["mirror/app:1"]) };
    let entry = upstream.resolve(&gone, &served).await.expect("the alternate has it").entry;
    assert_eq!((entry.digest(), entry.trusted_on_first_use), (Some(&root.digest), false));
    let failure =
        upstream.resolve(&gone, &Wish { known, ..wish(&["fake/app:1"]) }).await.expect_err("it is another one");
    assert_eq!(failure.kind, Kind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_digest_is_taken_from_an_alternate_only_on_demand() {
    let Some(upstream) = Upstream::needed("trust").await else { return };
    let root = upstream.index("mirror/old", "1.0", "old").await;
    let image = upstream.name("old:1.0");
    let wish = Wish { alternates: vec![upstream.name("mirror/old:1.0")], ..Wish::default() };
    let failure = upstream.resolve(&image, &wish).await.expect_err("nobody recorded its digest");
    assert_eq!(failure.kind, Kind::Refused);
    assert!(failure.to_string().contains(&format!("--trust-first-use {image}")), "{failure}");
    let wish = Wish { trust_first_use: true, ..wish };
    let entry = upstream.resolve(&image, &wish).await.expect("it is trusted").entry;
    assert_eq!((entry.digest(), entry.trusted_on_first_use), (Some(&root.digest), true));

    // Its own registry confirms it later, and the remark goes.
    upstream.index("old", "1.0", "old").await;
    let wish = Wish { known: entry, update: true, trust_first_use: false, ..wish };
    let entry = upstream.resolve(&image, &wish).await.expect("it is there now").entry;
    assert_eq!((entry.digest(), entry.trusted_on_first_use), (Some(&root.digest), false));

    let nowhere = upstream.name("nowhere:1");
    let failure = upstream.resolve(&nowhere, &Wish::default()).await.expect_err("it is nowhere");
    assert_eq!(failure.kind, Kind::Unavailable);
    assert!(failure.to_string().contains("images.alternates"), "{failure}");
}
