//! Images into the nodes themselves, where a registry is not wanted: what a node lacks is written as one bundle
//! and given to its containerd, by tag and by digest. All nodes side by side; one that fails fails all.

use std::collections::{BTreeMap, BTreeSet};

use bollard::Docker;
use camino::Utf8Path;
use futures::future::try_join_all;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::site::{FULL_NODE, LOAD_BALANCER, NODE, REGISTRY, running_nodes};
use crate::cluster::records;
use crate::error::{Failure, Kind};
use crate::images::bundle::{self, Request};
use crate::images::content::Content;
use crate::images::lock::{Entry, Lock};
use crate::images::reference::Reference;
use crate::plan::event::Progress;
use crate::plan::graph::interrupted;
use crate::spec::Lab;

/// What the engine runs, and nodes have no use for.
const ENGINES: [&str; 4] = [NODE, FULL_NODE, REGISTRY, LOAD_BALANCER];

/// What was done to one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Loaded {
    /// Images that it lacked, or had with another digest.
    pub loaded: BTreeSet<Reference>,
    /// Images that it had.
    pub unchanged: BTreeSet<Reference>,
}

/// Brings the images of `lock` from `source` into each node of the lab that lacks them.
///
/// # Errors
/// [`Kind::Unavailable`] if the lab is not up, or a node does not have afterwards what it was given; what the
/// engine, `source` and writing the bundle fail with; an interruption.
pub async fn load(
    docker: &Docker,
    lab: &Lab,
    folder: &Utf8Path,
    lock: &Lock,
    source: &dyn Content,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, Loaded>, Failure> {
    let nodes = running_nodes(docker, lab, folder).await?;
    let wanted: BTreeMap<&Reference, &Entry> = lock.images.iter().filter(|(_, entry)| is_for_nodes(entry)).collect();
    let wanted = &wanted;
    let all = nodes.iter().map(|node| &node.name).map(|node| async move {
        let mut done = Loaded::default();
        let there = records::images(docker, node).await?;
        for (&image, entry) in wanted {
            let same = there.get(image).is_some_and(|found| entry.digest() == Some(found));
            if same { &mut done.unchanged } else { &mut done.loaded }.insert(image.clone());
        }
        if !done.loaded.is_empty() {
            progress.status(format!("loading {} images into {node}", done.loaded.len()));
            give(docker, node, folder, lock, source, &done.loaded, progress, cancel).await?;
        }
        Ok::<_, Failure>((node.clone(), done))
    });
    Ok(try_join_all(all).await?.into_iter().collect())
}

fn is_for_nodes(entry: &Entry) -> bool {
    !entry.part.as_ref().is_some_and(|part| ENGINES.contains(&part.name.as_str()))
}

#[expect(clippy::too_many_arguments, reason = "a step of `load`, with what it has at hand")]
async fn give(
    docker: &Docker,
    node: &str,
    folder: &Utf8Path,
    lock: &Lock,
    source: &dyn Content,
    images: &BTreeSet<Reference>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let part = lock.images.iter().filter(|(image, _)| images.contains(*image));
    let part = Lock { images: part.map(|(image, entry)| (image.clone(), entry.clone())).collect() };
    // In the lab's own folder: what a kill leaves there goes with the lab.
    let dir = tempfile::Builder::new().prefix("load-").tempdir_in(folder);
    let dir = dir.map_err(|error| Failure::new(Kind::Unexpected, error).context(format!("writing to {folder}")))?;
    let file = Utf8Path::from_path(dir.path()).unwrap_or(folder).join("images.tar");
    let request = Request { lock: &part, platforms: &[], source, base: None, to: &file };
    bundle::write(request, progress, cancel).await?;
    tokio::select! {
        () = cancel.cancelled() => return Err(interrupted()),
        imported = records::import(docker, node, &file) => imported?,
    }
    let there = records::images(docker, node).await?;
    let lacking = part.images.iter().filter(|(image, entry)| there.get(*image) != entry.digest());
    let lacking: Vec<String> = lacking.map(|(image, _)| image.to_string()).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let text = format!("containerd of {node} took the images, but does not have {}", lacking.join(", "));
    Err(Failure::new(Kind::Unavailable, text).hint(format!("`docker exec {node} journalctl -u containerd` says more.")))
}
