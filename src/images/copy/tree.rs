//! What an image consists of.

use serde::Deserialize;

use super::error::Error;
use crate::error::Failure;
use crate::images::content::Raw;
use crate::images::digest::Digest;
use crate::images::layout::{Descriptor, INDEX, Layout};
use crate::images::lock::Entry;
use crate::images::reference::Reference;

/// What Docker calls an index.
pub(super) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The most manifests of one image; the deepest index in an index.
const MOST_MANIFESTS: usize = 1000;
const DEEPEST: usize = 4;
/// The most layers of one manifest, and the longest of them: 1 TiB.
const MOST_LAYERS: usize = 1000;
const LONGEST_BLOB: u64 = 1 << 40;

/// An image: its manifests with their blobs, each after those that it names. The last one is the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The manifests.
    pub manifests: Vec<Manifest>,
}

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its digest.
    pub digest: Digest,
    /// Its blobs.
    pub blobs: Vec<Descriptor>,
    /// The manifests that it names and that are copied with it.
    pub children: Vec<Digest>,
}

/// What is in a manifest of either kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parsed {
    pub(super) manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

impl Tree {
    /// What the lock says of the image. `flatten` names a platform whose manifest is taken for the root.
    ///
    /// # Errors
    /// [`Error::Unresolved`], [`Error::Platform`].
    pub fn of_entry(image: &Reference, entry: &Entry, flatten: Option<&str>) -> Result<Self, Error> {
        let unresolved = || Error::Unresolved { image: image.to_string() };
        let root = entry.root.as_ref().ok_or_else(unresolved)?;
        if entry.platforms.is_empty() {
            return Err(unresolved());
        }
        let manifest = |platform: &crate::images::lock::Platform| Manifest {
            digest: platform.manifest.digest,
            blobs: platform.blobs().filter(|blob| is_distributed(blob)).cloned().collect(),
            children: Vec::new(),
        };
        if let Some(platform) = flatten {
            let kept = entry.platforms.get(platform);
            let kept =
                kept.ok_or_else(|| Error::Platform { image: image.to_string(), platform: platform.to_owned() })?;
            return Ok(Self { manifests: vec![manifest(kept)] });
        }
        let mut manifests: Vec<Manifest> = Vec::new();
        for platform in entry.platforms.values() {
            if !manifests.iter().any(|known| known.digest == platform.manifest.digest) {
                manifests.push(manifest(platform));
            }
        }
        if !manifests.iter().any(|known| known.digest == root.digest) {
            let children = manifests.iter().map(|manifest| manifest.digest).collect();
            manifests.push(Manifest { digest: root.digest, blobs: Vec::new(), children });
        }
        Ok(Self { manifests })
    }

    /// What an image of the store consists of.
    ///
    /// # Errors
    /// Those of the store; [`Error::Manifest`].
    pub fn of_store(store: &Layout, image: &Reference, root: &Digest) -> Result<Self, Failure> {
        let mut found = Found::new(image);
        let mut left = vec![(*root, 0)];
        while let Some((digest, depth)) = left.pop() {
            let raw = Raw::new(store.read(&digest)?.into(), "");
            left.extend(found.add(&raw, depth)?);
        }
        Ok(found.tree())
    }

    /// The index or manifest that the image is known by.
    ///
    /// # Panics
    /// Never: a tree has at least one manifest.
    #[must_use]
    pub fn root(&self) -> &Digest {
        let Some(root) = self.manifests.last() else { unreachable!("a tree has at least one manifest") };
        &root.digest
    }

    /// All blobs, those that several manifests name more than once.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().flat_map(|manifest| &manifest.blobs)
    }
}

/// A tree that is being found, from the root down.
pub(super) struct Found<'a> {
    image: &'a Reference,
    manifests: Vec<Manifest>,
    /// How many were taken in, those that are known already counted again.
    added: usize,
}

impl<'a> Found<'a> {
    pub(super) fn new(image: &'a Reference) -> Self {
        Self { image, manifests: Vec::new(), added: 0 }
    }

    /// Takes in a manifest, and returns those below it that are not known yet, with their depth.
    pub(super) fn add(&mut self, raw: &Raw, depth: usize) -> Result<Vec<(Digest, usize)>, Error> {
        let wrong =
            |why: &str| Error::Manifest { digest: raw.digest, image: self.image.to_string(), why: why.to_owned() };
        let parsed: Parsed = serde_json::from_slice(&raw.bytes).map_err(|error| wrong(&error.to_string()))?;
        let is_index = matches!(raw.media_type.as_str(), INDEX | DOCKER_INDEX);
        let (blobs, children) = match (parsed.manifests, parsed.config) {
            (Some(children), None) => (Vec::new(), children.into_iter().map(|child| child.digest).collect()),
            (None, Some(config)) if !is_index => {
                let blobs = std::iter::once(config).chain(parsed.layers).filter(is_distributed).collect();
                (blobs, Vec::new())
            }
            _ => return Err(wrong("it is neither an index nor the manifest of an image")),
        };
        if blobs.len() > MOST_LAYERS || children.len() > MOST_MANIFESTS {
            return Err(wrong("it names absurdly many things"));
        }
        if blobs.iter().any(|blob: &Descriptor| blob.size > LONGEST_BLOB) {
            return Err(wrong("it names an absurdly large layer"));
        }
        if depth >= DEEPEST && !children.is_empty() {
            return Err(wrong("its indexes are too deep in one another"));
        }
        // Parents are found first; in a tree they come last.
        self.manifests.retain(|known| known.digest != raw.digest);
        self.manifests.push(Manifest { digest: raw.digest, blobs, children: Vec::clone(&children) });
        self.added += 1;
        if self.added > MOST_MANIFESTS {
            return Err(wrong("it has absurdly many manifests"));
        }
        Ok(children.into_iter().map(|digest| (digest, depth + 1)).collect())
    }

    pub(super) fn tree(mut self) -> Tree {
        self.manifests.reverse();
        Tree { manifests: self.manifests }
    }
}

/// Some layers of Windows are not kept by registries, and manifests that name them are taken without.
fn is_distributed(blob: &Descriptor) -> bool {
    !blob.media_type.contains(".foreign.") && !blob.media_type.contains(".nondistributable.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::images::layout::{CONFIG, LAYER, MANIFEST};
    use crate::images::lock::Platform;

    fn image() -> Reference {
        "x.test/a:1".parse().expect("a reference")
    }

    fn blob(kind: &str, text: &str) -> Descriptor {
        Descriptor::new(kind, Digest::of(text), text.len() as u64)
    }

    #[test]
    fn an_entry_becomes_its_platforms_and_then_the_index() {
        let platform = |name: &str| Platform {
            manifest: blob(MANIFEST, name),
            config: blob(CONFIG, &format!("{name} config")),
            layers: vec![blob(LAYER, "shared"), blob("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "w")],
        };
        let mut entry = Entry { root: Some(blob(INDEX, "root")), ..Entry::default() };
        assert!(matches!(Tree::of_entry(&image(), &entry, None), Err(Error::Unresolved { .. })));
        entry.platforms = ["a", "b"].map(|name| (format!("linux/{name}"), platform(name))).into();
        let tree = Tree::of_entry(&image(), &entry, None).expect("resolved");
        assert_eq!((tree.manifests.len(), tree.root(), tree.blobs().count()), (3, &Digest::of("root"), 4));
        assert_eq!(tree.manifests[2].children, [Digest::of("a"), Digest::of("b")]);
        let flat = Tree::of_entry(&image(), &entry, Some("linux/b")).expect("it has it");
        assert_eq!((flat.manifests.len(), flat.root()), (1, &Digest::of("b")));
        assert!(matches!(Tree::of_entry(&image(), &entry, Some("x")), Err(Error::Platform { .. })));
        entry.root = Some(blob(MANIFEST, "a"));
        entry.platforms.remove("linux/b");
        assert_eq!(Tree::of_entry(&image(), &entry, None).expect("resolved").manifests.len(), 1);
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let add = |value: serde_json::Value, depth| {
            let raw = Raw::new(value.to_string().into(), "");
            let image = image();
            Found::new(&image).add(&raw, depth).map_err(|error| error.to_string())
        };
        let child = serde_json::to_value(blob(MANIFEST, "c")).expect("JSON");
        assert_eq!(add(json!({"manifests": [child]}), 0), Ok(vec![(Digest::of("c"), 1)]));
        for (value, depth) in [
            (json!({}), 0),
            (json!([]), 0),
            (json!({"manifests": [child]}), DEEPEST),
            (json!({"manifests": vec![&child; MOST_MANIFESTS + 1]}), 0),
            (json!({"config": child, "layers": vec![&child; MOST_LAYERS]}), 0),
            (json!({"config": Descriptor { size: u64::MAX, ..blob(CONFIG, "c") }}), 0),
            (json!({"mediaType": INDEX, "config": child}), 0),
        ] {
            add(value.clone(), depth).expect_err(&value.to_string());
        }
    }
}
