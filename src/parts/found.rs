//! What of the parts is built as their recipes say now.

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use super::recipe::Toolchain;
use super::record::Record;
use super::{Error, Recipes, key, toolchain};
use crate::images::layout::{Descriptor, Layout};
use crate::paths::Paths;

/// A part that is built.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What it is made of, each with its version and checksum.
    pub made_of: Vec<String>,
    /// The manifests of its images by their full names.
    pub images: BTreeMap<String, Descriptor>,
}

/// Those of the parts `wanted`, and of the parts that they need, that are there as [`super::build`]
/// would make them, by name. Builds nothing. Where a compiler is missing that some of them need, none is.
///
/// # Errors
/// [`Error::Unknown`]; [`Error::Layout`] and [`Error::Read`] for files that can't be read.
pub async fn found(
    recipes: &Recipes,
    wanted: &[String],
    paths: &Paths,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, Found>, Error> {
    let parts = recipes.closure(wanted)?;
    let all: BTreeSet<Toolchain> = parts.iter().flat_map(|part| key::toolchains(part)).collect();
    let versions = match toolchain::versions(&all, &paths.cache, cancel).await {
        Err(Error::Tool { .. }) => return Ok(BTreeMap::new()),
        versions => versions?,
    };
    let layout = Layout::open(paths.cache.join("images"))?;
    let mut records: BTreeMap<&str, Record> = BTreeMap::new();
    for part in parts {
        let needs: Option<Vec<Record>> = part.needs.iter().map(|need| records.get(need.as_str()).cloned()).collect();
        let Some(needs) = needs else { continue };
        let key = key::of(part, &recipes.project, &versions, &needs)?;
        if let Some(record) = Record::find(&paths.cache, &part.name, &key, &layout) {
            records.insert(&part.name, record);
        }
    }
    let found =
        |(name, record): (&str, Record)| (name.to_owned(), Found { made_of: record.made_of, images: record.images });
    Ok(records.into_iter().map(found).collect())
}
