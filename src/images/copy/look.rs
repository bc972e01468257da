//! What of the images is at the target already, and what the others consist of.

use std::collections::HashMap;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use tokio_util::sync::CancellationToken;

use super::graph::{Graph, Plan};
use super::referrers::Lists;
use super::tree::Found;
use super::{Choice, Copier, Known, Shared, Target, Tree, Wanted};
use crate::error::Failure;
use crate::images::digest::Digest;
use crate::plan::event::Progress;
use crate::plan::graph::interrupted;

/// How many images are looked at side by side; how many of their requests are under way is up to the
/// registry.
const AT_ONCE: usize = 64;

/// What was found out of an image.
#[derive(Debug)]
pub(super) struct Look {
    /// Whether the target has it.
    pub(super) present: bool,
    /// What it consists of, as far as that is needed.
    pub(super) tree: Option<Tree>,
}

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
    /// How many of them, the last ones, only refer to the others.
    pub(super) referrers: usize,
    pub(super) lists: Lists,
    pub(super) graph: Graph,
}

impl Looked {
    pub(super) fn unchanged(&self) -> u64 {
        self.present.iter().take(self.wanted()).filter(|present| **present).count() as u64
    }

    /// How many images were asked for.
    pub(super) fn wanted(&self) -> usize {
        self.images.len() - self.referrers
    }

    pub(super) fn plan(&self, target: &Target) -> Plan {
        let mut plan = self.graph.plan();
        plan.images = self.wanted() as u64;
        plan.referrers = self.referrers as u64;
        plan.unchanged = self.unchanged();
        plan.source_requests = plan.blobs + self.unread as u64;
        plan.target_requests = match target {
            Target::Registry(_) => self.images.len() as u64 + 2 * plan.blobs + plan.mounts + plan.manifests,
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
        let asking = async {
            let looks: Vec<BoxFuture<'_, _>> = wanted.iter().map(|wanted| self.0.look(wanted).boxed()).collect();
            let found: Vec<Look> = futures::stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
            let mut found: Vec<(Wanted, Look)> = wanted.iter().cloned().zip(found).collect();
            let mut lists = Lists::new();
            if self.0.referrers {
                let (referring, told) = self.0.referring(&found).await?;
                found.extend(referring);
                lists = told;
            }
            Ok::<_, Failure>((found, lists))
        };
        let (found, lists) = tokio::select! {
            () = cancel.cancelled() => return Err(interrupted()),
            asked = asking => asked?,
        };
        let referrers = found.len() - wanted.len();
        let (images, looks): (Vec<Wanted>, Vec<Look>) = found.into_iter().unzip();
        let (present, trees): (Vec<bool>, Vec<Option<Tree>>) =
            looks.into_iter().map(|look| (look.present, look.tree)).unzip();
        let mut homes: HashMap<Digest, String> = HashMap::new();
        let mut missing = Vec::new();
        for (number, wanted) in images.iter().enumerate() {
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
        Ok(Looked { present, unread, referrers, lists, graph, trees: trees.clone(), images: images.clone() })
    }
}

impl Shared {
    /// Whether the image is there, and what it consists of as far as that is needed.
    async fn look(&self, wanted: &Wanted) -> Result<Look, Failure> {
        if self.referrers {
            return self.look_whole(wanted, &self.choice).await;
        }
        let root = match &wanted.known {
            Known::Tree(tree) => *tree.root(),
            Known::Root(digest) => *digest,
            Known::Nothing => self.root(&wanted.image, &wanted.from).await?.digest,
        };
        let known = match &wanted.known {
            Known::Tree(tree) => Some(tree.clone()),
            // What the platforms are called is known only afterwards.
            _ if self.choice != Choice::All => Some(self.chosen(wanted, &root, &self.choice).await?),
            _ => None,
        };
        let root = known.as_ref().map_or(root, |tree| *tree.root());
        let present = self.is_there(wanted, &root, known.as_ref()).await?;
        let tree = if present || known.is_some() { known } else { Some(self.discover(wanted, root).await?) };
        Ok(Look { present, tree })
    }

    /// As [`Shared::look`], with what the image consists of in any case.
    pub(super) async fn look_whole(&self, wanted: &Wanted, choice: &Choice) -> Result<Look, Failure> {
        let tree = match &wanted.known {
            Known::Tree(tree) => tree.clone(),
            Known::Root(root) => self.chosen(wanted, root, choice).await?,
            Known::Nothing => {
                let root = self.root(&wanted.image, &wanted.from).await?.digest;
                self.chosen(wanted, &root, choice).await?
            }
        };
        let present = self.is_there(wanted, tree.root(), Some(&tree)).await?;
        Ok(Look { present, tree: Some(tree) })
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

    pub(super) async fn discover(&self, wanted: &Wanted, root: Digest) -> Result<Tree, Failure> {
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
