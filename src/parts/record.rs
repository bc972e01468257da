//! What is known of a part that was built, kept beside the store.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Error, Recipe, Recipes};
use crate::images::digest::{Digest, copy};
use crate::images::layout::{Descriptor, Layout};
use crate::paths::Paths;

/// `$cache/built/PART/KEY.json`: written when everything that came out of the part is in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) version: String,
    /// See `key::of`.
    pub(super) key: Digest,
    /// How long the build took.
    pub(super) seconds: f64,
    /// Manifests by full names.
    pub(super) images: BTreeMap<String, Descriptor>,
    /// Layers by their names in the recipe.
    pub(super) layers: BTreeMap<String, Descriptor>,
    /// Every blob of the images and the layers.
    pub(super) blobs: BTreeMap<Digest, u64>,
    /// Files with their lengths in bytes.
    pub(super) files: BTreeMap<String, (Utf8PathBuf, u64)>,
    /// What it is made of, each with its version and checksum.
    pub(super) made_of: Vec<String>,
}

/// A part after [`super::build`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Built {
    /// The part.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether it was there before.
    pub cached: bool,
    /// How long its build took, now or when it was built.
    pub seconds: f64,
    /// The length in bytes of all its blobs and files; a layer that parts share counts in each.
    pub size: u64,
    /// Its images.
    pub images: Vec<BuiltImage>,
    /// Its files by name, as `kind` or `istioctl`.
    pub files: BTreeMap<String, Utf8PathBuf>,
}

/// An image in the store.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BuiltImage {
    /// Its full name.
    pub name: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The length in bytes of its layers and configuration.
    pub size: u64,
}

/// A line of [`list`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// The part.
    pub name: String,
    /// The version that its recipe names.
    pub version: String,
    /// What a person calls it.
    pub title: String,
    /// The full names of its images, and its files.
    pub makes: Vec<String>,
    /// What was used last of what stands in the cache, whole; it may be of another recipe.
    pub built: Option<Built>,
}

impl Record {
    fn folder(cache: &Utf8Path, part: &str) -> Utf8PathBuf {
        cache.join("built").join(part)
    }

    /// The record of `part` with this key, if there is a readable one and everything it names is
    /// there, by length. Its age starts anew.
    pub(super) fn find(cache: &Utf8Path, part: &str, key: &Digest, layout: &Layout) -> Option<Self> {
        let path = Self::folder(cache, part).join(format!("{}.json", key.hex()));
        let record: Self = read_json(&path)?;
        // A file that can't be touched is only forgotten earlier.
        let _ = fs::File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        record.is_whole(layout).then_some(record)
    }

    /// The record of `part` that was used last.
    pub(super) fn last(cache: &Utf8Path, part: &str) -> Option<Self> {
        Self::all(cache, part).pop().and_then(|(_, path)| read_json(&path))
    }

    /// Where the records of `part` are, the one that was used last at the end.
    pub(super) fn all(cache: &Utf8Path, part: &str) -> Vec<(SystemTime, Utf8PathBuf)> {
        let entries = Self::folder(cache, part).read_dir_utf8().into_iter().flatten().filter_map(Result::ok);
        let mut found: Vec<(SystemTime, Utf8PathBuf)> = entries
            .filter(|entry| entry.path().extension() == Some("json"))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.into_path())))
            .collect();
        found.sort();
        found
    }

    /// Writes it, durably.
    pub(super) fn save(&self, cache: &Utf8Path) -> Result<(), Error> {
        write_json(&Self::folder(cache, &self.name).join(format!("{}.json", self.key.hex())), self)
    }

    /// Whether everything is there, by length.
    pub(super) fn is_whole(&self, layout: &Layout) -> bool {
        let there = |path: &Utf8Path, size: u64| fs::metadata(path).is_ok_and(|file| file.len() == size);
        self.blobs.iter().all(|(digest, size)| there(&layout.path(digest), *size))
            && self.files.values().all(|(path, size)| there(path, *size))
    }

    /// Whether the images have their names in `named`.
    pub(super) fn is_named(&self, named: &BTreeMap<String, Descriptor>) -> bool {
        self.images.iter().all(|(name, image)| named.get(name).is_some_and(|found| found.digest == image.digest))
    }

    /// Gives the images their names, which another version of the part may have had.
    pub(super) fn name_images(&self, layout: &Layout) -> Result<(), Error> {
        let images: Vec<(String, Descriptor)> =
            self.images.iter().map(|(name, image)| (name.clone(), image.clone())).collect();
        Ok(layout.name(&images)?)
    }

    /// The length in bytes of all that came out.
    pub(super) fn size(&self) -> u64 {
        self.blobs.values().sum::<u64>() + self.files.values().map(|(_, size)| size).sum::<u64>()
    }

    /// For those who asked for the part.
    pub(super) fn built(&self, layout: &Layout, cached: bool) -> Built {
        let size_of = |image: &Descriptor| {
            let manifest = layout.manifest(&image.digest).ok();
            manifest.map_or(0, |manifest| manifest.blobs().map(|blob| blob.size).sum())
        };
        let image = |(name, image): (&String, &Descriptor)| BuiltImage {
            name: name.clone(),
            digest: image.digest,
            size: size_of(image),
        };
        Built {
            name: self.name.clone(),
            version: self.version.clone(),
            cached,
            seconds: self.seconds,
            size: self.size(),
            images: self.images.iter().map(image).collect(),
            files: self.files.iter().map(|(name, (path, _))| (name.clone(), path.clone())).collect(),
        }
    }
}

/// All parts of the project, with what of them is in the cache. Builds nothing and starts nothing.
///
/// # Errors
/// [`Error::Layout`] if the store can't be read.
pub fn list(recipes: &Recipes, paths: &Paths) -> Result<Vec<Listed>, Error> {
    let layout = Layout::open(paths.cache.join("images"))?;
    let listed = |recipe: &Recipe| Listed {
        name: recipe.name.clone(),
        version: recipe.version.clone(),
        title: recipe.title.clone(),
        makes: recipe.images.iter().map(|image| image.full_name(recipe)).chain(recipe.files.keys().cloned()).collect(),
        built: Record::last(&paths.cache, &recipe.name)
            .filter(|record| record.is_whole(&layout))
            .map(|record| record.built(&layout, true)),
    };
    Ok(recipes.iter().map(listed).collect())
}

/// Copies a file that came out of a part to `$cache/files/PART/KEY/`, where it stays as long as the key is in use
/// by somebody. Returns its place and its length in bytes.
pub(super) fn keep_file(
    cache: &Utf8Path,
    part: &str,
    key: &Digest,
    name: &str,
    from: &Utf8Path,
) -> Result<(Utf8PathBuf, u64), Error> {
    let dir = cache.join("files").join(part).join(&key.hex()[..16]);
    fs::create_dir_all(&dir).map_err(|source| Error::write(&dir, source))?;
    let to = dir.join(name);
    let failed = |source| Error::write(&to, source);
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&dir).map_err(failed)?;
    let mut content = fs::File::open(from).map_err(|source| Error::read(from, source))?;
    let size = copy(&mut content, &mut file).map_err(failed)?;
    file.as_file().set_permissions(Permissions::from_mode(0o755)).map_err(failed)?;
    file.as_file().sync_data().map_err(failed)?;
    file.persist(&to).map_err(|error| failed(error.error))?;
    Ok((to, size))
}

/// A file of the cache; one that is missing or damaged is as good as none.
pub(super) fn read_json<T: DeserializeOwned>(path: &Utf8Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Replaces a file of the cache, durably and in one step.
pub(super) fn write_json(path: &Utf8Path, value: &impl Serialize) -> Result<(), Error> {
    let failed = |source| Error::write(path, source);
    let text = serde_json::to_vec_pretty(value).map_err(|error| failed(error.into()))?;
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir).map_err(failed)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.as_file().sync_data()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
