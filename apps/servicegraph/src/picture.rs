//! The graph as a drawing. It follows the reader's choice of a light or a dark page, and says in
//! words what it shows.

use std::fmt::Write as _;

use crate::graph::{Edge, Graph};
use crate::layout::{self, HEIGHT, Layout, layout};

/// How wide a letter is about, in pixels.
const LETTER: f64 = 7.2;

const STYLE: &str = "\
.sg{--ink:#1f2328;--line:#57606a;--box:#ddf4ff;--edge:#0969da;--page:#fff;font:13px system-ui,sans-serif}\
@media(prefers-color-scheme:dark){.sg{--ink:#e6edf3;--line:#9198a1;--box:#0c2d6b;--edge:#4493f8;--page:#0d1117}}\
.sg rect{fill:var(--box);stroke:var(--edge)}.sg text{fill:var(--ink);text-anchor:middle;dominant-baseline:central}\
.sg path{fill:none;stroke:var(--line);stroke-width:1.4}.sg marker path{fill:var(--line);stroke:none}\
.sg .rate{font-size:11px;paint-order:stroke;stroke:var(--page);stroke-width:5px;stroke-linejoin:round}";

/// Draws the graph as an SVG image that can stand in a page or alone.
#[must_use]
pub fn svg(graph: &Graph) -> String {
    let names: Vec<&String> = graph.nodes.iter().collect();
    let index = |name: &String| names.iter().position(|node| *node == name);
    let drawn: Vec<(&Edge, (usize, usize))> =
        graph.edges.iter().filter_map(|edge| Some((edge, (index(&edge.source)?, index(&edge.target)?)))).collect();
    let widths: Vec<f64> = names.iter().map(|name| length(name) + 28.0).collect();
    let ends: Vec<_> = drawn.iter().map(|(_, ends)| *ends).collect();
    let places = layout(&widths, &ends);
    let Layout { width, height, .. } = &places;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"sg\" role=\"img\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\"><style>{STYLE}</style><title>Service graph</title><desc>{}</desc>\
         <defs><marker id=\"sg-arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>",
        escaped(&described(graph))
    );
    let mut labels = String::new();
    for ((edge, (source, _)), points) in drawn.iter().zip(&places.edges) {
        let (line, (x, y)) = match points.as_slice() {
            [] => round(places.nodes[*source]),
            points => (curve(points), middle(points)),
        };
        // Writing to a text does not fail.
        let _ = write!(text, "<path d=\"{line}\" marker-end=\"url(#sg-arrow)\"/>");
        let _ = write!(labels, "<text class=\"rate\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(&rate(edge)));
    }
    for (name, place) in names.iter().zip(&places.nodes) {
        let layout::Place { x, y, width } = place;
        let _ = write!(text, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" rx=\"8\"/>");
        let (x, y) = (x + width / 2.0, y + HEIGHT / 2.0);
        let _ = write!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(name));
    }
    if names.is_empty() {
        text = text.replacen(
            "viewBox=\"0 0 48 48\" width=\"48\" height=\"48\"",
            "viewBox=\"0 0 360 60\" width=\"360\" height=\"60\"",
            1,
        );
        text.push_str("<text x=\"180\" y=\"30\">No traffic in this time.</text>");
    }
    text.push_str(&labels);
    text.push_str("</svg>");
    text
}

/// The graph in words, for those who don't see it.
fn described(graph: &Graph) -> String {
    let calls = graph.edges.iter().map(|edge| format!("{} calls {}: {}.", edge.source, edge.target, rate(edge)));
    let calls: Vec<_> = calls.collect();
    if calls.is_empty() { "No traffic in this time.".to_owned() } else { calls.join(" ") }
}

fn rate(edge: &Edge) -> String {
    let short = |(unit, rate): (&String, &String)| {
        let value: f64 = rate.parse().unwrap_or(f64::NAN);
        // A rate of 0.004 is not none.
        let digits = if value == 0.0 || value >= 100.0 {
            0
        } else if value >= 0.1 {
            2
        } else {
            4
        };
        format!("{value:.digits$} {unit}")
    };
    edge.labels.iter().map(short).collect::<Vec<_>>().join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "no name is so long")]
fn length(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// A smooth line through the points, level at each of them.
fn curve(points: &[(f64, f64)]) -> String {
    let mut line = format!("M{:.1} {:.1}", points[0].0, points[0].1);
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let half = f64::midpoint(x0, x1);
        let _ = write!(line, "C{half:.1} {y0:.1} {half:.1} {y1:.1} {x1:.1} {y1:.1}");
    }
    line
}

/// The middle of the line's last piece but towards its end, where lines from one node have parted.
fn middle(points: &[(f64, f64)]) -> (f64, f64) {
    let last = points.len() - 1;
    let ((x0, y0), (x1, y1)) = (points[last - 1], points[last]);
    // The point of the curve at two thirds of its way.
    let t: f64 = 0.62;
    let eased = t * t * (3.0 - 2.0 * t);
    (x0 + (x1 - x0) * 0.6, y0 + (y1 - y0) * eased)
}

/// A loop over a node that calls itself.
fn round(place: layout::Place) -> (String, (f64, f64)) {
    let layout::Place { x, y, width } = place;
    let (left, right, top) = (x + width * 0.35, x + width * 0.65, y - 20.0);
    (format!("M{left:.1} {y:.1}C{left:.1} {top:.1} {right:.1} {top:.1} {right:.1} {y:.1}"), (x + width / 2.0, y - 18.0))
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let edge = |(source, target): &(&str, &str)| Edge {
            source: (*source).to_owned(),
            target: (*target).to_owned(),
            labels: BTreeMap::from([("reqs/sec".to_owned(), "0.250000".to_owned())]),
        };
        let nodes = edges.iter().flat_map(|(source, target)| [(*source).to_owned(), (*target).to_owned()]).collect();
        Graph { nodes, edges: edges.iter().map(edge).collect() }
    }

    #[test]
    fn every_node_and_rate_is_drawn_and_told() {
        let svg = svg(&graph(&[("a", "b"), ("b", "b")]));
        assert_eq!((svg.matches("<rect").count(), svg.matches("class=\"rate\"").count()), (2, 2));
        assert!(svg.contains("<desc>a calls b: 0.25 reqs/sec. b calls b: 0.25 reqs/sec.</desc>"), "{svg}");
    }

    #[test]
    fn names_can_not_break_out() {
        let svg = svg(&graph(&[("<script>alert(1)</script>", "b\"")]));
        assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;"));
    }

    #[test]
    fn no_traffic_is_said() {
        let svg = svg(&Graph::default());
        assert!(svg.contains(">No traffic in this time.</text>") && svg.contains("viewBox=\"0 0 360 60\""), "{svg}");
    }

    #[test]
    fn small_rates_are_not_nought() {
        let of = |rate_text: &str| {
            let mut graph = graph(&[("a", "b")]);
            graph.edges[0].labels.insert("reqs/sec".to_owned(), rate_text.to_owned());
            rate(&graph.edges[0])
        };
        let shown = ["0.000000", "0.004200", "0.250000", "1234.500000"].map(of);
        assert_eq!(shown, ["0 reqs/sec", "0.0042 reqs/sec", "0.25 reqs/sec", "1234 reqs/sec"]);
    }
}
