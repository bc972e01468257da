//! What is known of a part that was built, kept beside the store.

use std::collections::BTreeMap;
use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Error, Recipe, Recipes};
use crate::images::digest::Digest;
use crate::images::layout::{Descriptor, Layout};
use crate::paths::Paths;

/// `$cache/built/PART.json`: written when everything that came out of the part is in its place.
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
    /// What stands in the cache, whole; it may be of an older recipe.
    pub built: Option<Built>,
}

impl Record {
    fn path(cache: &Utf8Path, part: &str) -> Utf8PathBuf {
        cache.join("built").join(format!("{part}.json"))
    }

    /// The record of `part`, if there is a readable one.
    pub(super) fn load(cache: &Utf8Path, part: &str) -> Option<Self> {
        read_json(&Self::path(cache, part))
    }

    /// Writes it, durably, in place of what was there.
    pub(super) fn save(&self, cache: &Utf8Path) -> Result<(), Error> {
        write_json(&Self::path(cache, &self.name), self)
    }

    /// Whether everything is there, by name and length.
    pub(super) fn is_whole(&self, layout: &Layout, named: &BTreeMap<String, Descriptor>) -> bool {
        let blob =
            |(digest, size): (&Digest, &u64)| fs::metadata(layout.path(digest)).is_ok_and(|file| file.len() == *size);
        self.images.iter().all(|(name, image)| named.get(name).is_some_and(|found| found.digest == image.digest))
            && self.blobs.iter().all(blob)
            && self.files.values().all(|(path, size)| fs::metadata(path).is_ok_and(|file| file.len() == *size))
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
    let named = layout.images()?;
    let listed = |recipe: &Recipe| Listed {
        name: recipe.name.clone(),
        version: recipe.version.clone(),
        title: recipe.title.clone(),
        makes: recipe.images.iter().map(|image| image.full_name(recipe)).chain(recipe.files.keys().cloned()).collect(),
        built: Record::load(&paths.cache, &recipe.name)
            .filter(|record| record.is_whole(&layout, &named))
            .map(|record| record.built(&layout, true)),
    };
    Ok(recipes.iter().map(listed).collect())
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
