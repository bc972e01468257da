//! What of the images is at the target already, and what the others consist of.

use std::collections::HashMap;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use tokio_util::sync::CancellationToken;

use super::graph::{Graph, Plan};
use super::tree::Found;
use super::{Copier, Known, Shared, Target, Tree, Wanted};
use crate::error::Failure;
use crate::images::digest::Digest;
use crate::plan::event::Progress;
use crate::plan::graph::interrupted;

/// How many images are looked at side by side; how many of their requests are under way is up to the
/// registry.
const AT_ONCE: usize = 64;

/// The images, with what is known of them now.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) images: Vec<Wanted>,
    /// What each consists of; nobody asked for those that are there.
    pub(super) trees: Vec<Option<Tree>>,
    /// Whether each is there.
    pub(super) present: Vec<bool>,
    /// Manifests that the source has to be asked for still.
    unread: usize,
    pub(super) graph: Graph,
}

impl Looked {
    pub(super) fn unchanged(&self) -> u64 {
        self.present.iter().filter(|present| **present).count() as u64
    }

    pub(super) fn plan(&self, target: &Target) -> Plan {
        let mut plan = self.graph.plan();
        plan.images = self.images.len() as u64;
        plan.unchanged = self.unchanged();
        plan.source_requests = plan.blobs + self.unread as u64;
        plan.target_requests = match target {
            Target::Registry(_) => plan.images + 2 * plan.blobs + plan.mounts + plan.manifests,
            Target::Store(_) => 0,
        };
        plan.by_image = self
            .graph
            .by_image()
            .into_iter()
            .map(|(image, (blobs, bytes))| (self.images[image].image.clone(), super::graph::Share { blobs, bytes }))
            .collect();
        plan
    }
}

impl Copier {
    pub(super) async fn look(
        &self,
        wanted: &[Wanted],
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Looked, Failure> {
        progress.status(format!("asking {} for {} images", self.0.target.describe(), wanted.len()));
        let looks: Vec<BoxFuture<'_, _>> = wanted.iter().map(|wanted| self.0.look(wanted).boxed()).collect();
        let found = tokio::select! {
            () = cancel.cancelled() => return Err(interrupted()),
            found = futures::stream::iter(looks).buffered(AT_ONCE).try_collect::<Vec<_>>() => found?,
        };
        let (present, trees): (Vec<bool>, Vec<Option<Tree>>) = found.into_iter().unzip();
        let mut homes: HashMap<Digest, String> = HashMap::new();
        let mut missing = Vec::new();
        for (number, wanted) in wanted.iter().enumerate() {
            match (&trees[number], present[number]) {
                (Some(tree), true) => {
                    for blob in tree.blobs() {
                        homes.entry(blob.digest).or_insert_with(|| wanted.repository.clone());
                    }
                }
                (Some(tree), false) => missing.push((number, wanted, tree)),
                (None, _) => {}
            }
        }
        if let Target::Store(store) = &self.0.target {
            // What is there with its whole length needs no work, whichever image it is of.
            let blobs = missing.iter().flat_map(|(_, _, tree)| tree.blobs());
            let there = blobs.filter(|blob| store.has_whole(blob)).map(|blob| (blob.digest, String::new()));
            homes.extend(there.collect::<Vec<_>>());
        }
        let graph = Graph::new(&missing, &homes);
        let unread = graph.manifests().filter(|digest| !self.0.has_read(digest)).count();
        Ok(Looked { images: wanted.to_vec(), present, unread, graph, trees: trees.clone() })
    }
}

impl Shared {
    /// Whether the image is there, and what it consists of as far as that is needed.
    async fn look(&self, wanted: &Wanted) -> Result<(bool, Option<Tree>), Failure> {
        let root = match &wanted.known {
            Known::Tree(tree) => *tree.root(),
            Known::Root(digest) => *digest,
            Known::Nothing => self.root(&wanted.image, &wanted.from).await?.digest,
        };
        let known = match &wanted.known {
            Known::Tree(tree) => Some(tree.clone()),
            _ => None,
        };
        if self.is_there(wanted, &root, known.as_ref()).await? {
            return Ok((true, known));
        }
        match known {
            Some(tree) => Ok((false, Some(tree))),
            None => Ok((false, Some(self.discover(wanted, root).await?))),
        }
    }

    async fn is_there(&self, wanted: &Wanted, root: &Digest, known: Option<&Tree>) -> Result<bool, Failure> {
        match &self.target {
            Target::Registry(client) => {
                Ok(client.head_manifest(&wanted.repository, &wanted.name).await?.as_ref() == Some(root))
            }
            Target::Store(store) => {
                let named = store.resolve(&wanted.name).is_some_and(|found| found.digest == *root);
                // A store may have lost what it names: then it is copied again.
                let found =
                    if known.is_none() && named { Tree::of_store(store, &wanted.image, root).ok() } else { None };
                let whole = |tree: &Tree| {
                    tree.manifests.iter().all(|manifest| store.has(&manifest.digest))
                        && tree.blobs().all(|blob| store.has_whole(blob))
                };
                Ok(named && known.or(found.as_ref()).is_some_and(whole))
            }
        }
    }

    async fn discover(&self, wanted: &Wanted, root: Digest) -> Result<Tree, Failure> {
        let mut found = Found::new(&wanted.image);
        let mut level = vec![(root, 0)];
        while !level.is_empty() {
            let reads = level.iter().map(|(digest, _)| self.manifest(&wanted.image, &wanted.from, digest));
            let raws = futures::future::try_join_all(reads).await?;
            let mut below = Vec::new();
            for (raw, (_, depth)) in raws.iter().zip(&level) {
                below.extend(found.add(raw, *depth)?);
            }
            level = below;
        }
        Ok(found.tree())
    }

    fn has_read(&self, digest: &Digest) -> bool {
        let read = self.read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        read.get(digest).is_some_and(|cell| cell.initialized())
            || self.manifests.as_ref().is_some_and(|kept| kept.has(digest))
    }
}
