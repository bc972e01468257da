//! Where the images of a lock come from: what parts make from the store, all else from registries.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::error::Failure;
use crate::images::content::{Content, Raw, Shelf as _, Stream};
use crate::images::digest::Digest;
use crate::images::layout::{Descriptor, Layout};
use crate::images::lock::Lock;
use crate::images::reference::Reference;

/// The store for images that parts make, and for what it happens to have; another source for the rest.
#[derive(Debug)]
pub struct Supply {
    store: Layout,
    made: BTreeSet<Reference>,
    rest: Arc<dyn Content>,
}

impl Supply {
    /// For the images of `lock`.
    #[must_use]
    pub fn new(lock: &Lock, store: Layout, rest: Arc<dyn Content>) -> Self {
        let made = lock.images.iter().filter(|(_, entry)| entry.part.is_some()).map(|(image, _)| image.clone());
        Self { made: made.collect(), store, rest }
    }

    fn of(&self, image: &Reference, digest: Option<&Digest>) -> &dyn Content {
        let there = digest.is_some_and(|digest| self.store.size(digest).is_some());
        if there || self.made.contains(image) { &self.store } else { self.rest.as_ref() }
    }
}

impl Content for Supply {
    fn describe(&self) -> String {
        format!("{} or {}", self.store.describe(), self.rest.describe())
    }

    fn manifest<'a>(
        &'a self,
        image: &'a Reference,
        digest: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<Option<Raw>, Failure>> {
        self.of(image, digest.or(image.digest())).manifest(image, digest).boxed()
    }

    fn blob<'a>(
        &'a self,
        image: &'a Reference,
        blob: &'a Descriptor,
        from: u64,
    ) -> BoxFuture<'a, Result<Stream, Failure>> {
        self.of(image, Some(&blob.digest)).blob(image, blob, from).boxed()
    }

    fn referrers<'a>(
        &'a self,
        image: &'a Reference,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Vec<serde_json::Value>, Failure>> {
        // What parts make is referred to by nobody.
        if self.made.contains(image) { self.store.referrers(image, digest) } else { self.rest.referrers(image, digest) }
    }
}
