//! From the file as written to the lab: defaults and absolute paths. What a schema can't express is
//! checked by [`super::facts`]; both work on whatever can be read, so that no fault hides another.

use camino::{Utf8Path, Utf8PathBuf};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::facts::{absolute, own_objects, text};
use super::lab::{
    Addon, Application, Cluster, Features, Grace, Images, Lab, Mesh, Nodes, Program, Readiness, Registry,
};
use super::raw::{self, Injection};
use crate::images::reference::Reference;
use crate::yaml::{Node, Tree};

/// The version of Kubernetes that a lab gets which names none.
const KUBERNETES: &str = "1.34";

/// The lab that lies at `path`, if every section has the right shape.
pub(super) fn resolve(root: &Node, path: &Utf8Path) -> Option<Lab> {
    let dir = path.parent().unwrap_or(Utf8Path::new("/"));
    let mesh: Option<raw::Mesh> = section(root, "mesh")?;
    let has_mesh = mesh.is_some();
    let registry: raw::Registry = section(root, "registry")?;
    Some(Lab {
        name: root.get("name").and_then(text)?.to_owned(),
        file: path.to_owned(),
        dir: dir.to_owned(),
        cluster: cluster(section(root, "cluster")?),
        images: images(&section(root, "images")?)?,
        registry: Registry { port: registry.port },
        mesh: mesh.map(|raw| resolved_mesh(raw, dir)),
        addons: list(root, "addons", |raw| addon(raw, dir))?,
        applications: list(root, "applications", |raw| application(raw, dir, has_mesh))?,
        readiness: list(root, "readiness", readiness)?,
        grace: grace(&section(root, "grace")?),
        features: features(section(root, "features")?, dir),
    })
}

/// A section of the file, or its default if it is left out.
fn section<T: DeserializeOwned>(root: &Node, key: &str) -> Option<T> {
    let value = root.get(key).map_or_else(
        // What is optional as a whole takes `null`; `{}` fills in a structure's defaults.
        || serde_json::from_value(Value::Null).or_else(|_| serde_json::from_str("{}")),
        |node| serde_json::from_value(node.clone().into_value()),
    );
    value.ok()
}

fn list<T: DeserializeOwned, R>(root: &Node, key: &str, each: impl Fn(T) -> R) -> Option<Vec<R>> {
    let Some(node) = root.get(key) else { return Some(Vec::new()) };
    let Tree::List(nodes) = &node.tree else { return None };
    nodes.iter().map(|node| serde_json::from_value(node.clone().into_value()).ok().map(&each)).collect()
}

fn cluster(raw: raw::Cluster) -> Cluster {
    Cluster {
        provider: raw.provider,
        kubernetes: raw.kubernetes.unwrap_or_else(|| KUBERNETES.to_owned()),
        nodes: Nodes { control_planes: raw.nodes.control_planes, workers: raw.nodes.workers },
        config: Value::Object(raw.config),
    }
}

fn images(raw: &raw::Images) -> Option<Images> {
    let reference = |text: &str| text.parse::<Reference>().ok().map(Reference::complete);
    let alternates = raw.alternates.iter().map(|(image, places)| {
        Some((reference(image)?, places.iter().map(|place| reference(place)).collect::<Option<Vec<_>>>()?))
    });
    Some(Images { source: raw.source, registry: raw.registry.clone(), alternates: alternates.collect::<Option<_>>()? })
}

fn resolved_mesh(raw: raw::Mesh, dir: &Utf8Path) -> Mesh {
    let set = raw.set.into_iter().map(|(key, value)| match value {
        raw::Setting::Text(text) => (key, text),
        raw::Setting::Flag(flag) => (key, flag.to_string()),
        raw::Setting::Whole(number) => (key, number.to_string()),
    });
    Mesh {
        version: raw.version,
        profile: raw.profile,
        operator: raw.operator.map(|operator| absolute(dir, &operator)),
        set: set.collect(),
        objects: paths(&raw.objects, dir),
    }
}

fn addon(raw: raw::Addon, dir: &Utf8Path) -> Addon {
    let objects = if raw.objects.is_empty() {
        own_objects(dir, &raw.name).into_iter().collect()
    } else {
        paths(&raw.objects, dir)
    };
    Addon { name: raw.name, objects }
}

fn application(raw: raw::Application, dir: &Utf8Path, has_mesh: bool) -> Application {
    Application {
        namespace: raw.namespace.unwrap_or_else(|| raw.name.clone()),
        injection: raw.injection.unwrap_or(if has_mesh { Injection::Auto } else { Injection::None }),
        objects: paths(&raw.objects, dir),
        name: raw.name,
    }
}

fn readiness(raw: raw::Readiness) -> Readiness {
    Readiness { kind: raw.kind, group: raw.group, expression: raw.expression, failed: raw.failed, message: raw.message }
}

fn grace(raw: &raw::Grace) -> Grace {
    // What is no time has not the right shape, which the schema tells.
    let time = |text: &Option<String>| text.as_deref().and_then(|text| humantime::parse_duration(text).ok());
    Grace {
        image: time(&raw.image),
        container: time(&raw.container),
        crash: time(&raw.crash),
        scheduling: time(&raw.scheduling),
    }
}

fn features(raw: raw::Features, dir: &Utf8Path) -> Features {
    let deadline = raw.deadline.and_then(|text| humantime::parse_duration(&text).ok());
    Features {
        paths: paths(&raw.paths, dir),
        tags: raw.tags,
        known_tags: raw.known_tags,
        parallel: raw.parallel,
        deadline: deadline.unwrap_or(Features::DEADLINE),
        programs: raw.programs.into_iter().map(|(name, raw)| (name.clone(), program(name, raw, dir))).collect(),
    }
}

fn program(name: String, raw: raw::Program, dir: &Utf8Path) -> Program {
    let path = match raw.path {
        Some(path) if path.contains('/') => absolute(dir, &path).into_string(),
        Some(path) => path,
        None => name,
    };
    Program { path, version: raw.version, version_arguments: raw.version_arguments }
}

fn paths(given: &[String], dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    given.iter().map(|path| absolute(dir, path)).collect()
}
