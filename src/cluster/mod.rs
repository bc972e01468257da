//! Clusters: made by a provider, recognised as one's own, prepared, and taken down again. Nothing is
//! ever touched that istiolab did not make for this very lab.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, Kind};
use crate::images::engine;
use crate::plan::event::Progress;
use crate::process;

pub mod bundle_container;
pub mod config;
pub mod dns;
pub mod gate;
pub mod kind;
pub mod mirror;
pub mod network;
pub mod nodes;
mod orphan;
pub mod ready;
pub mod record;
pub mod records;
pub mod registry_container;
mod removal;
pub mod services;

/// How long the line to the API server may be still while an answer is awaited.
const READ_LIMIT: Duration = Duration::from_secs(65);

/// The label with the lab's name on every container and volume that istiolab makes itself.
pub const LAB_LABEL: &str = "istiolab.dev/lab";
/// The label on everything that istiolab made and may remove; its value is `true`.
pub const OWNED_LABEL: &str = "istiolab.dev/owned";

/// The labels of everything that istiolab makes for a lab in the engine.
fn labels(lab: &str) -> HashMap<String, String> {
    [(LAB_LABEL, lab), (OWNED_LABEL, "true")].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// Whether something with the labels `found` was made for the lab.
fn is_labelled(found: &HashMap<String, String>, lab: &str) -> bool {
    labels(lab).iter().all(|(key, value)| found.get(key) == Some(value))
}

/// Why a cluster is not as it should be.
#[derive(Debug, Error)]
pub enum Error {
    /// The engine did not do what was asked.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A cluster of that name is there, and it is not this lab's.
    #[error("a cluster named `{name}` is there, and it is not this lab's: {why}")]
    Foreign {
        /// The cluster's name.
        name: String,
        /// By what it is known to be somebody else's.
        why: String,
    },
    /// The cluster is this lab's, but the lab file now asks for another one.
    #[error("the cluster `{name}` was made with another {what}")]
    Changed {
        /// The cluster's name.
        name: String,
        /// What differs.
        what: String,
    },
    /// Some of its nodes were removed by somebody else.
    #[error("the cluster `{name}` lost its node {}", missing.join(", "))]
    Damaged {
        /// The cluster's name.
        name: String,
        /// The nodes that are gone.
        missing: Vec<String>,
    },
    /// The provider's program failed.
    #[error("kind could not make the cluster `{name}`")]
    Create {
        /// The cluster's name.
        name: String,
        /// What it said.
        source: process::Error,
    },
    /// The lab's file on the cluster can't be read or written.
    #[error("the lab's state in {path} can't be used")]
    State {
        /// The file or folder.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The kubeconfig does not lead to a cluster.
    #[error("the kubeconfig {path} can't be used")]
    Kubeconfig {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A program in a node failed.
    #[error("`{command}` in the node {node} ended with {code}: {output}")]
    Exec {
        /// The node's container.
        node: String,
        /// The command line.
        command: String,
        /// Its exit code.
        code: i64,
        /// What it said, shortened.
        output: String,
    },
    /// A node can't have an image, and trying again would not help.
    #[error("the node {node} can't pull {image}: {reason}")]
    Pull {
        /// The node's container.
        node: String,
        /// The image's full name.
        image: String,
        /// containerd's words.
        reason: String,
    },
    /// The user's raw configuration is not an object, or does not fit.
    #[error("`cluster.config` of the lab file can't be used: {0}")]
    Config(String),
    /// A deadline passed.
    #[error("{what} within {}: {last}", humantime::format_duration(*limit))]
    Deadline {
        /// What did not happen, as "node x did not become ready".
        what: String,
        /// The limit.
        limit: Duration,
        /// The last state seen.
        last: String,
    },
    /// The API server did not do what was asked.
    #[error("{doing} failed at the API server")]
    Api {
        /// What was being done.
        doing: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// A port on this machine that the lab asks for is taken.
    #[error("port {port} on 127.0.0.1 is taken")]
    PortTaken {
        /// The port.
        port: u16,
        /// The engine's words.
        source: bollard::errors::Error,
    },
    /// A container of the name that is needed is there, and it is not this lab's.
    #[error("a container named `{name}` is there, and it is not this lab's")]
    ForeignContainer {
        /// The container's name.
        name: String,
    },
    /// A network of the name that is needed is there, and it is not this lab's.
    #[error("a network named `{name}` is there, and it is not this lab's")]
    ForeignNetwork {
        /// The network's name.
        name: String,
    },
    /// A file that a container is to serve can't be used.
    #[error("a bundle can't be served from a container")]
    Serve {
        /// Why; names the file.
        source: std::io::Error,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Engine(error) => error.into(),
            Error::Interrupted => crate::plan::graph::interrupted(),
            Error::Foreign { ref name, .. } => {
                let hint = format!("Give the lab another name, or, if the cluster may go, run `kind delete cluster --name {name}`.");
                Self::new(Kind::Refused, error).hint(hint)
            }
            Error::ForeignContainer { ref name } => {
                let hint = format!("Give the lab another name, or, if the container may go, run `docker rm -f {name}`.");
                Self::new(Kind::Refused, error).hint(hint)
            }
            Error::ForeignNetwork { ref name } => {
                let hint = format!("Give the lab another name, or, if the network may go, run `docker network rm {name}`.");
                Self::new(Kind::Refused, error).hint(hint)
            }
            Error::Changed { .. } | Error::Damaged { .. } => Self::new(Kind::Refused, error)
                .hint("Run the command with --recreate: the cluster and all that is in it are made anew."),
            Error::Create { source, .. } => kind::failure(source),
            Error::State { .. } => Self::new(Kind::Unexpected, error)
                .hint("See that the folder is yours and its disk has room, or set ISTIOLAB_STATE to another one."),
            Error::Kubeconfig { .. } => Self::new(Kind::Unavailable, error).hint("Run `istiolab up`: it writes the file again."),
            Error::Pull { .. } => Self::new(Kind::Unavailable, error)
                .hint("`istiolab images list` says which images there are; the lab's nodes pull from its own registry only."),
            Error::Exec { .. } | Error::Api { .. } => Self::new(Kind::Unavailable, error),
            Error::Config(_) => Self::new(Kind::BadInput, error)
                .hint("What kind accepts there: https://kind.sigs.k8s.io/docs/user/configuration/"),
            Error::Serve { .. } => {
                Self::new(Kind::BadInput, error).hint("Name bundles that are there; `images bundle` writes them.")
            }
            Error::Deadline { .. } => Self::new(Kind::TimedOut, error),
            Error::PortTaken { port, .. } => Self::new(Kind::Unavailable, error)
                .hint(format!("Stop what listens on port {port} (`ss -ltnp 'sport = :{port}'` says what), or leave `registry.port` out of the lab file: any free port is then taken.")),
        }
    }
}

/// What a cluster is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The node image, by a name that the engine has.
    pub image: String,
    /// The engine's id of that image, so that a rebuilt one is noticed.
    pub image_id: String,
    /// How many nodes run the control plane; at least 1.
    pub control_planes: u32,
    /// How many do not.
    pub workers: u32,
    /// Whether the node image brings its own pod network, so that the provider installs none.
    pub own_network: bool,
    /// The user's raw configuration of the provider, merged over ours; null for none.
    pub config: serde_json::Value,
    /// How long making it may take.
    pub limit: Duration,
}

/// A node, as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The container's name, which is the node's name in the cluster too.
    pub name: String,
    /// The container's id.
    pub id: String,
    /// `control-plane`, `worker`, or `external-load-balancer`.
    pub role: String,
    /// Whether its container runs.
    pub running: bool,
    /// The id of the lab that made it, if istiolab did.
    pub owner: Option<String>,
    /// The networks that its container is in.
    pub networks: Vec<String>,
}

impl Node {
    /// Whether it is a node of Kubernetes, not a load balancer in front of some.
    #[must_use]
    pub fn is_kubernetes(&self) -> bool {
        self.role != "external-load-balancer"
    }
}

/// How things stand with a cluster of the lab's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Absent,
    /// It is the lab's and whole; some nodes may be stopped.
    Present {
        /// Its nodes.
        nodes: Vec<Node>,
        /// What it was made of.
        record: record::Record,
    },
    /// It is the lab's, and making it was cut off.
    HalfMade {
        /// The nodes that are there.
        nodes: Vec<Node>,
    },
    /// It is the lab's, and nodes are missing.
    Damaged {
        /// The nodes that are left.
        nodes: Vec<Node>,
        /// The names of those that are gone.
        missing: Vec<String>,
    },
    /// It is somebody else's.
    Foreign {
        /// By what this is known.
        why: String,
    },
}

/// What ensuring a cluster came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It was made.
    Created,
    /// It was there, stopped, and was started.
    Started,
    /// It was there and ran.
    Unchanged,
}

/// What makes clusters. One value stands for one lab's cluster, made or not.
pub trait Provider: Send + Sync {
    /// The cluster's name.
    fn name(&self) -> &str;
    /// How things stand. Read from the engine each time.
    fn state(&self) -> impl Future<Output = Result<State, Error>> + Send;
    /// Makes the cluster, which must be absent. It returns when the control plane is up; nodes need
    /// not be ready.
    fn create(
        &self,
        wanted: &Wanted,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> impl Future<Output = Result<(), Error>> + Send;
    /// Starts stopped nodes.
    fn start(&self, nodes: &[Node]) -> impl Future<Output = Result<(), Error>> + Send;
    /// Removes the cluster with all that belongs to it, if it is the lab's; `false` if there is none.
    fn delete(&self, progress: &Progress) -> impl Future<Output = Result<bool, Error>> + Send;
    /// The nodes that are there and are the lab's, also while the cluster is being made.
    fn nodes(&self) -> impl Future<Output = Result<Vec<Node>, Error>> + Send;
    /// The lab's own kubeconfig file, readable for its owner alone.
    fn kubeconfig(&self) -> Utf8PathBuf;
    /// Writes that file again if it is gone.
    fn restore_kubeconfig(&self, cancel: &CancellationToken) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What is to be done so that the cluster is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It must be made; nothing of that name is there.
    Create,
    /// It is there, and these nodes must be started.
    Start(Vec<Node>),
    /// It is there and runs.
    Keep,
}

/// Finds out what is to be done for the cluster that is wanted, and removes what can't stay: what is
/// left of a cluster whose making was cut off, and with `recreate` one that was made differently or
/// is damaged.
///
/// # Errors
/// [`Error::Foreign`]; [`Error::Changed`] and [`Error::Damaged`] unless `recreate`; what the
/// provider fails with.
pub async fn claim(
    provider: &impl Provider,
    wanted: &Wanted,
    recreate: bool,
    progress: &Progress,
) -> Result<Claim, Error> {
    let name = provider.name().to_owned();
    match provider.state().await? {
        State::Foreign { why } => return Err(Error::Foreign { name, why }),
        State::Absent => return Ok(Claim::Create),
        State::HalfMade { .. } => {
            progress.note(format!("Making the cluster `{name}` was cut off before; it is made anew."));
        }
        State::Damaged { missing, .. } if !recreate => return Err(Error::Damaged { name, missing }),
        State::Damaged { .. } => {}
        State::Present { nodes, record } => match record.difference(wanted)? {
            Some(what) if !recreate => return Err(Error::Changed { name, what: what.to_owned() }),
            Some(_) => {}
            None => {
                let stopped: Vec<Node> = nodes.into_iter().filter(|node| !node.running).collect();
                return Ok(if stopped.is_empty() { Claim::Keep } else { Claim::Start(stopped) });
            }
        },
    }
    provider.delete(progress).await?;
    Ok(Claim::Create)
}

/// Does what [`claim`] found to be done.
///
/// # Errors
/// What the provider fails with.
pub async fn fulfil(
    provider: &impl Provider,
    claim: &Claim,
    wanted: &Wanted,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Ensured, Error> {
    match claim {
        Claim::Keep => {
            provider.restore_kubeconfig(cancel).await?;
            Ok(Ensured::Unchanged)
        }
        Claim::Start(stopped) => {
            progress.status(format!("starting the nodes of `{}`", provider.name()));
            provider.start(stopped).await?;
            provider.restore_kubeconfig(cancel).await?;
            Ok(Ensured::Started)
        }
        Claim::Create => {
            provider.create(wanted, progress, cancel).await?;
            Ok(Ensured::Created)
        }
    }
}

/// [`claim`] and [`fulfil`] in one.
///
/// # Errors
/// Those of both.
pub async fn ensure(
    provider: &impl Provider,
    wanted: &Wanted,
    recreate: bool,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Ensured, Error> {
    let claim = claim(provider, wanted, recreate, progress).await?;
    fulfil(provider, &claim, wanted, progress, cancel).await
}

/// Waits until all the nodes of a cluster that is being made run, so that they can be prepared while
/// it boots.
///
/// # Errors
/// [`Error::Deadline`], [`Error::Interrupted`], [`Error::Engine`].
pub async fn appeared(
    provider: &impl Provider,
    count: usize,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Vec<Node>, Error> {
    let begin = tokio::time::Instant::now();
    loop {
        let nodes = provider.nodes().await?;
        let up: Vec<Node> = nodes.into_iter().filter(|node| node.running && node.is_kubernetes()).collect();
        if up.len() >= count {
            return Ok(up);
        }
        if begin.elapsed() > limit {
            let last = format!("{} of {count} run", up.len());
            return Err(Error::Deadline {
                what: format!("the nodes of `{}` did not start", provider.name()),
                limit,
                last,
            });
        }
        pause(Duration::from_millis(100), cancel).await?;
    }
}

/// A client of the cluster that the lab's kubeconfig names.
///
/// # Errors
/// [`Error::Kubeconfig`].
pub async fn client(kubeconfig: &Utf8Path) -> Result<kube::Client, Error> {
    let config = config(kubeconfig).await?;
    kube::Client::try_from(config).map_err(|source| unusable(kubeconfig, source))
}

/// As [`client`], but an answer that asks for patience comes back as it is, instead of being tried
/// again in silence: for callers who try again themselves, and say why they wait.
///
/// # Errors
/// [`Error::Kubeconfig`].
pub async fn impatient_client(kubeconfig: &Utf8Path) -> Result<kube::Client, Error> {
    let mut config = config(kubeconfig).await?;
    config.default_retry = false;
    kube::Client::try_from(config).map_err(|source| unusable(kubeconfig, source))
}

/// How to reach the cluster that the lab's kubeconfig names. Proxies of the environment are not
/// used: the API server is on this machine.
///
/// # Errors
/// [`Error::Kubeconfig`].
pub async fn config(kubeconfig: &Utf8Path) -> Result<kube::Config, Error> {
    let text = fs_err::tokio::read_to_string(kubeconfig).await.map_err(|source| unusable(kubeconfig, source))?;
    let file = kube::config::Kubeconfig::from_yaml(&text).map_err(|source| unusable(kubeconfig, source))?;
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file, &options).await;
    let mut config = config.map_err(|source| unusable(kubeconfig, source))?;
    config.proxy_url = None;
    // The server itself gives up after a minute: where nothing comes for longer, the line is dead.
    config.read_timeout = Some(READ_LIMIT);
    config.reset_reader_on_write = true;
    Ok(config)
}

fn unusable(path: &Utf8Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Kubeconfig { path: path.to_owned(), source: source.into() }
}

/// Sleeps, unless the run is interrupted.
async fn pause(time: Duration, cancel: &CancellationToken) -> Result<(), Error> {
    tokio::select! {
        () = cancel.cancelled() => Err(Error::Interrupted),
        () = tokio::time::sleep(time) => Ok(()),
    }
}
