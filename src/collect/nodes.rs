//! The lab's containers in the engine, and what the nodes' own services wrote. All of it is there
//! also when no API server answers.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder, LogsOptionsBuilder};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::bundle::Bundle;
use super::summary;
use crate::cluster::{self, LAB_LABEL, OWNED_LABEL};

/// How many programs run at once.
const CONCURRENCY: usize = 4;
/// How long a program in a node may take.
const PROGRAM: Duration = Duration::from_secs(15);

/// What each node is asked: the file and the program.
const PROGRAMS: [(&str, &[&str]); 7] = [
    ("kubelet.log", &["journalctl", "--unit=kubelet", "--no-pager", "--output=short-iso", "--lines=3000"]),
    ("containerd.log", &["journalctl", "--unit=containerd", "--no-pager", "--output=short-iso", "--lines=3000"]),
    ("containers.txt", &["timeout", "10", "ctr", "--namespace=k8s.io", "containers", "list"]),
    ("tasks.txt", &["timeout", "10", "ctr", "--namespace=k8s.io", "tasks", "list"]),
    ("images.txt", &["timeout", "10", "ctr", "--namespace=k8s.io", "images", "list"]),
    (
        "resources.txt",
        &["sh", "-c", "df -h; echo; cat /proc/meminfo; echo; cat /proc/loadavg /proc/pressure/* 2>/dev/null"],
    ),
    ("versions.txt", &["sh", "-c", "kubelet --version; containerd --version; uname -a"]),
];

/// The newest of what the control plane wrote, by the node's own files. Not of what runs beside it:
/// its secrets are not all known where no API server tells them.
const POD_LOGS: &[&str] =
    &["sh", "-c", "for log in /var/log/pods/kube-system_*/*/*.log; do echo \"==> $log\"; tail -n 500 \"$log\"; done"];

/// Files of secrets that are mounted into pods, each in base64.
const MOUNTED: &[&str] = &[
    "sh",
    "-c",
    "find /var/lib/kubelet/pods/*/volumes/kubernetes.io~secret /var/lib/kubelet/pods/*/volumes/kubernetes.io~projected \
     -type f -size -32k -exec sh -c 'for file; do base64 -w0 \"$file\"; echo; done' sh {} + 2>/dev/null || true",
];
/// What containers were made with, their environment above all.
const CONTAINERS: &[&str] = &[
    "sh",
    "-c",
    "alias ctr='timeout 10 ctr --namespace=k8s.io'
     for id in $(ctr containers list --quiet); do ctr containers info \"$id\"; done",
];

/// A container of the lab.
pub(super) struct Container {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) state: String,
    /// Whether the programs of a node are in it, and it runs.
    pub(super) is_node: bool,
}

impl From<&Container> for summary::Node {
    fn from(container: &Container) -> Self {
        let Container { name, role, state, .. } = container;
        Self { name: name.clone(), role: role.clone(), state: state.clone() }
    }
}

/// The lab's containers: its nodes, and what serves them.
pub(super) async fn find(bundle: &Bundle<'_>, docker: &Docker, lab: &str, nodes: Vec<cluster::Node>) -> Vec<Container> {
    let state = |running| if running { "running" } else { "not running" }.to_owned();
    let mut found: Vec<Container> = nodes
        .into_iter()
        .map(|node| Container {
            is_node: node.is_kubernetes() && node.running,
            state: state(node.running),
            role: node.role,
            name: node.name,
        })
        .collect();
    let list = async {
        let labels = vec![format!("{LAB_LABEL}={lab}"), format!("{OWNED_LABEL}=true")];
        let filters = BTreeMap::from([("label".to_owned(), labels)]).into_iter().collect();
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        docker.list_containers(Some(options)).await.map_err(|error| error.to_string())
    };
    for container in bundle.attempt("listing the lab's containers", list).await.unwrap_or_default() {
        let name = container.names.into_iter().flatten().next().unwrap_or_default().trim_start_matches('/').to_owned();
        if !found.iter().any(|known| known.name == name) {
            let state = container.state.map(|state| state.to_string()).unwrap_or_default();
            found.push(Container { name, role: "registry".to_owned(), state, is_node: false });
        }
    }
    found
}

/// What the nodes know of secrets, where no API server tells them.
pub(super) async fn secrets(bundle: &Bundle<'_>, docker: &Docker, containers: &[Container]) -> Vec<Value> {
    let mut known = Vec::new();
    for node in containers.iter().filter(|container| container.is_node) {
        let ask = async |what: &str, argv| {
            let run = async {
                let output = cluster::nodes::try_exec(docker, &node.name, argv, PROGRAM).await;
                output.map(|output| output.stdout).map_err(|error| error.to_string())
            };
            bundle.attempt(format!("{what} of {}", node.name), run).await.unwrap_or_default()
        };
        let mounted = ask("mounted secrets", MOUNTED).await;
        let lines = String::from_utf8_lossy(&mounted).lines().map(str::to_owned).collect::<Vec<_>>();
        known.extend(lines.into_iter().map(|file| json!({"kind": "Secret", "data": {"file": file}})));
        let inspected = ask("environments of the containers", CONTAINERS).await;
        known.extend(serde_json::Deserializer::from_slice(&inspected).into_iter::<Value>().map_while(Result::ok));
    }
    known
}

/// Collects what the engine says of the containers, and what the nodes say.
pub(super) async fn collect(bundle: &Bundle<'_>, docker: &Docker, containers: &[Container], with_pod_logs: bool) {
    for container in containers {
        inspect(bundle, docker, container).await;
        output(bundle, docker, container).await;
    }
    let more = [("pod-logs.txt", POD_LOGS)];
    let programs = PROGRAMS.iter().chain(more.iter().filter(|_| with_pod_logs));
    let runs = containers
        .iter()
        .filter(|container| container.is_node)
        .flat_map(|node| programs.clone().map(move |(file, argv)| (node.name.as_str(), *file, *argv)));
    let runs = runs.map(async |(node, file, argv)| {
        let path = format!("nodes/{node}/{file}");
        let run = async {
            let output = cluster::nodes::try_exec(docker, node, argv, PROGRAM).await;
            let output = output.map_err(|error| error.to_string())?;
            // What one of several files lacks is no reason to leave out the others.
            if output.stdout.is_empty() && output.code != 0 { Err(output.last_words()) } else { Ok(output.stdout) }
        };
        if let Some(text) = bundle.attempt(path.clone(), run).await {
            bundle.text(&path, &String::from_utf8_lossy(&text));
        }
    });
    stream::iter(runs).buffer_unordered(CONCURRENCY).collect::<Vec<()>>().await;
}

/// How the container was made and how it stands.
async fn inspect(bundle: &Bundle<'_>, docker: &Docker, container: &Container) {
    let path = format!("nodes/{}/container.json", container.name);
    let ask = async {
        let found = docker.inspect_container(&container.name, None::<InspectContainerOptions>).await;
        found.map_err(|error| error.to_string())
    };
    let Some(found) = bundle.attempt(path.clone(), ask).await else { return };
    match serde_json::to_value(found) {
        Ok(document) => bundle.document(&path, environment_apart(document)),
        Err(error) => bundle.missing(path, error.to_string()),
    }
}

/// The environment as names and values, so that it is clear which belong together.
fn environment_apart(mut document: Value) -> Value {
    for variable in document["Config"]["Env"].as_array_mut().into_iter().flatten() {
        let text = variable.as_str().unwrap_or_default();
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        *variable = json!({"name": name, "value": value});
    }
    document
}

/// What the container itself wrote.
async fn output(bundle: &Bundle<'_>, docker: &Docker, container: &Container) {
    let path = format!("nodes/{}/output.log", container.name);
    let read = async {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("1000").build();
        let mut pieces = docker.logs(&container.name, Some(options));
        let mut text = Vec::new();
        while let Some(piece) = pieces.next().await {
            let (LogOutput::StdErr { message }
            | LogOutput::StdOut { message }
            | LogOutput::StdIn { message }
            | LogOutput::Console { message }) = piece.map_err(|error| error.to_string())?;
            text.extend_from_slice(&message);
        }
        Ok(text)
    };
    if let Some(text) = bundle.attempt(path.clone(), read).await {
        bundle.text(&path, &String::from_utf8_lossy(&text));
    }
}
