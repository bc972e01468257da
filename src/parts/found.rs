//! What of the parts is there as their recipes say now.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::record::{Built, Record};
use super::{Error, Recipes, key, share, toolchain};
use crate::images::layout::{Descriptor, Layout};
use crate::paths::Paths;

/// A part that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What it is made of, each with its version and checksum.
    pub made_of: Vec<String>,
    /// The manifests of its images by their full names.
    pub images: BTreeMap<String, Descriptor>,
    /// For those who use it.
    pub built: Built,
}

/// Those of the parts `wanted` that are there, by name: as [`super::build`] would make them here, or as
/// [`super::fetch`] brought them, which counts first with `fetched_first`. Builds and fetches nothing. What
/// takes a compiler that is not there was not built.
///
/// # Errors
/// [`Error::Unknown`]; [`Error::Layout`] and [`Error::Read`] for files that can't be read.
pub async fn found(
    recipes: &Recipes,
    wanted: &[String],
    fetched_first: bool,
    paths: &Paths,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, Found>, Error> {
    let layout = Layout::open(paths.cache.join("images"))?;
    let records = records(recipes, wanted, fetched_first, paths, &layout, cancel).await?;
    let found = |(name, record): (String, Record)| {
        (name, Found { built: record.built(&layout, true), made_of: record.made_of, images: record.images })
    };
    Ok(records.into_iter().map(found).collect())
}

/// As [`found`], the records themselves.
pub(super) async fn records(
    recipes: &Recipes,
    wanted: &[String],
    fetched_first: bool,
    paths: &Paths,
    layout: &Layout,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, Record>, Error> {
    let built = built(recipes, wanted, paths, layout, cancel).await?;
    let mut found = BTreeMap::new();
    for (name, (_, key)) in share::references(recipes, wanted)? {
        let fetched = Record::find(&paths.cache, &name, &key, layout);
        let built = built.get(name.as_str()).cloned();
        let record = if fetched_first { fetched.or(built) } else { built.or(fetched) };
        if let Some(record) = record {
            found.insert(name, record);
        }
    }
    Ok(found)
}

/// What was built here of the parts `wanted` and of those that they need.
async fn built<'a>(
    recipes: &'a Recipes,
    wanted: &[String],
    paths: &Paths,
    layout: &Layout,
    cancel: &CancellationToken,
) -> Result<BTreeMap<&'a str, Record>, Error> {
    let mut records: BTreeMap<&str, Record> = BTreeMap::new();
    for part in recipes.closure(wanted)? {
        let versions = match toolchain::versions(&key::toolchains(part), &paths.cache, cancel).await {
            Err(Error::Tool { .. }) => continue,
            versions => versions?,
        };
        let needs: Option<Vec<Record>> = part.needs.iter().map(|need| records.get(need.as_str()).cloned()).collect();
        let Some(needs) = needs else { continue };
        let key = key::of(part, &recipes.project, &versions, &needs)?;
        if let Some(record) = Record::find(&paths.cache, &part.name, &key, layout) {
            records.insert(&part.name, record);
        }
    }
    Ok(records)
}
