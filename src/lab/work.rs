//! The steps of making a lab, one method each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bollard::Docker;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::gate::{self, Closed};
use super::sets::{self, Set};
use super::site::{Bundles, Site, Stock, provider};
use super::up::Options;
use crate::apps;
use crate::cluster::registry_container::{self, Handle};
use crate::cluster::{self, Ensured, Node, Provider, Wanted, bundle_container, kind, mirror};
use crate::error::{Failure, Kind};
use crate::images::copy::{Copier, Known, Target, Tree, Wanted as Image};
use crate::images::digest::Digest;
use crate::images::reference::Reference;
use crate::images::{engine, registry};
use crate::mesh;
use crate::objects::{self, Api, ObjectRef};
use crate::plan::event::Outcome;
use crate::plan::graph::Context;
use crate::plan::journal::Journal;
use crate::report::counted;

/// The journal's entry with what each node holds, by the node's container id.
const NODES: &str = "nodes";

/// What a node was given, so that a later run need not ask it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    registry: String,
    upstreams: BTreeSet<String>,
    images: BTreeMap<String, String>,
}

/// What the steps share.
pub(super) struct Work {
    pub(super) site: Arc<Site>,
    stock: Stock,
    docker: Docker,
    provider: Arc<kind::Kind>,
    options: Options,
    journal: Mutex<Journal>,
    claim: OnceLock<cluster::Claim>,
    registry: OnceLock<Handle>,
    api: OnceLock<Api>,
    mesh: OnceLock<mesh::Rendered>,
    applied: Mutex<BTreeMap<String, Vec<ObjectRef>>>,
}

/// The images that the engine itself needs.
#[derive(Clone, Copy)]
pub(super) enum Loaded {
    Node,
    LoadBalancer,
    Registry,
}

impl Work {
    /// Opens the lab's journal and reaches the engine.
    pub(super) async fn new(site: Arc<Site>, stock: Stock, options: Options) -> Result<Self, Failure> {
        let journal = Journal::open(&site.folder)?;
        let docker = super::site::engine().await?;
        Ok(Self {
            provider: provider(&stock.kind, &docker, &site.lab, &site.folder),
            site,
            stock,
            docker,
            options,
            journal: Mutex::new(journal),
            claim: OnceLock::new(),
            registry: OnceLock::new(),
            api: OnceLock::new(),
            mesh: OnceLock::new(),
            applied: Mutex::default(),
        })
    }

    pub(super) async fn load(&self, context: Context, what: Loaded) -> Result<Outcome, Failure> {
        let name = match what {
            Loaded::Node => &self.stock.node,
            Loaded::Registry => &self.stock.registry,
            Loaded::LoadBalancer => {
                let Some(name) = &self.stock.load_balancer else { return Ok(Outcome::Unchanged) };
                // kind demands a name that others publish under: what has it already stays.
                if engine::id(&self.docker, name).await?.is_some() {
                    return Ok(Outcome::Unchanged);
                }
                name
            }
        };
        let digest = self
            .stock
            .store
            .resolve(name)
            .ok_or_else(|| Failure::new(Kind::Unexpected, format!("`{name}` is not in the store")))?
            .digest;
        let loaded =
            engine::load(&self.docker, &self.stock.store, &digest, name, &context.progress, &context.cancel).await?;
        Ok(if loaded { Outcome::done(name) } else { Outcome::Unchanged })
    }

    pub(super) async fn start_registry(&self, context: Context) -> Result<Outcome, Failure> {
        let lab = &self.site.lab;
        let (limit, cancel) = (self.options.limit, &context.cancel);
        let (image, port) = (&self.stock.registry, lab.registry.port);
        let handle = match &self.stock.bundles {
            None => registry_container::ensure(&self.docker, &lab.name, image, port, limit, cancel).await?,
            Some(Bundles { files, program, .. }) => {
                let wanted = bundle_container::Wanted { lab: &lab.name, image, program, bundles: files, port };
                bundle_container::ensure(&self.docker, &wanted, limit, cancel).await?
            }
        };
        let outcome = if handle.created { Outcome::done(handle.url()) } else { Outcome::Unchanged };
        drop(self.registry.set(handle));
        Ok(outcome)
    }

    pub(super) async fn push(&self, context: Context) -> Result<Outcome, Failure> {
        if self.stock.bundles.is_some() {
            // They are served where they are.
            return Ok(Outcome::Unchanged);
        }
        let client = registry::Client::new(&self.registry()?.url()).map_err(Failure::from)?;
        let store = &self.stock.store;
        let image = |(image, digest): (Reference, Digest)| {
            let known = Known::Tree(Tree::of_store(store, &image, &digest)?);
            let (repository, name) = (image.mirrored_repository(), image.tag_or_default().to_owned());
            Ok::<_, Failure>(Image { image, from: Vec::new(), known, repository, name })
        };
        let images = self.references()?.into_iter().map(image).collect::<Result<Vec<_>, _>>()?;
        let copier = Copier::new(Arc::new(store.clone()), Target::Registry(client));
        let done = copier.copy(&images, &context.progress, &context.cancel).await?;
        if done.unchanged == done.images {
            return Ok(Outcome::Unchanged);
        }
        let new = done.images - done.unchanged;
        Ok(Outcome::done(format!("{new} images, {} blobs, {} MB", done.blobs, done.bytes / 1_000_000)))
    }

    /// Whether the engine needs an image to put before several control planes.
    pub(super) fn has_load_balancer(&self) -> bool {
        self.stock.load_balancer.is_some()
    }

    /// Finds out what is there and removes what can't stay, before anything is done to the nodes.
    pub(super) async fn claim(&self, context: Context) -> Result<Outcome, Failure> {
        let claim =
            cluster::claim(self.provider.as_ref(), &self.wanted().await?, self.options.recreate, &context.progress)
                .await?;
        drop(self.claim.set(claim));
        Ok(Outcome::Unchanged)
    }

    async fn wanted(&self) -> Result<Wanted, Failure> {
        let image_id = engine::id(&self.docker, &self.stock.node).await?.unwrap_or_default();
        let nodes = self.site.lab.cluster.nodes;
        Ok(Wanted {
            image: self.stock.node.clone(),
            image_id,
            control_planes: nodes.control_planes,
            workers: nodes.workers,
            own_network: true,
            config: self.site.lab.cluster.config.clone(),
            limit: self.options.limit,
        })
    }

    pub(super) async fn create(&self, context: Context) -> Result<Outcome, Failure> {
        let claim = self.claim.get().ok_or_else(|| Failure::new(Kind::Unexpected, "the cluster was not looked for"))?;
        let ensured =
            cluster::fulfil(self.provider.as_ref(), claim, &self.wanted().await?, &context.progress, &context.cancel)
                .await?;
        let client = cluster::impatient_client(&self.provider.kubeconfig()).await?;
        drop(self.api.set(Api::new(client)));
        Ok(match ensured {
            Ensured::Created => {
                let count = self.provider.nodes().await?.len();
                Outcome::done(format!(
                    "`{}`, {count} {}",
                    self.site.lab.name,
                    if count == 1 { "node" } else { "nodes" }
                ))
            }
            Ensured::Started => Outcome::done("started its nodes"),
            Ensured::Unchanged => Outcome::Unchanged,
        })
    }

    /// The nodes, as soon as their containers run, which is long before the cluster is up.
    async fn nodes(&self, cancel: &CancellationToken) -> Result<Vec<Node>, Failure> {
        let count = cluster::config::node_count(&self.wanted().await?)?;
        Ok(cluster::appeared(self.provider.as_ref(), count, self.options.limit, cancel).await?)
    }

    pub(super) async fn mirror_nodes(&self, context: Context) -> Result<Outcome, Failure> {
        let nodes = self.nodes(&context.cancel).await?;
        let registry = self.registry()?;
        let references = self.references()?;
        let upstreams = mirror::upstreams(references.iter().map(|(reference, _)| reference));
        let mut outcome = Outcome::Unchanged;
        for node in &nodes {
            let given = self.given(&node.id);
            let url = registry.url_for_nodes();
            if given.registry == url && given.upstreams == upstreams && !registry.created {
                continue;
            }
            mirror::configure(&self.docker, &node.name, &url, &upstreams).await?;
            self.give(&node.id, Given { registry: url, upstreams: upstreams.clone(), ..given })?;
            outcome = Outcome::done(upstreams.iter().cloned().collect::<Vec<_>>().join(", "));
        }
        Ok(outcome)
    }

    /// Closes the nodes' gates, or opens them again: a lab is offline as long as it is said so.
    pub(super) async fn gate(&self, context: Context) -> Result<Outcome, Failure> {
        let entry = || self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let closed: Option<Closed> = entry().get(gate::ENTRY);
        if !self.options.offline && closed.is_none() {
            return Ok(Outcome::Unchanged);
        }
        let nodes = self.nodes(&context.cancel).await?;
        if !self.options.offline {
            for node in &nodes {
                cluster::gate::open(&self.docker, &node.name).await?;
            }
            entry().remove(gate::ENTRY)?;
            return Ok(Outcome::done("open"));
        }
        let url = self.registry()?.url_for_nodes();
        let mut leaks = Vec::new();
        for node in &nodes {
            cluster::gate::close(&self.docker, &node.name, &url).await?;
            leaks.extend(cluster::gate::leaks(&self.docker, &node.name, &url).await?);
        }
        if !leaks.is_empty() {
            let text = format!("nodes have ways around the lab's registry:\n  {}", leaks.join("\n  "));
            return Err(Failure::new(Kind::Refused, text)
                .hint("Take them out of `cluster.config`, or bring the lab up without --offline."));
        }
        let registries = mirror::upstreams(self.references()?.iter().map(|(reference, _)| reference));
        // What was asked for before was told before.
        let known = closed.is_some_and(|closed| closed.registries == registries);
        entry().set(gate::ENTRY, &Closed::now(registries))?;
        Ok(if known { Outcome::Unchanged } else { Outcome::done("closed") })
    }

    pub(super) async fn pull(&self, context: Context) -> Result<Outcome, Failure> {
        let nodes = self.nodes(&context.cancel).await?;
        let references = self.references()?;
        let wanted: BTreeMap<String, String> =
            references.iter().map(|(reference, digest)| (reference.to_string(), digest.to_string())).collect();
        let pulls = nodes.iter().map(|node| {
            let given = self.given(&node.id);
            let (references, wanted, context) = (&references, &wanted, &context);
            async move {
                let missing = references.iter().filter(|(reference, digest)| {
                    let name = reference.to_string();
                    !self.stock.standing.contains(&name) && given.images.get(&name) != Some(&digest.to_string())
                });
                let missing: Vec<Reference> = missing.map(|(reference, _)| reference.clone()).collect();
                if missing.is_empty() {
                    return Ok(0);
                }
                mirror::pull(
                    &self.docker,
                    &node.name,
                    &missing,
                    self.options.limit,
                    &context.progress,
                    &context.cancel,
                )
                .await?;
                self.give(&node.id, Given { images: wanted.clone(), ..given })?;
                Ok::<usize, Failure>(missing.len())
            }
        });
        let pulled: usize = futures::future::try_join_all(pulls).await?.into_iter().sum();
        Ok(if pulled == 0 { Outcome::Unchanged } else { Outcome::done(format!("{pulled} images")) })
    }

    pub(super) async fn cluster_ready(&self, context: Context) -> Result<Outcome, Failure> {
        let nodes = self.nodes(&context.cancel).await?;
        let api = self.api()?;
        cluster::ready::wait(
            api.client(),
            &self.docker,
            &nodes,
            self.options.limit,
            &context.progress,
            &context.cancel,
        )
        .await?;
        if let Some(registry) = self.registry.get() {
            let client = cluster::client(&self.provider.kubeconfig()).await?;
            registry_container::advertise(&client, registry).await?;
        }
        Ok(Outcome::Unchanged)
    }

    /// Waits until every node leads to the services; tells those that do not answer.
    pub(super) async fn services(&self, context: Context) -> Result<Outcome, Failure> {
        let nodes = self.nodes(&context.cancel).await?;
        let client = self.api()?.client();
        for silent in cluster::services::wait(client, &self.docker, &nodes, &context.progress, &context.cancel).await? {
            context.progress.warn(format!("{silent}."));
        }
        Ok(Outcome::Unchanged)
    }

    pub(super) async fn render(&self, context: Context) -> Result<Outcome, Failure> {
        let (Some(mesh), Some((istioctl, version))) = (&self.site.lab.mesh, &self.stock.istio) else {
            return Ok(Outcome::Unchanged);
        };
        let rendered = mesh::render(
            istioctl,
            mesh,
            &mesh::Images::parts(version),
            &self.site.paths.cache,
            &context.progress,
            &context.cancel,
        )
        .await?;
        drop(self.mesh.set(rendered));
        Ok(Outcome::Unchanged)
    }

    pub(super) async fn webhook(&self, context: Context) -> Result<Outcome, Failure> {
        let policy = objects::ready::Policy::of(&self.site.lab)?;
        mesh::ready::webhook(self.api()?, policy, self.options.limit, &context.progress, &context.cancel).await?;
        Ok(Outcome::Unchanged)
    }

    pub(super) async fn synced(&self, context: Context) -> Result<Outcome, Failure> {
        mesh::ready::synced(self.api()?, self.options.limit, &context.progress, &context.cancel).await?;
        Ok(Outcome::Unchanged)
    }

    /// Removes the sets that are no longer in the lab file.
    pub(super) async fn retire(&self, context: Context) -> Result<Outcome, Failure> {
        let (api, limit, heirs) = (self.api()?, self.options.limit, sets::heirs(&self.site));
        let (progress, cancel) = (&context.progress, &context.cancel);
        let mut gone = Vec::new();
        for set in sets::departed(&self.site, api, limit, progress, cancel).await? {
            let deleted = objects::retire_set(api, &set, &heirs, limit, progress, cancel).await?.deleted;
            gone.push(format!("{} with {}", sets::shown(&set), counted(deleted.len(), "object")));
        }
        Ok(if gone.is_empty() { Outcome::Unchanged } else { Outcome::done(gone.join(", ")) })
    }

    /// Applies a set of the lab.
    pub(super) async fn apply(&self, context: Context, set: Set) -> Result<Outcome, Failure> {
        let (api, site, limit) = (self.api()?, &self.site, self.options.limit);
        let (progress, cancel) = (&context.progress, &context.cancel);
        let (mut objects, mut converted) = (set.objects(site, self.mesh.get())?, Vec::new());
        if let Set::Application(index) = set {
            (objects, converted) =
                apps::objects(api, &site.applications[index].0, &objects, limit, progress, cancel).await?;
        }
        let options = set.options(site, limit, self.options.recreate)?;
        let applied = objects::apply(api, &set.name(site), &objects, &options, progress, cancel).await?;
        let applied = applied.with_converted(converted, progress);
        let mut known = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(set.id(site)).or_default().extend(applied.objects());
        Ok(if applied.is_unchanged() { Outcome::Unchanged } else { Outcome::done(applied.to_string()) })
    }

    /// Waits until everything that was applied under `name` is ready.
    pub(super) async fn wait(&self, context: Context, name: &str) -> Result<Outcome, Failure> {
        let objects =
            self.applied.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default();
        let policy = objects::ready::Policy::of(&self.site.lab)?;
        objects::ready::wait_with(
            self.api()?,
            &objects,
            policy,
            self.options.limit,
            &context.progress,
            &context.cancel,
        )
        .await?;
        Ok(Outcome::Unchanged)
    }

    /// The images that nodes are to have, with their digests.
    fn references(&self) -> Result<Vec<(Reference, Digest)>, Failure> {
        let parse = |(name, digest): (&String, &Digest)| {
            let reference = name.parse::<Reference>().map_err(|error| Failure::new(Kind::BadInput, error))?;
            Ok((reference, *digest))
        };
        self.stock.images.iter().map(parse).collect()
    }

    fn given(&self, node: &str) -> Given {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.get::<BTreeMap<String, Given>>(NODES).and_then(|mut nodes| nodes.remove(node)).unwrap_or_default()
    }

    fn give(&self, node: &str, given: Given) -> Result<(), Failure> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let mut nodes = journal.get::<BTreeMap<String, Given>>(NODES).unwrap_or_default();
        nodes.insert(node.to_owned(), given);
        Ok(journal.set(NODES, &nodes)?)
    }

    fn registry(&self) -> Result<&Handle, Failure> {
        self.registry.get().ok_or_else(|| Failure::new(Kind::Unexpected, "the registry's address is not known yet"))
    }

    fn api(&self) -> Result<&Api, Failure> {
        self.api.get().ok_or_else(|| Failure::new(Kind::Unexpected, "there is no client of the cluster yet"))
    }
}
