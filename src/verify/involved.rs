//! How the objects that a scenario made stood when it failed, with the last words of their pods: when
//! somebody reads the report, they are gone.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, ListParams, LogParams};
use serde_json::Value;

use super::leftovers;
use super::world::Scene;
use crate::objects::ready::{Facts, Verdict, judge, trouble};
use crate::observe::proxy::cut;

/// How long all questions together may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The most pods and events of a namespace that are told of.
const MOST: usize = 5;
/// How many of the last lines of a log are told.
const LINES: i64 = 5;
/// The most bytes of a line or message.
const LONGEST: usize = 300;

/// Leaves on the trail what there is to say. What can't be had is left out: it only helps to explain.
pub(super) async fn tell(scene: &Scene) {
    // What was told until the time is over stays.
    let _ = tokio::time::timeout(LIMIT, ask(scene)).await;
}

async fn ask(scene: &Scene) {
    for reference in &scene.made {
        let Ok(requests) = leftovers::requests(scene, reference).await else { continue };
        let told = match requests.get_opt(&reference.name).await {
            Ok(Some(object)) => serde_json::to_value(object).ok().and_then(|object| state(&object)),
            Ok(None) => Some("it is gone".to_owned()),
            Err(_) => None,
        };
        if let Some(told) = told {
            scene.trail.object(&format!("{reference}: {}", cut(&told, LONGEST)));
        }
    }
    let namespaces: BTreeSet<&str> = scene.made.iter().filter_map(|object| object.namespace.as_deref()).collect();
    for namespace in namespaces {
        pods(scene, namespace).await;
        warnings(scene, namespace).await;
    }
}

/// What is not as it should be; nothing if an object is ready.
fn state(object: &Value) -> Option<String> {
    match judge(object, &Facts::default()) {
        Verdict::Ready => None,
        Verdict::Waiting(told) | Verdict::Ailing(told) | Verdict::Failed(told) => Some(told),
    }
}

/// The pods with the scenario's name, and the last words of those containers that are in trouble; of
/// all of a pod's where none is.
async fn pods(scene: &Scene, namespace: &str) {
    let requests: Api<Pod> = Api::namespaced(scene.shared.api.client().clone(), namespace);
    let Ok(list) = requests.list(&ListParams::default()).await else { return };
    let own = |name: &Option<String>| name.as_ref().is_some_and(|name| name.contains(&scene.unique));
    for pod in list.items.into_iter().filter(|pod| own(&pod.metadata.name)).take(MOST) {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let containers = containers(&pod);
        let Ok(pod) = serde_json::to_value(pod) else { continue };
        let found = trouble(&pod);
        let told = found.as_ref().map(ToString::to_string).or_else(|| state(&pod));
        let told = told.unwrap_or_else(|| "ready".to_owned());
        scene.trail.object(&format!("Pod {namespace}/{name}: {}", cut(&told, LONGEST)));
        let troubled = found.and_then(|trouble| trouble.container);
        for container in troubled.map_or(containers, |one| vec![one]) {
            let params =
                LogParams { container: Some(container.clone()), tail_lines: Some(LINES), ..LogParams::default() };
            if let Ok(log) = requests.logs(&name, &params).await
                && !log.trim().is_empty()
            {
                let lines: Vec<String> = log.lines().map(|line| cut(line, LONGEST)).collect();
                scene.trail.object(&format!("log of {name}, container {container}:\n{}", lines.join("\n")));
            }
        }
    }
}

fn containers(pod: &Pod) -> Vec<String> {
    pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| container.name.clone()).collect()
}

/// The newest warnings about what has the scenario's name.
async fn warnings(scene: &Scene, namespace: &str) {
    let requests: Api<Event> = Api::namespaced(scene.shared.api.client().clone(), namespace);
    let Ok(list) = requests.list(&ListParams::default().fields("type=Warning")).await else { return };
    for line in told(&list.items, &scene.unique) {
        scene.trail.object(&line);
    }
}

/// Warnings about objects with the scenario's name, each text once, the newest last.
fn told(events: &[Event], unique: &str) -> Vec<String> {
    let mut own: Vec<&Event> = events.iter().filter(|event| about(event).contains(unique)).collect();
    own.sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
    let mut lines: Vec<String> = Vec::new();
    for event in own {
        let (kind, reason) = (event.involved_object.kind.as_deref(), event.reason.as_deref());
        let message = cut(event.message.as_deref().unwrap_or_default().trim(), LONGEST);
        let line = format!("{} {}: {}: {message}", kind.unwrap_or_default(), about(event), reason.unwrap_or_default());
        lines.retain(|known| *known != line);
        lines.push(line);
    }
    lines.split_off(lines.len().saturating_sub(MOST))
}

fn about(event: &Event) -> &str {
    event.involved_object.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(name: &str, at: &str, message: &str) -> Event {
        let event = json!({"metadata": {}, "involvedObject": {"kind": "Pod", "name": name}, "reason": "Failed",
            "message": message, "lastTimestamp": format!("2026-01-01T00:00:{at}Z")});
        serde_json::from_value(event).expect("an event")
    }

    #[test]
    fn warnings_about_others_are_left_out_and_the_newest_come_last() {
        let events = [
            event("a-s1", "03", "no image"),
            event("a-s2", "04", "another's"),
            event("a-s1", "01", "no node\n"),
            event("a-s1", "02", "no image"),
        ];
        assert_eq!(told(&events, "s1"), ["Pod a-s1: Failed: no node", "Pod a-s1: Failed: no image"]);
    }

    #[test]
    fn only_what_is_not_ready_is_told() {
        let deployment = |ready: i64| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "generation": 1},
                "spec": {"replicas": 1}, "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1,
                "readyReplicas": ready, "availableReplicas": ready,
                "conditions": [{"type": "Available", "status": if ready == 1 { "True" } else { "False" }}]}})
        };
        assert_eq!(state(&deployment(1)), None);
        assert!(state(&deployment(0)).is_some());
        assert_eq!(state(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})), None);
    }
}
