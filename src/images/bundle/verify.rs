//! Reading all of a bundle, and comparing what is there with what should be.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry as Slot;

use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::gather::gather;
use super::{Bundle, Error, Stack, inventory};
use crate::error::Failure;
use crate::images::content::Shelf as _;
use crate::images::digest::Digest;
use crate::images::layout::Descriptor;
use crate::images::lock::{Entry, Lock, Platform};
use crate::images::reference::Reference;
use crate::plan::event::Progress;
use crate::plan::graph::interrupted;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The images, by reference.
    pub images: Vec<Row>,
    /// Blobs that were read.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong; nothing if the bundle is whole.
    pub problems: Vec<Problem>,
    /// The digest of the `images.lock` of the older bundle that must be there too, if it was not given.
    pub needs: Option<Digest>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its reference.
    pub image: Reference,
    /// The digest of its root.
    pub digest: Option<Digest>,
    /// The platforms inside.
    pub platforms: Vec<String>,
    /// Its manifests' blobs: configurations and layers.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs of it that the older bundle has.
    pub elsewhere: usize,
    /// Whether all that should be here is here and as it should be.
    pub whole: bool,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Problem {
    /// A blob's content is not what its name says.
    Damaged {
        /// The file.
        file: String,
        /// What it should be.
        digest: Digest,
        /// What it is.
        found: Digest,
    },
    /// A blob is not there, or has another length.
    Missing {
        /// The image that needs it.
        image: Reference,
        /// The blob.
        digest: Digest,
        /// How many bytes it has here, if it is here.
        found: Option<u64>,
    },
    /// Lock, index and manifests contradict each other.
    Disagrees {
        /// The image.
        image: Reference,
        /// How.
        why: String,
    },
    /// A blob that belongs to no image.
    Stray {
        /// The file.
        file: String,
        /// The blob.
        digest: Digest,
    },
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged { file, digest, found } => {
                write!(f, "{file}: the blob {digest} is damaged, its content has the digest {found}")
            }
            Self::Missing { image, digest, found: None } => write!(f, "{image}: the blob {digest} is missing"),
            Self::Missing { image, digest, found: Some(found) } => {
                write!(f, "{image}: the blob {digest} has another length, {found} bytes")
            }
            Self::Disagrees { image, why } => write!(f, "{image}: {why}"),
            Self::Stray { file, digest } => write!(f, "{file}: the blob {digest} belongs to no image"),
        }
    }
}

/// Reads all of `stack` and compares it with the locks inside, and with `lock` if one is given.
///
/// # Errors
/// A file can't be read; an interruption. What is wrong with the content is no error, but a problem in
/// the result.
pub async fn verify(
    stack: &Stack,
    lock: Option<&Lock>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Checked, Failure> {
    let mut checked = Checked::default();
    hash(stack, &mut checked, progress, cancel).await?;
    let mut used = BTreeSet::new();
    let inside = inside(stack, &checked, &mut used).await?;
    for (image, entry) in &inside.images {
        let row = image_row(stack, image, entry, &mut used, &mut checked.problems).await;
        checked.images.push(row);
    }
    if stack.bundles().iter().all(|bundle| bundle.lock().is_some()) {
        for bundle in stack.bundles() {
            let stray = bundle.blobs().filter(|(digest, _)| !used.contains(digest));
            let file = bundle.path().to_string();
            checked.problems.extend(stray.map(|(digest, _)| Problem::Stray { file: file.clone(), digest }));
        }
    }
    if let Some(lock) = lock {
        let newest = stack.bundles().first().and_then(Bundle::lock).unwrap_or(&inside);
        compare(lock, newest, &mut checked.problems);
    }
    let needs = |bundle: &&Bundle| {
        bundle.delta().is_some_and(|delta| delta.blobs.iter().any(|blob| stack.with(&blob.digest).is_err()))
    };
    checked.needs = stack.bundles().iter().find(needs).and_then(Bundle::delta).map(|delta| delta.base);
    Ok(checked)
}

/// Computes the digest of every blob, on all cores.
async fn hash(
    stack: &Stack,
    checked: &mut Checked,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let blobs: Vec<(Bundle, Digest, u64)> = stack
        .bundles()
        .iter()
        .flat_map(|bundle| bundle.blobs().map(|(digest, size)| (bundle.clone(), digest, size)))
        .collect();
    let (count, total) = (blobs.len(), blobs.iter().map(|(_, _, size)| size).sum::<u64>());
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut running = futures::stream::iter(blobs)
        .map(|(bundle, digest, size)| async move {
            let file = bundle.path().to_string();
            let found = tokio::task::spawn_blocking(move || bundle.digest_of(&digest)).await;
            let found = found.map_err(|panic| Failure::new(crate::error::Kind::Unexpected, panic))??;
            Ok::<_, Failure>((file, digest, found, size))
        })
        .buffer_unordered(cores);
    loop {
        let next = tokio::select! {
            () = cancel.cancelled() => return Err(interrupted()),
            next = running.try_next() => next?,
        };
        let Some((file, digest, found, size)) = next else { return Ok(()) };
        checked.blobs += 1;
        checked.bytes += size;
        if found != digest {
            checked.problems.push(Problem::Damaged { file, digest, found });
        }
        let (done, total) = (checked.bytes / 1_000_000, total / 1_000_000);
        progress.status(format!("read {} of {count} blobs, {done} of {total} MB", checked.blobs));
    }
}

/// What the bundles say they hold; of one without a lock inside, what its manifests say. What only an
/// older bundle says goes to `used`: it is not served any more, but has its reason to be there.
async fn inside(stack: &Stack, checked: &Checked, used: &mut BTreeSet<Digest>) -> Result<Lock, Failure> {
    let mut all = Lock::default();
    if stack.bundles().iter().any(|bundle| bundle.lock().is_none()) {
        match inventory(stack).await {
            Ok(lock) => all = lock,
            // Damaged manifests are in the problems already.
            Err(failure) if checked.problems.is_empty() => return Err(failure),
            Err(_) => {}
        }
    }
    for lock in stack.bundles().iter().filter_map(Bundle::lock) {
        for (image, entry) in &lock.images {
            match all.images.entry(image.clone()) {
                Slot::Vacant(slot) => drop(slot.insert(entry.clone())),
                Slot::Occupied(newer) if newer.get() == entry => {}
                Slot::Occupied(_) => used.extend(contents(entry)),
            }
        }
    }
    Ok(all)
}

/// Everything that an image consists of.
fn contents(entry: &Entry) -> impl Iterator<Item = Digest> {
    let platforms = entry.platforms.values();
    let blobs = platforms.flat_map(|platform| platform.blobs().chain([&platform.manifest]));
    blobs.chain(&entry.root).map(|blob| blob.digest)
}

async fn image_row(
    stack: &Stack,
    image: &Reference,
    entry: &Entry,
    used: &mut BTreeSet<Digest>,
    problems: &mut Vec<Problem>,
) -> Row {
    let before = problems.len();
    let disagrees = |why: String| Problem::Disagrees { image: image.clone(), why };
    let lock = Lock { images: [(image.clone(), entry.clone())].into() };
    if let Err(failure) = gather(&lock, stack).await {
        problems.push(disagrees(failure.lines().join(": ")));
    }
    let names = stack.names().unwrap_or_default();
    if image.tag().is_some() {
        match (names.get(image).map(|root| root.digest), entry.digest()) {
            (Some(found), Some(root)) if found == *root => {}
            (found, _) => {
                let found = found.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string());
                problems.push(disagrees(format!("index.json has {found} under its name")));
            }
        }
    }
    used.extend(contents(entry));
    let blobs: Vec<&Descriptor> = entry.platforms.values().flat_map(Platform::blobs).collect();
    let mut elsewhere = 0;
    for blob in &blobs {
        match stack.with(&blob.digest) {
            Ok(bundle) if bundle.size(&blob.digest) == Some(blob.size) => {}
            Ok(bundle) => {
                let found = bundle.size(&blob.digest);
                problems.push(Problem::Missing { image: image.clone(), digest: blob.digest, found });
            }
            Err(Error::NeedsBase { .. }) => elsewhere += 1,
            Err(_) => problems.push(Problem::Missing { image: image.clone(), digest: blob.digest, found: None }),
        }
    }
    let damaged = |problem: &Problem| match problem {
        Problem::Damaged { digest, .. } => contents(entry).any(|content| content == *digest),
        _ => false,
    };
    Row {
        image: image.clone(),
        digest: entry.digest().copied(),
        platforms: entry.platforms.keys().cloned().collect(),
        blobs: blobs.len(),
        bytes: blobs.iter().map(|blob| blob.size).sum(),
        elsewhere,
        whole: problems.len() == before && !problems.iter().any(damaged),
    }
}

/// The lock beside the lab file against what is inside, which may be of fewer platforms.
fn compare(lock: &Lock, inside: &Lock, problems: &mut Vec<Problem>) {
    let mut disagrees = |image: &Reference, why: &str| {
        problems.push(Problem::Disagrees { image: image.clone(), why: why.to_owned() });
    };
    for (image, entry) in &lock.images {
        match inside.images.get(image) {
            None => disagrees(image, "the lock has it, the bundle does not"),
            Some(found) if found.digest() != entry.digest() => disagrees(image, "the lock has another digest"),
            Some(found) => {
                let manifest = |entry: &Entry, name: &String| Some(entry.platforms.get(name)?.manifest.digest);
                if found.platforms.keys().any(|name| manifest(found, name) != manifest(entry, name)) {
                    disagrees(image, "the lock has another manifest of a platform");
                }
            }
        }
    }
    for image in inside.images.keys().filter(|image| !lock.images.contains_key(image)) {
        disagrees(image, "the bundle has it, the lock does not");
    }
}
