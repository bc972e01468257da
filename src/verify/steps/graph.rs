//! The service graph: who calls whom, by the metrics.

use istiolab_servicegraph::{Graph, Options, read};

use super::step;
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::{SYSTEM, Scene};

pub(super) const STEPS: [Entry; 3] = [
    step!(
        "Service graph",
        Check,
        "the service graph shows that {string} calls {string}",
        calls,
        "Of the last minute's traffic, some went from the first workload to the second. A workload is named alone or \
         as the graph names it: app (workload)."
    ),
    step!(
        "Service graph",
        Check,
        "the service graph shows no call from {string} to {string}",
        no_call,
        "Of the last minute's traffic, none went from the first workload to the second."
    ),
    step!(
        "Service graph",
        Check,
        "the lab's service graph answers on {string} with {string}",
        answers,
        "The servicegraph add-on answers on this path, and its answer contains this text."
    ),
];

async fn graph(scene: &Scene) -> Result<Graph, Unmet> {
    let options = Options { time_horizon: Some("1m".to_owned()), filter_empty: true, ..Options::default() };
    read(&scene.prometheus(), &options).await.map_err(|error| Unmet::not_yet(error.to_string()))
}

/// Whether a node is the workload of this name.
fn is(node: &str, name: &str) -> bool {
    node == name || node.ends_with(&format!(" ({name})"))
}

fn has(graph: &Graph, source: &str, target: &str) -> bool {
    graph.edges.iter().any(|edge| is(&edge.source, source) && is(&edge.target, target))
}

fn told(graph: &Graph) -> String {
    let calls: Vec<_> = graph.edges.iter().map(|edge| format!("{} -> {}", edge.source, edge.target)).collect();
    if calls.is_empty() { "the graph has no calls".to_owned() } else { format!("the graph has {}", calls.join(", ")) }
}

async fn calls(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let graph = graph(scene).await?;
    if has(&graph, arguments.text(0), arguments.text(1)) { Ok(()) } else { Err(Unmet::not_yet(told(&graph))) }
}

async fn no_call(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let graph = graph(scene).await?;
    if has(&graph, arguments.text(0), arguments.text(1)) { Err(Unmet::not_yet(told(&graph))) } else { Ok(()) }
}

async fn answers(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let answer = scene.service(SYSTEM, "servicegraph", 8088).get(arguments.text(0)).await?.ok()?;
    let text = answer.text();
    if text.contains(arguments.text(1)) {
        return Ok(());
    }
    let begin: String = text.chars().take(300).collect();
    Err(Unmet::not_yet(format!("{} does not contain {:?}: {begin}", arguments.text(0), arguments.text(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_found_by_either_name() {
        assert!(
            is("frontend", "frontend")
                && is("front (front-v1)", "front-v1")
                && is("front (front-v1)", "front (front-v1)")
        );
        assert!(!is("front (front-v1)", "v1") && !is("front-v1", "front"));
    }
}
