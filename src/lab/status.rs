//! How a lab stands, for a person or a program to read. Nothing is changed.

use std::fmt::{self, Write as _};

use bollard::Docker;
use camino::{Utf8Path, Utf8PathBuf};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use serde::Serialize;

use super::site::provider;
use crate::cluster::{self, Provider, State};
use crate::error::Failure;
use crate::spec::Lab;

/// How a lab stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The lab's name.
    pub lab: String,
    /// `up`, `starting`, `stopped`, `half-made`, `damaged`, `down`, or `foreign`.
    pub state: &'static str,
    /// More about the state, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The lab's own kubeconfig, if its cluster is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<Utf8PathBuf>,
    /// The nodes' names.
    pub nodes: Vec<String>,
    /// Every deployment.
    pub workloads: Vec<Workload>,
}

/// A deployment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How many of its pods are ready.
    pub ready: i32,
    /// How many there are to be.
    pub wanted: i32,
}

/// Looks at the lab.
///
/// # Errors
/// What the engine fails with. An API server that does not answer is a state, not an error.
pub async fn status(docker: &Docker, lab: &Lab, folder: &Utf8Path) -> Result<Status, Failure> {
    let provider = provider(Utf8Path::new("kind"), docker, lab, folder);
    let mut status = Status {
        lab: lab.name.clone(),
        state: "down",
        detail: None,
        kubeconfig: None,
        nodes: Vec::new(),
        workloads: Vec::new(),
    };
    let names = |nodes: &[cluster::Node]| nodes.iter().map(|node| node.name.clone()).collect();
    match provider.state().await? {
        State::Absent => {}
        State::Foreign { why } => (status.state, status.detail) = ("foreign", Some(why)),
        State::HalfMade { nodes } => (status.state, status.nodes) = ("half-made", names(&nodes)),
        State::Damaged { nodes, missing } => {
            (status.state, status.nodes) = ("damaged", names(&nodes));
            status.detail = Some(format!("missing: {}", missing.join(", ")));
        }
        State::Present { nodes, .. } => {
            status.nodes = names(&nodes);
            status.kubeconfig = Some(provider.kubeconfig());
            if nodes.iter().any(|node| !node.running) {
                status.state = "stopped";
                return Ok(status);
            }
            match workloads(&provider.kubeconfig()).await {
                Ok(workloads) => {
                    let ready = workloads.iter().all(|workload| workload.ready >= workload.wanted);
                    (status.state, status.workloads) = (if ready { "up" } else { "starting" }, workloads);
                }
                Err(failure) => (status.state, status.detail) = ("starting", Some(failure.lines().join(": "))),
            }
        }
    }
    Ok(status)
}

async fn workloads(kubeconfig: &Utf8Path) -> Result<Vec<Workload>, Failure> {
    let client = cluster::client(kubeconfig).await?;
    let all = kube::Api::<Deployment>::all(client).list(&ListParams::default()).await;
    let all = all.map_err(|error| Failure::new(crate::error::Kind::Unavailable, error))?;
    let workload = |deployment: Deployment| Workload {
        namespace: deployment.metadata.namespace.unwrap_or_default(),
        name: deployment.metadata.name.unwrap_or_default(),
        ready: deployment.status.and_then(|status| status.ready_replicas).unwrap_or(0),
        wanted: deployment.spec.replicas.unwrap_or(1),
    };
    Ok(all.items.into_iter().map(workload).collect())
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("lab {}: {}", self.lab, self.state);
        if let Some(detail) = &self.detail {
            write!(text, " ({detail})")?;
        }
        text.push('\n');
        if let Some(kubeconfig) = &self.kubeconfig {
            writeln!(text, "nodes: {}\nexport KUBECONFIG={kubeconfig}", self.nodes.join(", "))?;
        }
        if !self.workloads.is_empty() {
            writeln!(text, "\n{:<20} {:<28} READY", "NAMESPACE", "DEPLOYMENT")?;
            for Workload { namespace, name, ready, wanted } in &self.workloads {
                writeln!(text, "{namespace:<20} {name:<28} {ready}/{wanted}")?;
            }
        }
        f.write_str(&text)
    }
}
