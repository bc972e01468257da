//! The store of images on disk: an OCI image layout
//! ([image-layout.md](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)) whose
//! index holds each image once by its full name (`registry.k8s.io/pause:3.10.1`).
//!
//! Several processes may use a store at once: blobs are written beside their place and renamed,
//! the index is changed under a lock. What is there is whole, unless the disk lost it; reading
//! checks digests.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use thiserror::Error;

use super::digest::{BUFFER, Digest, Hashing};
use crate::error::{Failure, Kind};

mod content;
mod partial;

pub use partial::Partial;

/// The media type of an image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an image's configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of an uncompressed layer.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The annotation that holds an image's full name in the index.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Why the store does not serve.
#[derive(Debug, Error)]
pub enum Error {
    /// A file can't be read or written.
    #[error("the image store at {dir} can't be used")]
    Io {
        /// The store.
        dir: Utf8PathBuf,
        /// Why; names the file.
        source: io::Error,
    },
    /// A file of the store is not what it should be.
    #[error("{path} is not valid JSON of its kind")]
    Json {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A blob that an image needs is not there.
    #[error("the image store at {dir} lacks the blob {digest}")]
    Missing {
        /// The store.
        dir: Utf8PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// A blob's content is not what its name says.
    #[error("the blob {digest} is damaged: its content has the digest {found}")]
    Damaged {
        /// What it should be.
        digest: Digest,
        /// What it is.
        found: Digest,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let full = matches!(&error, Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull);
        let hint = match &error {
            Error::Io { dir, .. } if full => format!(
                "The disk is full: free some space, or set ISTIOLAB_CACHE to a folder on a disk with room (now {dir})."
            ),
            Error::Io { .. } => {
                "See that the folder exists and is yours, or set ISTIOLAB_CACHE to another one.".to_owned()
            }
            Error::Json { path, .. } => format!("Delete {path} and run `istiolab images build`."),
            Error::Missing { .. } | Error::Damaged { .. } => {
                "Run `istiolab images build`: it makes what is missing or damaged again.".to_owned()
            }
        };
        let kind = if full { Kind::Unavailable } else { Kind::Unexpected };
        Self::new(kind, error).hint(hint)
    }
}

/// What points at content
/// ([descriptor.md](https://github.com/opencontainers/image-spec/blob/main/descriptor.md)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What kind of content it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The platform of an image in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free-form facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// A descriptor with neither platform nor annotations.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest, size, platform: None, annotations: BTreeMap::new() }
    }
}

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// As Go's GOARCH.
    pub architecture: String,
    /// As Go's GOOS.
    pub os: String,
}

/// An image's manifest
/// ([manifest.md](https://github.com/opencontainers/image-spec/blob/main/manifest.md)).
/// To forward one, send its raw bytes ([`Layout::read`]), never this written again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`MANIFEST`], or Docker's name of the same; some tools leave it out.
    #[serde(default = "manifest_kind")]
    pub media_type: String,
    /// The image's configuration.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// Free-form facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl ImageManifest {
    /// The blobs that the image consists of besides its manifest: the configuration, then the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

/// A list of manifests; `index.json` is one
/// ([image-index.md](https://github.com/opencontainers/image-spec/blob/main/image-index.md)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: u32,
    /// Always [`INDEX`]; some tools leave it out.
    #[serde(default = "index_kind")]
    pub media_type: String,
    /// The images.
    pub manifests: Vec<Descriptor>,
}

fn manifest_kind() -> String {
    MANIFEST.to_owned()
}

fn index_kind() -> String {
    INDEX.to_owned()
}

impl Default for ImageIndex {
    fn default() -> Self {
        Self { schema_version: 2, media_type: index_kind(), manifests: Vec::new() }
    }
}

/// A store of images.
#[derive(Clone, Debug)]
pub struct Layout {
    dir: Utf8PathBuf,
}

impl Layout {
    /// The store at `dir`, made if it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] if it can't be made.
    pub fn open(dir: impl Into<Utf8PathBuf>) -> Result<Self, Error> {
        let layout = Self { dir: dir.into() };
        let marker = layout.dir.join("oci-layout");
        if !marker.exists() {
            fs::create_dir_all(layout.dir.join("blobs/sha256")).map_err(|source| layout.io(source))?;
            layout.replace(&marker, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        }
        Ok(layout)
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// Where the blob is, or would be.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> Utf8PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// Whether the blob is there. Its content is not looked at.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Whether the blob is there with its whole length: a check that costs one look at the folder.
    #[must_use]
    pub fn has_whole(&self, descriptor: &Descriptor) -> bool {
        fs::metadata(self.path(&descriptor.digest)).is_ok_and(|file| file.is_file() && file.len() == descriptor.size)
    }

    /// Puts `bytes` into the store.
    ///
    /// # Errors
    /// [`Error::Io`] if they can't be written.
    pub fn put(&self, bytes: &[u8]) -> Result<(Digest, u64), Error> {
        let mut writer = self.writer()?;
        writer.write_all(bytes).map_err(|source| self.io(source))?;
        writer.finish()
    }

    /// As [`Layout::put`] for what can be had again, without waiting for the disk: after a loss of power it may
    /// be damaged, which reading finds.
    ///
    /// # Errors
    /// [`Error::Io`] if they can't be written.
    pub fn remember(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self.temporary(&self.dir.join("blobs"))?;
        let written = file.write_all(bytes);
        let path = self.path(&Digest::of(bytes));
        written.and_then(|()| Ok(file.persist(path).map(drop)?)).map_err(|source| self.io(source))
    }

    /// Starts a blob whose digest is not known yet. Nothing is kept unless [`BlobWriter::finish`] is
    /// called.
    ///
    /// # Errors
    /// [`Error::Io`] if no file can be made.
    pub fn writer(&self) -> Result<BlobWriter<'_>, Error> {
        let file = self.temporary(&self.dir.join("blobs"))?;
        Ok(BlobWriter { layout: self, file: Hashing::new(io::BufWriter::with_capacity(BUFFER, file)) })
    }

    /// The content of a small blob (manifest, configuration), checked.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Damaged`], [`Error::Io`].
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let bytes = fs::read(self.path(digest)).map_err(|source| self.missing(digest, source))?;
        let found = Digest::of(&bytes);
        if found == *digest { Ok(bytes) } else { Err(Error::Damaged { digest: *digest, found }) }
    }

    /// The manifest with this digest, checked.
    ///
    /// # Errors
    /// As [`Layout::read`], and [`Error::Json`] if it is no manifest.
    pub fn manifest(&self, digest: &Digest) -> Result<ImageManifest, Error> {
        let bytes = self.read(digest)?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: self.path(digest), source })
    }

    /// Reads a blob to its end and compares its digest.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Damaged`], [`Error::Io`].
    pub fn verify(&self, digest: &Digest) -> Result<(), Error> {
        let file = fs::File::open(self.path(digest)).map_err(|source| self.missing(digest, source))?;
        let (found, _) = Digest::of_reader(file).map_err(|source| self.io(source))?;
        if found == *digest { Ok(()) } else { Err(Error::Damaged { digest: *digest, found }) }
    }

    /// Takes a blob out of the store, if it is there: the part that it belongs to is then built again.
    ///
    /// # Errors
    /// [`Error::Io`] if it can't be deleted.
    pub fn remove(&self, digest: &Digest) -> Result<(), Error> {
        match fs::remove_file(self.path(digest)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(self.io(source)),
            _ => Ok(()),
        }
    }

    /// The manifest of the image with this full name, as `istiolab.local/zipkin:3.5.1`.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<Descriptor> {
        self.images().ok()?.remove(name)
    }

    /// All images by their full names.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`] if the index can't be read.
    pub fn images(&self) -> Result<BTreeMap<String, Descriptor>, Error> {
        let named = |image: Descriptor| Some((image.annotations.get(REF_NAME)?.clone(), image));
        Ok(self.index()?.manifests.into_iter().filter_map(named).collect())
    }

    /// Names images, taking the names from those that had them. The names are in `REF_NAME` of the
    /// descriptors' annotations afterwards.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`].
    pub fn name(&self, images: &[(String, Descriptor)]) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut all = self.images()?;
        for (name, image) in images {
            let mut image = image.clone();
            image.annotations.insert(REF_NAME.to_owned(), name.clone());
            all.insert(name.clone(), image);
        }
        let index = ImageIndex { manifests: all.into_values().collect(), ..ImageIndex::default() };
        let path = self.dir.join("index.json");
        let text = serde_json::to_vec(&index).map_err(|source| Error::Json { path: path.clone(), source })?;
        self.replace(&path, &text)
    }

    fn index(&self) -> Result<ImageIndex, Error> {
        let path = self.dir.join("index.json");
        match fs::File::open(&path) {
            Ok(file) => serde_json::from_reader(BufReader::new(file)).map_err(|source| Error::Json { path, source }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(ImageIndex::default()),
            Err(source) => Err(self.io(source)),
        }
    }

    /// Held until the file is dropped. It guards moments, so waiting needs no deadline.
    fn lock(&self) -> Result<fs::File, Error> {
        let file = fs::File::create(self.dir.join("index.lock")).map_err(|source| self.io(source))?;
        file.lock().map_err(|source| self.io(source))?;
        Ok(file)
    }

    fn replace(&self, path: &Utf8Path, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self.temporary(&self.dir)?;
        file.write_all(bytes).and_then(|()| keep(file, path)).map_err(|source| self.io(source))
    }

    fn temporary(&self, dir: &Utf8Path) -> Result<NamedTempFile, Error> {
        tempfile::Builder::new().prefix(".new-").tempfile_in(dir).map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io { dir: self.dir.clone(), source }
    }

    fn missing(&self, digest: &Digest, source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::NotFound {
            Error::Missing { dir: self.dir.clone(), digest: *digest }
        } else {
            self.io(source)
        }
    }
}

/// Makes a temporary file durable and gives it its name, replacing what had it.
fn keep(file: NamedTempFile, path: &Utf8Path) -> io::Result<()> {
    file.as_file().sync_data()?;
    file.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}

/// A blob that is being written.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    layout: &'a Layout,
    file: Hashing<io::BufWriter<NamedTempFile>>,
}

impl BlobWriter<'_> {
    /// Puts the blob into the store under its digest.
    ///
    /// # Errors
    /// [`Error::Io`] if it can't be written; nothing is kept then.
    pub fn finish(self) -> Result<(Digest, u64), Error> {
        let layout = self.layout;
        let (digest, size, buffer) = self.file.into_parts();
        let done = buffer.into_inner().map_err(io::IntoInnerError::into_error);
        done.and_then(|file| keep(file, &layout.path(&digest))).map_err(|source| layout.io(source))?;
        Ok((digest, size))
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = Utf8PathBuf::from_path_buf(dir.path().join("images")).expect("UTF-8");
        let layout = Layout::open(path).expect("a new store");
        (dir, layout)
    }

    #[test]
    fn an_index_need_not_say_what_it_is() {
        let index: ImageIndex = serde_json::from_str(r#"{"schemaVersion":2,"manifests":[]}"#).expect("it is one");
        assert_eq!(index, ImageIndex::default());
    }

    #[test]
    fn blobs_come_back_and_damage_is_found() {
        let (_dir, layout) = store();
        let (digest, size) = layout.put(b"content").expect("it is written");
        assert_eq!((digest, size), (Digest::of("content"), 7));
        assert_eq!(layout.read(&digest).expect("it is there"), b"content");
        assert!(layout.has_whole(&Descriptor::new(LAYER, digest, 7)));

        fs::write(layout.path(&digest), "contemt").expect("it can be spoilt");
        assert!(layout.has_whole(&Descriptor::new(LAYER, digest, 7)), "a size says nothing about content");
        assert!(matches!(layout.verify(&digest), Err(Error::Damaged { .. })));
        assert!(matches!(layout.read(&digest), Err(Error::Damaged { .. })));

        fs::write(layout.path(&digest), "con").expect("it can be cut");
        assert!(!layout.has_whole(&Descriptor::new(LAYER, digest, 7)));

        layout.remove(&digest).expect("it can be deleted");
        layout.remove(&digest).expect("twice is fine");
        assert!(matches!(layout.verify(&digest), Err(Error::Missing { .. })));
    }

    #[test]
    fn an_abandoned_blob_leaves_nothing() {
        let (_dir, layout) = store();
        let mut writer = layout.writer().expect("a new file");
        writer.write_all(b"half").expect("it is written");
        drop(writer);
        let left = fs::read_dir(layout.dir().join("blobs")).expect("it is a folder").count();
        assert_eq!(left, 1, "only sha256/ is there");
    }

    #[test]
    fn a_name_belongs_to_one_image() {
        let (_dir, layout) = store();
        assert_eq!(layout.resolve("a:1"), None);
        let image = |text: &str| Descriptor::new(MANIFEST, Digest::of(text), text.len() as u64);
        layout.name(&[("a:1".into(), image("old")), ("b:1".into(), image("b"))]).expect("named");
        layout.name(&[("a:1".into(), image("new"))]).expect("named again");
        assert_eq!(layout.resolve("a:1").map(|found| found.digest), Some(Digest::of("new")));
        assert_eq!(layout.images().expect("an index").len(), 2);
    }

    #[test]
    fn names_given_at_the_same_time_all_stay() {
        let (_dir, layout) = store();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let layout = &layout;
                scope.spawn(move || {
                    let image = Descriptor::new(MANIFEST, Digest::of(number.to_string()), 1);
                    layout.name(&[(format!("image:{number}"), image)]).expect("named");
                });
            }
        });
        assert_eq!(layout.images().expect("an index").len(), 8);
    }
}
