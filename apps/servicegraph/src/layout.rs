//! Where the nodes of a drawing go: in columns, callers to the left of those whom they call, with
//! few crossings (the method of Sugiyama, Tagawa and Toda). Lengths are pixels.

use std::collections::{BTreeMap, BTreeSet};

/// A node's height.
pub(crate) const HEIGHT: f64 = 40.0;
const GAP_X: f64 = 130.0;
const GAP_Y: f64 = 26.0;
const MARGIN: f64 = 24.0;
/// How often the columns are put in order by their neighbours; more changes nothing in practice.
const SWEEPS: usize = 12;

/// A node's place: its left upper corner and its width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
}

/// A drawing's places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    /// Of each node, by its index.
    pub(crate) nodes: Vec<Place>,
    /// The points that an edge goes through, from its source's side to its target's; by its index.
    pub(crate) edges: Vec<Vec<(f64, f64)>>,
    /// Of the whole.
    pub(crate) width: f64,
    /// Of the whole.
    pub(crate) height: f64,
}

/// A column's entry: a node, or where an edge passes a column without stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Node(usize),
    Passing { edge: usize, column: usize },
}

/// Places nodes of these widths with edges between them.
pub(crate) fn layout(widths: &[f64], edges: &[(usize, usize)]) -> Layout {
    let forward = without_cycles(widths.len(), edges);
    let columns_of = columns_of(widths.len(), &forward);
    let (mut columns, paths) = entries(&columns_of, &forward);
    for sweep in 0..SWEEPS {
        order(&mut columns, &paths, sweep % 2 == 0);
    }
    place(widths, edges, &columns, &paths)
}

/// The edges with those turned round that would lead back, so that all lead from left to right.
/// Loops to the node itself are left out.
fn without_cycles(nodes: usize, edges: &[(usize, usize)]) -> Vec<Option<(usize, usize)>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Not,
        Open,
        Done,
    }
    let mut seen = vec![Seen::Not; nodes];
    let mut back = BTreeSet::new();
    let called: BTreeSet<usize> = edges.iter().filter(|(from, to)| from != to).map(|(_, to)| *to).collect();
    // From those that nobody calls first: they are where requests come from.
    let (inner, outer): (Vec<usize>, Vec<usize>) = (0..nodes).partition(|node| called.contains(node));
    for start in outer.into_iter().chain(inner) {
        let mut stack = vec![(start, 0)];
        while let Some((node, next)) = stack.pop() {
            if next == 0 {
                if seen[node] != Seen::Not {
                    continue;
                }
                seen[node] = Seen::Open;
            }
            let Some((offset, (_, to))) =
                edges.iter().enumerate().skip(next).find(|(_, (from, to))| *from == node && from != to)
            else {
                seen[node] = Seen::Done;
                continue;
            };
            stack.push((node, offset + 1));
            match seen[*to] {
                Seen::Open => drop(back.insert(offset)),
                Seen::Not => stack.push((*to, 0)),
                Seen::Done => {}
            }
        }
    }
    let turned = |(index, &(from, to)): (usize, &(usize, usize))| match (from == to, back.contains(&index)) {
        (true, _) => None,
        (false, true) => Some((to, from)),
        (false, false) => Some((from, to)),
    };
    edges.iter().enumerate().map(turned).collect()
}

/// The column of each node: one more than the last of its callers'.
fn columns_of(nodes: usize, forward: &[Option<(usize, usize)>]) -> Vec<usize> {
    let mut columns = vec![0; nodes];
    // Without cycles no path is longer than there are nodes.
    for _ in 0..nodes {
        let mut moved = false;
        for &(from, to) in forward.iter().flatten() {
            if columns[to] <= columns[from] {
                columns[to] = columns[from] + 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    columns
}

/// The columns with their entries, and each edge's entries from left to right.
fn entries(columns_of: &[usize], forward: &[Option<(usize, usize)>]) -> (Vec<Vec<Entry>>, Vec<Vec<Entry>>) {
    let count = columns_of.iter().max().map_or(0, |last| last + 1);
    let mut columns: Vec<Vec<Entry>> = vec![Vec::new(); count];
    for (node, column) in columns_of.iter().enumerate() {
        columns[*column].push(Entry::Node(node));
    }
    let mut paths = Vec::new();
    for (edge, ends) in forward.iter().enumerate() {
        let Some((from, to)) = *ends else {
            paths.push(Vec::new());
            continue;
        };
        let mut path = vec![Entry::Node(from)];
        let passed = columns.iter_mut().enumerate().take(columns_of[to]).skip(columns_of[from] + 1);
        for (column, entries) in passed {
            let entry = Entry::Passing { edge, column };
            entries.push(entry);
            path.push(entry);
        }
        path.push(Entry::Node(to));
        paths.push(path);
    }
    (columns, paths)
}

/// Orders each column by the middle of its entries' neighbours in the column before (or after) it.
fn order(columns: &mut [Vec<Entry>], paths: &[Vec<Entry>], to_the_right: bool) {
    let mut neighbours: BTreeMap<Entry, Vec<Entry>> = BTreeMap::new();
    for pair in paths.iter().flat_map(|path| path.windows(2)) {
        let (entry, other) = if to_the_right { (pair[1], pair[0]) } else { (pair[0], pair[1]) };
        neighbours.entry(entry).or_default().push(other);
    }
    let mut indices: Vec<usize> = (0..columns.len()).collect();
    if !to_the_right {
        indices.reverse();
    }
    let mut rows: BTreeMap<Entry, f64> = BTreeMap::new();
    for index in indices {
        let column = &mut columns[index];
        let mut keyed: Vec<(f64, Entry)> = column
            .iter()
            .enumerate()
            .map(|(row, entry)| {
                let others: Vec<f64> =
                    neighbours.get(entry).into_iter().flatten().filter_map(|other| rows.get(other)).copied().collect();
                let key =
                    if others.is_empty() { number(row) } else { others.iter().sum::<f64>() / number(others.len()) };
                (key, *entry)
            })
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        *column = keyed.into_iter().map(|(_, entry)| entry).collect();
        // In the middle of the picture, whatever the number of entries.
        let middle = number(column.len()) / 2.0;
        rows.extend(column.iter().enumerate().map(|(row, entry)| (*entry, number(row) - middle)));
    }
}

fn place(widths: &[f64], edges: &[(usize, usize)], columns: &[Vec<Entry>], paths: &[Vec<Entry>]) -> Layout {
    let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
    let height = number(rows) * (HEIGHT + GAP_Y) - GAP_Y;
    let mut points: BTreeMap<Entry, Place> = BTreeMap::new();
    let mut x = MARGIN;
    for column in columns {
        let width = column.iter().map(|entry| wide(*entry, widths)).fold(0.0, f64::max);
        let used = number(column.len()) * (HEIGHT + GAP_Y) - GAP_Y;
        let mut y = MARGIN + (height - used) / 2.0;
        for entry in column {
            let own = wide(*entry, widths);
            points.insert(*entry, Place { x: x + (width - own) / 2.0, y, width: own });
            y += HEIGHT + GAP_Y;
        }
        x += width + GAP_X;
    }
    let nodes = (0..widths.len()).map(|node| points[&Entry::Node(node)]).collect();
    let through = |(path, ends): (&Vec<Entry>, &(usize, usize))| {
        let mut through = Vec::new();
        for (index, entry) in path.iter().enumerate() {
            let Place { x, y, width } = points[entry];
            let middle = y + HEIGHT / 2.0;
            if index > 0 {
                through.push((x, middle));
            }
            if index + 1 < path.len() && !(index > 0 && width == 0.0) {
                through.push((x + width, middle));
            }
        }
        // What was turned round goes back the way it came.
        if path.first() == Some(&Entry::Node(ends.1)) {
            through.reverse();
        }
        through
    };
    let edges = paths.iter().zip(edges).map(through).collect();
    Layout { nodes, edges, width: (x - GAP_X + MARGIN).max(2.0 * MARGIN), height: height.max(0.0) + 2.0 * MARGIN }
}

fn wide(entry: Entry, widths: &[f64]) -> f64 {
    match entry {
        Entry::Node(node) => widths[node],
        Entry::Passing { .. } => 0.0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "no drawing has so many nodes")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_stand_to_the_left() {
        let edges = [(0, 1), (1, 2), (0, 2), (1, 3)];
        let layout = layout(&[50.0; 4], &edges);
        for (from, to) in edges {
            assert!(layout.nodes[from].x + 50.0 < layout.nodes[to].x);
        }
        assert!(layout.edges.iter().all(|points| points.windows(2).all(|pair| pair[0].0 <= pair[1].0)));
        assert_eq!(layout.edges[2].len(), 3, "it passes one column");
    }

    #[test]
    fn nodes_do_not_overlap_and_lie_inside() {
        let edges: Vec<_> = (1..8).map(|to| (0, to)).chain((1..8).map(|from| (from, 8))).collect();
        let layout = layout(&[80.0; 9], &edges);
        for (index, a) in layout.nodes.iter().enumerate() {
            assert!(a.x >= 0.0 && a.y >= 0.0 && a.x + a.width <= layout.width && a.y + HEIGHT <= layout.height);
            for b in &layout.nodes[index + 1..] {
                let apart = a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + HEIGHT <= b.y || b.y + HEIGHT <= a.y;
                assert!(apart, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn cycles_and_loops_are_drawn_too() {
        let layout = layout(&[50.0; 3], &[(0, 1), (1, 2), (2, 0), (1, 1)]);
        let back = &layout.edges[2];
        assert!(back[0].0 > back[back.len() - 1].0, "from the right to the left: {back:?}");
        assert!(layout.edges[3].is_empty());
    }

    #[test]
    fn nothing_is_a_small_empty_picture() {
        let layout = layout(&[], &[]);
        assert!(layout.nodes.is_empty() && layout.width > 0.0 && layout.height > 0.0);
    }

    #[test]
    fn lines_that_need_not_cross_do_not() {
        // 0 calls 2 and 1 calls 3, but the indices would put 3 above 2.
        let layout = layout(&[50.0; 4], &[(0, 3), (1, 2)]);
        assert_eq!(layout.nodes[0].y < layout.nodes[1].y, layout.nodes[3].y < layout.nodes[2].y);
    }
}
