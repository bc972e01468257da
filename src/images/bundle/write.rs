//! Writing a bundle. All sizes are known before the first blob comes, and so is where each of them
//! begins: blobs are written side by side, each at its own place, in any order.
//!
//! The file is written as `FILE.part` and gets its name when it is whole. A blob's header is written
//! after its content was checked. So a run that was stopped, also by a kill, leaves the blobs that it
//! had, and the next one reads them again, keeps those whose digests are right, and brings the rest.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use fs_err::os::unix::fs::FileExt as _;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::delta::{Base, Delta};
use super::gather::{Gathered, Wanted, gather};
use super::table::{BLOCK, END, Head, ZEROS, head, padded};
use super::{Error, fill, front, select};
use crate::error::Failure;
use crate::images::content::Content;
use crate::images::digest::Digest;
use crate::images::lock::Lock;
use crate::plan::event::Progress;
use crate::plan::graph::interrupted;

/// How many blobs are brought at once.
const AT_ONCE: usize = 8;

/// What to write.
#[derive(Debug)]
pub struct Request<'a> {
    /// The images.
    pub lock: &'a Lock,
    /// The platforms, as `linux/amd64`; all that the lock has if there are none.
    pub platforms: &'a [String],
    /// Where the images are.
    pub source: &'a dyn Content,
    /// What is where the bundle goes already.
    pub base: Option<Base>,
    /// The file.
    pub to: &'a Utf8Path,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The file.
    pub file: Utf8PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// The digest of the `images.lock` inside: the same for the same images and platforms.
    pub lock: Digest,
    /// Images inside.
    pub images: usize,
    /// Manifests, indexes, configurations and layers inside.
    pub blobs: usize,
    /// Those of them that a run before this one had brought.
    pub reused: u64,
    /// Bytes of configurations and layers that were brought by this run.
    pub brought: u64,
    /// Blobs that the older bundle has.
    pub elsewhere: usize,
    /// Their bytes.
    pub elsewhere_bytes: u64,
}

/// A blob's place in the file.
#[derive(Debug)]
pub(super) struct Slot {
    /// The header, which is written last.
    pub(super) head: Head,
    /// Where the header is.
    pub(super) offset: u64,
    /// What goes there.
    pub(super) wanted: Wanted,
}

/// What runs share.
pub(super) struct Work<'a> {
    pub(super) file: Arc<fs::File>,
    pub(super) part: &'a Utf8Path,
    pub(super) source: &'a dyn Content,
    pub(super) writers: TaskTracker,
    pub(super) done: AtomicU64,
    pub(super) reused: AtomicU64,
    pub(super) brought: AtomicU64,
}

/// Writes a bundle.
///
/// # Errors
/// Each variant of [`enum@Error`] that is about writing, as a failure; those of the source; an interruption.
pub async fn write(request: Request<'_>, progress: &Progress, cancel: &CancellationToken) -> Result<Written, Failure> {
    let lock = select(request.lock, request.platforms)?;
    let part = Utf8PathBuf::from(format!("{}.part", request.to));
    let file = Arc::new(open(&part)?);
    progress.status(format!("reading the manifests of {} images", lock.images.len()));
    let mut gathered = tokio::select! {
        gathered = gather(&lock, request.source) => gathered?,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    let delta = request.base.map(|base| split(&mut gathered, &base));
    let front = front::files(&lock, delta.as_ref())?;
    let failed = |source| Error::Io { doing: "writing", path: part.clone(), source };

    let mut at = 0;
    for (name, bytes) in &front {
        at = put(&file, at, name, bytes).map_err(failed)?;
    }
    let Gathered { manifests, blobs } = gathered;
    let mut slots = Vec::new();
    let sizes: BTreeMap<Digest, u64> = manifests
        .iter()
        .map(|(digest, raw)| (*digest, raw.bytes.len() as u64))
        .chain(blobs.iter().map(|(digest, wanted)| (*digest, wanted.blob.size)))
        .collect();
    for (digest, size) in &sizes {
        let name = front::blob_file(digest);
        if let Some(raw) = manifests.get(digest) {
            at = put(&file, at, &name, &raw.bytes).map_err(failed)?;
        } else {
            let head = head(&name, *size).map_err(failed)?;
            slots.push(Slot { head, offset: at, wanted: blobs[digest].clone() });
            at += BLOCK + padded(*size);
        }
    }
    // Cut first: what another lock left behind the end must not stay.
    file.set_len(at).and_then(|()| file.set_len(at + END)).map_err(failed)?;

    let work = Work {
        file: Arc::clone(&file),
        part: &part,
        source: request.source,
        writers: TaskTracker::new(),
        done: AtomicU64::new(0),
        reused: AtomicU64::new(0),
        brought: AtomicU64::new(0),
    };
    let brought = bring(&work, slots, progress, cancel).await;
    // Whatever the outcome, nobody writes any more when this returns.
    work.writers.close();
    work.writers.wait().await;
    brought?;
    progress.status("making the bundle durable".to_owned());
    let (path, from) = (request.to.to_owned(), part.clone());
    let kept = tokio::task::spawn_blocking(move || keep(&file, &from, &path)).await;
    kept.map_err(io::Error::other).and_then(|kept| kept).map_err(failed)?;
    let front_lock = front.iter().find(|(name, _)| *name == front::LOCK_FILE);
    Ok(Written {
        file: request.to.to_owned(),
        bytes: at + END,
        lock: Digest::of(front_lock.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default()),
        images: lock.images.len(),
        blobs: sizes.len(),
        reused: work.reused.into_inner(),
        brought: work.brought.into_inner(),
        elsewhere: delta.as_ref().map_or(0, |delta| delta.blobs.len()),
        elsewhere_bytes: delta.iter().flat_map(|delta| &delta.blobs).map(|blob| blob.size).sum(),
    })
}

/// Takes out what the base has. Manifests stay: they are small, and with them the bundle itself says
/// what each of its images consists of.
fn split(gathered: &mut Gathered, base: &Base) -> Delta {
    let (old, new) =
        std::mem::take(&mut gathered.blobs).into_iter().partition(|(digest, _)| base.blobs.contains(digest));
    gathered.blobs = new;
    let old: BTreeMap<Digest, Wanted> = old;
    Delta { base: base.lock, blobs: old.into_values().map(|wanted| wanted.blob).collect() }
}

/// Fills the slots, the largest first: the end is then not one large blob alone.
async fn bring(
    work: &Work<'_>,
    mut slots: Vec<Slot>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    slots.sort_by_key(|slot| std::cmp::Reverse(slot.wanted.blob.size));
    let (count, total) = (slots.len(), slots.iter().map(|slot| slot.wanted.blob.size).sum::<u64>() / 1_000_000);
    let mut running = futures::stream::iter(slots).map(|slot| fill::fill(work, slot)).buffer_unordered(AT_ONCE);
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(200));
    let mut ended = 0;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Err(interrupted()),
            _ = ticks.tick() => {
                let done = work.done.load(Ordering::Relaxed) / 1_000_000;
                progress.status(format!("bundled {ended} of {count} blobs, {done} of {total} MB"));
            }
            slot = running.try_next() => match slot? {
                Some(()) => ended += 1,
                None => return Ok(()),
            },
        }
    }
}

/// The file that is being written, for us alone.
fn open(part: &Utf8Path) -> Result<fs::File, Error> {
    let failed = |source| Error::Io { doing: "writing", path: part.to_owned(), source };
    let open = || fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(part);
    let file = open().map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Busy { path: part.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => return Err(failed(source)),
    }
    // Whoever held it may just have finished: then this is a whole bundle under its own name by now.
    let still = fs::metadata(part).and_then(|named| Ok((named.ino(), file.metadata()?.ino())));
    match still {
        Ok((named, ours)) if named == ours => Ok(file),
        _ => Err(Error::Busy { path: part.to_owned() }),
    }
}

/// Writes a small file at its place, and returns where the next one begins.
fn put(file: &fs::File, at: u64, name: &str, bytes: &[u8]) -> io::Result<u64> {
    let size = bytes.len() as u64;
    file.write_all_at(&head(name, size)?, at)?;
    file.write_all_at(bytes, at + BLOCK)?;
    let end = at + BLOCK + padded(size);
    let zeros = usize::try_from(padded(size) - size).unwrap_or_default();
    file.write_all_at(&ZEROS[..zeros], end - zeros as u64)?;
    Ok(end)
}

/// Makes the file durable and gives it its name.
fn keep(file: &fs::File, from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(from, to)?;
    let dir = to.parent().filter(|dir| !dir.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    fs::File::open(dir)?.sync_all()
}
