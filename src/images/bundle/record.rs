//! The lock in a bundle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::images::layout::Descriptor;
use crate::images::lock::{Entry, Lock, Platform};
use crate::images::reference::Reference;

#[derive(Serialize, Deserialize)]
struct Record {
    images: BTreeMap<Reference, Image>,
}

#[derive(Serialize, Deserialize)]
struct Image {
    root: Option<Descriptor>,
    platforms: BTreeMap<String, Parts>,
}

#[derive(Serialize, Deserialize)]
struct Parts {
    manifest: Descriptor,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

pub(super) fn write(lock: &Lock) -> Vec<u8> {
    let images = lock.images.iter().map(|(image, entry)| {
        let platforms = entry.platforms.iter().map(|(name, platform)| {
            let Platform { manifest, config, layers } = platform.clone();
            (name.clone(), Parts { manifest, config, layers })
        });
        (image.clone(), Image { root: entry.root.clone(), platforms: platforms.collect() })
    });
    serde_json::to_vec(&Record { images: images.collect() }).unwrap_or_default()
}

pub(super) fn read(bytes: &[u8]) -> Result<Lock, String> {
    let record: Record = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let images = record.images.into_iter().map(|(image, entry)| {
        let platforms = entry.platforms.into_iter().map(|(name, parts)| {
            let Parts { manifest, config, layers } = parts;
            (name, Platform { manifest, config, layers })
        });
        (image, Entry { root: entry.root, platforms: platforms.collect(), ..Entry::default() })
    });
    Ok(Lock { images: images.collect() })
}
