//! Whether a cluster is ready for work: every node says so, and names are resolved.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::Docker;
use futures::future::try_join_all;
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::{Node as KubeNode, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::nodes::try_exec;
use super::{Error, Node, dns, pause, services};
use crate::plan::event::Progress;

/// The name that every cluster's DNS knows.
const KNOWN_NAME: &str = "kubernetes.default.svc.cluster.local";

/// Waits until all `nodes` are Ready and the cluster's DNS answers a query that is sent from each of
/// them to the DNS service's address: the DNS server, its service and every kube-proxy work then.
///
/// # Errors
/// [`Error::Deadline`] with the last state seen, [`Error::Engine`], [`Error::Api`],
/// [`Error::Interrupted`].
pub async fn wait(
    client: &Client,
    docker: &Docker,
    nodes: &[Node],
    limit: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let begin = Instant::now();
    let left = || limit.saturating_sub(begin.elapsed());
    let names: Vec<&str> = nodes.iter().filter(|node| node.is_kubernetes()).map(|node| node.name.as_str()).collect();
    nodes_ready(client, &names, left(), progress, cancel).await?;
    dns_endpoint(client, left(), progress, cancel).await?;
    let asked = names.iter().map(|name| dns_answers(client, docker, name, left(), progress, cancel));
    try_join_all(asked).await.map(drop)
}

/// Follows a watch until `seen` is satisfied with all objects; `seen` gives the reason if it is not.
async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    limit: Duration,
    what: &str,
    progress: &Progress,
    cancel: &CancellationToken,
    mut seen: impl FnMut(&BTreeMap<String, K>) -> Result<(), String>,
) -> Result<(), Error>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let events = watcher::watcher(api, config);
    pin_mut!(events);
    let deadline = Instant::now() + limit;
    let mut objects = BTreeMap::new();
    let mut last = "the API server has not answered yet".to_owned();
    loop {
        let event = tokio::select! {
            () = cancel.cancelled() => return Err(Error::Interrupted),
            event = tokio::time::timeout_at(deadline, events.next()) => event,
        };
        match event {
            Err(_) => return Err(Error::Deadline { what: what.to_owned(), limit, last }),
            // The watcher tries again by itself; not at full speed, so that a booting API server
            // can go on.
            Ok(Some(Err(error))) => {
                last = error.to_string();
                pause(Duration::from_millis(200), cancel).await?;
                continue;
            }
            Ok(Some(Ok(Event::Init)) | None) => {
                objects.clear();
                continue;
            }
            Ok(Some(Ok(Event::InitApply(object)))) => {
                objects.insert(object.name_any(), object);
                continue;
            }
            Ok(Some(Ok(Event::Apply(object)))) => drop(objects.insert(object.name_any(), object)),
            Ok(Some(Ok(Event::Delete(object)))) => drop(objects.remove(&object.name_any())),
            Ok(Some(Ok(Event::InitDone))) => {}
        }
        match seen(&objects) {
            Ok(()) => return Ok(()),
            Err(reason) => {
                if reason != last {
                    progress.status(&reason);
                }
                last = reason;
            }
        }
    }
}

async fn nodes_ready(
    client: &Client,
    names: &[&str],
    limit: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let api = Api::all(client.clone());
    let what = "the cluster's nodes did not become ready";
    follow(api, watcher::Config::default(), limit, what, progress, cancel, |objects: &BTreeMap<String, KubeNode>| {
        let waiting = |name: &&str| match objects.get(*name) {
            None => Some(format!("node {name} has not joined")),
            Some(node) => unready(node).map(|reason| format!("node {name}: {reason}")),
        };
        let reasons: Vec<String> = names.iter().filter_map(waiting).collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("; ")) }
    })
    .await
}

/// Why a node is not ready.
fn unready(node: &KubeNode) -> Option<String> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let Some(ready) = conditions.and_then(|all| all.iter().find(|condition| condition.type_ == "Ready")) else {
        return Some("it has not reported yet".to_owned());
    };
    if ready.status == "True" {
        return None;
    }
    Some(ready.message.clone().or_else(|| ready.reason.clone()).unwrap_or_else(|| format!("Ready is {}", ready.status)))
}

async fn dns_endpoint(
    client: &Client,
    limit: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let api = Api::namespaced(client.clone(), "kube-system");
    let config = watcher::Config::default().labels("kubernetes.io/service-name=kube-dns");
    let what = "the cluster's DNS did not start";
    follow(api, config, limit, what, progress, cancel, |slices: &BTreeMap<String, EndpointSlice>| {
        let ready = slices.values().any(services::is_ready);
        if ready { Ok(()) } else { Err("no CoreDNS pod is ready".to_owned()) }
    })
    .await
}

async fn dns_answers(
    client: &Client,
    docker: &Docker,
    node: &str,
    limit: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let services: Api<Service> = Api::namespaced(client.clone(), "kube-system");
    let service = services.get("kube-dns").await.map_err(|source| Error::Api {
        doing: "reading the service kube-system/kube-dns".to_owned(),
        source: Box::new(source),
    })?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    let script = script(&address);
    let begin = Instant::now();
    loop {
        let output = try_exec(docker, node, &["bash", "-c", &script], Duration::from_secs(5)).await?;
        let reason = match dns::check(&output.stdout) {
            Ok(()) => return Ok(()),
            Err(_) if output.code != 0 => format!("{address} does not answer: {}", output.last_words()),
            Err(reason) => format!("{address} gave {reason} for {KNOWN_NAME}"),
        };
        if begin.elapsed() > limit {
            return Err(Error::Deadline { what: "the cluster's DNS did not answer".to_owned(), limit, last: reason });
        }
        progress.status(&reason);
        pause(Duration::from_millis(200), cancel).await?;
    }
}

/// bash alone can ask a name server over TCP; nodes need no tool for it.
fn script(address: &str) -> String {
    use std::fmt::Write as _;
    let bytes = dns::query(KNOWN_NAME).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "\\x{byte:02x}");
        text
    });
    format!("exec 3<>/dev/tcp/{address}/53 && printf '{bytes}' >&3 && timeout 2 dd bs=1024 count=1 status=none <&3")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_says_why_it_is_not_ready() {
        let node = |status: serde_json::Value| -> KubeNode {
            serde_json::from_value(json!({"metadata": {"name": "a"}, "status": status})).expect("a node")
        };
        let ready = |status: &str| {
            node(
                json!({"conditions": [{"type": "Ready", "status": status, "reason": "R", "message": "cni plugin not initialized"}]}),
            )
        };
        assert_eq!(unready(&ready("True")), None);
        assert_eq!(unready(&ready("False")).as_deref(), Some("cni plugin not initialized"));
        assert_eq!(unready(&node(json!({}))).as_deref(), Some("it has not reported yet"));
    }

    #[test]
    fn the_query_goes_through_bash_unharmed() {
        assert!(script("10.96.0.10").contains(r"\x0akubernetes".replace("kubernetes", r"\x6b").as_str()));
    }
}
