//! Parts as artifacts: what one machine has built, others take from a registry or a bundle, those included that
//! have no compilers. A part is the artifact `istiolab.local/parts/NAME:KEY`: its configuration says what came
//! out, its layers are the blobs and files themselves. KEY depends on the recipe alone, so that a changed recipe
//! never finds what is old.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use camino::Utf8Path;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::record::{Built, Record, keep_file};
use super::{Error, Recipe, Recipes, found, key};
use crate::error::{Failure, Kind};
use crate::images::content::Content;
use crate::images::copy::{Copier, Known, Target, Wanted};
use crate::images::digest::{Digest, copy};
use crate::images::layout::{Descriptor, ImageManifest, Layout, MANIFEST};
use crate::images::reference::Reference;
use crate::paths::Paths;
use crate::plan::event::Progress;

/// Where artifacts are, whatever mirror has them.
const REPOSITORY: &str = "istiolab.local/parts";
/// The media type of an artifact's configuration.
const PART: &str = "application/vnd.istiolab.part.v1+json";
/// The media type of what came out, whatever it is.
const BYTES: &str = "application/octet-stream";
/// How much of a part's key is its artifact's tag: enough that no two recipes meet, and still readable.
const TAG: usize = 16;

/// An artifact's configuration: a [`Record`] without the places of one machine.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Shipped {
    name: String,
    version: String,
    seconds: f64,
    images: BTreeMap<String, Descriptor>,
    layers: BTreeMap<String, Descriptor>,
    blobs: BTreeMap<Digest, u64>,
    files: BTreeMap<String, (Digest, u64)>,
    made_of: Vec<String>,
}

/// What a registry or bundle has of the parts that were asked for.
#[derive(Debug)]
pub enum Fetched {
    /// All of them; they are in the store now.
    All(Vec<Built>),
    /// These are not there. Nothing was fetched.
    Missing(Vec<Reference>),
}

/// The artifacts of `wanted` parts by name: the references that a mirror of the project as it is now has, with the
/// keys under which they are kept here.
///
/// # Errors
/// [`Error::Read`], [`Error::Unknown`], [`Error::Circle`].
pub fn references(recipes: &Recipes, wanted: &[String]) -> Result<BTreeMap<String, (Reference, Digest)>, Error> {
    let mut keys: BTreeMap<&str, Digest> = BTreeMap::new();
    for part in recipes.closure(wanted)? {
        let needs: Vec<Digest> = part.needs.iter().filter_map(|need| keys.get(need.as_str()).copied()).collect();
        keys.insert(&part.name, key::of_recipe(part, &recipes.project, &needs)?);
    }
    let named = |(name, key): (&str, Digest)| {
        let text = format!("{REPOSITORY}/{name}:{}", &key.hex()[..TAG]);
        let reference = text.parse().map_err(|_| Error::Unknown { name: name.to_owned(), known: text.clone() })?;
        Ok((name.to_owned(), (reference, key)))
    };
    keys.into_iter().filter(|(name, _)| wanted.iter().any(|wanted| wanted == name)).map(named).collect()
}

/// A part as an artifact.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// The artifact's manifest.
    pub root: Descriptor,
    /// The part.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is made of, each with its version and checksum.
    pub made_of: Vec<String>,
}

/// Makes the artifacts of parts that are there as their recipes say now ([`super::found`]), in the store that they
/// are in, under their references.
///
/// # Errors
/// [`Error::Unbuilt`] for a part that is not there, whole; [`Error::Layout`], [`Error::Read`].
pub async fn pack(
    recipes: &Recipes,
    wanted: &[String],
    fetched_first: bool,
    paths: &Paths,
    cancel: &CancellationToken,
) -> Result<BTreeMap<Reference, Packed>, Error> {
    let layout = Layout::open(paths.cache.join("images"))?;
    let mut records = found::records(recipes, wanted, fetched_first, paths, &layout, cancel).await?;
    let mut packed = BTreeMap::new();
    for (name, (reference, _)) in references(recipes, wanted)? {
        let record = records.remove(&name).ok_or_else(|| Error::Unbuilt { part: name.clone() })?;
        let root = artifact(&record, &layout)?;
        packed.insert(reference, Packed { root, name, version: record.version, made_of: record.made_of });
    }
    let named: Vec<(String, Descriptor)> =
        packed.iter().map(|(reference, packed)| (reference.to_string(), packed.root.clone())).collect();
    layout.name(&named)?;
    Ok(packed)
}

fn artifact(record: &Record, layout: &Layout) -> Result<Descriptor, Error> {
    let mut files = BTreeMap::new();
    for (name, (path, _)) in &record.files {
        let open = || fs::File::open(path).map_err(|source| Error::read(path, source));
        let (digest, size) = Digest::of_reader(open()?).map_err(|source| Error::read(path, source))?;
        let kept = if layout.has_whole(&Descriptor::new(BYTES, digest, size)) {
            (digest, size)
        } else {
            let mut blob = layout.writer()?;
            copy(&mut open()?, &mut blob).map_err(|source| Error::read(path, source))?;
            blob.finish()?
        };
        files.insert(name.clone(), kept);
    }
    let blobs = record.blobs.iter().map(|(digest, size)| (*digest, *size)).chain(files.values().copied());
    let layers = blobs.map(|(digest, size)| Descriptor::new(BYTES, digest, size)).collect();
    let shipped = Shipped {
        name: record.name.clone(),
        version: record.version.clone(),
        seconds: record.seconds,
        images: record.images.clone(),
        layers: record.layers.clone(),
        blobs: record.blobs.clone(),
        files,
        made_of: record.made_of.clone(),
    };
    let json = |source: serde_json::Error| Error::write(layout.dir(), source.into());
    let (config, size) = layout.put(&serde_json::to_vec(&shipped).map_err(json)?)?;
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        config: Descriptor::new(PART, config, size),
        layers,
        annotations: BTreeMap::new(),
    };
    let (digest, size) = layout.put(&serde_json::to_vec(&manifest).map_err(json)?)?;
    Ok(Descriptor::new(MANIFEST, digest, size))
}

/// Brings the `wanted` parts from `from` into the store, unless they were brought before.
///
/// # Errors
/// What copying fails with; [`Kind::Unavailable`] and [`Kind::Refused`] for what is not as its recipe says.
pub async fn fetch(
    recipes: &Recipes,
    wanted: &[String],
    paths: &Paths,
    from: &Arc<dyn Content>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Fetched, Failure> {
    let layout = Layout::open(paths.cache.join("images"))?;
    let mut missing = Vec::new();
    let mut records = Vec::new();
    let mut coming = Vec::new();
    for (name, (reference, key)) in references(recipes, wanted)? {
        if let Some(record) = Record::find(&paths.cache, &name, &key, &layout) {
            records.push((record, true));
            continue;
        }
        match from.manifest(&reference, None).await? {
            None => missing.push(reference),
            Some(manifest) => coming.push((name, reference, key, manifest)),
        }
    }
    if !missing.is_empty() {
        return Ok(Fetched::Missing(missing));
    }
    let wrong = |name: &str, why: &str| {
        let text = format!("the part `{name}` in {} is no part of this project: {why}", from.describe());
        Failure::new(Kind::Unavailable, text).hint("Fill it again with `istiolab images mirror`.")
    };
    let mut artifacts = Vec::new();
    for (name, reference, key, raw) in coming {
        let manifest: ImageManifest =
            serde_json::from_slice(&raw.bytes).map_err(|error| wrong(&name, &error.to_string()))?;
        if manifest.config.media_type != PART {
            return Err(wrong(&name, &format!("it is a {}", manifest.config.media_type)));
        }
        let (known, repository, called) = (Known::Root(raw.digest), String::new(), reference.to_string());
        let wanted = Wanted { image: reference, from: Vec::new(), known, repository, name: called };
        artifacts.push((name, key, manifest, wanted));
    }
    let all: Vec<Wanted> = artifacts.iter().map(|(_, _, _, wanted)| wanted.clone()).collect();
    Copier::new(Arc::clone(from), Target::Store(layout.clone())).copy(&all, progress, cancel).await?;
    for (name, key, manifest, _) in artifacts {
        let recipe = recipes.iter().find(|recipe| recipe.name == name);
        let recipe = recipe.ok_or_else(|| Failure::new(Kind::Unexpected, format!("`{name}` has no recipe")))?;
        let shipped: Shipped = serde_json::from_slice(&layout.read(&manifest.config.digest)?)
            .map_err(|error| wrong(&name, &error.to_string()))?;
        let (recipe, layout, cache) = (recipe.clone(), layout.clone(), paths.cache.clone());
        let unpacked = tokio::task::spawn_blocking(move || unpack(&recipe, key, shipped, &layout, &cache)).await;
        let record = unpacked.map_err(|panic| Failure::new(Kind::Unexpected, panic))??;
        records.push((record, false));
    }
    let mut built = Vec::new();
    for (record, cached) in records {
        record.name_images(&layout)?;
        built.push(record.built(&layout, cached));
    }
    Ok(Fetched::All(built))
}

/// Puts files in their places and writes the record. What came must be what the recipe makes: images have the
/// recipe's names and files, too, so that an artifact can't replace anything else.
fn unpack(recipe: &Recipe, key: Digest, shipped: Shipped, layout: &Layout, cache: &Utf8Path) -> Result<Record, Error> {
    let foreign = |what: &str| Error::Foreign { part: recipe.name.clone(), what: what.to_owned() };
    let images = recipe.images.iter().map(|image| image.full_name(recipe));
    if shipped.name != recipe.name || !shipped.images.keys().eq(images.collect::<BTreeSet<_>>().iter()) {
        return Err(foreign("its images are not those of the recipe"));
    }
    if !shipped.files.keys().eq(recipe.files.keys()) {
        return Err(foreign("its files are not those of the recipe"));
    }
    let mut files = BTreeMap::new();
    for (name, (digest, _)) in &shipped.files {
        layout.verify(digest)?;
        files.insert(name.clone(), keep_file(cache, &recipe.name, &key, name, &layout.path(digest))?);
    }
    let record = Record {
        name: shipped.name,
        version: shipped.version,
        key,
        seconds: shipped.seconds,
        images: shipped.images,
        layers: shipped.layers,
        blobs: shipped.blobs,
        files,
        made_of: shipped.made_of,
    };
    record.save(cache)?;
    Ok(record)
}
