//! The order of a set as a graph: what an object needs comes before it, and beyond that the ranks of
//! kinds within a namespace. What does not depend on each other goes side by side.
//!
//! Ranks are gates: a workload waits for all configuration and services of its namespace and for the
//! configuration and definitions of the cluster; webhooks and aggregated APIs wait for everything
//! but custom resources, because they take part in the requests of the rest. Custom resources wait
//! for what they need alone, which is their definition and their namespace.
//!
//! An object that needs one of a higher rank rises to that rank, and then holds up nothing of its
//! own rank any more. So ranks never contradict needs: along every edge of the graph the rank stays
//! or rises, and needs by themselves are free of cycles.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::error::Error;
use super::needs::{self, Need, Until};
use super::order::Phase;
use super::resolve::Member;

/// Something that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Point {
    /// This object is applied.
    Applied(usize),
    /// What this object defines is served.
    Served(usize),
    /// This object is ready.
    Ready(usize),
    /// Everything of a rank is applied.
    Gate,
}

/// What waits for what.
#[derive(Debug)]
pub(super) struct Graph {
    /// The objects come first, in their order.
    points: Vec<Point>,
    ranks: Vec<Phase>,
    /// For each point those that wait for it.
    followers: Vec<Vec<usize>>,
    /// For each point how many it waits for.
    waits: Vec<usize>,
    needs: Vec<Need>,
}

/// A rank within a namespace, or among what is in none.
type Scope = (Option<String>, Phase);

impl Graph {
    /// The graph of a set.
    ///
    /// # Errors
    /// Those of [`needs::of`].
    pub(super) fn of(members: &[Member]) -> Result<Self, Error> {
        let ranked: Vec<_> = members.iter().map(|member| (member.phase, member.reference.namespace.clone())).collect();
        Ok(Self::new(&ranked, needs::of(members)?))
    }

    /// A graph of objects with their ranks and namespaces, and needs without a cycle.
    fn new(ranked: &[(Phase, Option<String>)], needs: Vec<Need>) -> Self {
        let count = ranked.len();
        let mut graph = Self {
            points: (0..count).map(Point::Applied).collect(),
            ranks: ranked.iter().map(|(phase, _)| *phase).collect(),
            followers: vec![Vec::new(); count],
            waits: vec![0; count],
            needs,
        };
        let mut beyond: BTreeMap<Point, usize> = BTreeMap::new();
        for need in graph.needs.clone() {
            let point = match need.until {
                Until::Applied => need.whom,
                Until::Served => graph.beyond(&mut beyond, Point::Served(need.whom), need.whom),
                Until::Ready => graph.beyond(&mut beyond, Point::Ready(need.whom), need.whom),
            };
            graph.edge(point, need.who);
        }
        graph.gates(ranked);
        graph
    }

    /// The point that something more is known of an object after it was applied.
    fn beyond(&mut self, known: &mut BTreeMap<Point, usize>, point: Point, object: usize) -> usize {
        *known.entry(point).or_insert_with(|| {
            let index = self.point(point);
            self.edge(object, index);
            index
        })
    }

    fn point(&mut self, point: Point) -> usize {
        self.points.push(point);
        self.followers.push(Vec::new());
        self.waits.push(0);
        self.points.len() - 1
    }

    fn edge(&mut self, before: usize, after: usize) {
        self.followers[before].push(after);
        self.waits[after] += 1;
    }

    fn gates(&mut self, ranked: &[(Phase, Option<String>)]) {
        // What is in no namespace comes before its like in one.
        let own: Vec<_> = ranked.iter().map(|(phase, namespace)| (*phase, namespace.is_some())).collect();
        let risen = risen(&own, &self.needs);
        let mut gates: BTreeMap<Scope, usize> = BTreeMap::new();
        let mut all = None;
        for (index, (phase, namespace)) in ranked.iter().enumerate() {
            if risen[index] != own[index] {
                continue;
            }
            if matches!(phase, Phase::Definitions | Phase::Configuration | Phase::Services) {
                let gate = *gates.entry((namespace.clone(), *phase)).or_insert_with(|| self.point(Point::Gate));
                self.edge(index, gate);
            }
            if *phase < Phase::Webhooks {
                let gate = *all.get_or_insert_with(|| self.point(Point::Gate));
                self.edge(index, gate);
            }
        }
        for (index, (phase, namespace)) in ranked.iter().enumerate() {
            let mut scopes: Vec<Scope> = match phase {
                Phase::Configuration if namespace.is_some() => vec![(None, Phase::Configuration)],
                Phase::Workloads => vec![(None, Phase::Definitions), (None, Phase::Configuration)],
                _ => Vec::new(),
            };
            if *phase == Phase::Workloads && namespace.is_some() {
                scopes.extend([Phase::Configuration, Phase::Services].map(|phase| (namespace.clone(), phase)));
            }
            let found = scopes.iter().filter_map(|scope| gates.get(scope).copied());
            let found: Vec<usize> = if *phase == Phase::Webhooks { all.into_iter().collect() } else { found.collect() };
            for gate in found {
                self.edge(gate, index);
            }
        }
    }

    /// The objects that wait for this point without another object between them.
    pub(super) fn followers(&self, point: Point) -> impl Iterator<Item = usize> {
        self.needs
            .iter()
            .filter(move |need| match point {
                Point::Applied(_) | Point::Gate => false,
                Point::Served(index) => need.until == Until::Served && need.whom == index,
                Point::Ready(index) => need.until == Until::Ready && need.whom == index,
            })
            .map(|need| need.who)
    }

    /// Begins to go through the graph.
    pub(super) fn walk(&self) -> Walk<'_> {
        let mut walk =
            Walk { graph: self, waits: self.waits.clone(), objects: BinaryHeap::new(), others: VecDeque::new() };
        (0..self.points.len()).filter(|&index| self.waits[index] == 0).for_each(|index| walk.free(index));
        walk
    }
}

/// The rank of each object, raised to that of what it needs.
fn risen(ranks: &[(Phase, bool)], needs: &[Need]) -> Vec<(Phase, bool)> {
    let mut risen = ranks.to_vec();
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); ranks.len()];
    let mut open = vec![0; ranks.len()];
    for need in needs {
        needed_by[need.whom].push(need.who);
        open[need.who] += 1;
    }
    let mut free: Vec<usize> = (0..ranks.len()).filter(|&index| open[index] == 0).collect();
    while let Some(whom) = free.pop() {
        for &who in &needed_by[whom] {
            risen[who] = risen[who].max(risen[whom]);
            open[who] -= 1;
            if open[who] == 0 {
                free.push(who);
            }
        }
    }
    risen
}

/// A way through the graph: what may begin now.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    graph: &'a Graph,
    waits: Vec<usize>,
    /// Objects that may be applied, those of the lowest rank first: definitions take the server a while.
    objects: BinaryHeap<Reverse<(Phase, usize)>>,
    others: VecDeque<usize>,
}

impl Walk<'_> {
    /// The next object that may be applied.
    pub(super) fn object(&mut self) -> Option<usize> {
        self.objects.pop().map(|Reverse((_, index))| index)
    }

    /// The next definition that may be waited for until it is served, or object until it is ready.
    /// Gates open by themselves.
    pub(super) fn other(&mut self) -> Option<Point> {
        while let Some(index) = self.others.pop_front() {
            match self.graph.points[index] {
                Point::Gate => self.passed(index),
                point => return Some(point),
            }
        }
        None
    }

    /// Says that a point was reached. What waits for one of which this is never said, never begins.
    pub(super) fn reached(&mut self, point: Point) {
        let index = match point {
            Point::Applied(index) => Some(index),
            other => self.graph.points.iter().position(|known| *known == other),
        };
        if let Some(index) = index {
            self.passed(index);
        }
    }

    fn passed(&mut self, index: usize) {
        for &follower in &self.graph.followers[index] {
            self.waits[follower] -= 1;
            if self.waits[follower] == 0 {
                self.free(follower);
            }
        }
    }

    fn free(&mut self, index: usize) {
        match self.graph.points[index] {
            Point::Applied(object) => self.objects.push(Reverse((self.graph.ranks[object], object))),
            _ => self.others.push_back(index),
        }
    }
}

#[cfg(test)]
mod tests;
