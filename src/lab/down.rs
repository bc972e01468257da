//! Taking a lab down: everything that was made for it goes, and nothing else.

use bollard::Docker;
use camino::Utf8Path;

use super::site::provider;
use crate::cluster::{Provider, bundle_container, network, registry_container};
use crate::error::{Failure, Kind};
use crate::plan::event::Progress;
use crate::plan::journal::Journal;
use crate::spec::Lab;

/// Removes the lab's cluster, registry and state folder. Built images stay in the cache and the
/// engine, so that the next run is quick. `false` if there was nothing.
///
/// # Errors
/// [`Kind::Refused`] if the cluster is not the lab's; what the engine fails with.
pub async fn down(docker: &Docker, lab: &Lab, folder: &Utf8Path, progress: &Progress) -> Result<bool, Failure> {
    let journal = if folder.is_dir() { Some(Journal::open(folder)?) } else { None };
    // Removing asks the engine alone; the provider's program is not called and need not be there.
    let provider = provider(Utf8Path::new("kind"), docker, lab, folder);
    progress.status("removing the cluster");
    let cluster = provider.delete(progress).await?;
    progress.status("removing the registry");
    let registry = registry_container::remove(docker, &lab.name).await?;
    let bundles = bundle_container::remove(docker, &lab.name).await?;
    let network = network::remove(docker, &lab.name).await?;
    if journal.is_some() {
        let removed = fs_err::tokio::remove_dir_all(folder.as_std_path()).await;
        removed.map_err(|error| Failure::new(Kind::Unexpected, error).context("removing the lab's state"))?;
    }
    Ok(cluster || registry || bundles || network || journal.is_some())
}
