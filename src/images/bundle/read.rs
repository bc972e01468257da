//! A bundle that is read in place. Opening it reads the headers of its tar and the small files at its
//! beginning, nothing else.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use fs_err::os::unix::fs::FileExt as _;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};

use super::delta::Delta;
use super::manifest::{MOST_MANIFEST, Parsed};
use super::names::Names;
use super::{Error, front, table};
use crate::error::{Failure, causes};
use crate::images::content::{Content, Raw, Stream};
use crate::images::digest::{BUFFER, Digest, Hasher};
use crate::images::layout::{Descriptor, ImageIndex};
use crate::images::lock::{self, Lock};
use crate::images::reference::Reference;

/// How much is read and handed on at a time.
const PIECE: u64 = 256 * 1024;
/// The longest of the small files at the beginning, in bytes.
const MOST_FRONT: u64 = 16 * 1024 * 1024;

/// A bundle. Clones share the open file, so one that is replaced meanwhile stays as it was.
#[derive(Clone, Debug)]
pub struct Bundle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: Utf8PathBuf,
    file: Arc<fs::File>,
    blobs: BTreeMap<Digest, Region>,
    index: ImageIndex,
    names: Names,
    lock: Option<Lock>,
    delta: Option<Delta>,
    left: HashMap<Digest, u64>,
}

/// Where a blob is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Region {
    offset: u64,
    size: u64,
}

impl Bundle {
    /// Opens the bundle at `path`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] for what is no bundle or was made to do harm.
    pub fn open(path: &Utf8Path) -> Result<Self, Error> {
        let failed = |source| Error::Io { doing: "reading", path: path.to_owned(), source };
        let malformed = |why: String| Error::Malformed { path: path.to_owned(), why };
        let file = fs::File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() {
            return Err(malformed("it is not a file".to_owned()));
        }
        let files = table::files(about.len(), |offset, buffer| file.read_exact_at(buffer, offset));
        let mut front = HashMap::new();
        let mut blobs = BTreeMap::new();
        for found in files.map_err(failed)?.map_err(malformed)? {
            let region = Region { offset: found.offset, size: found.size };
            if let Some(hex) = found.name.strip_prefix(front::BLOBS) {
                let digest = Digest::from_hex(hex).map_err(|error| malformed(format!("among its blobs, {error}")))?;
                blobs.insert(digest, region);
            } else {
                front.insert(found.name, region);
            }
        }
        let small = |name: &str| -> Result<Option<Vec<u8>>, Error> {
            let Some(region) = front.get(name) else { return Ok(None) };
            if region.size > MOST_FRONT {
                return Err(malformed(format!("its {name} has {} bytes", region.size)));
            }
            bytes_at(&file, *region).map(Some).map_err(failed)
        };
        let no_json = |name: &str, error: serde_json::Error| malformed(format!("its {name} can't be read: {error}"));
        if small(front::MARKER)?.is_none() {
            return Err(malformed(format!("it has no file `{}`, so it is no image layout", front::MARKER)));
        }
        let index = small(front::INDEX_FILE)?.ok_or_else(|| malformed("it has no index.json".to_owned()))?;
        let index: ImageIndex = serde_json::from_slice(&index).map_err(|error| no_json(front::INDEX_FILE, error))?;
        let lock = small(front::LOCK_FILE)?.map(|bytes| {
            let text = String::from_utf8(bytes).map_err(|_| malformed("its images.lock is not UTF-8".to_owned()))?;
            let parsed = lock::file::parse(&text, front::LOCK_FILE);
            parsed.map_err(|error| malformed(format!("in it, {}", causes(&error).join(": "))))
        });
        let lock = lock.transpose()?;
        let delta = small(front::DELTA_FILE)?.map(|bytes| serde_json::from_slice::<Delta>(&bytes));
        let delta = delta.transpose().map_err(|error| no_json(front::DELTA_FILE, error))?;
        let left = delta.iter().flat_map(|delta| &delta.blobs).map(|blob| (blob.digest, blob.size)).collect();
        let names = Names::of(&index.manifests);
        let (path, file) = (path.to_owned(), Arc::new(file));
        Ok(Self { inner: Arc::new(Inner { path, file, blobs, index, names, lock, delta, left }) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        &self.inner.path
    }

    /// The lock inside. One that another tool wrote has none.
    #[must_use]
    pub fn lock(&self) -> Option<&Lock> {
        self.inner.lock.as_ref()
    }

    /// What it leaves to an older bundle.
    #[must_use]
    pub fn delta(&self) -> Option<&Delta> {
        self.inner.delta.as_ref()
    }

    /// What its `index.json` lists.
    #[must_use]
    pub fn roots(&self) -> &[Descriptor] {
        &self.inner.index.manifests
    }

    /// Its images.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.inner.names
    }

    /// All blobs with their lengths.
    pub fn blobs(&self) -> impl Iterator<Item = (Digest, u64)> {
        self.inner.blobs.iter().map(|(digest, region)| (*digest, region.size))
    }

    /// The length of a blob, if it is inside.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        Some(self.inner.blobs.get(digest)?.size)
    }

    /// Whether an older bundle is said to have the blob.
    #[must_use]
    pub fn leaves(&self, digest: &Digest) -> bool {
        self.inner.left.contains_key(digest)
    }

    /// The digest of what stands where the blob should be: the whole of it is read.
    ///
    /// # Errors
    /// [`Error::Lacks`], [`Error::Io`].
    pub fn digest_of(&self, digest: &Digest) -> Result<Digest, Error> {
        let region = self.region(digest)?;
        digest_at(&self.inner.file, region.offset, region.size).map_err(|source| self.failed(source))
    }

    /// The manifest or index with this digest, checked; `None` if the bundle has no such blob, or if
    /// it is something else.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] if its content is another one.
    pub fn raw(&self, digest: &Digest) -> Result<Option<Raw>, Error> {
        let Some(region) = self.inner.blobs.get(digest) else { return Ok(None) };
        if region.size > MOST_MANIFEST {
            return Ok(None);
        }
        let bytes = bytes_at(&self.inner.file, *region).map_err(|source| self.failed(source))?;
        let found = Digest::of(&bytes);
        if found != *digest {
            let why = format!("the blob {digest} is damaged: its content has the digest {found}");
            return Err(Error::Malformed { path: self.inner.path.clone(), why });
        }
        let media_type = Parsed::read(&bytes).map(|parsed| parsed.media_type().to_owned());
        Ok(media_type.map(|media_type| Raw { media_type, digest: *digest, bytes: bytes.into() }))
    }

    /// The content of a blob from an offset on.
    ///
    /// # Errors
    /// [`Error::Lacks`], [`Error::NeedsBase`].
    pub fn stream(&self, digest: &Digest, from: u64) -> Result<Stream, Error> {
        let region = self.region(digest)?;
        let end = region.offset.saturating_add(region.size);
        let (bundle, start) = (self.clone(), region.offset.saturating_add(from).min(end));
        let pieces = futures::stream::try_unfold((bundle, start), move |(bundle, at)| async move {
            if at >= end {
                return Ok(None);
            }
            let region = Region { offset: at, size: PIECE.min(end - at) };
            let file = Arc::clone(&bundle.inner.file);
            let read = tokio::task::spawn_blocking(move || bytes_at(&file, region)).await;
            let read = read.map_err(io::Error::other).and_then(|read| read);
            let bytes = read.map_err(|source| Failure::from(bundle.failed(source)))?;
            Ok(Some((Bytes::from(bytes), (bundle, at + region.size))))
        });
        Ok(pieces.boxed())
    }

    fn region(&self, digest: &Digest) -> Result<Region, Error> {
        self.inner.blobs.get(digest).copied().ok_or_else(|| {
            if self.leaves(digest) {
                Error::NeedsBase { path: self.inner.path.clone(), digest: *digest }
            } else {
                Error::Lacks { path: self.inner.path.to_string(), digest: *digest }
            }
        })
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Io { doing: "reading", path: self.inner.path.clone(), source }
    }
}

impl Content for Bundle {
    fn describe(&self) -> String {
        format!("the bundle {}", self.inner.path)
    }

    fn manifest<'a>(
        &'a self,
        image: &'a Reference,
        digest: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<Option<Raw>, Failure>> {
        let named = || self.names().get(image).map(|root| &root.digest);
        let raw = match digest.or_else(|| image.digest()).or_else(named) {
            Some(digest) => self.raw(digest).map_err(Failure::from),
            None => Ok(None),
        };
        futures::future::ready(raw).boxed()
    }

    fn blob<'a>(&'a self, _: &'a Reference, blob: &'a Descriptor, from: u64) -> BoxFuture<'a, Result<Stream, Failure>> {
        futures::future::ready(self.stream(&blob.digest, from).map_err(Failure::from)).boxed()
    }
}

/// The bytes of a region, which is within the file and small.
fn bytes_at(file: &fs::File, region: Region) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(region.size).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, region.offset)?;
    Ok(bytes)
}

/// The digest of `size` bytes from `offset` on.
pub(super) fn digest_at(file: &fs::File, offset: u64, size: u64) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; BUFFER];
    let mut left = size;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        file.read_exact_at(&mut buffer[..count], offset + (size - left))?;
        hasher.update(&buffer[..count]);
        left -= count as u64;
    }
    Ok(hasher.finish())
}
