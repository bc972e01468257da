//! From the file as written to the lab: defaults, absolute paths, and the checks that a schema can't
//! express. Works on whatever can be read, so that its problems stand beside the schema's.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check::nearest;
use super::lab::{Addon, Application, Cluster, Features, Images, Lab, Mesh, Nodes, Registry};
use super::problem::Problem;
use super::raw::{self, Injection};
use crate::yaml::{Node, Tree};

/// The version of Kubernetes that a lab gets which names none.
const KUBERNETES: &str = "1.34";

/// The lab, if the file can be read as one. Adds to `problems` what is wrong beyond the schema.
pub(super) fn resolve(root: &Node, shown: &Utf8Path, path: &Utf8Path, problems: &mut Vec<Problem>) -> Option<Lab> {
    let dir = path.parent().unwrap_or(Utf8Path::new("/")).to_owned();
    let mut resolver = Resolver { root, shown, dir: &dir, problems };
    let cluster = resolver.section::<raw::Cluster>("cluster").map(|raw| resolver.cluster(raw));
    let mesh = resolver.root.get("mesh").is_some();
    let mesh_settings = resolver.section::<Option<raw::Mesh>>("mesh").map(|raw| raw.map(|raw| resolver.mesh(raw)));
    let addons = resolver.list::<raw::Addon, _>("addons", Resolver::addon);
    let applications =
        resolver.list::<raw::Application, _>("applications", |resolver, raw, at| resolver.application(raw, at, mesh));
    if let Some(applications) = &applications {
        resolver.namespaces(applications);
    }
    let features = resolver.section::<raw::Features>("features").map(|raw| resolver.features(raw));
    let name = root.get("name").and_then(text)?;
    let images: raw::Images = resolver.section("images")?;
    let registry: raw::Registry = resolver.section("registry")?;
    // What the sections above did not cover must be readable as a whole.
    let _: raw::Lab = serde_json::from_value(root.clone().into_value()).ok()?;
    Some(Lab {
        name,
        file: path.to_owned(),
        cluster: cluster?,
        images: Images { source: images.source },
        registry: Registry { port: registry.port },
        mesh: mesh_settings?,
        addons: addons?,
        applications: applications?,
        features: features?,
        dir,
    })
}

fn text(node: &Node) -> Option<String> {
    match &node.tree {
        Tree::Scalar(Value::String(text)) => Some(text.clone()),
        _ => None,
    }
}

struct Resolver<'a> {
    root: &'a Node,
    shown: &'a Utf8Path,
    dir: &'a Utf8Path,
    problems: &'a mut Vec<Problem>,
}

impl Resolver<'_> {
    /// A section of the file, its default if it is left out; `None` if the schema refused it.
    fn section<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let value = self.root.get(key).map_or_else(
            // `{}` fills in a structure's defaults; what is optional as a whole takes `null`.
            || {
                serde_json::from_value(Value::Null)
                    .or_else(|_| serde_json::from_value(Value::Object(serde_json::Map::new())))
            },
            |node| serde_json::from_value(node.clone().into_value()),
        );
        value.ok()
    }

    /// The entries of a list of named things, with duplicate names found.
    fn list<T: DeserializeOwned, R>(
        &mut self,
        key: &str,
        mut each: impl FnMut(&mut Self, T, &Node) -> R,
    ) -> Option<Vec<R>> {
        let Some(node) = self.root.get(key) else { return Some(Vec::new()) };
        let Tree::List(nodes) = &node.tree else { return None };
        let mut first: BTreeMap<String, u64> = BTreeMap::new();
        let mut all = Vec::new();
        for node in nodes {
            if let Some((name, at)) = node.get("name").and_then(|at| Some((text(at)?, at))) {
                if let Some(line) = first.get(&name) {
                    self.problem(
                        at,
                        format!("`{name}` stands twice in `{key}`"),
                        format!("the first is in line {line}"),
                    );
                } else {
                    first.insert(name, at.line);
                }
            }
            all.push(serde_json::from_value(node.clone().into_value()).ok().map(|raw| each(self, raw, node)));
        }
        all.into_iter().collect()
    }

    fn cluster(&mut self, raw: raw::Cluster) -> Cluster {
        for (key, instead) in [("name", "name"), ("kind", "cluster.provider"), ("apiVersion", "cluster.provider")] {
            let fixed = [("kind", "Cluster"), ("apiVersion", "kind.x-k8s.io/v1alpha4")];
            if let Some(value) =
                raw.config.get(key).filter(|value| !fixed.iter().any(|&(k, v)| k == key && *value == v))
            {
                let at = self.root.nearest(&format!("/cluster/config/{key}"));
                let message = format!("`cluster.config.{key}` can't be {value}");
                self.problem(at, message, format!("`{instead}` says that"));
            }
        }
        if raw.config.contains_key("nodes") && self.root.nearest("/cluster").get("nodes").is_some() {
            let at = self.root.nearest("/cluster/config/nodes");
            self.problem(
                at,
                "`cluster.nodes` and `cluster.config.nodes` both say which nodes there are",
                "keep one of them",
            );
        }
        Cluster {
            provider: raw.provider,
            kubernetes: raw.kubernetes.unwrap_or_else(|| KUBERNETES.to_owned()),
            nodes: Nodes { control_planes: raw.nodes.control_planes, workers: raw.nodes.workers },
            config: Value::Object(raw.config),
        }
    }

    fn mesh(&mut self, raw: raw::Mesh) -> Mesh {
        let operator = raw.operator.map(|operator| {
            let at = self.root.nearest("/mesh/operator");
            let path = self.absolute(&operator);
            if !path.is_file() {
                self.problem(at, format!("no such file: {operator}"), self.relative());
            }
            path
        });
        let set = raw.set.into_iter().map(|(key, value)| match value {
            raw::Setting::Text(text) => (key, text),
            raw::Setting::Flag(flag) => (key, flag.to_string()),
            raw::Setting::Whole(number) => (key, number.to_string()),
        });
        Mesh {
            version: raw.version,
            profile: raw.profile,
            operator,
            set: set.collect(),
            objects: self.paths(&raw.objects, "/mesh/objects", &["yaml", "yml", "json"]),
        }
    }

    fn addon(&mut self, raw: raw::Addon, at: &Node) -> Addon {
        let objects = if raw.objects.is_empty() {
            self.own_objects(&raw.name, at.get("name").unwrap_or(at)).into_iter().collect()
        } else {
            self.paths_of(&raw.objects, at.get("objects").unwrap_or(at), &["yaml", "yml", "json"])
        };
        Addon { name: raw.name, objects }
    }

    /// The folder of a known add-on: `manifests/addons/NAME` beside the lab file or above it.
    fn own_objects(&mut self, name: &str, at: &Node) -> Option<Utf8PathBuf> {
        if !super::ADDONS.contains(&name) {
            let known = super::ADDONS.join(", ");
            let hint = nearest(name, super::ADDONS).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            self.problem(
                at,
                format!("unknown add-on `{name}`"),
                format!("{hint}known: {known}; any other needs `objects`"),
            );
            return None;
        }
        let below = Utf8Path::new("manifests/addons").join(name);
        let found = self.dir.ancestors().map(|dir| dir.join(&below)).find(|dir| dir.is_dir());
        if found.is_none() {
            let hint = "keep the lab file in the project, or give the add-on `objects`".to_owned();
            self.problem(at, format!("no folder {below} beside the lab file or above it"), hint);
        }
        found
    }

    fn application(&mut self, raw: raw::Application, at: &Node, mesh: bool) -> Application {
        let injection = raw.injection.unwrap_or(if mesh { Injection::Auto } else { Injection::None });
        if injection != Injection::None && !mesh {
            let at = at.get("injection").unwrap_or(at);
            self.problem(
                at,
                format!("`{}` is to be injected, but the lab has no mesh", raw.name),
                "add `mesh`, or take `injection: none`",
            );
        }
        Application {
            namespace: raw.namespace.unwrap_or_else(|| raw.name.clone()),
            injection,
            objects: self.paths_of(&raw.objects, at.get("objects").unwrap_or(at), &["yaml", "yml", "json"]),
            name: raw.name,
        }
    }

    /// Automatic injection is a matter of the namespace, so its applications must agree.
    fn namespaces(&mut self, applications: &[Application]) {
        let auto = |application: &Application| application.injection == Injection::Auto;
        for (index, second) in applications.iter().enumerate() {
            let other = applications[..index]
                .iter()
                .find(|first| first.namespace == second.namespace && auto(first) != auto(second));
            if let Some(first) = other {
                let at = self.root.nearest(&format!("/applications/{index}"));
                let message = format!(
                    "`{}` and `{}` share the namespace `{}`, but only one is injected automatically",
                    first.name, second.name, second.namespace
                );
                self.problem(at, message, "give one of them a namespace of its own");
            }
        }
    }

    fn features(&mut self, raw: raw::Features) -> Features {
        if let Some(tags) = &raw.tags
            && let Err(error) = tags.parse::<cucumber::gherkin::tagexpr::TagOperation>()
        {
            let at = self.root.nearest("/features/tags");
            let reason = error.to_string();
            let message =
                format!("`features.tags` is no tag expression: {}", reason.lines().next().unwrap_or_default());
            self.problem(at, message, "write it as \"@mtls and not @slow\"");
        }
        Features {
            paths: self.paths(&raw.paths, "/features/paths", &["feature"]),
            tags: raw.tags,
            parallel: raw.parallel,
        }
    }

    fn paths(&mut self, given: &[String], pointer: &str, endings: &[&str]) -> Vec<Utf8PathBuf> {
        let at = self.root.nearest(pointer).clone();
        self.paths_of(given, &at, endings)
    }

    /// Absolute paths of what is there; the rest are problems. A folder must hold a file with one of `endings`.
    fn paths_of(&mut self, given: &[String], at: &Node, endings: &[&str]) -> Vec<Utf8PathBuf> {
        let mut paths = Vec::new();
        for (index, path) in given.iter().enumerate() {
            let at = at.nearest(&format!("/{index}"));
            let absolute = self.absolute(path);
            if !absolute.exists() {
                self.problem(at, format!("no such file or folder: {path}"), self.relative());
            } else if absolute.is_dir() && !holds(&absolute, endings) {
                let wanted = endings.iter().map(|ending| format!("*.{ending}")).collect::<Vec<_>>().join(", ");
                self.problem(at, format!("the folder {path} holds no file to read"), format!("looked for {wanted}"));
            }
            paths.push(absolute);
        }
        paths
    }

    fn absolute(&self, path: &str) -> Utf8PathBuf {
        let mut absolute = Utf8PathBuf::new();
        // `scenarios/../features` is read by people too; links are left as they are.
        for part in self.dir.join(path).components() {
            match part {
                camino::Utf8Component::ParentDir => drop(absolute.pop()),
                camino::Utf8Component::CurDir => {}
                other => absolute.push(other),
            }
        }
        absolute
    }

    fn relative(&self) -> String {
        format!("paths are relative to {}", self.dir)
    }

    fn problem(&mut self, at: &Node, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::at(self.shown, at.line, at.column, message).hint(hint));
    }
}

/// Whether a file with one of `endings` is in `dir` or below it.
fn holds(dir: &Utf8Path, endings: &[&str]) -> bool {
    dir.read_dir_utf8().into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        path.extension().is_some_and(|ending| endings.contains(&ending)) || (path.is_dir() && holds(path, endings))
    })
}
