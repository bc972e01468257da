//! What a lab takes besides the images that its nodes run: the parts that it is made of, as artifacts, with the
//! programs that run on this machine (kind, istioctl). Whoever has them and the images needs no compiler.

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use super::site::Site;
use crate::error::Failure;
use crate::images::layout::Layout;
use crate::images::lock::{Entry, Part, Platform};
use crate::images::reference::Reference;
use crate::parts::{self, Packed};

/// The platform of what is built here.
const PLATFORM: &str = "linux/amd64";

/// The lab's parts as entries of a lock, packed into the store.
///
/// # Errors
/// Those of [`parts::pack`]: the parts must be there.
pub async fn programs(site: &Site, cancel: &CancellationToken) -> Result<BTreeMap<Reference, Entry>, Failure> {
    let recipes = site.recipes()?;
    let store = Layout::open(site.paths.cache.join("images"))?;
    let mut entries = BTreeMap::new();
    let packed = parts::pack(&recipes, &site.wanted(&recipes)?, site.fetches(), &site.paths, cancel).await?;
    for (reference, packed) in packed {
        let Packed { root, name, version, made_of } = packed;
        let manifest = store.manifest(&root.digest)?;
        let platform = Platform { manifest: root.clone(), config: manifest.config, layers: manifest.layers };
        let entry = Entry {
            root: Some(root),
            platforms: BTreeMap::from([(PLATFORM.to_owned(), platform)]),
            part: Some(Part { name, version, made_of }),
            labs: BTreeSet::from([site.lab.name.clone()]),
            ..Entry::default()
        };
        entries.insert(reference, entry);
    }
    Ok(entries)
}
