//! Several bundles as one: a bundle of what is new, and the older ones that it builds upon.

use camino::Utf8PathBuf;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{Bundle, Error, Names};
use crate::error::Failure;
use crate::images::content::{Content, Raw, Shelf, Stream};
use crate::images::digest::Digest;
use crate::images::layout::Descriptor;
use crate::images::reference::Reference;

/// Bundles, the newest first: where two have the same tag, the first one's counts.
#[derive(Clone, Debug)]
pub struct Stack {
    bundles: Vec<Bundle>,
    names: Names,
}

impl Stack {
    /// Opens bundles, the newest first.
    ///
    /// # Errors
    /// As [`Bundle::open`].
    pub fn open(paths: &[Utf8PathBuf]) -> Result<Self, Error> {
        let bundles = paths.iter().map(|path| Bundle::open(path)).collect::<Result<Vec<_>, _>>()?;
        let mut names = Names::default();
        for bundle in &bundles {
            names.extend(bundle.names());
        }
        Ok(Self { bundles, names })
    }

    /// The bundles, as they were named.
    #[must_use]
    pub fn bundles(&self) -> &[Bundle] {
        &self.bundles
    }

    /// Whether all that one leaves to an older one is in one of the others.
    ///
    /// # Errors
    /// [`Error::NeedsBase`] if not.
    pub fn complete(&self) -> Result<(), Error> {
        let mut left = self.bundles.iter().filter_map(Bundle::delta).flat_map(|delta| &delta.blobs);
        left.try_for_each(|blob| self.with(&blob.digest).map(drop))
    }

    fn paths(&self) -> String {
        self.bundles.iter().map(|bundle| bundle.path().as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The bundle with this blob.
    ///
    /// # Errors
    /// [`Error::NeedsBase`] if only an older one, which is not here, has it; [`Error::Lacks`].
    pub fn with(&self, digest: &Digest) -> Result<&Bundle, Error> {
        if let Some(bundle) = self.bundles.iter().find(|bundle| bundle.size(digest).is_some()) {
            return Ok(bundle);
        }
        if let Some(bundle) = self.bundles.iter().find(|bundle| bundle.leaves(digest)) {
            return Err(Error::NeedsBase { path: bundle.path().to_owned(), digest: *digest });
        }
        Err(Error::Lacks { path: self.paths(), digest: *digest })
    }
}

impl Content for Stack {
    fn describe(&self) -> String {
        match &self.bundles[..] {
            [one] => one.describe(),
            _ => format!("the bundles {}", self.paths()),
        }
    }

    fn manifest<'a>(
        &'a self,
        image: &'a Reference,
        digest: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<Option<Raw>, Failure>> {
        let named = || self.names.get(image).map(|root| &root.digest);
        let digest = digest.or_else(|| image.digest()).or_else(named);
        let found = digest.map(|digest| self.with(digest).ok().map(|bundle| bundle.raw(digest)));
        let raw = found.flatten().unwrap_or(Ok(None)).map_err(Failure::from);
        futures::future::ready(raw).boxed()
    }

    fn blob<'a>(&'a self, _: &'a Reference, blob: &'a Descriptor, from: u64) -> BoxFuture<'a, Result<Stream, Failure>> {
        let stream = self.with(&blob.digest).and_then(|bundle| bundle.stream(&blob.digest, from));
        futures::future::ready(stream.map_err(Failure::from)).boxed()
    }
}

impl Shelf for Stack {
    fn names(&self) -> Result<Names, Failure> {
        Ok(self.names.clone())
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        self.with(digest).ok()?.size(digest)
    }
}
