//! The manifests of a bundle, read from the source and compared with the lock before any large blob
//! is asked for.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};

use super::Error;
use super::manifest::{MOST_MANIFEST, Parsed};
use crate::error::Failure;
use crate::images::content::{Content, Raw};
use crate::images::digest::Digest;
use crate::images::layout::Descriptor;
use crate::images::lock::{Entry, Lock, Platform};
use crate::images::reference::Reference;

/// How many images are asked for at once.
const AT_ONCE: usize = 8;

/// A blob to bring, and where it can be had.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) blob: Descriptor,
    /// The image that it belongs to.
    pub(super) image: Reference,
    /// Where else that image is.
    pub(super) from: Vec<Reference>,
}

/// What a bundle consists of.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Manifests and indexes, byte for byte.
    pub(super) manifests: BTreeMap<Digest, Raw>,
    /// Configurations and layers.
    pub(super) blobs: BTreeMap<Digest, Wanted>,
}

/// Reads the manifests of all of `lock`, in which every image has a root.
pub(super) async fn gather(lock: &Lock, source: &dyn Content) -> Result<Gathered, Failure> {
    let mut all = Gathered::default();
    let images = lock.images.iter().map(|(image, entry)| manifests(source, image, entry));
    let mut running = futures::stream::iter(images).buffered(AT_ONCE);
    while let Some(raws) = running.try_next().await? {
        all.manifests.extend(raws.into_iter().map(|raw| (raw.digest, raw)));
    }
    for (image, entry) in &lock.images {
        for blob in entry.platforms.values().flat_map(Platform::blobs) {
            let wanted = Wanted { blob: blob.clone(), image: image.clone(), from: entry.from.clone() };
            let known = all.blobs.entry(blob.digest).or_insert(wanted);
            if known.blob.size != blob.size {
                let why = format!("the lock says that {} has {} and {} bytes", blob.digest, known.blob.size, blob.size);
                return Err(Error::Disagrees { image: image.to_string(), why }.into());
            }
        }
    }
    Ok(all)
}

/// The root of an image and the manifests of its platforms.
async fn manifests(source: &dyn Content, image: &Reference, entry: &Entry) -> Result<Vec<Raw>, Failure> {
    let disagrees = |why: String| Failure::from(Error::Disagrees { image: image.to_string(), why });
    let Some(root) = &entry.root else {
        return Err(Error::Unresolved { images: vec![image.clone()] }.into());
    };
    let mut found = vec![read(source, image, entry, root).await?];
    let listed: Vec<Digest> = match Parsed::read(&found[0].bytes) {
        Some(Parsed::Index { children, .. }) => children.iter().map(|child| child.digest).collect(),
        Some(Parsed::Image { .. }) => vec![root.digest],
        None => return Err(disagrees(format!("{} is neither an image nor an index", root.digest))),
    };
    for platform in entry.platforms.values() {
        let digest = platform.manifest.digest;
        if !listed.contains(&digest) {
            return Err(disagrees(format!("{} does not list the manifest {digest} that the lock has", root.digest)));
        }
        if digest != root.digest {
            found.push(read(source, image, entry, &platform.manifest).await?);
        }
        let raw = found.iter().find(|raw| raw.digest == digest);
        let Some(Parsed::Image { config, layers, .. }) = raw.and_then(|raw| Parsed::read(&raw.bytes)) else {
            return Err(disagrees(format!("{digest} is not the manifest of an image")));
        };
        let blobs = std::iter::once(&*config).chain(&layers).map(|blob| (blob.digest, blob.size));
        if !platform.blobs().map(|blob| (blob.digest, blob.size)).eq(blobs) {
            return Err(disagrees(format!("its manifest {digest} does not say what the lock says")));
        }
    }
    Ok(found)
}

/// One manifest, from the image's own place or from another one that has the same bytes.
async fn read(source: &dyn Content, image: &Reference, entry: &Entry, descriptor: &Descriptor) -> Result<Raw, Failure> {
    let digest = descriptor.digest;
    if descriptor.size > MOST_MANIFEST {
        let why = format!("its manifest {digest} has {} bytes, more than registries allow", descriptor.size);
        return Err(Error::Disagrees { image: image.to_string(), why }.into());
    }
    let mut first = None;
    for place in std::iter::once(image).chain(&entry.from) {
        let wrong = |why: &str| Error::Wrong {
            source_name: source.describe(),
            digest,
            image: place.to_string(),
            why: why.to_owned(),
        };
        let failure = match source.manifest(place, Some(&digest)).await {
            // Computed here: what is kept is never taken on trust.
            Ok(Some(raw)) if Digest::of(&raw.bytes) != digest => wrong("its digest is another one").into(),
            Ok(Some(raw)) if raw.bytes.len() as u64 != descriptor.size => wrong("its length is another one").into(),
            Ok(Some(raw)) => return Ok(Raw { digest, ..raw }),
            Ok(None) => Error::Absent { source_name: source.describe(), digest, image: place.to_string() }.into(),
            Err(failure) => failure,
        };
        first.get_or_insert(failure);
    }
    Err(first.unwrap_or_else(|| Error::Unresolved { images: vec![image.clone()] }.into()))
}
