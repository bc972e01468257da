//! Making a lab: the cluster boots while its images are brought in; add-ons and mesh start as soon
//! as there is an API server; applications follow when the mesh injects.
//!
//! Every step finds out for itself what is already there, so that the same graph makes a lab from
//! nothing, finishes one whose making was cut off, and does nothing to one that is up.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::sets::{self, Set};
use super::site::{Site, Stock};
use super::work::{Loaded, Work};
use crate::error::Failure;
use crate::plan::event::Progress;
use crate::plan::graph::{Graph, Summary};
use crate::spec::Injection;

/// How a lab is brought up.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Replaces what can't be changed in place: a cluster that was made differently or lost nodes, and the
    /// lab's objects.
    pub recreate: bool,
    /// Closes the nodes' ways to other registries than the lab's.
    pub offline: bool,
    /// How long each step may take.
    pub limit: Duration,
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
    let work = Arc::new(Work::new(site, stock, options).await?);
    let mut steps = Steps { work: &work, graph: Graph::new() };
    steps.images();
    steps.cluster();
    let applications = steps.sets();
    steps.services(&applications);
    steps.synced(&applications);
    steps.graph.run(1, progress, cancel).await
}

/// The steps of a lab, added subject by subject.
struct Steps<'a> {
    work: &'a Arc<Work>,
    graph: Graph,
}

/// Adds a step that is a method of [`Work`].
macro_rules! step {
    ($steps:ident, $phase:expr, $id:expr, $title:expr, $after:expr, $method:ident ( $($argument:expr),* )) => {{
        let work = Arc::clone($steps.work);
        $steps.graph.add($id, $phase, $title, $after, move |context| async move { work.$method(context, $($argument),*).await });
    }};
}

impl Steps<'_> {
    fn has_mesh(&self) -> bool {
        self.work.site.lab.mesh.is_some()
    }

    fn images(&mut self) {
        let phase = "images";
        step!(self, phase, "engine/node", "loading the node image into the engine", &[], load(Loaded::Node));
        let registry = "engine/registry";
        step!(self, phase, registry, "loading the registry's image into the engine", &[], load(Loaded::Registry));
        step!(self, phase, "registry/start", "starting the lab's registry", &[registry], start_registry());
        step!(self, phase, "registry/push", "pushing images to the lab's registry", &["registry/start"], push());
    }

    fn cluster(&mut self) {
        let phase = "cluster";
        let mut after = vec!["engine/node"];
        if self.work.has_load_balancer() {
            let (id, title) = ("engine/load-balancer", "loading the load balancer's image into the engine");
            step!(self, "images", id, title, &[], load(Loaded::LoadBalancer));
            after.push(id);
        }
        step!(self, phase, "cluster/claim", "looking for the lab's cluster", &after, claim());
        step!(self, phase, "cluster/create", "making the cluster", &["cluster/claim"], create());
        // As soon as the nodes' containers run, long before there is an API server.
        let after = ["cluster/claim", "registry/start"];
        step!(
            self,
            "images",
            "nodes/registry",
            "making the nodes pull from the lab's registry",
            &after,
            mirror_nodes()
        );
        step!(self, "images", "nodes/gate", "minding what the nodes may ask", &["nodes/registry"], gate());
        let after = ["nodes/gate", "registry/push"];
        step!(self, "images", "nodes/images", "bringing images to the nodes", &after, pull());
        step!(self, phase, "cluster/ready", "waiting for nodes and DNS", &["cluster/create"], cluster_ready());
    }

    /// Applies every set of the lab, and waits for what needs time. Returns the steps after which every
    /// application is ready.
    fn sets(&mut self) -> Vec<String> {
        if self.has_mesh() {
            step!(self, "mesh", "mesh/render", "rendering the mesh's objects", &[], render());
        }
        let (id, title) = ("sets/departed", "removing what left the lab file");
        step!(self, "cluster", id, title, &["cluster/create"], retire());
        let mut last = Vec::new();
        for set in sets::all(&self.work.site) {
            let (id, apply, phase) = (set.id(&self.work.site), set.step(&self.work.site), set.phase());
            let title = set.title(&self.work.site);
            step!(self, phase, &apply, &title, self.before(set), apply(set));
            let after = [apply.as_str()];
            match set {
                Set::Namespaces => {}
                Set::Mesh => {
                    step!(self, phase, "mesh/webhook", "waiting until the mesh injects", &after, webhook());
                }
                Set::Gateways => {
                    step!(self, phase, "mesh/ready", "waiting until gateways are ready", &after, wait(&id));
                }
                Set::Addon(_) | Set::Application(_) => {
                    let name = id.split_once('/').map_or(id.as_str(), |(_, name)| name);
                    let ready = format!("{id}/ready");
                    step!(self, phase, &ready, &format!("waiting for {name}"), &after, wait(&id));
                    if matches!(set, Set::Application(_)) {
                        last.push(ready);
                    }
                }
            }
        }
        last
    }

    /// What a set is applied after.
    fn before(&self, set: Set) -> &'static [&'static str] {
        match set {
            // What has left may be in the way: an application under another name.
            Set::Namespaces => &["sets/departed"],
            Set::Mesh => &["mesh/render", "namespaces", "nodes/gate"],
            Set::Gateways => &["mesh/webhook"],
            Set::Addon(_) => &["namespaces", "nodes/gate"],
            // Without the webhook's answer, pods would come up without a proxy; without the mesh's
            // definitions, its configuration would be refused.
            Set::Application(index) => match (self.has_mesh(), self.work.site.applications[index].0.injection) {
                (true, Injection::Auto | Injection::Manual) => &["mesh/webhook", "nodes/gate"],
                (true, Injection::None) => &["mesh/apply", "nodes/gate"],
                (false, _) => &["namespaces", "nodes/gate"],
            },
        }
    }

    /// Pods are ready before every kube-proxy knows them.
    fn services(&mut self, applications: &[String]) {
        let addons = self.work.site.addons.iter().map(|(addon, _)| format!("add-on/{}/ready", addon.name));
        let mut after: Vec<String> = applications.iter().cloned().chain(addons).collect();
        after.push("cluster/ready".to_owned());
        if self.has_mesh() {
            after.push("mesh/ready".to_owned());
        }
        let after: Vec<&str> = after.iter().map(String::as_str).collect();
        step!(self, "cluster", "services", "waiting until services answer from every node", &after, services());
    }

    fn synced(&mut self, applications: &[String]) {
        if !self.has_mesh() {
            return;
        }
        let after: Vec<&str> = applications.iter().map(String::as_str).chain(["mesh/ready"]).collect();
        step!(self, "mesh", "mesh/synced", "waiting until every proxy has its configuration", &after, synced());
    }
}
