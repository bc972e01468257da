//! What containers wrote, also those that ended before the ones that run.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api as KubeApi, LogParams};
use serde_json::Value;

use super::bundle::Bundle;
use crate::objects::request::told;
use crate::observe::proxy::cut;

/// How many logs are read at once.
const CONCURRENCY: usize = 8;
/// The most lines of one log, the newest.
const LINES: i64 = 5000;
/// The most bytes of a line on the first page.
const LONGEST: usize = 400;

/// A log that may be asked for.
struct Log {
    namespace: String,
    pod: String,
    container: String,
    previous: bool,
}

/// How many of the last lines of a log the first page shows.
const LAST: usize = 6;

/// The last lines of logs, by their files.
pub(super) type Tails = BTreeMap<String, Vec<String>>;

/// Reads the logs of all containers of pods. Gives back the last lines of each.
pub(super) async fn collect(bundle: &Bundle<'_>, client: &Client, pods: &[&Value]) -> Tails {
    let logs = pods.iter().flat_map(|pod| of(pod)).map(async |log| {
        let requests: KubeApi<Pod> = KubeApi::namespaced(client.clone(), &log.namespace);
        let params = LogParams {
            container: Some(log.container.clone()),
            previous: log.previous,
            tail_lines: Some(LINES),
            timestamps: true,
            ..LogParams::default()
        };
        let path = file(&log.namespace, &log.pod, &log.container, log.previous);
        let read = async { requests.logs(&log.pod, &params).await.map_err(|error| told(&error)) };
        let text = bundle.attempt(path.clone(), read).await?;
        let text = bundle.text(&path, &text);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST)..].iter().map(|line| cut(line, LONGEST));
        Some((path, last.collect::<Vec<_>>()))
    });
    stream::iter(logs).buffer_unordered(CONCURRENCY).filter_map(async |tail| tail).collect().await
}

/// The file of a log.
pub(super) fn file(namespace: &str, pod: &str, container: &str, previous: bool) -> String {
    format!("logs/{namespace}/{pod}/{container}{}.log", if previous { ".previous" } else { "" })
}

/// The logs that there are of a pod. A container that never ran has none.
fn of(pod: &Value) -> Vec<Log> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &pod["metadata"];
    let mut logs = Vec::new();
    for status in statuses(pod) {
        let has_run = |state: &Value| state["running"].is_object() || state["terminated"].is_object();
        for (previous, there) in [(false, has_run(&status["state"])), (true, has_run(&status["lastState"]))] {
            if there {
                let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
                logs.push(Log { namespace, pod: name, container: text(&status["name"]), previous });
            }
        }
    }
    logs
}

/// What is said of each container of a pod.
pub(super) fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"]
        .into_iter()
        .flat_map(|field| pod["status"][field].as_array().map(Vec::as_slice).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_has_run_has_a_log_and_what_ended_before_has_one_too() {
        let pod = json!({"metadata": {"namespace": "n", "name": "p"}, "status": {
            "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0}}}],
            "containerStatuses": [
                {"name": "a", "state": {"waiting": {"reason": "ImagePullBackOff"}}},
                {"name": "b", "state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1}}},
                {"name": "c", "state": {"running": {}}},
            ],
        }});
        let files: Vec<String> =
            of(&pod).iter().map(|log| file(&log.namespace, &log.pod, &log.container, log.previous)).collect();
        assert_eq!(files, ["logs/n/p/i.log", "logs/n/p/b.previous.log", "logs/n/p/c.log"]);
    }
}
