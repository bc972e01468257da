//! Bundles that hold only what is new since an older one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Bundle, Error, front, select};
use crate::images::digest::Digest;
use crate::images::layout::Descriptor;
use crate::images::lock::Lock;

/// What is known to be where the bundle goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The digest of the older `images.lock`: of the one in the older bundle, or what would be in it.
    pub lock: Digest,
    /// The configurations and layers that need not be brought again.
    pub blobs: BTreeSet<Digest>,
}

impl Base {
    /// What a bundle of `lock` for `platforms` holds.
    ///
    /// # Errors
    /// As [`select`].
    pub fn of_lock(lock: &Lock, platforms: &[String]) -> Result<Self, Error> {
        let lock = select(lock, platforms)?;
        let entries = lock.images.values().flat_map(|entry| entry.platforms.values());
        let blobs = entries.flat_map(|platform| platform.blobs().map(|blob| blob.digest)).collect();
        Ok(Self { lock: Digest::of(front::lock_text(&lock)?), blobs })
    }

    /// What `bundle` holds, with the older ones that it builds upon.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it has no lock inside, so that nobody knows what it should hold.
    pub fn of_bundle(bundle: &Bundle) -> Result<Self, Error> {
        let lock = bundle.lock().ok_or_else(|| Error::Malformed {
            path: bundle.path().to_owned(),
            why: "it has no images.lock inside, so it can't be the base of another one".to_owned(),
        })?;
        Self::of_lock(lock, &[])
    }
}

/// What a bundle leaves to an older one: `delta.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delta {
    /// The digest of the older one's `images.lock`.
    pub base: Digest,
    /// What is in the older one, sorted by digest.
    pub blobs: Vec<Descriptor>,
}
