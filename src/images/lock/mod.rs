//! `images.lock`: which bytes every image of a lab is. [`mod@file`] reads and writes it, [`mod@resolve`] finds
//! out what it doesn't say yet, [`mod@check`] compares it with what a lab refers to.

use std::collections::{BTreeMap, BTreeSet};

use super::digest::Digest;
use super::layout::Descriptor;
use super::reference::Reference;

pub mod check;
pub mod describe;
mod error;
pub mod file;
pub mod imgpkg;
mod references;
pub mod resolve;

pub use check::frozen;
pub use error::{Error, Tried};
pub use references::{Place, References};
pub use resolve::Upstream;

/// What a lock is called; it lies beside the lab file.
pub const FILE: &str = "images.lock";

/// What a lab's images are, by reference with registry, `library/` and tag filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// The entries.
    pub images: BTreeMap<Reference, Entry>,
}

/// What is known of one image. What was not read from a registry or computed from bytes is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// What the reference names: an index, or the manifest of one platform. `None` while unresolved.
    pub root: Option<Descriptor>,
    /// The digest that `root` must have, where it is known but `root` was not read yet: it came from
    /// another lock. `None` once there is a root.
    pub pinned: Option<Digest>,
    /// The images of each platform that is kept, as `linux/amd64` ([`describe`] says how they are
    /// called). An image that is not in an index has exactly one, whose manifest is `root`.
    pub platforms: BTreeMap<String, Platform>,
    /// Other places that have the same digest, asked in this order when the first one fails.
    pub from: Vec<Reference>,
    /// The digest was taken from a moving tag that nobody had recorded, because the user said so.
    pub trusted_on_first_use: bool,
    /// The part that the image is built by, if it is.
    pub part: Option<Part>,
    /// The labs that refer to it: several labs of one folder share a lock.
    pub labs: BTreeSet<String>,
}

/// One platform's image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// What an image is built from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The part's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its inputs, each with version and checksum; empty until it is built, for only then are they known.
    pub made_of: Vec<String>,
}

impl Platform {
    /// The blobs besides the manifest: the configuration, then the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

impl Entry {
    /// The digest of [`Entry::root`], or the one that it must have.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.root.as_ref().map(|root| &root.digest).or(self.pinned.as_ref())
    }

    /// Whether everything is known that moving the image takes.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.root.is_some() && !self.platforms.is_empty()
    }

    /// The length in bytes of all its blobs and manifests, each counted once.
    #[must_use]
    pub fn size(&self) -> u64 {
        let platforms = self.platforms.values();
        let all = platforms.flat_map(|platform| platform.blobs().chain([&platform.manifest])).chain(&self.root);
        let sizes: BTreeMap<_, _> = all.map(|blob| (blob.digest, blob.size)).collect();
        // What a lock says need not be true.
        sizes.into_values().fold(0, u64::saturating_add)
    }
}
