//! Some platforms of images, where no lock says what they consist of.

use futures::future::BoxFuture;

use super::{Shared, Tree, Wanted};
use crate::error::Failure;
use crate::images::content::{Content, Raw, Stream};
use crate::images::digest::Digest;
use crate::images::layout::Descriptor;
use crate::images::lock::Entry;
use crate::images::lock::describe::{describe, descriptor};
use crate::images::reference::Reference;

/// Which platforms of an image are copied that is not known from a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// All.
    #[default]
    All,
    /// These, as `linux/amd64`; the index stays as it is.
    Only(Vec<String>),
    /// This one alone: its manifest is taken for the image.
    Flat(String),
}

impl Choice {
    fn platforms(&self) -> &[String] {
        match self {
            Self::All => &[],
            Self::Only(platforms) => platforms,
            Self::Flat(platform) => std::slice::from_ref(platform),
        }
    }
}

impl Shared {
    /// What the image consists of, of the platforms that were chosen.
    pub(super) async fn chosen(&self, wanted: &Wanted, root: &Digest, choice: &Choice) -> Result<Tree, Failure> {
        if *choice == Choice::All {
            return self.discover(wanted, *root).await;
        }
        let raw = self.manifest(&wanted.image, &wanted.from, root).await?;
        let places = Places { shared: self, wanted };
        let platforms = describe(&places, &wanted.image, &raw, choice.platforms()).await?;
        let entry = Entry { root: Some(descriptor(&raw)), platforms, ..Entry::default() };
        let flat = if let Choice::Flat(platform) = choice { Some(platform.as_str()) } else { None };
        Ok(Tree::of_entry(&wanted.image, &entry, flat)?)
    }
}

/// The places that have an image; manifests that were read are kept.
#[derive(Debug)]
struct Places<'s> {
    shared: &'s Shared,
    wanted: &'s Wanted,
}

impl Content for Places<'_> {
    fn describe(&self) -> String {
        self.shared.source.describe()
    }

    fn manifest<'a>(
        &'a self,
        image: &'a Reference,
        digest: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<Option<Raw>, Failure>> {
        Box::pin(async move {
            match digest.or(image.digest()) {
                Some(digest) => self.shared.manifest(image, &self.wanted.from, digest).await.map(Some),
                None => self.shared.root(image, &self.wanted.from).await.map(Some),
            }
        })
    }

    fn blob<'a>(
        &'a self,
        image: &'a Reference,
        blob: &'a Descriptor,
        from: u64,
    ) -> BoxFuture<'a, Result<Stream, Failure>> {
        self.shared.source.blob(image, blob, from)
    }
}
