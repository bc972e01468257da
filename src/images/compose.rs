//! Makes layers and images whose bytes depend on nothing but their content: entries are sorted,
//! times are fixed, owners are numbers, nothing is compressed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::Serialize;
use thiserror::Error;

use super::digest::{BUFFER, Digest};
use super::layout::{self, CONFIG, Descriptor, ImageManifest, LAYER, Layout, MANIFEST, Platform};
use crate::error::{Failure, Kind};

/// The modification time of everything in a layer, in seconds since 1970: not 0, which some readers
/// take for "not set".
pub const TIME: u64 = 1;

/// Why an image could not be composed.
#[derive(Debug, Error)]
pub enum Error {
    /// A file that goes into a layer can't be read, or the layer can't be written.
    #[error("can't put {path} into a layer")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A name in a folder is not UTF-8.
    #[error("{0} has a name that is not UTF-8")]
    Name(String),
    /// The store failed.
    #[error(transparent)]
    Layout(#[from] layout::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Layout(error) => error.into(),
            Error::Io { path, source } if source.kind() == io::ErrorKind::StorageFull => {
                Self::new(Kind::Unavailable, Error::Io { path, source })
                    .hint("The disk is full: free some space, or set ISTIOLAB_CACHE to a folder on a disk with room.")
            }
            error => Self::new(Kind::Unexpected, error),
        }
    }
}

/// Where a file's content comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, read when the layer is written.
    Path(Utf8PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A piece of a file, read when the layer is written.
    Slice {
        /// The file.
        path: Utf8PathBuf,
        /// Where the piece begins.
        offset: u64,
        /// How long it is.
        size: u64,
    },
}

#[derive(Clone, Debug)]
enum Content {
    Folder,
    File(Source),
    Symlink(String),
    Hardlink(String),
}

#[derive(Clone, Debug)]
struct Entry {
    content: Content,
    mode: u32,
    uid: u64,
    gid: u64,
    /// Whether it is there only because something is below it.
    implied: bool,
}

/// A layer to be. Paths may start with `/` or not. What is added later replaces what was there under
/// the same path; parent folders are added as needed, 0755 and root's.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    entries: BTreeMap<String, Entry>,
}

/// How the content of a folder or of a tar goes into a layer.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Patterns of what stays out, relative to the folder; see [`matches()`].
    pub omit: Vec<String>,
    /// Permission bits of every file, instead of their own; folders are 0755 then.
    pub mode: Option<u32>,
}

impl Tree {
    /// Whether `path`, relative to the folder, stays out.
    #[must_use]
    pub fn omits(&self, path: &str) -> bool {
        self.omit.iter().any(|pattern| matches(pattern, path))
    }
}

impl Layer {
    /// An empty layer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file of root's with these permission bits.
    pub fn file(&mut self, path: &str, source: Source, mode: u32) -> &mut Self {
        self.insert(path, Entry { content: Content::File(source), mode, uid: 0, gid: 0, implied: false })
    }

    /// Adds a folder of root's with these permission bits.
    pub fn folder(&mut self, path: &str, mode: u32) -> &mut Self {
        self.insert(path, Entry { content: Content::Folder, mode, uid: 0, gid: 0, implied: false })
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.insert(
            path,
            Entry { content: Content::Symlink(target.to_owned()), mode: 0o777, uid: 0, gid: 0, implied: false },
        )
    }

    /// Gives what is at `path` another owner.
    pub fn owner(&mut self, path: &str, uid: u64, gid: u64) -> &mut Self {
        if let Some(entry) = self.entries.get_mut(&clean(path)) {
            (entry.uid, entry.gid) = (uid, gid);
        }
        self
    }

    /// Adds what is in the folder `from`, below `at`; all becomes root's. Hard links stay links;
    /// devices, sockets and pipes stay out.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Name`] if the folder can't be read.
    pub fn tree(&mut self, from: &Utf8Path, at: &str, how: &Tree) -> Result<&mut Self, Error> {
        let at = clean(at);
        // Sorted, so that of several hard links the same one always carries the content.
        let mut found = BTreeMap::new();
        let mut open = vec![String::new()];
        while let Some(folder) = open.pop() {
            let here = from.join(&folder);
            let failed = |source| Error::Io { path: here.clone(), source };
            for item in fs::read_dir(&here).map_err(failed)? {
                let item = item.map_err(failed)?;
                let name =
                    item.file_name().into_string().map_err(|name| Error::Name(format!("{here}/{}", name.display())))?;
                let relative = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                if how.omits(&relative) {
                    continue;
                }
                let meta = fs::symlink_metadata(item.path()).map_err(failed)?;
                if meta.is_dir() {
                    open.push(relative.clone());
                }
                found.insert(relative, meta);
            }
        }
        let mut inodes: HashMap<(u64, u64), String> = HashMap::new();
        for (relative, meta) in found {
            let path = from.join(&relative);
            let name = if at.is_empty() { relative } else { format!("{at}/{relative}") };
            let content = if meta.is_dir() {
                Content::Folder
            } else if meta.is_symlink() {
                let target = fs::read_link(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
                Content::Symlink(target.into_os_string().into_string().map_err(|_| Error::Name(path.to_string()))?)
            } else if !meta.is_file() {
                continue;
            } else if let Some(first) = inodes.get(&(meta.dev(), meta.ino())) {
                Content::Hardlink(first.clone())
            } else {
                inodes.insert((meta.dev(), meta.ino()), name.clone());
                Content::File(Source::Path(path))
            };
            let mode = match (how.mode, meta.is_dir()) {
                (None, _) => meta.mode() & 0o7777,
                (Some(_), true) => 0o755,
                (Some(mode), false) => mode,
            };
            self.insert(&name, Entry { content, mode, uid: 0, gid: 0, implied: false });
        }
        Ok(self)
    }

    /// Adds what is in the tar `from`, which may be a layer, below `at`, with owners and modes as it
    /// has them. `rename` may move or drop (`None`) entries; it is given paths without `./` at the
    /// start or `/` at the end, and also the targets of hard links. Folders that are there already
    /// keep what they are. Devices and pipes stay out.
    ///
    /// # Errors
    /// [`Error::Io`] if the tar can't be read, [`Error::Name`] if a name in it is not UTF-8.
    pub fn archive(
        &mut self,
        from: &Utf8Path,
        at: &str,
        rename: impl Fn(&str) -> Option<String>,
    ) -> Result<&mut Self, Error> {
        let failed = |source| Error::Io { path: from.to_owned(), source };
        let at = clean(at);
        let place = |path: &[u8]| -> Result<Option<String>, Error> {
            let name = std::str::from_utf8(path).map_err(|_| Error::Name(from.to_string()))?;
            let name = name.trim_start_matches("./").trim_matches('/');
            let renamed = if name.is_empty() || name == "." { None } else { rename(name) };
            Ok(renamed.map(|name| if at.is_empty() { name } else { format!("{at}/{name}") }))
        };
        let mut tar = tar::Archive::new(fs::File::open(from).map_err(failed)?);
        for entry in tar.entries_with_seek().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(name) = place(&entry.path_bytes())? else { continue };
            let header = entry.header();
            let target = entry.link_name_bytes();
            let content = match (header.entry_type(), &target) {
                (tar::EntryType::Directory, _) if self.is_folder(&name) => continue,
                (tar::EntryType::Directory, _) => Content::Folder,
                (tar::EntryType::Regular | tar::EntryType::Continuous, _) => Content::File(Source::Slice {
                    path: from.to_owned(),
                    offset: entry.raw_file_position(),
                    size: header.size().map_err(failed)?,
                }),
                (tar::EntryType::Symlink, Some(target)) => {
                    Content::Symlink(String::from_utf8(target.to_vec()).map_err(|_| Error::Name(from.to_string()))?)
                }
                (tar::EntryType::Link, Some(target)) => match place(target)? {
                    Some(target) => Content::Hardlink(target),
                    None => continue,
                },
                _ => continue,
            };
            let mode = header.mode().map_err(failed)? & 0o7777;
            let (uid, gid) = (header.uid().map_err(failed)?, header.gid().map_err(failed)?);
            self.insert(&name, Entry { content, mode, uid, gid, implied: false });
        }
        Ok(self)
    }

    /// Whether something is at `path`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.entries.contains_key(&clean(path))
    }

    fn is_folder(&self, path: &str) -> bool {
        // A parent that was only added as such gets its real mode.
        self.entries.get(path).is_some_and(|entry| matches!(entry.content, Content::Folder) && !entry.implied)
    }

    /// Writes the layer into the store. Blocks; takes a fixed amount of memory.
    ///
    /// # Errors
    /// [`Error::Io`] if a file can't be read, [`Error::Layout`] if the store fails.
    pub fn write(&self, layout: &Layout) -> Result<Descriptor, Error> {
        let mut blob = layout.writer()?;
        self.write_tar(&mut blob)?;
        let (digest, size) = blob.finish()?;
        Ok(Descriptor::new(LAYER, digest, size))
    }

    /// Writes the layer as a tar.
    ///
    /// # Errors
    /// [`Error::Io`] if a file can't be read or `to` fails.
    pub fn write_tar(&self, to: &mut impl io::Write) -> Result<(), Error> {
        let mut tar = tar::Builder::new(to);
        let failed = |path: &str| {
            let path = Utf8PathBuf::from(path);
            move |source| Error::Io { path, source }
        };
        for (name, entry) in &self.entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(entry.mode);
            header.set_uid(entry.uid);
            header.set_gid(entry.gid);
            header.set_mtime(TIME);
            header.set_size(0);
            match &entry.content {
                Content::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    tar.append_data(&mut header, format!("{name}/"), io::empty())
                }
                Content::Symlink(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    tar.append_link(&mut header, name, target)
                }
                Content::Hardlink(target) => {
                    header.set_entry_type(tar::EntryType::Link);
                    tar.append_link(&mut header, name, target)
                }
                Content::File(Source::Bytes(bytes)) => {
                    header.set_size(bytes.len() as u64);
                    tar.append_data(&mut header, name, bytes.as_slice())
                }
                Content::File(Source::Path(path)) => {
                    let file = fs::File::open(path).map_err(failed(path.as_str()))?;
                    let size = file.metadata().map_err(failed(path.as_str()))?.len();
                    append(&mut tar, &mut header, name, file, size)
                }
                Content::File(Source::Slice { path, offset, size }) => {
                    let mut file = fs::File::open(path).map_err(failed(path.as_str()))?;
                    file.seek(io::SeekFrom::Start(*offset)).map_err(failed(path.as_str()))?;
                    append(&mut tar, &mut header, name, file, *size)
                }
            }
            .map_err(failed(name))?;
        }
        tar.finish().map_err(failed("the end"))
    }

    fn insert(&mut self, path: &str, entry: Entry) -> &mut Self {
        let path = clean(path);
        let mut parent = path.as_str();
        while let Some((above, _)) = parent.rsplit_once('/') {
            self.entries.entry(above.to_owned()).or_insert(Entry {
                content: Content::Folder,
                mode: 0o755,
                uid: 0,
                gid: 0,
                implied: true,
            });
            parent = above;
        }
        self.entries.insert(path, entry);
        self
    }
}

/// Adds `size` bytes of `file`: not more, should the file grow; less is an error.
fn append<W: io::Write>(
    tar: &mut tar::Builder<W>,
    header: &mut tar::Header,
    name: &str,
    file: fs::File,
    size: u64,
) -> io::Result<()> {
    header.set_size(size);
    let mut content = Counted { inner: io::BufReader::with_capacity(BUFFER, file).take(size), read: 0 };
    tar.append_data(header, name, &mut content)?;
    if content.read == size {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file shrank while it was read"))
    }
}

struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        Ok(count)
    }
}

fn clean(path: &str) -> String {
    path.trim_matches('/').to_owned()
}

/// Whether `path`, or a folder above it, matches `pattern`. `*` in a pattern stands for any
/// characters of one name, `**/` at its start for any folders; `var/cache/*` is what is in
/// `var/cache`, but not the folder itself.
#[must_use]
pub fn matches(pattern: &str, path: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("**/") {
        return matches(rest, path) || path.match_indices('/').any(|(at, _)| matches(rest, &path[at + 1..]));
    }
    let mut names = path.split('/');
    pattern.split('/').all(|wanted| names.next().is_some_and(|name| name_matches(wanted, name)))
}

fn name_matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| name_matches(rest, &name[at..]))
        }),
    }
}

/// How a container of the image runs
/// ([config.md](https://github.com/opencontainers/image-spec/blob/main/config.md)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunConfig {
    /// User and group, as `65532:65532`; empty is root.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports that it listens on, as `8080/tcp`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", serialize_with = "as_map")]
    pub exposed_ports: BTreeSet<String>,
    /// Variables, as `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Arguments that a user may replace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// The folder in which it starts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Facts about the image.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to end, as `SIGRTMIN+3`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
}

/// A set as the specification writes it: each member with an empty object.
fn as_map<S: serde::Serializer>(set: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(set.iter().map(|member| (member, serde_json::json!({}))))
}

#[derive(Serialize)]
struct ImageConfig<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    config: &'a RunConfig,
    rootfs: RootFs,
    history: Vec<History<'a>>,
}

#[derive(Serialize)]
struct RootFs {
    r#type: &'static str,
    diff_ids: Vec<Digest>,
}

#[derive(Serialize)]
struct History<'a> {
    created: &'a str,
    created_by: &'a str,
}

/// Writes the configuration and the manifest of an image of uncompressed layers, the lowest first.
/// The image gets no name; see [`Layout::name`].
///
/// # Errors
/// [`Error::Layout`] if the store fails.
pub fn image(layout: &Layout, layers: &[Descriptor], config: &RunConfig) -> Result<Descriptor, Error> {
    // As `TIME`, in RFC 3339.
    let created = "1970-01-01T00:00:01Z";
    let json = |value: serde_json::Result<Vec<u8>>| {
        value.map_err(|source| layout::Error::Json { path: layout.dir().to_owned(), source })
    };
    let platform = Platform { architecture: "amd64".to_owned(), os: "linux".to_owned() };
    let text = json(serde_json::to_vec(&ImageConfig {
        created,
        architecture: &platform.architecture,
        os: &platform.os,
        config,
        // A layer that is not compressed is its own diff.
        rootfs: RootFs { r#type: "layers", diff_ids: layers.iter().map(|layer| layer.digest).collect() },
        history: layers.iter().map(|_| History { created, created_by: "istiolab" }).collect(),
    }))?;
    let (digest, size) = layout.put(&text)?;
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        config: Descriptor::new(CONFIG, digest, size),
        layers: layers.to_vec(),
        annotations: BTreeMap::new(),
    };
    let (digest, size) = layout.put(&json(serde_json::to_vec(&manifest))?)?;
    Ok(Descriptor { platform: Some(platform), ..Descriptor::new(MANIFEST, digest, size) })
}

#[cfg(test)]
mod tests;
