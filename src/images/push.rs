//! Images from the store into a registry, with the least that must cross the wire: one question for
//! an image that is there already; else each blob once, however many images share it, and its
//! manifest last, so that what a registry shows is always whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::digest::Digest;
use super::layout::{self, Descriptor, ImageManifest, Layout};
use super::registry::{Client, Traffic, Upload, body};
use crate::error::Failure;
use crate::plan::event::Progress;
use crate::plan::graph::interrupted;

/// How many requests are under way at once. More did not help on loopback: hashing and the
/// registry's own writes are the limit there.
const AT_ONCE: usize = 8;
/// How often a blob is sent again from its start.
const TRIES: u32 = 3;

/// An image and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The digest of its manifest in the store.
    pub digest: Digest,
    /// The repository of the registry, as [`super::reference::Reference::mirrored_repository`] gives it.
    pub repository: String,
    /// The tag to put on it.
    pub tag: String,
}

/// What pushing did, exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pushed {
    /// Images that are in the registry now.
    pub images: u64,
    /// Those of them that were there before.
    pub unchanged: u64,
    /// Blobs sent.
    pub blobs: u64,
    /// Blobs that were in the repository, or were taken over from another one of the registry.
    pub mounted: u64,
    /// Requests and bytes of this session's client.
    pub traffic: Traffic,
}

/// One registry, one store, and what is known to be in the registry. Images may be pushed side by
/// side and as they get ready; what they share crosses once.
#[derive(Clone, Debug)]
pub struct Session {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Layout,
    client: Client,
    /// For each blob, the first repository that has it; being filled while it is sent.
    homes: Mutex<HashMap<Digest, Arc<OnceCell<String>>>>,
    permits: Semaphore,
    pushed: Mutex<Pushed>,
}

impl Session {
    /// From `store` to the registry of `client`.
    #[must_use]
    pub fn new(store: Layout, client: Client) -> Self {
        let shared = Shared {
            store,
            client,
            homes: Mutex::default(),
            permits: Semaphore::new(AT_ONCE),
            pushed: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// What was done so far.
    #[must_use]
    pub fn pushed(&self) -> Pushed {
        Pushed { traffic: self.shared.client.traffic(), ..self.shared.counts().clone() }
    }

    /// Brings one image into the registry; `true` if it was not there with this digest. Stops at
    /// once when `cancel` is: what is there then is whole, and is not sent again.
    ///
    /// # Errors
    /// Each variant of [`Error`] as a failure; an interruption.
    pub async fn push(&self, target: &Target, cancel: &CancellationToken) -> Result<bool, Failure> {
        let doing = || format!("pushing {}:{} to {}", target.repository, target.tag, self.shared.client.base());
        tokio::select! {
            () = cancel.cancelled() => Err(interrupted()),
            result = self.shared.image(&self.shared, target) => {
                result.map_err(|failure| failure.context(doing()))
            }
        }
    }

    /// Brings all of them into the registry, side by side.
    ///
    /// # Errors
    /// The first failure of [`Session::push`].
    pub async fn push_all(
        &self,
        targets: &[Target],
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Pushed, Failure> {
        let mut running = JoinSet::new();
        for target in targets {
            let (session, target, cancel) = (self.clone(), target.clone(), cancel.clone());
            running.spawn(async move { session.push(&target, &cancel).await });
        }
        let mut done = 0;
        while let Some(ended) = running.join_next().await {
            ended.map_err(|panic| Failure::new(crate::error::Kind::Unexpected, panic))??;
            done += 1;
            progress.status(format!("pushed {done} of {} images", targets.len()));
        }
        Ok(self.pushed())
    }
}

impl Shared {
    async fn image(&self, shared: &Arc<Self>, target: &Target) -> Result<bool, Failure> {
        let there = {
            let _permit = self.permits.acquire().await;
            self.client.head_manifest(&target.repository, &target.tag).await?
        };
        let (bytes, manifest) = self.manifest(&target.digest)?;
        if there == Some(target.digest) {
            // Its blobs can be mounted from here by the others.
            for blob in manifest.blobs() {
                // Somebody may have found out before.
                drop(self.home(&blob.digest).set(target.repository.clone()));
            }
            let mut counts = self.counts();
            counts.images += 1;
            counts.unchanged += 1;
            return Ok(false);
        }
        let mut running = JoinSet::new();
        // The largest first: the end is then not one large blob alone.
        let mut blobs: Vec<Descriptor> = manifest.blobs().cloned().collect();
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        blobs.dedup_by_key(|blob| blob.digest);
        for blob in blobs {
            let (shared, repository) = (Arc::clone(shared), target.repository.clone());
            running.spawn(async move { shared.blob(&repository, &blob.digest).await });
        }
        while let Some(ended) = running.join_next().await {
            match ended {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        let _permit = self.permits.acquire().await;
        self.client.put_manifest(&target.repository, &target.tag, &manifest.media_type, bytes.into()).await?;
        self.counts().images += 1;
        Ok(true)
    }

    async fn blob(&self, repository: &str, digest: &Digest) -> Result<(), Failure> {
        let cell = self.home(digest);
        let mut sent_here = false;
        let home = cell
            .get_or_try_init(async || {
                sent_here = true;
                self.send(repository, digest, repository).await.map(|()| repository.to_owned())
            })
            .await?;
        // The same image under two tags needs nothing more.
        if sent_here || home == repository {
            return Ok(());
        }
        self.send(repository, digest, home).await
    }

    /// Mounts the blob from `from`, or sends it if the registry does not.
    async fn send(&self, repository: &str, digest: &Digest, from: &str) -> Result<(), Failure> {
        let _permit = self.permits.acquire().await;
        for attempt in 1.. {
            let Upload::To(url) = self.client.start_upload(repository, digest, from).await? else {
                self.counts().mounted += 1;
                return Ok(());
            };
            match self.put(&url, repository, digest).await {
                Ok(()) => break,
                // An upload that broke off is not continued: on loopback, starting again is as quick.
                Err(failure) if failure.kind == crate::error::Kind::Unavailable && attempt < TRIES => {}
                Err(error) => return Err(error),
            }
        }
        self.counts().blobs += 1;
        Ok(())
    }

    async fn put(&self, to: &url::Url, repository: &str, digest: &Digest) -> Result<(), Failure> {
        let blob = body::Blob::open(&self.store, digest).await?;
        let (length, found) = (blob.length(), blob.verdict());
        let sent = self.client.finish_upload(repository, to, digest, length, Box::pin(blob.stream())).await;
        match found.take() {
            Some(error) => Err(error.into()),
            None => Ok(sent?),
        }
    }

    fn home(&self, digest: &Digest) -> Arc<OnceCell<String>> {
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(homes.entry(*digest).or_default())
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Pushed> {
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manifest(&self, digest: &Digest) -> Result<(Vec<u8>, ImageManifest), Failure> {
        let wrong = |source| Failure::from(source);
        let bytes = self.store.read(digest).map_err(wrong)?;
        let json = |source| wrong(layout::Error::Json { path: self.store.path(digest), source });
        let manifest = serde_json::from_slice(&bytes).map_err(json)?;
        Ok((bytes, manifest))
    }
}
