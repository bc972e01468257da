//! Images from wherever they are into a registry or a store, with the least that must cross the wire.
//!
//! Of I images with M manifests, U different blobs and R pairs of blob and repository, copying into a
//! registry that has none of them takes at the source U requests for blobs and M for manifests, and at the
//! target I questions for what is there, 2U requests that send blobs, R − U that take them over from
//! another repository, and M for manifests. When all is there it takes the I questions, and nothing at the
//! source. What broke off and is sent again comes on top.
//!
//! The work is a graph (`graph`): the first repository that needs a blob gets it sent, the others wait for
//! that and take it over; a manifest waits for its blobs, an index for its manifests. The root goes last,
//! so that what a registry shows is whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::content::{Content, Raw};
use super::digest::Digest;
use super::layout::Layout;
use super::reference::Reference;
use super::registry::{Client, Traffic};
use crate::error::Failure;
use crate::plan::event::Progress;

mod checked;
mod choice;
mod error;
mod graph;
mod journal;
mod look;
mod rate;
mod referrers;
mod run;
pub mod select;
mod shown;
mod to_registry;
mod to_store;
mod tree;

pub use choice::Choice;
pub use error::Error;
pub use graph::{Plan, Share};
pub use journal::Journal;
pub use rate::Rates;
pub use tree::{Manifest, Tree};

use shown::Moved;

/// An image to copy.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name, by which the source is asked.
    pub image: Reference,
    /// Other places that have the same digest, asked in this order when the first one fails.
    pub from: Vec<Reference>,
    /// What is known of it.
    pub known: Known,
    /// The repository of the target that it goes to. A store has only one.
    pub repository: String,
    /// The tag or the digest under which a registry shows it; in a store its whole name.
    pub name: String,
}

/// What is known of an image before anybody is asked.
#[derive(Clone, Debug)]
pub enum Known {
    /// All that it consists of.
    Tree(Tree),
    /// The digest of its index or manifest.
    Root(Digest),
    /// The source is asked for what the name means.
    Nothing,
}

/// Where images go.
#[derive(Clone, Debug)]
pub enum Target {
    /// A registry.
    Registry(Client),
    /// A store on disk.
    Store(Layout),
}

/// What copying did, exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Copied {
    /// Images that are at the target now.
    pub images: u64,
    /// Those of them that were there before.
    pub unchanged: u64,
    /// What refers to them, as signatures do, if that was asked for; it is at the target too.
    #[serde(skip_serializing_if = "is_zero")]
    pub referrers: u64,
    /// Blobs sent.
    pub blobs: u64,
    /// Their bytes; what was sent in vain is not in it.
    pub bytes: u64,
    /// Blobs that were in the repository, or were taken over from another one of the registry.
    pub mounted: u64,
    /// Requests and bytes at the target; of all that its client did.
    pub traffic: Traffic,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A source and a target.
#[derive(Clone, Debug)]
pub struct Copier(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Arc<dyn Content>,
    target: Target,
    /// Manifests that were read before; what is read now is put there too.
    manifests: Option<Layout>,
    journal: Option<Journal>,
    choice: Choice,
    referrers: bool,
    /// Each image is told of as a step of its own.
    by_image: bool,
    read: Mutex<HashMap<Digest, Arc<OnceCell<Raw>>>>,
    /// The bytes of blobs that have moved so far, by the image that they were moved for.
    moved: Moved,
}

impl Copier {
    /// From `source` to `target`.
    #[must_use]
    pub fn new(source: Arc<dyn Content>, target: Target) -> Self {
        let (manifests, journal, choice, referrers, by_image) = (None, None, Choice::All, false, false);
        let (read, moved) = (Mutex::default(), Moved::default());
        Self(Arc::new(Shared { source, target, manifests, journal, choice, referrers, by_image, read, moved }))
    }

    /// Reads manifests from `manifests` where it has them, and keeps there those that it reads: the
    /// source is then asked only for blobs.
    #[must_use]
    pub fn with_manifests(self, manifests: Layout) -> Self {
        self.changed(|shared| shared.manifests = Some(manifests))
    }

    /// Goes on with uploads that a run before this one began, as far as the registry can.
    #[must_use]
    pub fn with_journal(self, journal: Journal) -> Self {
        self.changed(|shared| shared.journal = Some(journal))
    }

    /// Copies only these platforms of images that are not known from a lock.
    #[must_use]
    pub fn with_choice(self, choice: Choice) -> Self {
        self.changed(|shared| shared.choice = choice)
    }

    /// Copies what refers to the images, too.
    #[must_use]
    pub fn with_referrers(self) -> Self {
        self.changed(|shared| shared.referrers = true)
    }

    /// Tells of each image as of a step, besides the whole.
    #[must_use]
    pub fn shown_by_image(self) -> Self {
        self.changed(|shared| shared.by_image = true)
    }

    fn changed(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        // Nobody else has it yet.
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            change(shared);
        }
        self
    }

    /// What would move, without moving it. Manifests that are not known are read.
    ///
    /// # Errors
    /// Those of the source, the target's for questions, [`enum@Error`]; an interruption.
    pub async fn plan(
        &self,
        wanted: &[Wanted],
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Plan, Failure> {
        Ok(self.look(wanted, progress, cancel).await?.plan(&self.0.target))
    }

    /// Brings all of them to the target. Stops at once when `cancel` is: what is there then is whole,
    /// and is not sent again.
    ///
    /// # Errors
    /// The first failure of the source, of the target, or [`enum@Error`]; an interruption.
    pub async fn copy(
        &self,
        wanted: &[Wanted],
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Copied, Failure> {
        let looked = self.look(wanted, progress, cancel).await?;
        self.run(looked, progress, cancel).await
    }
}

impl Target {
    /// What it is and where, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Registry(client) => client.describe(),
            Self::Store(store) => store.describe(),
        }
    }
}

impl Shared {
    /// The manifest `digest` of the image: one that was read before, else from the source or one of the
    /// other places.
    async fn manifest(&self, image: &Reference, from: &[Reference], digest: &Digest) -> Result<Raw, Failure> {
        let cell = {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(read.entry(*digest).or_default())
        };
        let get = || async {
            if let Some(kept) = &self.manifests
                && let Some(raw) = Content::manifest(kept, image, Some(digest)).await.unwrap_or_default()
            {
                return Ok(raw);
            }
            let raw = self.ask(image, from, Some(digest)).await?;
            if raw.digest != *digest {
                let place = self.source.describe();
                return Err(Error::Damaged { blob: *digest, image: image.to_string(), place, found: raw.digest }.into());
            }
            self.keep(&raw)?;
            Ok::<Raw, Failure>(raw)
        };
        cell.get_or_try_init(get).await.cloned()
    }

    /// What the image's name means at the source now.
    async fn root(&self, image: &Reference, from: &[Reference]) -> Result<Raw, Failure> {
        let raw = self.ask(image, from, None).await?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(raw.digest, Arc::new(OnceCell::new_with(Some(raw.clone()))));
        drop(read);
        self.keep(&raw)?;
        Ok(raw)
    }

    fn keep(&self, raw: &Raw) -> Result<(), Failure> {
        if let Some(kept) = self.manifests.as_ref().filter(|kept| kept.read(&raw.digest).is_err()) {
            kept.remember(&raw.bytes)?;
        }
        Ok(())
    }

    async fn ask(&self, image: &Reference, from: &[Reference], digest: Option<&Digest>) -> Result<Raw, Failure> {
        let mut failed = None;
        for name in std::iter::once(image).chain(from) {
            match self.source.manifest(name, digest).await {
                Ok(Some(raw)) => return Ok(raw),
                Ok(None) => {}
                // The first place's reason is the one to tell.
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        let missing =
            || Error::Missing { image: image.to_string(), digest: digest.copied(), place: self.source.describe() };
        Err(failed.unwrap_or_else(|| missing().into()))
    }
}
