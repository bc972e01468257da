//! The lock's file: YAML, strict, one image a block, sorted. What an image is built from is written
//! once a part. Only the tool writes it, whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::describe::is_manifest;
use super::error::Error;
use super::{Entry, Lock, Part, Platform};
use crate::images::digest::Digest;
use crate::images::layout::Descriptor;
use crate::images::reference::Reference;
use crate::yaml::{self, Node, Tree};

const HEAD: &str = "# Which bytes every image is. Written by `istiolab images lock`; changes by hand get lost.\n";

#[derive(Deserialize, Serialize)]
enum ApiVersion {
    #[serde(rename = "istiolab.dev/v1alpha1")]
    V1alpha1,
}

#[derive(Deserialize, Serialize)]
enum Kind {
    ImageLock,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    api_version: ApiVersion,
    kind: Kind,
    #[serde(default)]
    images: BTreeMap<String, Image>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    parts: BTreeMap<String, Made>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Made {
    version: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    made_of: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Image {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    trusted_on_first_use: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    from: Vec<Reference>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    labs: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    platforms: BTreeMap<String, Content>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Content {
    manifest: Blob,
    config: Blob,
    layers: Vec<Blob>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Blob {
    digest: Digest,
    media_type: String,
    size: u64,
}

/// Reads the lock at `path`; `None` if there is none.
///
/// # Errors
/// [`Error::Io`]; [`Error::Yaml`] with line and column of what is wrong.
pub fn load(path: &Utf8Path) -> Result<Option<Lock>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text, path.as_str()).map(Some),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path: path.to_owned(), source }),
    }
}

/// Reads the text of a lock; `source` names it in errors.
///
/// # Errors
/// [`Error::Yaml`] with line and column of what is wrong.
pub fn parse(text: &str, source: &str) -> Result<Lock, Error> {
    let file: File = yaml::from_str(text, source)?;
    // Read once more for the places of what the types above can't say.
    let tree = yaml::nodes(text, source)?;
    let at = |image: &str, message: String| {
        let (line, column) = tree.first().and_then(|root| place(root, image)).unwrap_or_default();
        Error::Yaml(yaml::Error::Read { source_name: source.to_owned(), line, column, message })
    };
    let mut images = BTreeMap::new();
    for (name, image) in file.images {
        let reference = name.parse::<Reference>().map_err(|error| at(&name, error.to_string()))?.complete();
        if reference.to_string() != name {
            return Err(at(&name, format!("`{name}` is written `{reference}` in a lock")));
        }
        let entry = entry(&reference, image, &file.parts).map_err(|why| at(&name, format!("`{name}`: {why}")))?;
        images.insert(reference, entry);
    }
    Ok(Lock { images })
}

fn place(root: &Node, image: &str) -> Option<(u64, u64)> {
    let Tree::Map(entries) = &root.get("images")?.tree else { return None };
    entries.iter().find(|entry| entry.key == image).map(|entry| (entry.line, entry.column))
}

fn entry(reference: &Reference, image: Image, parts: &BTreeMap<String, Made>) -> Result<Entry, String> {
    let (root, pinned) = match (image.digest, image.media_type, image.size) {
        (Some(digest), Some(media_type), Some(size)) => (Some(Descriptor::new(&media_type, digest, size)), None),
        (pinned, None, None) => (None, pinned),
        _ => return Err("`digest`, `mediaType` and `size` belong together".to_owned()),
    };
    let part = image.part.map(|name| match parts.get(&name) {
        Some(made) => Ok(Part { version: made.version.clone(), made_of: made.made_of.clone(), name }),
        None => Err(format!("the part `{name}` is not among `parts`")),
    });
    let read = |blob: Blob| Descriptor::new(&blob.media_type, blob.digest, blob.size);
    let platform = |content: Content| Platform {
        manifest: read(content.manifest),
        config: read(content.config),
        layers: content.layers.into_iter().map(read).collect(),
    };
    let entry = Entry {
        root,
        pinned,
        platforms: image.platforms.into_iter().map(|(name, content)| (name, platform(content))).collect(),
        from: image.from,
        trusted_on_first_use: image.trusted_on_first_use,
        part: part.transpose()?,
        labs: image.labs,
    };
    if let (Some(written), Some(digest)) = (reference.digest(), entry.digest())
        && written != digest
    {
        return Err(format!("its `digest` is {digest}"));
    }
    match &entry.root {
        None if !entry.platforms.is_empty() => {
            Err("it has `platforms` but no `digest` with `mediaType` and `size`".to_owned())
        }
        Some(root) if is_manifest(&root.media_type) && !entry.platforms.is_empty() => {
            let only = entry.platforms.values().map(|platform| &platform.manifest).collect::<Vec<_>>() == [root];
            if only {
                Ok(entry)
            } else {
                Err("it has no index, so its one platform's manifest must be itself".to_owned())
            }
        }
        _ => Ok(entry),
    }
}

/// The text of a lock's file. The same lock gives the same text.
///
/// # Errors
/// [`Error::Parts`] if entries describe a part differently.
pub fn text(lock: &Lock) -> Result<String, Error> {
    let mut parts: BTreeMap<String, Made> = BTreeMap::new();
    for part in lock.images.values().filter_map(|entry| entry.part.as_ref()) {
        let known = parts
            .entry(part.name.clone())
            .or_insert_with(|| Made { version: part.version.clone(), made_of: part.made_of.clone() });
        if known.version != part.version || known.made_of != part.made_of {
            return Err(Error::Parts { part: part.name.clone() });
        }
    }
    let images = lock.images.iter().map(|(reference, entry)| (reference.to_string(), written(entry))).collect();
    let file = File { api_version: ApiVersion::V1alpha1, kind: Kind::ImageLock, images, parts };
    Ok(format!("{HEAD}{}", yaml::to_string(&file)?))
}

fn written(entry: &Entry) -> Image {
    let blob = |descriptor: &Descriptor| Blob {
        digest: descriptor.digest,
        media_type: descriptor.media_type.clone(),
        size: descriptor.size,
    };
    let content = |platform: &Platform| Content {
        manifest: blob(&platform.manifest),
        config: blob(&platform.config),
        layers: platform.layers.iter().map(blob).collect(),
    };
    Image {
        digest: entry.digest().copied(),
        media_type: entry.root.as_ref().map(|root| root.media_type.clone()),
        size: entry.root.as_ref().map(|root| root.size),
        trusted_on_first_use: entry.trusted_on_first_use,
        from: entry.from.clone(),
        labs: entry.labs.clone(),
        part: entry.part.as_ref().map(|part| part.name.clone()),
        platforms: entry.platforms.iter().map(|(name, platform)| (name.clone(), content(platform))).collect(),
    }
}

/// Changes the lock at `path` while nobody else does: reads it (or begins an empty one), lets `change`
/// work on it, and replaces the file if it is another one then. `true` if it is.
///
/// # Errors
/// As [`load`] and [`text`]; the file is then as it was.
pub fn update(path: &Utf8Path, change: impl FnOnce(&mut Lock)) -> Result<bool, Error> {
    let wrong = |source| Error::Io { path: path.to_owned(), source };
    let dir = match path.parent() {
        Some(dir) if !dir.as_str().is_empty() => dir,
        _ => Utf8Path::new("."),
    };
    // The folder itself is what is locked, so that no other file lies about. Released with the value;
    // it guards moments, so waiting needs no deadline.
    let guard = fs::File::open(dir).map_err(wrong)?;
    guard.file().lock().map_err(wrong)?;
    let mut lock = load(path)?.unwrap_or_default();
    change(&mut lock);
    let text = text(&lock)?;
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(false);
    }
    // As any new file: what the user's umask leaves.
    let mode = fs::metadata(path).map_or(0o666, |file| file.permissions().mode());
    let mut file = tempfile::Builder::new()
        .prefix(".images.lock.")
        .permissions(std::fs::Permissions::from_mode(mode & 0o777))
        .tempfile_in(dir)
        .map_err(wrong)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_data()).map_err(wrong)?;
    file.persist(path).map_err(|error| wrong(error.error))?;
    Ok(true)
}

#[cfg(test)]
mod tests;
