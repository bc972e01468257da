//! What something holds, found by reading its manifests: the lock of what has none.

use super::Error;
use crate::error::Failure;
use crate::images::content::Shelf;
use crate::images::lock::describe::{describe, descriptor, platforms};
use crate::images::lock::{Entry, Lock};
use crate::images::reference::Reference;

/// The images of `shelf` with the platforms that are there: of an index, manifests that are not there
/// are left out.
///
/// # Errors
/// [`Error::Lacks`] for a root that is not there; those of [`describe`] for what is no image; whatever
/// reading fails with.
pub async fn inventory(shelf: &dyn Shelf) -> Result<Lock, Failure> {
    let mut lock = Lock::default();
    for repository in shelf.names()?.repositories.values() {
        for (tag, root) in &repository.tags {
            let image: Reference = format!("{}:{tag}", repository.reference).parse()?;
            let Some(raw) = shelf.manifest(&image, Some(&root.digest)).await? else {
                return Err(Error::Lacks { path: shelf.describe(), digest: root.digest }.into());
            };
            let there = platforms(&raw).into_iter().filter(|(_, digest)| shelf.size(digest).is_some());
            let there: Vec<String> = there.map(|(name, _)| name).collect();
            let platforms = describe(shelf, &image, &raw, &there).await?;
            lock.images.insert(image, Entry { root: Some(descriptor(&raw)), platforms, ..Entry::default() });
        }
    }
    Ok(lock)
}
