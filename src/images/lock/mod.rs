//! `images.lock`: which bytes every image of a lab is.

use std::collections::BTreeMap;

use super::digest::Digest;
use super::layout::Descriptor;
use super::reference::Reference;

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
    /// The images of each platform that is kept, as `linux/amd64`. An image that is not in an index has
    /// exactly one, whose manifest is `root`.
    pub platforms: BTreeMap<String, Platform>,
    /// Other places that have the same digest, asked in this order when the first one fails.
    pub from: Vec<Reference>,
    /// The digest was taken from a moving tag that nobody had recorded, because the user said so.
    pub trusted_on_first_use: bool,
    /// The part that the image is built by, if it is.
    pub part: Option<Part>,
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
    /// Its inputs, each with version and checksum.
    pub made_of: Vec<String>,
}

impl Platform {
    /// The blobs besides the manifest: the configuration, then the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

impl Entry {
    /// The digest of [`Entry::root`].
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.root.as_ref().map(|root| &root.digest)
    }
}
