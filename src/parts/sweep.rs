//! Takes out of the cache what nothing refers to any more.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use super::Error;
use super::record::{Record, read_json};
use crate::images::digest::Digest;
use crate::images::layout::Layout;

/// What is younger stays: another process may be about to refer to it.
const YOUNG: Duration = Duration::from_hours(1);

/// Deletes blobs that belong to no named image and no part, files of parts as they were before, and
/// what interrupted processes left behind; nothing of that if it is young.
pub(super) fn sweep(cache: &Utf8Path, layout: &Layout) -> Result<(), Error> {
    let mut blobs = BTreeSet::new();
    for image in layout.images()?.into_values() {
        blobs.insert(image.digest);
        // One that lost its manifest is built again anyway.
        if let Ok(manifest) = layout.manifest(&image.digest) {
            blobs.extend(manifest.blobs().map(|blob| blob.digest));
        }
    }
    let mut files = BTreeSet::new();
    for path in entries(&cache.join("built"))?.into_iter().filter(|path| path.extension() == Some("json")) {
        if let Some(record) = read_json::<Record>(&path) {
            blobs.extend(record.blobs.into_keys());
            files.extend(record.files.into_values().filter_map(|(path, _)| path.parent().map(Utf8Path::to_owned)));
        }
    }
    for path in entries(&layout.dir().join("blobs/sha256"))? {
        let digest = path.file_name().and_then(|name| Digest::from_hex(name).ok());
        if digest.is_none_or(|digest| !blobs.contains(&digest)) && is_old(&path) {
            delete(&path)?;
        }
    }
    for part in entries(&cache.join("files"))? {
        for path in entries(&part)?.into_iter().filter(|path| !files.contains(path) && is_old(path)) {
            delete(&path)?;
        }
    }
    for dir in [layout.dir().to_owned(), layout.dir().join("blobs"), cache.join("downloads"), cache.join("built")] {
        let left = |path: &Utf8PathBuf| path.file_name().is_some_and(|name| name.starts_with(".new-"));
        for path in entries(&dir)?.into_iter().filter(|path| left(path) && is_old(path)) {
            delete(&path)?;
        }
    }
    Ok(())
}

fn entries(dir: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
    let failed = |source| Error::read(dir, source);
    match dir.read_dir_utf8() {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
        Ok(found) => found.map(|entry| Ok(entry.map_err(failed)?.into_path())).collect(),
    }
}

fn is_old(path: &Utf8Path) -> bool {
    let age =
        fs::symlink_metadata(path).and_then(|file| file.modified()).map(|time| SystemTime::now().duration_since(time));
    matches!(age, Ok(Ok(age)) if age > YOUNG)
}

fn delete(path: &Utf8Path) -> Result<(), Error> {
    let done = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match done {
        // Another process swept at the same time.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::write(path, error)),
        _ => Ok(()),
    }
}
