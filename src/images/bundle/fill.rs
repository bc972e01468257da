//! One blob from the source to its place in a bundle.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use fs_err as fs;
use fs_err::os::unix::fs::FileExt as _;
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::table::{BLOCK, ZEROS, padded};
use super::write::{Slot, Work};
use super::{Error, read};
use crate::error::{Failure, Kind};
use crate::images::digest::{Digest, Hasher};
use crate::images::reference::Reference;

/// How many pieces may wait to be written.
const QUEUED: usize = 4;
/// How long a source may send nothing.
const STALL: Duration = Duration::from_mins(2);

/// Fills a slot, unless a run before this one did.
pub(super) async fn fill(work: &Work<'_>, slot: Slot) -> Result<(), Failure> {
    let size = slot.wanted.blob.size;
    if finished(work, &slot).await? {
        work.done.fetch_add(size, Ordering::Relaxed);
        work.reused.fetch_add(1, Ordering::Relaxed);
        return finish(work, &slot);
    }
    let mut first = None;
    for place in std::iter::once(&slot.wanted.image).chain(&slot.wanted.from) {
        match copy(work, &slot, place).await {
            Ok(()) => {
                work.brought.fetch_add(size, Ordering::Relaxed);
                return finish(work, &slot);
            }
            // A full disk is no better with another source.
            Err(failure) if matches!(failure.error.downcast_ref(), Some(Error::Io { .. })) => return Err(failure),
            Err(failure) => first.get_or_insert(failure),
        };
    }
    Err(first.unwrap_or_else(|| Failure::new(Kind::Unexpected, "a blob without a source")))
}

/// Whether the blob is there with its header, and whole.
async fn finished(work: &Work<'_>, slot: &Slot) -> Result<bool, Failure> {
    let (file, head, offset) = (Arc::clone(&work.file), slot.head, slot.offset);
    let blob = slot.wanted.blob.clone();
    let looked = work.writers.spawn_blocking(move || {
        let mut there = ZEROS;
        let whole = file.read_exact_at(&mut there, offset).is_ok()
            && there == head
            && read::digest_at(&file, offset + BLOCK, blob.size).is_ok_and(|found| found == blob.digest);
        if whole || there == ZEROS {
            return Ok(whole);
        }
        // What stands there, maybe of another lock, must not look finished while it is written over.
        file.write_all_at(&ZEROS, offset).map(|()| false)
    });
    let looked = looked.await.map_err(std::io::Error::other).and_then(|looked| looked);
    Ok(looked.map_err(|source| failed(work, source))?)
}

/// The blob's content, hashed and written while it comes.
async fn copy(work: &Work<'_>, slot: &Slot, place: &Reference) -> Result<(), Failure> {
    let blob = &slot.wanted.blob;
    let name = || work.source.describe();
    let wrong = |why: String| {
        Failure::from(Error::Wrong { source_name: name(), digest: blob.digest, image: place.to_string(), why })
    };
    let stalled = || Error::Stalled {
        source_name: name(),
        digest: blob.digest,
        image: place.to_string(),
        seconds: STALL.as_secs(),
    };
    let opened = tokio::time::timeout(STALL, work.source.blob(place, blob, 0)).await;
    let mut stream = opened.map_err(|_| stalled())??;
    let (sender, receiver) = mpsc::channel(QUEUED);
    let writer = work.writers.spawn_blocking({
        let (file, at) = (Arc::clone(&work.file), slot.offset + BLOCK);
        move || write(&file, at, receiver)
    });
    let mut came = 0_u64;
    let sent = async {
        loop {
            let Some(piece) = tokio::time::timeout(STALL, stream.next()).await.map_err(|_| stalled())? else {
                return Ok(());
            };
            let piece = piece?;
            came += piece.len() as u64;
            if came > blob.size {
                return Err(wrong(format!("more than its {} bytes came", blob.size)));
            }
            work.done.fetch_add(piece.len() as u64, Ordering::Relaxed);
            if sender.send(piece).await.is_err() {
                // The writer says why, below.
                return Ok(());
            }
        }
    }
    .await;
    drop(sender);
    let written = writer.await.map_err(std::io::Error::other).and_then(|written| written);
    let found = written.map_err(|source| failed(work, source))?;
    let problem = match sent {
        Err(failure) => Some(failure),
        Ok(()) if came < blob.size => Some(wrong(format!("{came} of {} bytes came", blob.size))),
        Ok(()) if found != blob.digest => Some(wrong(format!("they have the digest {found}"))),
        Ok(()) => None,
    };
    match problem {
        Some(failure) => {
            work.done.fetch_sub(came.min(blob.size), Ordering::Relaxed);
            Err(failure)
        }
        None => Ok(()),
    }
}

/// Writes pieces one after another until there are no more, and returns their digest.
fn write(file: &fs::File, mut at: u64, mut pieces: mpsc::Receiver<Bytes>) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new();
    while let Some(piece) = pieces.blocking_recv() {
        hasher.update(&piece);
        file.write_all_at(&piece, at)?;
        at += piece.len() as u64;
    }
    Ok(hasher.finish())
}

/// Fills up the last block and writes the header, by which the blob counts as there.
fn finish(work: &Work<'_>, slot: &Slot) -> Result<(), Failure> {
    let size = slot.wanted.blob.size;
    let zeros = usize::try_from(padded(size) - size).unwrap_or_default();
    let file = &work.file;
    let written = file
        .write_all_at(&ZEROS[..zeros], slot.offset + BLOCK + size)
        .and_then(|()| file.write_all_at(&slot.head, slot.offset));
    Ok(written.map_err(|source| failed(work, source))?)
}

fn failed(work: &Work<'_>, source: std::io::Error) -> Error {
    Error::Io { doing: "writing", path: work.part.to_owned(), source }
}
