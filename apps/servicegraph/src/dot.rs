//! The graph in Graphviz' DOT language.

use std::fmt::Write as _;

use crate::graph::Graph;

/// The graph as text, its edges first and then its nodes, all in order.
#[must_use]
pub fn dot(graph: &Graph) -> String {
    let mut text = "digraph \"istio-servicegraph\" {\n".to_owned();
    for edge in &graph.edges {
        let label = edge.labels.iter().map(|(unit, rate)| format!("{unit}: {rate}")).collect::<Vec<_>>().join(", ");
        let (source, target) = (id(&edge.source), id(&edge.target));
        // Writing to a text does not fail.
        let _ = writeln!(text, "{} -> {} [label={}];", quoted(&source), quoted(&target), quoted(&label));
    }
    for node in &graph.nodes {
        let _ = writeln!(text, "{} [label={}];", quoted(&id(node)), quoted(node));
    }
    text.push_str("}\n");
    text
}

/// What stands for a node: its name without what other tools stumble over.
fn id(name: &str) -> String {
    name.replace(['/', '.', ' '], "_")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::graph::Edge;

    #[test]
    fn edges_come_before_nodes_and_quotes_are_escaped() {
        let labels = BTreeMap::from([("reqs/sec".to_owned(), "0.250000".to_owned())]);
        let edge = Edge { source: "a (a-v1)".to_owned(), target: "x.y\"z".to_owned(), labels };
        let graph = Graph { nodes: [edge.source.clone(), edge.target.clone()].into(), edges: vec![edge] };
        assert_eq!(
            dot(&graph),
            "digraph \"istio-servicegraph\" {\n\
             \"a_(a-v1)\" -> \"x_y\\\"z\" [label=\"reqs/sec: 0.250000\"];\n\
             \"a_(a-v1)\" [label=\"a (a-v1)\"];\n\
             \"x_y\\\"z\" [label=\"x.y\\\"z\"];\n}\n"
        );
    }
}
