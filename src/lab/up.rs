//! Making a lab: the cluster boots while its images are brought in; add-ons and mesh start as soon
//! as there is an API server; applications follow when the mesh injects.
//!
//! Every step finds out for itself what is already there, so that the same graph makes a lab from
//! nothing, finishes one whose making was cut off, and does nothing to one that is up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bollard::Docker;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::site::{Site, Stock, provider};
use crate::apps;
use crate::cluster::registry_container::{self, Handle};
use crate::cluster::{self, Ensured, Node, Provider, Wanted, kind, mirror};
use crate::error::{Failure, Kind};
use crate::images::push::{Session, Target};
use crate::images::reference::Reference;
use crate::images::{engine, registry};
use crate::mesh;
use crate::objects::{self, Api, Object, ObjectRef, SetName};
use crate::plan::event::{Outcome, Progress};
use crate::plan::graph::{Context, Graph, Summary};
use crate::plan::journal::Journal;
use crate::spec::Injection;

/// Where the mesh and the add-ons live.
const SYSTEM: &str = "istio-system";
/// The journal's entry with what each node holds, by the node's container id.
const NODES: &str = "nodes";

/// How a lab is brought up.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Replaces a cluster that was made differently or lost nodes.
    pub recreate: bool,
    /// How long each step may take.
    pub limit: Duration,
}

/// What a node was given, so that a later run need not ask it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    registry: String,
    upstreams: BTreeSet<String>,
    images: BTreeMap<String, String>,
}

/// What the steps share.
struct Work {
    site: Arc<Site>,
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

/// Brings the lab up.
///
/// # Errors
/// That of the first step that fails; what was done until then stays, and the next run goes on
/// from there.
pub async fn up(
    site: Arc<Site>,
    stock: Stock,
    options: Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Summary, Failure> {
    let journal = Journal::open(&site.folder)?;
    let docker = super::site::engine().await?;
    let work = Arc::new(Work {
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
    });
    graph(&work).run(1, progress, cancel).await
}

/// Adds a step that is a method of [`Work`].
macro_rules! step {
    ($graph:ident, $work:ident, $id:expr, $phase:expr, $title:expr, [$($after:expr),*], $method:ident ( $($argument:expr),* )) => {{
        let work = Arc::clone($work);
        $graph.add($id, $phase, $title, &[$($after),*], move |context| async move { work.$method(context, $($argument),*).await });
    }};
}

fn graph(work: &Arc<Work>) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    step!(g, work, "engine/node", "images", "loading the node image into the engine", [], load(Loaded::Node));
    step!(
        g,
        work,
        "engine/registry",
        "images",
        "loading the registry's image into the engine",
        [],
        load(Loaded::Registry)
    );
    step!(g, work, "registry/start", "images", "starting the lab's registry", ["engine/registry"], start_registry());
    step!(g, work, "registry/push", "images", "pushing images to the lab's registry", ["registry/start"], push());
    step!(g, work, "cluster/claim", "cluster", "looking for the lab's cluster", ["engine/node"], claim());
    step!(g, work, "cluster/create", "cluster", "making the cluster", ["cluster/claim", "registry/start"], create());
    step!(
        g,
        work,
        "nodes/registry",
        "images",
        "making the nodes pull from the lab's registry",
        ["cluster/claim", "registry/start"],
        mirror_nodes()
    );
    step!(
        g,
        work,
        "nodes/images",
        "images",
        "bringing images to the nodes",
        ["nodes/registry", "registry/push"],
        pull()
    );
    step!(g, work, "cluster/ready", "cluster", "waiting for nodes and DNS", ["cluster/create"], cluster_ready());
    step!(g, work, "namespaces", "cluster", "making namespaces", ["cluster/create"], namespaces());
    if work.site.lab.mesh.is_some() {
        step!(g, work, "mesh/render", "mesh", "rendering the mesh's objects", [], render());
        step!(
            g,
            work,
            "mesh/apply",
            "mesh",
            "applying the mesh's objects",
            ["mesh/render", "namespaces", "nodes/registry"],
            apply_mesh()
        );
        step!(g, work, "mesh/webhook", "mesh", "waiting until the mesh injects", ["mesh/apply"], webhook());
        step!(
            g,
            work,
            "mesh/gateways",
            "mesh",
            "applying gateways and the mesh's configuration",
            ["mesh/webhook"],
            apply_gateways()
        );
        step!(g, work, "mesh/ready", "mesh", "waiting until gateways are ready", ["mesh/gateways"], wait("mesh"));
    }
    for index in 0..work.site.addons.len() {
        let name = work.site.addons[index].0.name.clone();
        let (apply, ready) = (format!("add-on/{name}/apply"), format!("add-on/{name}/ready"));
        step!(
            g,
            work,
            &apply,
            "add-ons",
            &format!("applying {name}"),
            ["namespaces", "nodes/registry"],
            apply_addon(index)
        );
        step!(g, work, &ready, "add-ons", &format!("waiting for {name}"), [&apply], wait(&format!("add-on/{name}")));
    }
    let mut all = vec!["cluster/ready".to_owned(), "nodes/images".to_owned()];
    for index in 0..work.site.applications.len() {
        let application = &work.site.applications[index].0;
        let name = application.name.clone();
        let meshed = work.site.lab.mesh.is_some();
        // Without the webhook's answer, pods would come up without a proxy; without the mesh's
        // definitions, its configuration would be refused.
        let first = match (meshed, application.injection) {
            (true, Injection::Auto | Injection::Manual) => "mesh/webhook",
            (true, Injection::None) => "mesh/apply",
            (false, _) => "namespaces",
        };
        let (apply, ready) = (format!("application/{name}/apply"), format!("application/{name}/ready"));
        step!(
            g,
            work,
            &apply,
            "applications",
            &format!("applying {name}"),
            [first, "nodes/registry"],
            apply_application(index)
        );
        step!(
            g,
            work,
            &ready,
            "applications",
            &format!("waiting for {name}"),
            [&apply],
            wait(&format!("application/{name}"))
        );
        all.push(ready);
    }
    if work.site.lab.mesh.is_some() {
        let all: Vec<&str> = all.iter().map(String::as_str).chain(["mesh/ready"]).collect();
        let work = Arc::clone(work);
        g.add(
            "mesh/synced",
            "mesh",
            "waiting until every proxy has its configuration",
            &all,
            move |context| async move { work.synced(context).await },
        );
    }
    graph
}

/// The images that the engine itself needs.
#[derive(Clone, Copy)]
enum Loaded {
    Node,
    Registry,
}

impl Work {
    async fn load(&self, context: Context, what: Loaded) -> Result<Outcome, Failure> {
        let name = match what {
            Loaded::Node => &self.stock.node,
            Loaded::Registry => &self.stock.registry,
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

    async fn start_registry(&self, context: Context) -> Result<Outcome, Failure> {
        let lab = &self.site.lab;
        let handle = registry_container::ensure(
            &self.docker,
            &lab.name,
            &self.stock.registry,
            lab.registry.port,
            self.options.limit,
            &context.cancel,
        )
        .await?;
        let outcome = if handle.created { Outcome::done(handle.url()) } else { Outcome::Unchanged };
        drop(self.registry.set(handle));
        Ok(outcome)
    }

    async fn push(&self, context: Context) -> Result<Outcome, Failure> {
        let client = registry::Client::new(&self.registry()?.url()).map_err(Failure::from)?;
        let targets = self.references()?.into_iter().map(|(reference, digest)| Target {
            digest,
            repository: reference.mirrored_repository(),
            tag: reference.tag_or_default().to_owned(),
        });
        let targets: Vec<Target> = targets.collect();
        let pushed = Session::new(self.stock.store.clone(), client)
            .push_all(&targets, &context.progress, &context.cancel)
            .await?;
        if pushed.unchanged == pushed.images {
            return Ok(Outcome::Unchanged);
        }
        let megabytes = pushed.traffic.sent / 1_000_000;
        let images = pushed.images - pushed.unchanged;
        Ok(Outcome::done(format!("{images} images, {} blobs, {megabytes} MB", pushed.blobs)))
    }

    /// Finds out what is there and removes what can't stay, before anything is done to the nodes.
    async fn claim(&self, context: Context) -> Result<Outcome, Failure> {
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

    async fn create(&self, context: Context) -> Result<Outcome, Failure> {
        let claim = self.claim.get().ok_or_else(|| Failure::new(Kind::Unexpected, "the cluster was not looked for"))?;
        let ensured =
            cluster::fulfil(self.provider.as_ref(), claim, &self.wanted().await?, &context.progress, &context.cancel)
                .await?;
        let client = cluster::client(&self.provider.kubeconfig()).await?;
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

    async fn mirror_nodes(&self, context: Context) -> Result<Outcome, Failure> {
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

    async fn pull(&self, context: Context) -> Result<Outcome, Failure> {
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

    async fn cluster_ready(&self, context: Context) -> Result<Outcome, Failure> {
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
            registry_container::advertise(api.client(), registry).await?;
        }
        Ok(Outcome::Unchanged)
    }

    async fn namespaces(&self, context: Context) -> Result<Outcome, Failure> {
        let object = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}});
        let object = Object::new(object, "istiolab", 1)
            .map_err(|problem| Failure::new(Kind::Unexpected, problem.to_string()))?;
        self.apply(&context, "namespaces", &SetName::new("istiolab-namespaces", "default"), &[object]).await
    }

    async fn render(&self, context: Context) -> Result<Outcome, Failure> {
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

    async fn apply_mesh(&self, context: Context) -> Result<Outcome, Failure> {
        let Some(rendered) = self.mesh.get() else { return Ok(Outcome::Unchanged) };
        self.apply(&context, "mesh", &SetName::new("istiolab-mesh", SYSTEM), &rendered.control_plane).await
    }

    async fn webhook(&self, context: Context) -> Result<Outcome, Failure> {
        mesh::ready::webhook(self.api()?, self.options.limit, &context.progress, &context.cancel).await?;
        Ok(Outcome::Unchanged)
    }

    async fn apply_gateways(&self, context: Context) -> Result<Outcome, Failure> {
        let Some(rendered) = self.mesh.get() else { return Ok(Outcome::Unchanged) };
        let objects: Vec<Object> = rendered.gateways.iter().chain(&self.site.mesh_objects).cloned().collect();
        self.apply(&context, "mesh", &SetName::new("istiolab-mesh-configuration", SYSTEM), &objects).await
    }

    async fn synced(&self, context: Context) -> Result<Outcome, Failure> {
        mesh::ready::synced(self.api()?, self.options.limit, &context.progress, &context.cancel).await?;
        Ok(Outcome::Unchanged)
    }

    async fn apply_addon(&self, context: Context, index: usize) -> Result<Outcome, Failure> {
        let (addon, objects) = &self.site.addons[index];
        self.apply(
            &context,
            &format!("add-on/{}", addon.name),
            &SetName::new(format!("istiolab-{}", addon.name), SYSTEM),
            objects,
        )
        .await
    }

    async fn apply_application(&self, context: Context, index: usize) -> Result<Outcome, Failure> {
        let (application, objects) = &self.site.applications[index];
        let applied =
            apps::deploy(self.api()?, application, objects, self.options.limit, &context.progress, &context.cancel)
                .await?;
        self.remember(&format!("application/{}", application.name), applied.objects());
        Ok(outcome(&applied))
    }

    /// Waits until everything that was applied under `name` is ready.
    async fn wait(&self, context: Context, name: &str) -> Result<Outcome, Failure> {
        let objects =
            self.applied.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default();
        objects::ready::wait(self.api()?, &objects, self.options.limit, &context.progress, &context.cancel).await?;
        Ok(Outcome::Unchanged)
    }

    async fn apply(
        &self,
        context: &Context,
        name: &str,
        set: &SetName,
        objects: &[Object],
    ) -> Result<Outcome, Failure> {
        let options = objects::Options {
            default_namespace: Some(SYSTEM.to_owned()),
            deadline: self.options.limit,
            ..objects::Options::default()
        };
        let applied = objects::apply(self.api()?, set, objects, &options, &context.progress, &context.cancel).await?;
        self.remember(name, applied.objects());
        Ok(outcome(&applied))
    }

    fn remember(&self, name: &str, objects: Vec<ObjectRef>) {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default().extend(objects);
    }

    /// The images that nodes are to have, with their digests.
    fn references(&self) -> Result<Vec<(Reference, crate::images::digest::Digest)>, Failure> {
        let parse = |(name, digest): (&String, &crate::images::digest::Digest)| {
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

fn outcome(applied: &objects::Applied) -> Outcome {
    if applied.is_unchanged() { Outcome::Unchanged } else { Outcome::done(applied.to_string()) }
}
