//! From an image's manifests to what a lock keeps of it.
//!
//! A platform is called as containerd writes it: `linux/amd64`, `linux/arm64/v8`,
//! `windows(10.0.20348.2113)/amd64`. Where an index has several manifests for one platform, as it
//! has for attestations, whose platform is `unknown/unknown`, each of them gets `@` and its digest after the name.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;

use super::error::Error;
use super::{Platform, resolve};
use crate::error::Failure;
use crate::images::content::{Content, Raw};
use crate::images::digest::Digest;
use crate::images::layout::Descriptor;
use crate::images::reference::Reference;

/// Docker's older names of the two kinds of manifests.
const DOCKER: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// How many manifests of one index are asked for at once.
const AT_ONCE: usize = 8;
/// The most manifests of an index that are read: each costs a request, and no image has as many.
const MOST_MANIFESTS: usize = 1000;
/// The largest configuration that is read to learn a platform, in bytes.
const CONFIG_LIMIT: u64 = 8 << 20;

/// Whether content of this media type lists manifests rather than being one.
#[must_use]
pub fn is_index(media_type: &str) -> bool {
    media_type == crate::images::layout::INDEX || media_type == DOCKER[0]
}

/// Whether content of this media type is the manifest of one image.
#[must_use]
pub fn is_manifest(media_type: &str) -> bool {
    media_type == crate::images::layout::MANIFEST || media_type == DOCKER[1]
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Child>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Child {
    media_type: String,
    digest: Digest,
    size: u64,
    platform: Option<Runs>,
}

impl Child {
    fn platform(&self) -> String {
        self.platform.as_ref().map_or_else(|| Runs::default().name(), Runs::name)
    }
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// What an image runs on; a configuration says it in the same words.
#[derive(Default, Deserialize)]
struct Runs {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
    #[serde(default, rename = "os.version")]
    version: String,
}

impl Runs {
    fn name(&self) -> String {
        let unknown = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
        let version = if self.version.is_empty() { String::new() } else { format!("({})", self.version) };
        let variant = if self.variant.is_empty() { String::new() } else { format!("/{}", self.variant) };
        format!("{}{version}/{}{variant}", unknown(&self.os), unknown(&self.architecture))
    }
}

/// Reads what `root` lists from `content`, where `image` names the repository: every manifest of an
/// index, or those of `platforms` if any are named; no layers. For an image without an index its
/// configuration is read too, which alone says what it runs on.
///
/// # Errors
/// [`Error::Manifest`] for what can't be locked, [`Error::Mismatch`] for content with another digest, both as
/// failures; what `content` fails with.
pub async fn describe(
    content: &dyn Content,
    image: &Reference,
    root: &Raw,
    platforms: &[String],
) -> Result<BTreeMap<String, Platform>, Failure> {
    let wrong = |why: String| Failure::from(Error::Manifest { image: Box::new(image.clone()), why });
    if is_manifest(&root.media_type) {
        let manifest = parse::<Manifest>(&root.bytes).map_err(wrong)?;
        let name = configuration(content, image, &manifest.config).await?.name();
        return match platforms.iter().find(|wanted| **wanted != name) {
            Some(missing) => Err(wrong(format!("it is not there for {missing}; it is for {name}"))),
            None => Ok([(name, platform(root, &manifest))].into()),
        };
    }
    if !is_index(&root.media_type) {
        let why = format!("its manifest is of the kind `{}`, which is too old or no image", root.media_type);
        return Err(wrong(why));
    }
    let index = parse::<Index>(&root.bytes).map_err(wrong)?;
    if index.manifests.len() > MOST_MANIFESTS {
        return Err(wrong(format!("its index lists {} manifests, more than any image has", index.manifests.len())));
    }
    let named = names(index);
    if let Some(missing) = platforms.iter().find(|wanted| !named.iter().any(|(name, _)| name == *wanted)) {
        let there = named.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(wrong(format!("it is not there for {missing}; it is for {there}")));
    }
    let wanted = named.into_iter().filter(|(name, _)| platforms.is_empty() || platforms.contains(name));
    let children = wanted.map(|(name, child)| async move {
        if !is_manifest(&child.media_type) {
            let why = format!("its index lists {} of the kind `{}`", child.digest, child.media_type);
            return Err(Failure::from(Error::Manifest { image: Box::new(image.clone()), why }));
        }
        let raw = content.manifest(image, Some(&child.digest)).await?;
        let raw = raw.ok_or_else(|| {
            let why = format!("its index lists {}, which {} does not have", child.digest, content.describe());
            Error::Manifest { image: Box::new(image.clone()), why }
        })?;
        resolve::same(image, content, &child.digest, &raw)?;
        if raw.bytes.len() as u64 != child.size {
            let why =
                format!("its index says that {} has {} bytes; it has {}", child.digest, child.size, raw.bytes.len());
            return Err(Error::Manifest { image: Box::new(image.clone()), why }.into());
        }
        // The index's word counts: some registries answer with a media type of their own.
        let raw = Raw { media_type: child.media_type, ..raw };
        let manifest =
            parse::<Manifest>(&raw.bytes).map_err(|why| Error::Manifest { image: Box::new(image.clone()), why })?;
        Ok::<_, Failure>((name, platform(&raw, &manifest)))
    });
    futures::stream::iter(children).buffered(AT_ONCE).try_collect().await
}

/// The platforms that an index lists, with the digests of their manifests; none for what is no index.
#[must_use]
pub fn platforms(root: &Raw) -> Vec<(String, Digest)> {
    let index = parse::<Index>(&root.bytes).ok();
    index.into_iter().flat_map(names).map(|(name, child)| (name, child.digest)).collect()
}

/// The platforms' names, in the order of the index.
fn names(index: Index) -> Vec<(String, Child)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for child in &index.manifests {
        *counts.entry(child.platform()).or_default() += 1;
    }
    let named = |child: Child| {
        let name = child.platform();
        let only = counts.get(&name) == Some(&1);
        (if only { name } else { format!("{name}@{}", child.digest) }, child)
    };
    index.manifests.into_iter().map(named).collect()
}

fn platform(raw: &Raw, manifest: &Manifest) -> Platform {
    // Annotations and platforms of descriptors are in the manifest's own bytes.
    let plain = |blob: &Descriptor| Descriptor::new(&blob.media_type, blob.digest, blob.size);
    Platform {
        manifest: descriptor(raw),
        config: plain(&manifest.config),
        layers: manifest.layers.iter().map(plain).collect(),
    }
}

/// What points at `raw`.
#[must_use]
pub fn descriptor(raw: &Raw) -> Descriptor {
    Descriptor::new(&raw.media_type, raw.digest, raw.bytes.len() as u64)
}

async fn configuration(content: &dyn Content, image: &Reference, config: &Descriptor) -> Result<Runs, Failure> {
    let wrong = |why: String| Failure::from(Error::Manifest { image: Box::new(image.clone()), why });
    if config.size > CONFIG_LIMIT {
        return Err(wrong(format!("its configuration has {} bytes", config.size)));
    }
    let mut stream = content.blob(image, config, 0).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() as u64 > config.size {
            return Err(wrong(format!("its configuration is longer than the {} bytes that it says", config.size)));
        }
    }
    if bytes.len() as u64 != config.size || Digest::of(&bytes) != config.digest {
        return Err(wrong(format!("its configuration is not {} of {} bytes", config.digest, config.size)));
    }
    parse(&bytes).map_err(wrong)
}

fn parse<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("a manifest of it can't be read: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::images::layout::{INDEX, Layout, MANIFEST};

    fn listed(platforms: &[serde_json::Value]) -> Vec<String> {
        let child = |(number, platform): (usize, &serde_json::Value)| json!({"mediaType": "m", "digest": Digest::of([u8::try_from(number).expect("few")]), "size": 1, "platform": platform});
        let manifests: Vec<_> = platforms.iter().enumerate().map(child).collect();
        let index = serde_json::from_value(json!({"manifests": manifests})).expect("an index");
        names(index).into_iter().map(|(name, _)| name).collect()
    }

    /// Both kinds of content, in a store: what is wrong with an index is told.
    #[tokio::test]
    async fn an_index_that_makes_no_sense_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = camino::Utf8PathBuf::from_path_buf(dir.path().join("store")).expect("UTF-8");
        let store = Layout::open(path).expect("a store");
        let told = async |kind: &str, document: serde_json::Value| {
            let bytes = bytes::Bytes::from(document.to_string());
            let raw = Raw { media_type: kind.to_owned(), digest: Digest::of(&bytes), bytes };
            let image = "a:1".parse().expect("a reference");
            describe(&store, &image, &raw, &[]).await.expect_err("it makes no sense").to_string()
        };
        let (manifest, _) = store.put(b"{}").expect("there is room");
        let child = |kind: &str, size: u64| json!({"mediaType": kind, "digest": manifest, "size": size});
        let index = |children: Vec<serde_json::Value>| json!({"manifests": children});
        for (document, part) in [
            (index(vec![child(MANIFEST, 2); 1001]), "lists 1001 manifests"),
            (index(vec![child(INDEX, 2)]), "of the kind `application/vnd.oci.image.index.v1+json`"),
            (index(vec![child(MANIFEST, 3)]), "has 3 bytes; it has 2"),
            (index(vec![child(MANIFEST, 2)]), "a manifest of it can't be read: missing field `config`"),
            (index(vec![json!({"mediaType": MANIFEST, "digest": Digest::of("x"), "size": 1})]), "does not have"),
            (index(vec![json!({"mediaType": MANIFEST, "digest": "md5:00", "size": 1})]), "is not a digest"),
            (json!({"manifests": {}}), "can't be read"),
        ] {
            let told = told(INDEX, document).await;
            assert!(told.contains(part), "{part} is not in {told}");
        }
        let old = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        assert!(told(old, json!({})).await.contains("which is too old or no image"));
        let config = |digest: Digest, size: u64| json!({"config": {"mediaType": "c", "digest": digest, "size": size}, "layers": []});
        assert!(told(MANIFEST, config(manifest, 1)).await.contains("longer than the 1 bytes"));
        assert!(told(MANIFEST, config(manifest, 9 << 20)).await.contains("has 9437184 bytes"));
        assert!(told(MANIFEST, config(manifest, 3)).await.contains("of 3 bytes"));
    }

    #[test]
    fn platforms_are_called_as_containerd_does() {
        let all = listed(&[
            json!({"os": "linux", "architecture": "amd64"}),
            json!({"os": "linux", "architecture": "arm64", "variant": "v8"}),
            json!({"os": "windows", "architecture": "amd64", "os.version": "10.0.20348.2113"}),
            json!({"os": "windows", "architecture": "amd64", "os.version": "10.0.17763.5328"}),
        ]);
        let expected =
            ["linux/amd64", "linux/arm64/v8", "windows(10.0.20348.2113)/amd64", "windows(10.0.17763.5328)/amd64"];
        assert_eq!(all, expected);
    }

    #[test]
    fn what_has_one_name_is_told_apart_by_digest() {
        let unknown = json!({"os": "unknown", "architecture": "unknown"});
        let all = listed(&[json!({"os": "linux", "architecture": "amd64"}), unknown.clone(), unknown]);
        let digest = |number: u8| Digest::of([number]);
        let expected = [
            "linux/amd64".to_owned(),
            format!("unknown/unknown@{}", digest(1)),
            format!("unknown/unknown@{}", digest(2)),
        ];
        assert_eq!(all, expected);
    }
}
