//! Nodes and edges, made of what both sides of the calls tell.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use crate::ask::Sample;

/// What the metrics call a side that nobody knows.
const UNKNOWN: &str = "unknown";
/// Two sides are never scraped at the same moment: that much of the called side's rate may go
/// without a caller before it is taken for traffic from outside of the mesh.
const SLACK: f64 = 0.1;

/// Who calls whom. As JSON, it is what `/graph` has always been.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Graph {
    /// Names of workloads, `app (workload)`; `unknown` is whatever has no proxy.
    #[serde(serialize_with = "as_object")]
    pub nodes: BTreeSet<String>,
    /// Calls between them, sorted.
    pub edges: Vec<Edge>,
}

/// Calls from one node to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edge {
    /// Who calls.
    pub source: String,
    /// Who is called.
    pub target: String,
    /// How much: `reqs/sec` or `bytes/sec` with six digits after the point.
    pub labels: BTreeMap<String, String>,
}

fn as_object<S: Serializer>(nodes: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(nodes.iter().map(|node| (node, serde_json::Map::new())))
}

impl Graph {
    /// Adds the calls that the samples of a rate tell of, with the rate as the label `unit`. What the
    /// calling side tells comes first; the called side adds those whose callers do not tell.
    pub(crate) fn add(&mut self, unit: &str, calling: &[Sample], called: &[Sample]) {
        let mut rates: BTreeMap<(String, String), f64> = BTreeMap::new();
        for sample in calling {
            *rates.entry(ends(sample)).or_default() += sample.value;
        }
        let told: BTreeSet<_> = rates.keys().cloned().collect();
        // Of each called side: all calls, and those without a caller's name that came in plain text.
        let mut heard: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for sample in called {
            let (source, target) = ends(sample);
            let (all, plain) = heard.entry(target.clone()).or_default();
            *all += sample.value;
            // Who speaks mutual TLS has a proxy, and that proxy tells of the call.
            if source == UNKNOWN && sample.label("connection_security_policy") != "mutual_tls" {
                *plain += sample.value;
            }
            if source != UNKNOWN && !told.contains(&(source.clone(), target.clone())) {
                *rates.entry((source, target)).or_default() += sample.value;
            }
        }
        for (target, (all, plain)) in heard {
            let mut named = rates.iter().filter(|((_, to), _)| *to == target).peekable();
            let nobody = named.peek().is_none();
            let outside = plain.min(all - named.map(|(_, rate)| rate).sum::<f64>());
            if nobody || outside > all * SLACK {
                rates.insert((UNKNOWN.to_owned(), target), outside);
            }
        }
        for ((source, target), rate) in rates {
            self.nodes.extend([source.clone(), target.clone()]);
            let labels = BTreeMap::from([(unit.to_owned(), format!("{rate:.6}"))]);
            self.edges.push(Edge { source, target, labels });
        }
        self.edges.sort_by(|a, b| (&a.source, &a.target).cmp(&(&b.source, &b.target)));
    }
}

fn ends(sample: &Sample) -> (String, String) {
    let source = name(sample, "source", "");
    (source, name(sample, "destination", sample.label("destination_service")))
}

/// `app (workload)`; without an app, the workload; without either, the service that was asked for.
fn name(sample: &Sample, side: &str, service: &str) -> String {
    let known = |label: &str| {
        let value = sample.label(&format!("{side}_{label}"));
        (!value.is_empty() && value != UNKNOWN).then(|| value.to_owned())
    };
    let app = known("app").or_else(|| known("canonical_service"));
    match (app, known("workload")) {
        (Some(app), Some(workload)) => format!("{app} ({workload})"),
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) if !service.is_empty() && service != UNKNOWN => service.to_owned(),
        (None, None) => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(labels: &[(&str, &str)], value: f64) -> Sample {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Sample { labels: labels.iter().map(own).collect(), value }
    }

    fn call(source: &str, target: &str, value: f64) -> Sample {
        sample(&[("source_workload", source), ("destination_workload", target)], value)
    }

    fn edges(calling: &[Sample], called: &[Sample]) -> Vec<String> {
        let mut graph = Graph::default();
        graph.add("reqs/sec", calling, called);
        graph
            .edges
            .iter()
            .map(|edge| format!("{} -> {} {}", edge.source, edge.target, edge.labels["reqs/sec"]))
            .collect()
    }

    #[test]
    fn a_call_that_both_sides_tell_of_counts_once() {
        assert_eq!(edges(&[call("a", "b", 2.0)], &[call("a", "b", 2.1)]), ["a -> b 2.000000"]);
    }

    #[test]
    fn a_call_that_only_the_called_side_tells_of_is_there() {
        assert_eq!(edges(&[], &[call("a", "b", 1.0)]), ["a -> b 1.000000"]);
        assert_eq!(edges(&[], &[call("unknown", "b", 1.0)]), ["unknown -> b 1.000000"]);
    }

    #[test]
    fn a_called_side_that_does_not_know_its_callers_adds_only_what_they_do_not_tell() {
        let calling = [call("a", "b", 2.0), call("c", "b", 1.0)];
        assert_eq!(edges(&calling, &[call("unknown", "b", 3.05)]), ["a -> b 2.000000", "c -> b 1.000000"]);
        let with_outside = edges(&calling, &[call("unknown", "b", 4.0)]);
        assert_eq!(with_outside, ["a -> b 2.000000", "c -> b 1.000000", "unknown -> b 1.000000"]);
    }

    #[test]
    fn who_speaks_mutual_tls_is_not_outside() {
        let mut called = call("unknown", "b", 4.0);
        called.labels.insert("connection_security_policy".to_owned(), "mutual_tls".to_owned());
        assert_eq!(edges(&[call("a", "b", 2.0)], &[called]), ["a -> b 2.000000"]);
    }

    #[test]
    fn nobody_calling_is_still_an_edge_unless_filtered() {
        assert_eq!(edges(&[], &[call("unknown", "b", 0.0)]), ["unknown -> b 0.000000"]);
        assert_eq!(edges(&[call("a", "b", 0.0)], &[call("unknown", "b", 0.0)]), ["a -> b 0.000000"]);
    }

    #[test]
    fn nodes_are_named_as_well_as_the_labels_allow() {
        let named = |labels: &[(&str, &str)]| ends(&sample(labels, 1.0));
        let whole =
            [("source_app", "front"), ("source_workload", "front-v1"), ("destination_canonical_service", "back")];
        assert_eq!(named(&whole), ("front (front-v1)".to_owned(), "back".to_owned()));
        let outside = [("destination_workload", "unknown"), ("destination_service", "example.com")];
        assert_eq!(named(&outside), ("unknown".to_owned(), "example.com".to_owned()));
    }

    #[test]
    fn as_json_nodes_are_empty_objects() {
        let mut graph = Graph::default();
        graph.add("reqs/sec", &[call("a", "b", 0.25)], &[]);
        assert_eq!(
            serde_json::to_value(&graph).expect("JSON"),
            json!({
                "nodes": {"a": {}, "b": {}},
                "edges": [{"source": "a", "target": "b", "labels": {"reqs/sec": "0.250000"}}],
            })
        );
    }
}
