//! The proof that a lab runs what its lock says: each image as it is in five places, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use bollard::Docker;
use camino::Utf8Path;
use futures::stream::{self, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde::Serialize;

use super::site::{provider, running_nodes};
use crate::cluster::{self, Provider as _, records, registry_container};
use crate::error::{Failure, Kind};
use crate::images::bundle::Stack;
use crate::images::content::Content as _;
use crate::images::digest::Digest;
use crate::images::lock::{Entry, Lock};
use crate::images::reference::Reference;
use crate::images::registry::{Access, Mirror, Upstreams};
use crate::plan::event::Progress;
use crate::spec::Lab;

/// How many images are asked for at once.
const AT_ONCE: usize = 4;

/// What a place says of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// What the lock says.
    Same,
    /// Something else.
    Other(String),
    /// It does not have it.
    Absent,
    /// It was not asked: there is no such place, or it does not answer.
    Unasked,
}

/// One image in all places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The image.
    pub image: Reference,
    /// What the lock says that it is.
    pub digest: Option<Digest>,
    /// At its own registry.
    pub upstream: Found,
    /// In the lab's registry, or what serves its bundle.
    pub mirror: Found,
    /// In the bundles.
    pub bundle: Found,
    /// In the nodes' records, by node.
    pub nodes: BTreeMap<String, Found>,
    /// In running pods, by `namespace/pod`.
    pub pods: BTreeMap<String, Found>,
}

/// All images of a lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The images of the lock.
    pub images: Vec<Row>,
    /// Images that pods run and the lock does not name, with the pods. Those that the node image brings for the
    /// control plane are not counted.
    pub unlocked: BTreeMap<Reference, BTreeSet<String>>,
}

/// What is asked.
#[derive(Debug)]
pub struct Question<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// Its state folder.
    pub folder: &'a Utf8Path,
    /// What its images are.
    pub lock: &'a Lock,
    /// Bundles to compare with.
    pub bundles: Option<&'a Stack>,
    /// How the images' own registries are reached; `None` asks none.
    pub upstream: Option<Access>,
}

/// What a running container says of its image.
struct Running {
    pod: String,
    image: Reference,
    id: String,
}

/// Asks all places. Those that are not there, or do not answer, are no error.
///
/// # Errors
/// [`Kind::Unavailable`] if the lab is not up; what the engine fails with.
pub async fn prove(docker: &Docker, question: &Question<'_>, progress: &Progress) -> Result<Proof, Failure> {
    let lab = question.lab;
    let nodes = running_nodes(docker, lab, question.folder).await?;
    progress.status("asking the nodes");
    let mut records = BTreeMap::new();
    for node in &nodes {
        records.insert(node.name.clone(), records::images(docker, &node.name).await?);
    }
    progress.status("asking for running pods");
    let provider = provider(Utf8Path::new("kind"), docker, lab, question.folder);
    let running = running(&provider.kubeconfig()).await?;
    let mirror = match registry_container::address(docker, &lab.name).await? {
        Some(url) => Some(Mirror::at(&url, &Access::default())?),
        None => None,
    };
    let upstreams = question.upstream.clone().map(Upstreams::new);
    progress.status("asking registries");
    let places = Places { question, mirror: mirror.as_ref(), upstreams: upstreams.as_ref(), records: &records };
    let rows = question.lock.images.iter().map(|(image, entry)| places.row(image, entry, &running));
    let mut images: Vec<Row> = stream::iter(rows).buffer_unordered(AT_ONCE).collect().await;
    images.sort_by(|a, b| a.image.cmp(&b.image));
    let mut unlocked: BTreeMap<Reference, BTreeSet<String>> = BTreeMap::new();
    for container in running.iter().filter(|container| !container.pod.starts_with("kube-system/")) {
        if !question.lock.images.contains_key(&container.image) {
            unlocked.entry(container.image.clone()).or_default().insert(container.pod.clone());
        }
    }
    Ok(Proof { images, unlocked })
}

struct Places<'a> {
    question: &'a Question<'a>,
    mirror: Option<&'a Mirror>,
    upstreams: Option<&'a Upstreams>,
    records: &'a BTreeMap<String, BTreeMap<Reference, Digest>>,
}

impl Places<'_> {
    async fn row(&self, image: &Reference, entry: &Entry, running: &[Running]) -> Row {
        let upstream = match self.upstreams.filter(|_| entry.part.is_none()) {
            None => Found::Unasked,
            Some(upstreams) => match upstreams.client(image) {
                Err(_) => Found::Unasked,
                Ok(client) => asked(entry, client.head_manifest(image.repository(), image.tag_or_default()).await),
            },
        };
        let mirror = match self.mirror {
            None => Found::Unasked,
            Some(mirror) => {
                let answer = mirror.client().head_manifest(&mirror.repository(image), image.tag_or_default()).await;
                asked(entry, answer)
            }
        };
        let bundle = match self.question.bundles {
            None => Found::Unasked,
            Some(bundles) => match bundles.manifest(image, None).await {
                Ok(raw) => judged(entry, raw.map(|raw| raw.digest)),
                Err(_) => Found::Unasked,
            },
        };
        let nodes =
            self.records.iter().map(|(node, records)| (node.clone(), judged(entry, records.get(image).copied())));
        let pods = running.iter().filter(|container| container.image == *image);
        Row {
            image: image.clone(),
            digest: entry.digest().copied(),
            upstream,
            mirror,
            bundle,
            nodes: nodes.collect(),
            pods: pods.map(|container| (container.pod.clone(), runs(entry, &container.id))).collect(),
        }
    }
}

fn asked<E>(entry: &Entry, answer: Result<Option<Digest>, E>) -> Found {
    answer.map_or(Found::Unasked, |digest| judged(entry, digest))
}

fn judged(entry: &Entry, found: Option<Digest>) -> Found {
    match found {
        None => Found::Absent,
        Some(found) if is_of(entry, &found) => Found::Same,
        Some(found) => Found::Other(found.to_string()),
    }
}

/// Nodes know an image by its index, its manifest or its configuration.
fn is_of(entry: &Entry, digest: &Digest) -> bool {
    entry.digest() == Some(digest)
        || entry.platforms.values().any(|image| image.manifest.digest == *digest || image.config.digest == *digest)
}

/// What a container's status calls its image: `sha256:…` or `name@sha256:…`.
fn runs(entry: &Entry, id: &str) -> Found {
    let digest = id.rsplit_once('@').map_or(id, |(_, digest)| digest);
    match digest.parse::<Digest>() {
        Ok(digest) => judged(entry, Some(digest)),
        Err(_) => Found::Other(id.to_owned()),
    }
}

async fn running(kubeconfig: &Utf8Path) -> Result<Vec<Running>, Failure> {
    let client = cluster::client(kubeconfig).await?;
    let pods = kube::Api::<Pod>::all(client).list(&ListParams::default()).await;
    let pods = pods.map_err(|error| Failure::new(Kind::Unavailable, error).context("listing pods"))?;
    let mut found = Vec::new();
    for pod in pods.items {
        let name = format!(
            "{}/{}",
            pod.metadata.namespace.as_deref().unwrap_or_default(),
            pod.metadata.name.as_deref().unwrap_or_default()
        );
        let Some(status) = pod.status else { continue };
        // What a status calls the image may be any of its names; the specification has the one that was asked for.
        let spec = pod.spec.unwrap_or_default();
        let asked: BTreeMap<String, Option<String>> = spec
            .containers
            .into_iter()
            .chain(spec.init_containers.unwrap_or_default())
            .map(|container| (container.name, container.image))
            .collect();
        let statuses = status.container_statuses.into_iter().chain(status.init_container_statuses).flatten();
        for container in statuses.filter(|container| !container.image_id.is_empty()) {
            let asked = asked.get(&container.name).cloned().flatten().unwrap_or(container.image);
            if let Ok(image) = asked.parse::<Reference>() {
                found.push(Running { pod: name.clone(), image: image.complete(), id: container.image_id });
            }
        }
    }
    Ok(found)
}

impl Proof {
    /// What is wrong, one line each: places that have something else, and pods that run what the lock does not name.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for row in &self.images {
            let one =
                [("its registry", &row.upstream), ("the lab's registry", &row.mirror), ("the bundle", &row.bundle)];
            let places = one.into_iter().map(|(place, found)| (place.to_owned(), found));
            let nodes = row.nodes.iter().map(|(node, found)| (format!("the node {node}"), found));
            let pods = row.pods.iter().map(|(pod, found)| (format!("the pod {pod}"), found));
            for (place, found) in places.chain(nodes).chain(pods) {
                if let Found::Other(other) = found {
                    problems.push(format!("{}: {place} has {other}", row.image));
                }
            }
        }
        for (image, pods) in &self.unlocked {
            let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
            problems.push(format!("{image} is not in the lock, but runs in {}", pods.join(", ")));
        }
        problems
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Same => "same",
            Self::Other(_) => "OTHER",
            Self::Absent => "absent",
            Self::Unasked => "-",
        })
    }
}

/// `2 same`, `1 same, 1 absent`.
fn counted(found: &BTreeMap<String, Found>) -> String {
    let count = |wanted: &str| found.values().filter(|found| found.to_string() == wanted).count();
    let counts = ["same", "OTHER", "absent"].map(|word| (count(word), word));
    let words: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.images.iter().map(|row| row.image.to_string().len()).max().unwrap_or_default().max(5);
        let mut text = format!(
            "{:<width$}  {:<19}  {:<8}  {:<8}  {:<8}  {:<16}  PODS\n",
            "IMAGE", "DIGEST", "UPSTREAM", "MIRROR", "BUNDLE", "NODES"
        );
        for row in &self.images {
            let digest = row.digest.map_or_else(|| "-".to_owned(), |digest| digest.to_string()[..19].to_owned());
            let (nodes, pods) = (counted(&row.nodes), counted(&row.pods));
            writeln!(
                text,
                "{:<width$}  {digest}  {:<8}  {:<8}  {:<8}  {nodes:<16}  {pods}",
                row.image.to_string(),
                row.upstream,
                row.mirror,
                row.bundle
            )?;
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::layout::{CONFIG, Descriptor, MANIFEST};
    use crate::images::lock::Platform;

    fn entry() -> Entry {
        let descriptor = |kind: &str, text: &str| Descriptor::new(kind, Digest::of(text), 1);
        let image = Platform {
            manifest: descriptor(MANIFEST, "manifest"),
            config: descriptor(CONFIG, "config"),
            layers: Vec::new(),
        };
        Entry {
            root: Some(descriptor(crate::images::layout::INDEX, "index")),
            platforms: BTreeMap::from([("linux/amd64".to_owned(), image)]),
            ..Entry::default()
        }
    }

    #[test]
    fn an_image_is_known_by_its_index_its_manifest_and_its_configuration() {
        for text in ["index", "manifest", "config"] {
            assert_eq!(judged(&entry(), Some(Digest::of(text))), Found::Same);
            assert_eq!(runs(&entry(), &format!("a.b/c@{}", Digest::of(text))), Found::Same);
            assert_eq!(runs(&entry(), &Digest::of(text).to_string()), Found::Same);
        }
        assert!(matches!(judged(&entry(), Some(Digest::of("x"))), Found::Other(_)));
        assert!(matches!(runs(&entry(), "docker-pullable://a"), Found::Other(_)));
        assert_eq!(judged(&entry(), None), Found::Absent);
    }

    #[test]
    fn every_place_with_something_else_is_told() {
        let image: Reference = "a.b/c:1".parse().expect("a reference");
        let other = || Found::Other("sha256:12".to_owned());
        let row = Row {
            image: image.clone(),
            digest: Some(Digest::of("index")),
            upstream: Found::Unasked,
            mirror: other(),
            bundle: Found::Same,
            nodes: BTreeMap::from([("n1".to_owned(), Found::Same), ("n2".to_owned(), other())]),
            pods: BTreeMap::new(),
        };
        let unlocked = BTreeMap::from([(image, BTreeSet::from(["ns/pod".to_owned()]))]);
        let proof = Proof { images: vec![row], unlocked };
        insta::assert_snapshot!(proof.problems().join("\n"), @"
        a.b/c:1: the lab's registry has sha256:12
        a.b/c:1: the node n2 has sha256:12
        a.b/c:1 is not in the lock, but runs in ns/pod
        ");
        let table = proof.to_string();
        assert!(table.contains("1 same, 1 OTHER") && table.contains("OTHER     same"), "{table}");
    }
}
