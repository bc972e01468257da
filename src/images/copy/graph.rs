//! What has to be done, and what waits for what.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::Wanted;
use super::tree::Tree;
use crate::images::digest::Digest;
use crate::images::layout::Descriptor;
use crate::images::reference::Reference;

/// Every fourth blob is the largest of those that are left, the others are the smallest: small ones are
/// soon done, so that others can take them over, and in the end there is no large one alone.
const SMALL_ONES: usize = 3;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Send a blob into the first repository that needs it.
    Send { blob: Descriptor, repository: String },
    /// Take a blob over from another repository.
    Mount { blob: Descriptor, repository: String, from: String },
    /// Put a manifest under a tag or its digest.
    Put { digest: Digest, repository: String, name: String, is_root: bool },
}

#[derive(Debug)]
struct Node {
    task: Task,
    /// The image that it is done for, by its number.
    image: usize,
    waits: usize,
    then: Vec<usize>,
}

/// What would move.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Plan {
    /// Images.
    pub images: u64,
    /// Those of them that are at the target as they should be.
    pub unchanged: u64,
    /// What refers to them, if that was asked for.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub referrers: u64,
    /// Manifests to put.
    pub manifests: u64,
    /// Blobs to send.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs to take over from another repository of the target.
    pub mounts: u64,
    /// Requests that it takes at the source, if it is a registry; what was asked for the plan is not in it.
    pub source_requests: u64,
    /// Requests that it takes at the target, if it is a registry, with the questions that were asked for
    /// the plan.
    pub target_requests: u64,
    /// What is sent for each image that is not there. A blob that several need counts for the first.
    pub by_image: BTreeMap<Reference, Share>,
}

/// One image's part of what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Share {
    /// Blobs.
    pub blobs: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The tasks that are left.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    /// Quick ones that others wait for.
    quick: VecDeque<usize>,
    /// Blobs to send, the smallest first.
    sends: VecDeque<usize>,
    taken: usize,
    left: usize,
}

impl Graph {
    /// What brings `images`, by their numbers, to the target. `homes` are repositories of the target that
    /// have a blob.
    pub(super) fn new(images: &[(usize, &Wanted, &Tree)], homes: &HashMap<Digest, String>) -> Self {
        let mut graph = Self::default();
        // The node after which a blob is in a repository, and that puts a manifest there.
        let mut pairs: HashMap<(Digest, &str), usize> = HashMap::new();
        let mut first: HashMap<Digest, usize> = HashMap::new();
        let mut puts: HashMap<(Digest, &str, String), usize> = HashMap::new();
        for &(image, wanted, tree) in images {
            let repository = wanted.repository.as_str();
            for manifest in &tree.manifests {
                let is_root = manifest.digest == *tree.root();
                let name = if is_root { wanted.name.clone() } else { manifest.digest.to_string() };
                let key = (manifest.digest, repository, name.clone());
                if puts.contains_key(&key) {
                    continue;
                }
                let task = Task::Put { digest: manifest.digest, repository: repository.to_owned(), name, is_root };
                let put = graph.add(image, task);
                puts.insert(key, put);
                let mut before = Vec::new();
                for blob in &manifest.blobs {
                    let node = *pairs
                        .entry((blob.digest, repository))
                        .or_insert_with(|| graph.blob(image, blob, repository, &mut first, homes.get(&blob.digest)));
                    before.push(node);
                }
                let child = |digest: &Digest| puts.get(&(*digest, repository, digest.to_string()));
                before.extend(manifest.children.iter().filter_map(child));
                before.sort_unstable();
                before.dedup();
                for node in before {
                    graph.after(node, put);
                }
            }
        }
        graph.left = graph.nodes.len();
        let mut sends: Vec<usize> = Vec::new();
        for (number, node) in graph.nodes.iter().enumerate().filter(|(_, node)| node.waits == 0) {
            if matches!(node.task, Task::Send { .. }) {
                sends.push(number);
            } else {
                graph.quick.push_back(number);
            }
        }
        sends.sort_by_key(|&number| graph.bytes(number));
        graph.sends = sends.into();
        graph
    }

    fn blob(
        &mut self,
        image: usize,
        blob: &Descriptor,
        repository: &str,
        first: &mut HashMap<Digest, usize>,
        home: Option<&String>,
    ) -> usize {
        let repository = repository.to_owned();
        let blob = blob.clone();
        if let Some(home) = home {
            return self.add(image, Task::Mount { blob, repository, from: home.clone() });
        }
        if let Some(&sent) = first.get(&blob.digest) {
            let from = self.nodes[sent].task.repository().to_owned();
            let node = self.add(image, Task::Mount { blob, repository, from });
            self.after(sent, node);
            return node;
        }
        let digest = blob.digest;
        let node = self.add(image, Task::Send { blob, repository });
        first.insert(digest, node);
        node
    }

    fn add(&mut self, image: usize, task: Task) -> usize {
        self.nodes.push(Node { task, image, waits: 0, then: Vec::new() });
        self.nodes.len() - 1
    }

    fn after(&mut self, before: usize, then: usize) {
        self.nodes[before].then.push(then);
        self.nodes[then].waits += 1;
    }

    fn bytes(&self, number: usize) -> u64 {
        match &self.nodes[number].task {
            Task::Send { blob, .. } => blob.size,
            _ => 0,
        }
    }

    /// The next one to do, with its number and that of its image. Blobs are sent only if they are not
    /// longer than `most`, and none without it.
    pub(super) fn next(&mut self, most: Option<u64>) -> Option<(usize, usize, Task)> {
        let number = match self.quick.pop_front() {
            Some(number) => number,
            None => self.next_send(most?)?,
        };
        let node = &self.nodes[number];
        Some((number, node.image, node.task.clone()))
    }

    fn next_send(&mut self, most: u64) -> Option<usize> {
        let fits = |graph: &Self, number: Option<&usize>| number.is_some_and(|&number| graph.bytes(number) <= most);
        self.taken += 1;
        if self.taken.is_multiple_of(SMALL_ONES + 1) && fits(self, self.sends.back()) {
            self.sends.pop_back()
        } else if fits(self, self.sends.front()) {
            self.sends.pop_front()
        } else {
            None
        }
    }

    /// Takes in that a task is done: those that waited for it alone can be done now.
    pub(super) fn done(&mut self, number: usize) {
        self.left -= 1;
        for then in std::mem::take(&mut self.nodes[number].then) {
            self.nodes[then].waits -= 1;
            if self.nodes[then].waits == 0 {
                // A blob that is to be sent never waits for anything.
                self.quick.push_back(then);
            }
        }
    }

    /// How many tasks are left.
    #[cfg(test)]
    fn left(&self) -> usize {
        self.left
    }

    /// How much there is to do; requests and images are left out.
    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        for node in &self.nodes {
            match &node.task {
                Task::Send { blob, .. } => {
                    plan.blobs += 1;
                    plan.bytes += blob.size;
                }
                Task::Mount { .. } => plan.mounts += 1,
                Task::Put { .. } => plan.manifests += 1,
            }
        }
        plan
    }

    /// The bytes and blobs that are sent for each image, by its number.
    pub(super) fn by_image(&self) -> BTreeMap<usize, (u64, u64)> {
        let mut all = BTreeMap::new();
        for node in &self.nodes {
            let (blobs, bytes): &mut (u64, u64) = all.entry(node.image).or_default();
            if let Task::Send { blob, .. } = &node.task {
                *blobs += 1;
                *bytes += blob.size;
            }
        }
        all
    }

    /// The manifests to put, each once.
    pub(super) fn manifests(&self) -> impl Iterator<Item = &Digest> {
        let mut seen = std::collections::HashSet::new();
        self.nodes.iter().filter_map(move |node| match &node.task {
            Task::Put { digest, .. } if seen.insert(*digest) => Some(digest),
            _ => None,
        })
    }
}

impl Task {
    fn repository(&self) -> &str {
        match self {
            Self::Send { repository, .. } | Self::Mount { repository, .. } | Self::Put { repository, .. } => repository,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::super::{Known, Manifest};
    use super::*;
    use crate::images::layout::LAYER;

    fn blob(number: u8) -> Descriptor {
        Descriptor::new(LAYER, Digest::of([number]), u64::from(number))
    }

    /// An image whose index has a manifest for each set of blobs.
    fn image(number: usize, sets: &[Vec<u8>]) -> (Wanted, Tree) {
        let mut manifests: Vec<Manifest> = sets
            .iter()
            .map(|set| Manifest {
                digest: Digest::of(format!("{set:?}")),
                blobs: set.iter().map(|&number| blob(number)).collect(),
                children: Vec::new(),
            })
            .collect();
        manifests.dedup_by_key(|manifest| manifest.digest);
        let children = manifests.iter().map(|manifest| manifest.digest).collect();
        manifests.push(Manifest { digest: Digest::of(format!("root {sets:?}")), blobs: Vec::new(), children });
        let wanted = Wanted {
            image: format!("x.test/{number}:1").parse().expect("a reference"),
            from: Vec::new(),
            known: Known::Nothing,
            repository: format!("r{}", number % 3),
            name: format!("v{number}"),
        };
        (wanted, Tree { manifests })
    }

    proptest! {
        #[test]
        fn everything_is_done_once_and_after_what_it_needs(
            all in prop::collection::vec(prop::collection::vec(prop::collection::vec(0_u8..12, 1..5), 1..3), 0..6),
        ) {
            let images: Vec<(Wanted, Tree)> = all.iter().enumerate().map(|(number, sets)| image(number, sets)).collect();
            let wanted: Vec<(usize, &Wanted, &Tree)> =
                images.iter().enumerate().map(|(number, (wanted, tree))| (number, wanted, tree)).collect();
            let mut graph = Graph::new(&wanted, &HashMap::new());
            let unique: HashSet<Digest> = images.iter().flat_map(|(_, tree)| tree.blobs()).map(|blob| blob.digest).collect();
            let pairs: HashSet<(Digest, String)> = images
                .iter()
                .flat_map(|(wanted, tree)| tree.blobs().map(|blob| (blob.digest, wanted.repository.clone())))
                .collect();
            let plan = graph.plan();
            prop_assert_eq!(plan.blobs, unique.len() as u64);
            prop_assert_eq!(plan.mounts, (pairs.len() - unique.len()) as u64);
            let (mut there, mut put, mut running) = (HashSet::new(), HashSet::new(), VecDeque::new());
            loop {
                while let Some(task) = graph.next((running.len() < 3).then_some(u64::MAX)) {
                    running.push_back(task);
                }
                let Some((number, image, task)) = running.pop_front() else { break };
                match task {
                    Task::Send { blob, repository } => prop_assert!(there.insert((blob.digest, repository))),
                    Task::Mount { blob, repository, from } => {
                        prop_assert!(there.contains(&(blob.digest, from)));
                        prop_assert!(there.insert((blob.digest, repository)));
                    }
                    Task::Put { digest, repository, name, .. } => {
                        let tree = &images[image].1;
                        let manifest = tree.manifests.iter().find(|one| one.digest == digest).expect("its own");
                        for blob in &manifest.blobs {
                            prop_assert!(there.contains(&(blob.digest, repository.clone())));
                        }
                        for child in &manifest.children {
                            prop_assert!(put.contains(&(child.to_string(), repository.clone())));
                        }
                        prop_assert!(put.insert((name, repository)));
                    }
                }
                graph.done(number);
            }
            prop_assert_eq!(graph.left(), 0);
            prop_assert_eq!(there, pairs);
            for (wanted, _) in &images {
                prop_assert!(put.contains(&(wanted.name.clone(), wanted.repository.clone())));
            }
        }
    }
}
