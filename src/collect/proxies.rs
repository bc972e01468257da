//! What Envoy and istiod say of themselves. Both answer only callers on their own host: their own
//! programs are run beside them, through the node that they are on.

use std::collections::BTreeSet;
use std::time::Duration;

use bollard::Docker;
use futures::{StreamExt as _, stream};
use serde_json::Value;

use super::bundle::Bundle;
use super::logs::statuses;
use crate::cluster::nodes;

/// How many containers are asked at once.
const CONCURRENCY: usize = 4;
/// How long one answer may take, in seconds, as the node's `timeout` wants it.
const ANSWER: &str = "10";

/// What is asked of each proxy: the file and the path of Envoy's administration.
const ENVOY: [(&str, &str); 6] = [
    ("config_dump.json", "config_dump?include_eds"),
    ("clusters.txt", "clusters"),
    ("stats.txt", "stats"),
    ("listeners.txt", "listeners"),
    ("server_info.json", "server_info"),
    ("certs.json", "certs"),
];

/// What is asked of istiod.
const ISTIOD: [(&str, &str); 8] = [
    ("syncz.json", "/debug/syncz"),
    ("connections.json", "/debug/connections"),
    ("configz.json", "/debug/configz"),
    ("registryz.json", "/debug/registryz"),
    ("endpointShardz.json", "/debug/endpointShardz"),
    ("mesh.json", "/debug/mesh"),
    ("push_status.json", "/debug/push_status"),
    ("metrics.txt", "/metrics"),
];

/// A container whose program answers.
struct Asked {
    node: String,
    id: String,
    folder: String,
    program: &'static str,
    paths: &'static [(&'static str, &'static str)],
}

/// Asks every proxy and every istiod that runs on one of these nodes.
pub(super) async fn collect(bundle: &Bundle<'_>, docker: &Docker, nodes: &BTreeSet<String>, pods: &[&Value]) {
    let asked: Vec<Asked> = pods.iter().flat_map(|pod| of(pod, nodes)).collect();
    let asking = asked.iter().flat_map(|asked| asked.paths.iter().map(move |path| (asked, path)));
    let answers = asking.enumerate().map(async |(number, (asked, (file, path)))| {
        let Asked { node, id, folder, program, .. } = asked;
        let ask = async {
            // A name that nobody else uses at the same time.
            let name = format!("collect-{}-{number}", std::process::id());
            let run = ["timeout", ANSWER, "ctr", "--namespace=k8s.io", "tasks", "exec", "--exec-id", &name, id];
            let argv = [run.as_slice(), &[program, "request", "GET", path]].concat();
            let output = nodes::try_exec(docker, node, &argv, Duration::from_secs(15)).await;
            let output = output.map_err(|error| error.to_string())?;
            if output.code == 0 { Ok(output.stdout) } else { Err(output.last_words()) }
        };
        let path = format!("{folder}/{file}");
        if let Some(text) = bundle.attempt(path.clone(), ask).await {
            bundle.answer(&path, &String::from_utf8_lossy(&text));
        }
    });
    stream::iter(answers).buffer_unordered(CONCURRENCY).collect::<Vec<()>>().await;
}

fn of(pod: &Value, nodes: &BTreeSet<String>) -> Vec<Asked> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let node = text(&pod["spec"]["nodeName"]);
    if !nodes.contains(&node) {
        return Vec::new();
    }
    let place = format!("{}/{}", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
    let running = statuses(pod).filter(|status| status["state"]["running"].is_object());
    let asked = running.filter_map(|status| {
        let (_, id) = status["containerID"].as_str()?.split_once("://")?;
        let image = text(&status["image"]);
        let (folder, program, paths) = match status["name"].as_str()? {
            "istio-proxy" => (format!("proxies/{place}"), "pilot-agent", ENVOY.as_slice()),
            "discovery" if image.contains("pilot") => (format!("istiod/{place}"), "pilot-discovery", ISTIOD.as_slice()),
            _ => return None,
        };
        Some(Asked { node: node.clone(), id: id.to_owned(), folder, program, paths })
    });
    asked.collect()
}
