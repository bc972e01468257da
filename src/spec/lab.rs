//! A lab with every default filled in and every path absolute: what the rest of the program reads.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::raw::{Injection, Provider, Source};
use crate::images::reference::Reference;

/// A lab.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lab {
    /// Its name, a DNS label; also the cluster's.
    pub name: String,
    /// The lab file.
    pub file: Utf8PathBuf,
    /// The lab file's folder, which paths in it are relative to.
    pub dir: Utf8PathBuf,
    /// The cluster.
    pub cluster: Cluster,
    /// Where images come from.
    pub images: Images,
    /// The lab's own registry.
    pub registry: Registry,
    /// The mesh, unless the lab has none.
    pub mesh: Option<Mesh>,
    /// Add-ons in the order of the file.
    pub addons: Vec<Addon>,
    /// Applications in the order of the file.
    pub applications: Vec<Application>,
    /// Rules of readiness, in the order of the file.
    pub readiness: Vec<Readiness>,
    /// How long troubles may last.
    pub grace: Grace,
    /// The scenarios.
    pub features: Features,
}

/// The cluster of a lab.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cluster {
    /// What makes it.
    pub provider: Provider,
    /// Kubernetes' version, `1.34` or `1.34.4`.
    pub kubernetes: String,
    /// How many nodes.
    pub nodes: Nodes,
    /// The provider's own configuration (for kind, a `Cluster`), merged over ours; an object.
    pub config: serde_json::Value,
}

/// How many nodes of each role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Nodes {
    /// At least 1.
    pub control_planes: u32,
    /// 0 lets workloads run on the control plane.
    pub workers: u32,
}

/// Where images come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Images {
    /// The source.
    pub source: Source,
    /// A registry that has what labs are made of, as `registry.example.com/istiolab`.
    pub registry: Option<String>,
    /// Other places that have the very same image, in the order in which they are asked. References are
    /// complete ([`Reference::complete`]).
    pub alternates: BTreeMap<Reference, Vec<Reference>>,
}

/// The registry container beside the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Registry {
    /// The port on 127.0.0.1; `None` takes any free one.
    pub port: Option<u16>,
}

/// The mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mesh {
    /// Istio's version, `1.31` or `1.31.2`.
    pub version: String,
    /// Istio's installation profile.
    pub profile: String,
    /// An `IstioOperator` file that goes over the profile.
    pub operator: Option<Utf8PathBuf>,
    /// Values as `istioctl --set` takes them.
    pub set: BTreeMap<String, String>,
    /// Files and folders of objects that are applied after the control plane.
    pub objects: Vec<Utf8PathBuf>,
}

/// Software beside the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Addon {
    /// Unique in the lab.
    pub name: String,
    /// Files and folders.
    pub objects: Vec<Utf8PathBuf>,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Application {
    /// Unique in the lab.
    pub name: String,
    /// The namespace that its objects go to unless they name one.
    pub namespace: String,
    /// How its pods get a proxy.
    pub injection: Injection,
    /// Files and folders.
    pub objects: Vec<Utf8PathBuf>,
}

/// When objects of a kind are ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// The kind.
    pub kind: String,
    /// Its API group; empty for the core group.
    pub group: String,
    /// True when an object is ready ([`crate::expression`]).
    pub expression: String,
    /// True when waiting on is in vain.
    pub failed: Option<String>,
    /// What to tell while it is not ready.
    pub message: Option<String>,
}

/// How long troubles may last before they are taken for failures; `None` where the file says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Grace {
    /// An image can't be had.
    pub image: Option<Duration>,
    /// A container or a pod can't be made.
    pub container: Option<Duration>,
    /// A container ends again and again.
    pub crash: Option<Duration>,
    /// No node takes a pod.
    pub scheduling: Option<Duration>,
}

/// The scenarios of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Features {
    /// Feature files and folders of them.
    pub paths: Vec<Utf8PathBuf>,
    /// A cucumber tag expression.
    pub tags: Option<String>,
    /// Tags that features may use, for the lint; if there are none, all may be used.
    pub known_tags: Vec<String>,
    /// How many scenarios run at once, at least 1.
    pub parallel: usize,
    /// How long a scenario may take.
    pub deadline: Duration,
    /// Programs of this machine that scenarios may run, by the name that steps give them.
    pub programs: BTreeMap<String, Program>,
}

impl Features {
    /// How long a scenario may take where nothing is said.
    pub const DEADLINE: Duration = Duration::from_mins(5);
}

/// A program of this machine that scenarios may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Its path, or a name that is looked for in `PATH`.
    pub path: String,
    /// A text that it prints when it is asked for its version.
    pub version: String,
    /// The arguments that ask for the version.
    pub version_arguments: Vec<String>,
}
