//! What something holds, found by reading its manifests: the lock of what has none.

use futures::StreamExt as _;
use serde::Deserialize;

use super::manifest::{MOST_MANIFEST, Parsed};
use super::Error;
use crate::error::Failure;
use crate::images::content::Shelf;
use crate::images::layout::{self, Descriptor};
use crate::images::lock::{Entry, Lock, Platform};
use crate::images::reference::Reference;

/// How deep indexes may be within indexes.
const DEEPEST: u32 = 4;

/// The images of `shelf` with the platforms that are there. Of an index, manifests that are not there
/// are left out.
///
/// # Errors
/// [`Error::Lacks`] for a root or a configuration that is not there; [`Error::Disagrees`] for what is
/// no image; whatever reading fails with.
pub async fn inventory(shelf: &dyn Shelf) -> Result<Lock, Failure> {
    let mut lock = Lock::default();
    for repository in shelf.names()?.repositories.values() {
        for (tag, root) in &repository.tags {
            let image = tagged(&repository.reference, tag)?;
            let entry = entry(shelf, &image, root).await?;
            lock.images.insert(image, entry);
        }
    }
    Ok(lock)
}

fn tagged(repository: &Reference, tag: &str) -> Result<Reference, Failure> {
    Ok(format!("{repository}:{tag}").parse::<Reference>()?)
}

async fn entry(shelf: &dyn Shelf, image: &Reference, root: &Descriptor) -> Result<Entry, Failure> {
    let disagrees = |why: String| Failure::from(Error::Disagrees { image: image.clone(), why });
    let mut entry = Entry::default();
    let mut level = vec![root.clone()];
    for depth in 0..=DEEPEST {
        let mut below = Vec::new();
        for descriptor in level {
            let Some(raw) = shelf.manifest(image, Some(&descriptor.digest)).await? else {
                if depth > 0 {
                    continue;
                }
                return Err(Error::Lacks { path: shelf.describe(), digest: descriptor.digest }.into());
            };
            let found = Descriptor::new(&raw.media_type, raw.digest, raw.bytes.len() as u64);
            if depth == 0 {
                entry.root = Some(found.clone());
            }
            match Parsed::read(&raw.bytes) {
                None => return Err(disagrees(format!("{} is neither an image nor an index", raw.digest))),
                Some(Parsed::Index { children, .. }) => below.extend(children),
                Some(Parsed::Image { config, layers, .. }) => {
                    let platform = match &descriptor.platform {
                        Some(platform) => platform.clone(),
                        None => platform(shelf, image, &config).await?,
                    };
                    let mut name = format!("{}/{}", platform.os, platform.architecture);
                    // Two variants of an architecture, which descriptors here do not tell apart.
                    if entry.platforms.contains_key(&name) {
                        name = format!("{name}/{}", &raw.digest.hex()[..12]);
                    }
                    let config = plain(&config);
                    let layers = layers.iter().map(plain).collect();
                    entry.platforms.insert(name, Platform { manifest: found, config, layers });
                }
            }
        }
        level = below;
        if level.is_empty() {
            return Ok(entry);
        }
    }
    Err(disagrees(format!("its indexes are more than {DEEPEST} deep")))
}

fn plain(blob: &Descriptor) -> Descriptor {
    Descriptor::new(&blob.media_type, blob.digest, blob.size)
}

/// What an image runs on, by its configuration.
async fn platform(shelf: &dyn Shelf, image: &Reference, config: &Descriptor) -> Result<layout::Platform, Failure> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        architecture: String,
        #[serde(default)]
        os: String,
    }
    let mut bytes = Vec::new();
    let mut stream = shelf.blob(image, config, 0).await?;
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() as u64 > MOST_MANIFEST {
            break;
        }
    }
    let disagrees = |why: String| Failure::from(Error::Disagrees { image: image.clone(), why });
    let config: Config = serde_json::from_slice(&bytes)
        .map_err(|error| disagrees(format!("its configuration {} can't be read: {error}", config.digest)))?;
    Ok(layout::Platform { architecture: config.architecture, os: config.os })
}
