//! The graph as D3's force layout takes it.

use serde::Serialize;
use serde_json::{Value, json};

use crate::graph::Graph;

/// Nodes as a list of names, links by index into it.
#[must_use]
pub fn d3(graph: &Graph) -> Value {
    #[derive(Serialize)]
    struct Link<'a> {
        source: usize,
        target: usize,
        labels: &'a std::collections::BTreeMap<String, String>,
    }
    let index = |name: &String| graph.nodes.iter().position(|node| node == name);
    let links = graph.edges.iter().filter_map(|edge| {
        Some(Link { source: index(&edge.source)?, target: index(&edge.target)?, labels: &edge.labels })
    });
    let nodes: Vec<_> = graph.nodes.iter().map(|name| json!({"name": name})).collect();
    json!({"nodes": nodes, "links": links.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::graph::Edge;

    #[test]
    fn links_point_to_nodes() {
        let edge = Edge { source: "b".to_owned(), target: "a".to_owned(), labels: BTreeMap::new() };
        let graph = Graph { nodes: ["b".to_owned(), "a".to_owned()].into(), edges: vec![edge] };
        let expected = json!({
            "nodes": [{"name": "a"}, {"name": "b"}],
            "links": [{"source": 1, "target": 0, "labels": {}}],
        });
        assert_eq!(d3(&graph), expected);
    }
}
