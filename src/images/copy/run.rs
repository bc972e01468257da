//! Doing what has to be done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::graph::Task;
use super::look::Looked;
use super::shown::{Shown, far};
use super::{Copied, Copier, Shared, Target, Wanted};
use crate::error::{Failure, Kind};
use crate::images::layout::{Descriptor, INDEX};
use crate::plan::event::Progress;
use crate::plan::graph::interrupted;

/// How many blobs are sent at once, and how many of them may be large: each of these has full buffers on
/// both sides, and as many of them as there are cores are as quick as more. How many tasks are under way in
/// all.
const SENDS: usize = 48;
const LARGE_SENDS: usize = 6;
const LARGE: u64 = 1 << 20;
const TASKS: usize = 96;
/// How often the status is told.
const TICK: Duration = Duration::from_millis(250);

/// How a blob came to be where it is now.
pub(super) enum Came {
    Sent,
    /// It was there, or the registry took it over.
    Mounted,
}

struct Done {
    number: usize,
    image: usize,
    /// The length of a blob that was to be sent.
    size: Option<u64>,
    what: What,
}

enum What {
    Sent(u64),
    Mounted,
    Put { is_root: bool },
}

impl Copier {
    pub(super) async fn run(
        &self,
        mut looked: Looked,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Copied, Failure> {
        let by_image = if self.0.by_image { looked.graph.by_image() } else { BTreeMap::new() };
        let named = by_image.iter().map(|(&number, (_, bytes))| (number, &looked.images[number].image, *bytes));
        let mut shown = Shown::new(named, &self.0.moved, progress);
        let mut copied = Copied { unchanged: looked.unchanged(), ..Copied::default() };
        if let Err(failure) = self.tasks(&mut looked, &mut copied, &mut shown, progress, cancel).await {
            shown.stopped(&failure);
            return Err(failure);
        }
        self.0.list(&looked.lists).await?;
        if let Target::Store(store) = &self.0.target {
            self.0.name(store, &looked).await?;
        }
        (copied.images, copied.referrers) = (looked.wanted() as u64, looked.referrers as u64);
        if let Target::Registry(client) = &self.0.target {
            copied.traffic = client.traffic();
        }
        Ok(copied)
    }

    /// Does all that is to be done, as much at once as is good.
    async fn tasks(
        &self,
        looked: &mut Looked,
        copied: &mut Copied,
        shown: &mut Shown,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let plan = looked.graph.plan();
        let (mut running, mut sends, mut large_sends) = (JoinSet::new(), 0, 0);
        let (begin, before) = (Instant::now(), self.0.moved.all());
        let mut tick = tokio::time::interval(TICK);
        loop {
            while running.len() < TASKS
                && let Some((number, image, task)) = looked
                    .graph
                    .next((sends < SENDS).then_some(if large_sends < LARGE_SENDS { u64::MAX } else { LARGE }))
            {
                let size = if let Task::Send { blob, .. } = &task { Some(blob.size) } else { None };
                sends += usize::from(size.is_some());
                large_sends += usize::from(size.is_some_and(|size| size > LARGE));
                let (shared, wanted) = (Arc::clone(&self.0), looked.images[image].clone());
                running.spawn(async move {
                    shared.task(&wanted, task).await.map(|what| Done { number, image, size, what })
                });
            }
            // Dropping the set at an early return stops all that is under way.
            let ended = tokio::select! {
                () = cancel.cancelled() => return Err(interrupted()),
                _ = tick.tick() => {
                    let far = far(self.0.moved.all() - before, plan.bytes, begin.elapsed());
                    progress.status(format!("{} of {} blobs, {far}", copied.blobs, plan.blobs));
                    shown.tick();
                    continue;
                }
                ended = running.join_next() => ended,
            };
            let Some(ended) = ended else { return Ok(()) };
            let done = ended.map_err(|panic| Failure::new(Kind::Unexpected, panic))??;
            sends -= usize::from(done.size.is_some());
            large_sends -= usize::from(done.size.is_some_and(|size| size > LARGE));
            match done.what {
                What::Sent(bytes) => {
                    copied.blobs += 1;
                    copied.bytes += bytes;
                }
                What::Mounted => copied.mounted += 1,
                What::Put { is_root } => {
                    if is_root {
                        shown.there(done.image);
                        let wanted = &looked.images[done.image];
                        progress.detail(format!("{} is at {}", wanted.image, self.0.target.describe()));
                    }
                }
            }
            looked.graph.done(done.number);
        }
    }
}

impl Shared {
    async fn task(&self, wanted: &Wanted, task: Task) -> Result<What, Failure> {
        let doing = || format!("copying {} to {}", wanted.image, self.target.describe());
        let result = match task {
            Task::Send { blob, repository } => self.send(wanted, &blob, &repository, None).await,
            Task::Mount { blob, repository, from } => self.send(wanted, &blob, &repository, Some(&from)).await,
            Task::Put { digest, repository, name, is_root } => {
                self.put(wanted, &digest, &repository, &name).await.map(|()| What::Put { is_root })
            }
        };
        result.map_err(|failure| failure.context(doing()))
    }

    /// Brings a blob to the target; `home` is a repository of the target that has it.
    async fn send(
        &self,
        wanted: &Wanted,
        blob: &Descriptor,
        repository: &str,
        home: Option<&str>,
    ) -> Result<What, Failure> {
        let came = match (&self.target, home) {
            (Target::Registry(client), home) => {
                self.send_to_registry(client, wanted, blob, repository, home.unwrap_or(repository)).await?
            }
            (Target::Store(store), None) => self.send_to_store(store, wanted, blob).await?,
            (Target::Store(_), Some(_)) => Came::Mounted,
        };
        Ok(match came {
            // One that was to be taken over, and had to be sent.
            Came::Sent => What::Sent(blob.size),
            Came::Mounted => What::Mounted,
        })
    }

    /// Puts a manifest byte for byte.
    async fn put(
        &self,
        wanted: &Wanted,
        digest: &crate::images::digest::Digest,
        repository: &str,
        name: &str,
    ) -> Result<(), Failure> {
        let raw = self.manifest(&wanted.image, &wanted.from, digest).await?;
        match &self.target {
            Target::Registry(client) => self.put_to_registry(client, wanted, &raw, repository, name).await,
            Target::Store(store) => {
                let store = store.clone();
                let written = tokio::task::spawn_blocking(move || store.put(&raw.bytes).map(drop));
                Ok(written.await.map_err(|panic| Failure::new(Kind::Unexpected, panic))??)
            }
        }
    }

    /// Names in a store what was brought into it, all at once.
    async fn name(&self, store: &crate::images::layout::Layout, looked: &Looked) -> Result<(), Failure> {
        let mut names = Vec::new();
        for ((wanted, tree), _) in
            looked.images.iter().zip(&looked.trees).zip(&looked.present).filter(|(_, there)| !**there)
        {
            let Some(tree) = tree else { continue };
            let raw = self.manifest(&wanted.image, &wanted.from, tree.root()).await?;
            let kind = if raw.media_type.is_empty() { INDEX } else { &raw.media_type };
            names.push((wanted.name.clone(), Descriptor::new(kind, raw.digest, raw.bytes.len() as u64)));
        }
        if names.is_empty() { Ok(()) } else { Ok(store.name(&names)?) }
    }
}
