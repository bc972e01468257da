//! Clusters by [kind](https://kind.sigs.k8s.io): made by its own program, looked at and removed
//! through the engine, so that only containers known to be the lab's are ever touched.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerSummaryStateEnum;
use bollard::query_parameters::{ListContainersOptionsBuilder, StartContainerOptions};
use camino::{Utf8Path, Utf8PathBuf};
use futures::future::try_join_all;
use tokio_util::sync::CancellationToken;

use super::record::{Phase, Record, delete_file, write_private};
use super::{Error, Node, Provider, State, Wanted, config, network, orphan, removal};
use crate::error::{Failure, Kind as FailureKind};
use crate::images::engine;
use crate::plan::event::Progress;
use crate::process::{self, Command};

/// kind's label with the cluster's name.
const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
/// kind's label with the node's role.
const ROLE_LABEL: &str = "io.x-k8s.kind.role";

/// One lab's cluster by kind.
#[derive(Clone, Debug)]
pub struct Kind {
    program: Utf8PathBuf,
    docker: Docker,
    name: String,
    dir: Utf8PathBuf,
}

impl Kind {
    /// The cluster `name` by the kind program at `program`; the lab's state folder is `dir`.
    #[must_use]
    pub fn new(program: &Utf8Path, docker: Docker, name: &str, dir: &Utf8Path) -> Self {
        Self { program: program.to_owned(), docker, name: name.to_owned(), dir: dir.to_owned() }
    }

    /// All containers of a cluster of this name, whoever made it.
    async fn all(&self) -> Result<Vec<Node>, Error> {
        let filters = HashMap::from([("label", vec![format!("{CLUSTER_LABEL}={}", self.name)])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let list = self.docker.list_containers(Some(options)).await;
        let list = list.map_err(engine::Error::request("listing the cluster's nodes"))?;
        let mut nodes: Vec<Node> = list.into_iter().map(node).collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }

    async fn remove(&self, nodes: &[Node]) -> Result<(), Error> {
        let remove = |node: &Node| {
            let (docker, name, id) = (self.docker.clone(), node.name.clone(), node.id.clone());
            async move { removal::container(&docker, &id, &name).await }
        };
        try_join_all(nodes.iter().map(remove)).await?;
        Ok(())
    }

    /// Ends what a killed run left behind, before its work and ours meet.
    async fn end_orphans(&self, progress: &Progress) -> Result<usize, Error> {
        let Some(record) = Record::load(&self.dir)? else { return Ok(0) };
        let ended = orphan::end(&self.config_file(), &record.owner).await?;
        if ended > 0 {
            progress.note(format!("Ended {ended} program(s) of an earlier run that was killed."));
        }
        Ok(ended)
    }

    fn config_file(&self) -> Utf8PathBuf {
        self.dir.join("kind.json")
    }

    fn command(&self) -> Command {
        // The nodes pull from the lab's registry or not at all: a proxy of this shell is not theirs.
        ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"]
            .into_iter()
            .fold(Command::new(&self.program), Command::env_remove)
    }
}

impl Provider for Kind {
    fn name(&self) -> &str {
        &self.name
    }

    async fn state(&self) -> Result<State, Error> {
        let record = Record::load(&self.dir)?;
        Ok(judge(self.all().await?, record))
    }

    async fn create(&self, wanted: &Wanted, progress: &Progress, cancel: &CancellationToken) -> Result<(), Error> {
        if self.end_orphans(progress).await? > 0 {
            // What it asked the engine for last may just have been made, and carries its id.
            tokio::time::sleep(Duration::from_millis(300)).await;
            self.delete(progress).await?;
        }
        let mut record = Record::begun(&self.name, wanted)?;
        let configuration = config::merged(wanted, &record.owner)?;
        record.save(&self.dir)?;
        let file = self.config_file();
        write_private(&file, format!("{configuration:#}").as_bytes())?;
        let command = self
            .command()
            .args(["create", "cluster", "--name", &self.name, "--image", &wanted.image])
            .args(["--config", file.as_str(), "--kubeconfig", self.kubeconfig().as_str()])
            .env(network::VARIABLE, network::ensure(&self.docker, &self.name).await?)
            .limit(wanted.limit);
        progress.detail(command.line());
        let made = command.run_with(cancel, |line| {
            if let Some(step) = step(line) {
                progress.status(step);
            }
        });
        let made = made.await;
        made.map_err(|source| match source {
            process::Error::Cancelled { .. } => Error::Interrupted,
            source => Error::Create { name: self.name.clone(), source },
        })?;
        private(&self.kubeconfig())?;
        record.nodes = self.nodes().await?.into_iter().map(|node| (node.name, node.id)).collect();
        record.phase = Phase::Created;
        record.save(&self.dir)
    }

    async fn start(&self, nodes: &[Node]) -> Result<(), Error> {
        let start = |node: &Node| {
            let (docker, name, id) = (self.docker.clone(), node.name.clone(), node.id.clone());
            async move {
                let started = docker.start_container(&id, None::<StartContainerOptions>).await;
                started.map_err(engine::Error::request(format!("starting the node {name}")))
            }
        };
        try_join_all(nodes.iter().map(start)).await?;
        Ok(())
    }

    async fn delete(&self, progress: &Progress) -> Result<bool, Error> {
        self.end_orphans(progress).await?;
        let there = match self.state().await? {
            State::Foreign { why } => return Err(Error::Foreign { name: self.name.clone(), why }),
            State::Absent => false,
            State::Present { nodes, .. } | State::HalfMade { nodes } | State::Damaged { nodes, .. } => {
                progress.status(format!(
                    "removing {} node{} of `{}`",
                    nodes.len(),
                    if nodes.len() == 1 { "" } else { "s" },
                    self.name
                ));
                self.remove(&nodes).await?;
                // Since it was made, another image may have got the name of the nodes' one.
                if let Some(record) = Record::load(&self.dir)? {
                    engine::outlived(&self.docker, &record.image_id).await?;
                }
                true
            }
        };
        // The record goes last: until then, what is left is known to be the lab's.
        for path in [self.kubeconfig(), self.config_file()] {
            delete_file(&path)?;
        }
        Record::delete(&self.dir)?;
        Ok(there)
    }

    async fn nodes(&self) -> Result<Vec<Node>, Error> {
        let Some(record) = Record::load(&self.dir)? else { return Ok(Vec::new()) };
        let mut nodes = self.all().await?;
        nodes.retain(|node| belongs(node, &record.owner));
        Ok(nodes)
    }

    fn kubeconfig(&self) -> Utf8PathBuf {
        self.dir.join("kubeconfig")
    }

    async fn restore_kubeconfig(&self, cancel: &CancellationToken) -> Result<(), Error> {
        let path = self.kubeconfig();
        if path.exists() {
            return Ok(());
        }
        let asked = self.command().args(["get", "kubeconfig", "--name", &self.name]).limit(Duration::from_mins(1));
        let output = asked.run(cancel).await.map_err(|source| match source {
            process::Error::Cancelled { .. } => Error::Interrupted,
            source => Error::Kubeconfig { path: path.clone(), source: Box::new(source) },
        })?;
        write_private(&path, output.stdout.as_bytes())
    }
}

/// A load balancer is made by kind from an image of its own, without the mounts of the nodes; it goes
/// with them.
fn belongs(node: &Node, owner: &str) -> bool {
    node.owner.as_deref() == Some(owner) || !node.is_kubernetes()
}

/// How things stand, from what is there and what was written down.
fn judge(nodes: Vec<Node>, record: Option<Record>) -> State {
    if nodes.is_empty() {
        return State::Absent;
    }
    let Some(record) = record else {
        let why = match nodes.iter().find(|node| node.owner.is_some()) {
            Some(node) => format!("its node {} was made by an istiolab with another state folder", node.name),
            None => format!("its node {} was not made by istiolab", nodes[0].name),
        };
        return State::Foreign { why };
    };
    // A load balancer alone proves nothing.
    let known = nodes.iter().any(|node| node.owner.as_deref() == Some(&record.owner))
        || nodes.iter().any(|node| record.nodes.get(&node.name) == Some(&node.id));
    if let Some(node) = nodes.iter().find(|node| !belongs(node, &record.owner)) {
        return State::Foreign { why: format!("its node {} does not carry the lab's id {}", node.name, record.owner) };
    }
    if !known {
        return State::Foreign { why: format!("its container {} is not among those that the lab made", nodes[0].name) };
    }
    if record.phase == Phase::Creating {
        return State::HalfMade { nodes };
    }
    let missing: Vec<String> = record
        .nodes
        .iter()
        .filter(|(_, id)| !nodes.iter().any(|node| node.id == **id))
        .map(|(name, _)| name.clone())
        .collect();
    if missing.is_empty() { State::Present { nodes, record } } else { State::Damaged { nodes, missing } }
}

fn node(container: bollard::models::ContainerSummary) -> Node {
    let labels = container.labels.unwrap_or_default();
    let mounts = container.mounts.unwrap_or_default();
    let owner = mounts.iter().find_map(|mount| mount.destination.as_deref()?.strip_prefix(config::OWNER_DIR));
    let networks = container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    Node {
        name: container
            .names
            .unwrap_or_default()
            .first()
            .map_or_else(String::new, |name| name.trim_start_matches('/').to_owned()),
        id: container.id.unwrap_or_default(),
        role: labels.get(ROLE_LABEL).cloned().unwrap_or_default(),
        running: container.state == Some(ContainerSummaryStateEnum::RUNNING),
        owner: owner.map(str::to_owned),
        networks: networks.into_keys().collect(),
    }
}

/// What kind begins now, for a status line; `None` for its other lines.
fn step(line: &str) -> Option<String> {
    let text = line.trim_start().strip_prefix('•')?;
    let text = text.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '(' | ')' | '"'));
    Some(format!("kind: {}", text.trim_end_matches(|c: char| !c.is_alphanumeric() && !matches!(c, ')' | '"'))))
}

/// The file holds the cluster administrator's key.
fn private(path: &Utf8Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|source| Error::State { path: path.to_owned(), source })
}

/// kind's failure with what to do about the reasons that users meet.
pub(super) fn failure(error: process::Error) -> Failure {
    let text = error.to_string();
    let hints: [(&[&str], &str); 6] = [
        (
            &["port is already allocated", "address already in use"],
            "A port that the configuration asks for is taken: free it, or take the port mapping out of `cluster.config`.",
        ),
        (
            &["unable to apply caps", "operation not permitted"],
            "The engine can't start privileged containers here; `istiolab doctor` says why.",
        ),
        (&["too many open files", "inotify"], "The kernel's inotify limits are too low: run `istiolab doctor --fix`."),
        (&["no space left on device"], "The engine's disk is full: `docker system df` says what takes the room."),
        (
            &["executable file not found", "could not find docker", "failed to detect any supported node provider"],
            "kind calls the `docker` program: run `istiolab doctor --fix`, which installs it on Debian.",
        ),
        (
            &["cannot connect to the docker daemon", "is the docker daemon running"],
            "The container engine went away: start it, then run the same command; it goes on from here.",
        ),
    ];
    let lower = text.to_lowercase();
    let known =
        hints.into_iter().find(|(words, _)| words.iter().any(|word| lower.contains(word))).map(|(_, hint)| hint);
    let kind = match (&error, known) {
        (process::Error::Deadline { .. }, _) => FailureKind::TimedOut,
        _ => FailureKind::Unavailable,
    };
    Failure::new(kind, error)
        .context("kind could not make the cluster")
        .hint(known.unwrap_or("`istiolab doctor` checks what kind needs of this machine."))
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::wanted;
    use super::*;

    fn node(name: &str, owner: Option<&str>) -> Node {
        Node {
            name: name.to_owned(),
            id: format!("id-{name}"),
            role: "worker".to_owned(),
            running: true,
            owner: owner.map(str::to_owned),
            networks: vec!["kind".to_owned()],
        }
    }

    fn record(phase: Phase, nodes: &[&str]) -> Record {
        let nodes = nodes.iter().map(|name| ((*name).to_owned(), format!("id-{name}"))).collect();
        Record { owner: "mine".to_owned(), phase, nodes, ..Record::begun("lab", &wanted()).expect("a record") }
    }

    #[test]
    fn none_is_absent_whatever_was_written_down() {
        assert_eq!(judge(vec![], None), State::Absent);
        assert_eq!(judge(vec![], Some(record(Phase::Created, &["a"]))), State::Absent);
    }

    #[test]
    fn what_is_not_written_down_or_carries_another_id_is_foreign() {
        for (nodes, record) in [
            (vec![node("a", None)], None),
            (vec![node("a", Some("mine"))], None),
            (vec![node("a", None)], Some(record(Phase::Created, &["a"]))),
            (vec![node("a", Some("other"))], Some(record(Phase::Creating, &[]))),
            (vec![node("a", Some("mine")), node("b", None)], Some(record(Phase::Created, &["a"]))),
            (
                vec![Node { role: "external-load-balancer".to_owned(), ..node("lb", None) }],
                Some(record(Phase::Creating, &[])),
            ),
        ] {
            assert!(matches!(judge(nodes, record), State::Foreign { .. }));
        }
    }

    #[test]
    fn ours_is_known_in_each_phase() {
        let nodes = || vec![node("a", Some("mine"))];
        assert!(matches!(judge(nodes(), Some(record(Phase::Creating, &[]))), State::HalfMade { .. }));
        assert!(matches!(judge(nodes(), Some(record(Phase::Created, &["a"]))), State::Present { .. }));
        let State::Damaged { missing, .. } = judge(nodes(), Some(record(Phase::Created, &["a", "b"]))) else {
            panic!("b is gone");
        };
        assert_eq!(missing, ["b"]);
    }

    #[test]
    fn status_lines_are_what_begins_without_marks() {
        assert_eq!(step(" • Preparing nodes 📦   ...").as_deref(), Some("kind: Preparing nodes"));
        assert_eq!(step(" • Ensuring node image (a/b:c) 🖼  ...").as_deref(), Some("kind: Ensuring node image (a/b:c)"));
        assert_eq!(step(" ✓ Starting control-plane 🕹️"), None);
        assert_eq!(step("You can now use your cluster with:"), None);
    }

    #[test]
    fn known_reasons_get_their_own_hint() {
        let failed = |line: &str| {
            failure(process::Error::Deadline {
                command: "kind".to_owned(),
                limit: std::time::Duration::from_secs(1),
                output: vec![line.to_owned()],
            })
        };
        assert!(failed("Bind for 127.0.0.1:80 failed: port is already allocated").hints[0].contains("port"));
        assert!(failed("no space left on device").hints[0].contains("disk"));
        assert!(failed("?").hints[0].contains("doctor"));
    }
}
