//! What must be true of a lab file beyond its shape: files are there, names are unique, sections agree.
//! Reads the tree itself, so that a fault of shape in one place hides nothing in another.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::check::nearest;
use super::problem::Problem;
use crate::images::reference::Reference;
use crate::images::registry::Mirror;
use crate::paths;
use crate::yaml::{Node, Tree};

/// What is right where a reference is wrong.
const REFERENCE: &str = "an image is written `[registry/]repository[:tag][@sha256:…]`";

const OBJECTS: [&str; 3] = ["yaml", "yml", "json"];

/// What is wrong with `root`, a lab file in the folder `dir`.
pub(super) fn check(root: &Node, file: &Utf8Path, dir: &Utf8Path) -> Vec<Problem> {
    let mut facts = Facts { root, file, dir, problems: Vec::new() };
    facts.files();
    facts.unique("addons");
    facts.unique("applications");
    facts.addons();
    facts.tracing();
    facts.applications();
    facts.cluster();
    facts.images();
    facts.alternates();
    facts.tags();
    facts.problems
}

/// The text of a node that is text.
pub(super) fn text(node: &Node) -> Option<&str> {
    match &node.tree {
        Tree::Scalar(Value::String(text)) => Some(text),
        _ => None,
    }
}

pub(super) fn items<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    match node.get(key).map(|node| &node.tree) {
        Some(Tree::List(nodes)) => nodes,
        _ => &[],
    }
}

/// A path of the lab file, from the root and without `..`; links are left as they are.
pub(super) fn absolute(dir: &Utf8Path, path: &str) -> Utf8PathBuf {
    let mut absolute = Utf8PathBuf::new();
    for part in dir.join(path).components() {
        match part {
            camino::Utf8Component::ParentDir => drop(absolute.pop()),
            camino::Utf8Component::CurDir => {}
            other => absolute.push(other),
        }
    }
    absolute
}

/// The folder of a known add-on: `manifests/addons/NAME` beside the lab file or above it, else of istiolab's
/// own sources.
pub(super) fn own_objects(dir: &Utf8Path, name: &str) -> Option<Utf8PathBuf> {
    let folders = dir.ancestors().chain([Utf8Path::new(paths::SOURCES)]);
    folders.map(|dir| dir.join("manifests/addons").join(name)).find(|dir| dir.is_dir())
}

/// Whether a file with one of `endings` is in `dir` itself: folders in it are not read.
fn holds(dir: &Utf8Path, endings: &[&str]) -> bool {
    let mut entries = dir.read_dir_utf8().into_iter().flatten().flatten();
    entries.any(|entry| entry.path().extension().is_some_and(|ending| endings.contains(&ending)))
}

struct Facts<'a> {
    root: &'a Node,
    file: &'a Utf8Path,
    dir: &'a Utf8Path,
    problems: Vec<Problem>,
}

impl<'a> Facts<'a> {
    fn problem(&mut self, at: &Node, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::at(self.file, at.line, at.column, message).hint(hint));
    }

    fn files(&mut self) {
        let root = self.root;
        if let Some(mesh) = root.get("mesh") {
            if let Some((at, path)) = mesh.get("operator").and_then(|at| Some((at, text(at)?)))
                && !absolute(self.dir, path).is_file()
            {
                self.problem(at, format!("no such file: {path}"), self.relative());
            }
            self.paths(mesh, "objects", &OBJECTS);
        }
        for owner in items(root, "addons").iter().chain(items(root, "applications")) {
            self.paths(owner, "objects", &OBJECTS);
        }
        if let Some(features) = root.get("features") {
            self.paths(features, "paths", &["feature"]);
        }
    }

    /// What is listed under `key` must be there; a folder must hold a file with one of `endings`.
    fn paths(&mut self, owner: &'a Node, key: &str, endings: &[&str]) {
        for at in items(owner, key) {
            let Some(path) = text(at) else { continue };
            let absolute = absolute(self.dir, path);
            if !absolute.exists() {
                self.problem(at, format!("no such file or folder: {path}"), self.relative());
            } else if absolute.is_dir() && !holds(&absolute, endings) {
                let wanted = endings.iter().map(|ending| format!("*.{ending}")).collect::<Vec<_>>().join(", ");
                self.problem(at, format!("the folder {path} holds no file to read"), format!("looked for {wanted}"));
            }
        }
    }

    fn relative(&self) -> String {
        format!("paths are relative to {}", self.dir)
    }

    fn unique(&mut self, key: &str) {
        let mut first: BTreeMap<&str, u64> = BTreeMap::new();
        for at in items(self.root, key).iter().filter_map(|item| item.get("name")) {
            let Some(name) = text(at) else { continue };
            if let Some(line) = first.get(name) {
                let hint = format!("the first is in line {line}");
                self.problem(at, format!("`{name}` stands twice in `{key}`"), hint);
            } else {
                first.insert(name, at.line);
            }
        }
    }

    fn addons(&mut self) {
        for item in items(self.root, "addons").iter().filter(|item| items(item, "objects").is_empty()) {
            let Some((at, name)) = item.get("name").and_then(|at| Some((at, text(at)?))) else { continue };
            if !super::ADDONS.contains(&name) {
                let near =
                    nearest(name, super::ADDONS).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
                let hint = format!("{near}known: {}; any other needs `objects`", super::ADDONS.join(", "));
                self.problem(at, format!("unknown add-on `{name}`"), hint);
            } else if own_objects(self.dir, name).is_none() {
                let message =
                    format!("no folder manifests/addons/{name} beside the lab file, above it or in {}", paths::SOURCES);
                self.problem(at, message, "give the add-on `objects`");
            }
        }
    }

    /// Add-ons that keep traces bring the same Service.
    fn tracing(&mut self) {
        let own = items(self.root, "addons").iter().filter(|item| items(item, "objects").is_empty());
        let named = own.filter_map(|item| item.get("name")).filter_map(|at| Some((at, text(at)?)));
        let mut kept: Vec<(&Node, &str)> = named.filter(|(_, name)| super::TRACING.contains(name)).collect();
        kept.dedup_by_key(|(_, name)| *name);
        if let [(first, one), (at, other), ..] = kept[..] {
            let message = format!("`{one}` and `{other}` can't be in one lab: both are the Service `zipkin`");
            self.problem(at, message, format!("keep one of them; `{one}` stands in line {}", first.line));
        }
    }

    fn applications(&mut self) {
        let has_mesh = self.root.get("mesh").is_some();
        let default = if has_mesh { "auto" } else { "none" };
        // Automatic injection is a matter of the namespace, so its applications must agree.
        let mut namespaces: BTreeMap<&str, (&str, bool)> = BTreeMap::new();
        for item in items(self.root, "applications") {
            let Some(name) = item.get("name").and_then(text) else { continue };
            let injection = item.get("injection").map_or(Some(default), text).unwrap_or_default();
            if matches!(injection, "auto" | "manual") && !has_mesh {
                let message = format!("`{name}` is to be injected, but the lab has no mesh");
                let at = item.get("injection").unwrap_or(item);
                self.problem(at, message, "add `mesh`, or take `injection: none`");
            }
            let namespace = item.get("namespace").map_or(Some(name), text).unwrap_or_default();
            let auto = injection == "auto";
            match namespaces.get(namespace) {
                Some((first, other)) if *other != auto => {
                    let message = format!(
                        "`{first}` and `{name}` share the namespace `{namespace}`, but only one is injected automatically"
                    );
                    self.problem(item, message, "give one of them a namespace of its own");
                }
                Some(_) => {}
                None => drop(namespaces.insert(namespace, (name, auto))),
            }
        }
    }

    fn cluster(&mut self) {
        let Some(cluster) = self.root.get("cluster") else { return };
        let Some(config) = cluster.get("config") else { return };
        for (key, allowed, instead) in [
            ("name", None, "`name` says that"),
            ("kind", Some("Cluster"), "leave it out"),
            ("apiVersion", Some("kind.x-k8s.io/v1alpha4"), "leave it out"),
        ] {
            if let Some(at) = config.get(key).filter(|at| allowed.is_none() || text(at) != allowed) {
                let value = at.clone().into_value();
                self.problem(at, format!("`cluster.config.{key}` can't be {value}"), instead);
            }
        }
        if let (Some(at), Some(_)) = (config.get("nodes"), cluster.get("nodes")) {
            let message = "`cluster.nodes` and `cluster.config.nodes` both say which nodes there are";
            self.problem(at, message, "keep one of them");
        }
    }

    fn images(&mut self) {
        let Some(images) = self.root.get("images") else { return };
        let source = images.get("source");
        match (images.get("registry"), source.and_then(text)) {
            (None, Some("registry")) => {
                let hint = "add `registry:` beside it, or write `source: parts`";
                self.problem(source.unwrap_or(images), "`images.source: registry` names no registry".to_owned(), hint);
            }
            (Some(at), source) => {
                let wrong = text(at).and_then(|text| Mirror::parse(text).err());
                if let Some(error) = wrong {
                    self.problem(at, format!("`images.registry`: {error}"), "write it as registry.example.com/path");
                } else if source == Some("parts") {
                    self.problem(at, "`images.source: parts` asks no registry".to_owned(), "keep one of them");
                }
            }
            _ => {}
        }
    }

    fn alternates(&mut self) {
        let Some(Tree::Map(entries)) =
            self.root.get("images").and_then(|images| images.get("alternates")).map(|at| &at.tree)
        else {
            return;
        };
        let mut seen: BTreeMap<Reference, u64> = BTreeMap::new();
        for entry in entries {
            let at = Node { tree: Tree::Scalar(Value::Null), line: entry.line, column: entry.column };
            match entry.key.parse::<Reference>().map(Reference::complete) {
                Err(error) => self.problem(&at, error.to_string(), REFERENCE),
                Ok(image) => {
                    if let Some(line) = seen.insert(image, entry.line) {
                        let message = format!("`{}` stands twice in `images.alternates`", entry.key);
                        self.problem(&at, message, format!("the first is in line {line}"));
                    }
                }
            }
            let Tree::List(places) = &entry.value.tree else { continue };
            for place in places {
                if let Some(Err(error)) = text(place).map(str::parse::<Reference>) {
                    self.problem(place, error.to_string(), REFERENCE);
                }
            }
        }
    }

    fn tags(&mut self) {
        let Some(at) = self.root.get("features").and_then(|features| features.get("tags")) else { return };
        let parsed = text(at).map(str::parse::<cucumber::gherkin::tagexpr::TagOperation>);
        if let Some(Err(error)) = parsed {
            let reason = error.to_string();
            let reason = reason.lines().next().unwrap_or_default();
            let message = format!("`features.tags` is no tag expression: {reason}");
            self.problem(at, message, "write it as \"@mtls and not @slow\"");
        }
    }
}
