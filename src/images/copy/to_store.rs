//! Into a store on disk.

use std::io;

use futures::stream::StreamExt as _;

use super::checked::{self, Wrong};
use super::run::Came;
use super::{Shared, Wanted};
use crate::error::{Failure, Kind};
use crate::images::layout::{Descriptor, Layout, Partial};

/// How often a blob is tried again whose content was wrong.
const TRIES: usize = 2;

impl Shared {
    /// Brings a blob into the store. What a run that was killed has left of it is read again instead of
    /// being fetched again.
    pub(super) async fn send_to_store(
        &self,
        store: &Layout,
        wanted: &Wanted,
        blob: &Descriptor,
    ) -> Result<Came, Failure> {
        for failed in 0.. {
            let partial = {
                let (store, blob) = (store.clone(), blob.clone());
                blocking(move || store.partial(&blob)).await??
            };
            // Another process has brought it meanwhile.
            let Some(partial) = partial else { return Ok(Came::Mounted) };
            let Some(wrong) = self.fill(partial, wanted, blob, failed).await? else { return Ok(Came::Sent) };
            if failed + 1 >= TRIES.max(wanted.from.len() + 1)
                || (matches!(wrong, Wrong::Source(_)) && failed >= wanted.from.len())
            {
                return Err(self.wrong(wanted, blob, wrong));
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Fetches what is missing of a blob; the reason if its content is not right.
    async fn fill(
        &self,
        mut partial: Partial,
        wanted: &Wanted,
        blob: &Descriptor,
        failed: usize,
    ) -> Result<Option<Wrong>, Failure> {
        let content = match self.source.blob(wanted.place(failed), blob, partial.length()).await {
            Ok(content) => content,
            Err(failure) => return Ok(Some(Wrong::Source(failure))),
        };
        let (mut body, verdict) = checked::rest(content, blob, partial.length(), partial.hasher());
        let moved = self.moved.counter(&wanted.image);
        while let Some(piece) = body.next().await {
            let Ok(piece) = piece else {
                let wrong = verdict.take().unwrap_or(Wrong::Length);
                // What came of a source that broke off is kept; what is wrong is not.
                if !matches!(wrong, Wrong::Source(_)) {
                    blocking(move || partial.discard()).await??;
                }
                return Ok(Some(wrong));
            };
            moved.add(piece.len());
            partial = blocking(move || partial.append(&piece)).await??;
        }
        blocking(move || partial.finish()).await??;
        Ok(None)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| Failure::new(Kind::Unexpected, io::Error::other(panic)))
}
