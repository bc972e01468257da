//! Bundles that hold only what is new since an older one.

use std::collections::BTreeSet;
use std::io::Read as _;

use camino::Utf8Path;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::{Bundle, Error, front, select};
use crate::images::digest::Digest;
use crate::images::layout::Descriptor;
use crate::images::lock::{self, Lock};

/// What is known to be where the bundle goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The digest of the older `images.lock`: of the one in the older bundle, or what would be in it.
    pub lock: Digest,
    /// The configurations and layers that need not be brought again.
    pub blobs: BTreeSet<Digest>,
}

impl Base {
    /// What the bundle at `path` holds, or, if the file is a lock, what a bundle of it for `platforms` does.
    ///
    /// # Errors
    /// As [`Bundle::open`] and [`Base::of_bundle`], or those of reading a lock and [`select()`].
    pub fn open(path: &Utf8Path, platforms: &[String]) -> Result<Self, Error> {
        let failed = |source| Error::Io { doing: "reading", path: path.to_owned(), source };
        // The mark of a tar, in the middle of its first header.
        let mut start = Vec::new();
        fs::File::open(path).and_then(|file| file.take(262).read_to_end(&mut start)).map_err(failed)?;
        if start.ends_with(b"ustar") {
            return Self::of_bundle(&Bundle::open(path)?);
        }
        Self::of_lock(&lock::file::load(path)?.unwrap_or_default(), platforms)
    }

    /// What a bundle of `lock` for `platforms` holds.
    ///
    /// # Errors
    /// As [`select()`].
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
