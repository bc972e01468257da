//! A lab with everything that making it needs: its objects, the parts that they name, and the
//! places on this machine that belong to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bollard::Docker;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{demand, project};
use crate::cluster::{self, Node, Provider as _, kind};
use crate::error::{Failure, Kind};
use crate::images::content::Content;
use crate::images::digest::Digest;
use crate::images::engine;
use crate::images::layout::Layout;
use crate::images::reference::Reference;
use crate::images::registry::{Access, Mirror};
use crate::objects::{self, Object};
use crate::parts::{self, Built, Fetched, Recipes};
use crate::paths::Paths;
use crate::plan::event::Progress;
use crate::spec::{Addon, Application, Lab, Source};

/// The part with the node image, whose version is Kubernetes'.
pub(super) const NODE: &str = "node";
/// The part with a node image that has the images of common labs inside.
pub(super) const FULL_NODE: &str = "node-lab";
/// The part with Istio's images and `istioctl`.
pub(super) const ISTIO: &str = "istio";
/// The part with the `kind` program.
const KIND: &str = "kind";
/// The part with the image that kind puts before several control planes.
pub(super) const LOAD_BALANCER: &str = "load-balancer";
/// The part with the image of the lab's registry.
pub(super) const REGISTRY: &str = "registry";

/// A lab that can be made.
pub struct Site {
    /// What the lab file says.
    pub lab: Lab,
    /// The user's folders.
    pub paths: Paths,
    /// How registries are reached.
    pub access: Access,
    /// The lab's own state folder.
    pub folder: Utf8PathBuf,
    /// The project that the lab file is part of.
    pub project: Utf8PathBuf,
    /// The objects of each add-on.
    pub addons: Vec<(Addon, Vec<Object>)>,
    /// The objects of each application.
    pub applications: Vec<(Application, Vec<Object>)>,
    /// Objects that go with the mesh.
    pub mesh_objects: Vec<Object>,
}

/// Where what labs are made of may come from.
#[derive(Clone, Debug)]
pub enum Supply {
    /// As the lab file says.
    Open,
    /// From these bundles alone.
    Given(Bundles),
    /// Only what was built or fetched before.
    Here,
}

/// Bundles that a lab is made of.
#[derive(Clone, Debug)]
pub struct Bundles {
    /// What is in them.
    pub content: Arc<dyn Content>,
    /// The files, absolute, the newest first.
    pub files: Vec<Utf8PathBuf>,
    /// This program's file, which serves them to the nodes.
    pub program: Utf8PathBuf,
}

/// What was built for a lab.
pub struct Stock {
    /// Where the images are.
    pub store: Layout,
    /// Images by their full names.
    pub images: BTreeMap<String, Digest>,
    /// The node image's full name.
    pub node: String,
    /// Images that stand in the node image, by their full names.
    pub standing: BTreeSet<String>,
    /// The full name of the image that stands before several control planes, where there are several.
    pub load_balancer: Option<String>,
    /// The registry image's full name.
    pub registry: String,
    /// Bundles that serve the images in place of the lab's registry.
    pub bundles: Option<Bundles>,
    /// The `kind` program.
    pub kind: Utf8PathBuf,
    /// The `istioctl` program, where the lab has a mesh, with the version that its images are
    /// tagged with.
    pub istio: Option<(Utf8PathBuf, String)>,
}

impl Site {
    /// Reads the lab's objects.
    ///
    /// # Errors
    /// [`Kind::BadInput`] for files that can't be read or hold no objects.
    pub fn open(lab: Lab, paths: &Paths, access: Access) -> Result<Self, Failure> {
        let load = |paths: &[Utf8PathBuf]| objects::load(paths).map_err(Failure::from);
        let addons = lab.addons.iter().map(|addon| Ok((addon.clone(), load(&addon.objects)?)));
        let addons = addons.collect::<Result<Vec<_>, Failure>>()?;
        let applications =
            lab.applications.iter().map(|application| Ok((application.clone(), load(&application.objects)?)));
        let applications = applications.collect::<Result<Vec<_>, Failure>>()?;
        let mesh_objects = lab.mesh.as_ref().map_or(Ok(Vec::new()), |mesh| load(&mesh.objects))?;
        Ok(Self {
            folder: paths.lab(&lab.name),
            project: project::root(&lab.dir)?,
            paths: paths.clone(),
            access,
            addons,
            applications,
            mesh_objects,
            lab,
        })
    }

    /// Every object that the lab file names.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Object> {
        let addons = self.addons.iter().flat_map(|(_, objects)| objects);
        let applications = self.applications.iter().flat_map(|(_, objects)| objects);
        addons.chain(applications).chain(&self.mesh_objects)
    }

    fn documents(&self) -> impl Iterator<Item = &Value> {
        self.objects().map(|object| &object.document)
    }

    /// The parts that the lab needs, by name.
    pub(super) fn wanted(&self, recipes: &Recipes) -> Result<Vec<String>, Failure> {
        let version =
            |part: &str| recipes.iter().find(|recipe| recipe.name == part).map(|recipe| recipe.version.as_str());
        self.check_version("cluster.kubernetes", &self.lab.cluster.kubernetes, version(NODE))?;
        let mut wanted = BTreeSet::from([self.node_part(recipes), KIND, REGISTRY].map(str::to_owned));
        if self.has_load_balancer() {
            wanted.insert(LOAD_BALANCER.to_owned());
        }
        if let Some(mesh) = &self.lab.mesh {
            self.check_version("mesh.version", &mesh.version, version(ISTIO))?;
            wanted.insert(ISTIO.to_owned());
        }
        let images = demand::images(self.documents());
        for recipe in recipes.iter() {
            if recipe.images.iter().any(|image| images.contains(&image.full_name(recipe))) {
                wanted.insert(recipe.name.clone());
            }
        }
        Ok(wanted.into_iter().collect())
    }

    /// Whether there are several control planes, which kind puts a load balancer before.
    pub(super) fn has_load_balancer(&self) -> bool {
        let cluster = &self.lab.cluster;
        cluster::config::counts(&cluster.config, cluster.nodes.control_planes, cluster.nodes.workers).0 > 1
    }

    /// The part with the node image that the lab runs on.
    pub(super) fn node_part(&self, recipes: &Recipes) -> &'static str {
        if self.standing(recipes).is_empty() { NODE } else { FULL_NODE }
    }

    /// The images that stand in the full node image, if it has all that the lab needs. One that is
    /// there saves pulling and unpacking while the cluster boots; a node image for each lab of one's
    /// own would have to be built and loaded each time a manifest changes.
    fn standing(&self, recipes: &Recipes) -> BTreeSet<String> {
        let part = |name: &str| recipes.iter().find(|recipe| recipe.name == name);
        let entries = part(FULL_NODE).into_iter().flat_map(|recipe| recipe.layers.values().flatten());
        let inside = entries.flat_map(|entry| entry.images.iter().flatten()).filter_map(|name| part(name));
        let inside: BTreeSet<String> =
            inside.flat_map(|recipe| recipe.images.iter().map(|image| image.full_name(recipe))).collect();
        if demand::images(self.documents()).is_subset(&inside) { inside } else { BTreeSet::new() }
    }

    /// A version of the lab file is one that there is a recipe for: the same up to where it ends.
    fn check_version(&self, field: &str, asked: &str, made: Option<&str>) -> Result<(), Failure> {
        let made = made.unwrap_or("none");
        let plain = made.trim_start_matches('v');
        let fits = plain
            .strip_prefix(asked.trim_start_matches('v'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']));
        if fits {
            return Ok(());
        }
        let message = format!("{}: `{field}` asks for {asked}, which no recipe makes; there is {plain}", self.lab.file);
        Err(Failure::new(Kind::BadInput, message)
            .hint(format!("Write `{field}` as a version that `istiolab images list` shows.")))
    }

    /// The parts from what the user gave, which must have all of them.
    async fn given(
        &self,
        content: &Arc<dyn Content>,
        recipes: &Recipes,
        wanted: &[String],
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Vec<Built>, Failure> {
        match parts::fetch(recipes, wanted, &self.paths, content, progress, cancel).await? {
            Fetched::All(built) => Ok(built),
            Fetched::Missing(missing) => {
                let text =
                    format!("{} lacks parts as this project makes them: {}", content.describe(), names(&missing));
                Err(Failure::new(Kind::Unavailable, text)
                    .hint("Write it again from this version of the project: `istiolab images bundle`."))
            }
        }
    }

    /// The parts that were built or fetched before.
    async fn here(
        &self,
        recipes: &Recipes,
        wanted: &[String],
        cancel: &CancellationToken,
    ) -> Result<Vec<Built>, Failure> {
        let mut there = parts::found(recipes, wanted, self.fetches(), &self.paths, cancel).await?;
        let missing: Vec<&str> = wanted.iter().map(String::as_str).filter(|part| !there.contains_key(*part)).collect();
        if !missing.is_empty() {
            let text = format!("these parts are not built, and nothing may be fetched: {}", missing.join(", "));
            return Err(Failure::new(Kind::Refused, text)
                .hint("Give a bundle that has them (--bundle), or build them first: `istiolab images build`."));
        }
        // Another version of a part may have had the names meanwhile.
        let images: Vec<_> = there.values().flat_map(|found| found.images.clone()).collect();
        Layout::open(self.paths.cache.join("images"))?.name(&images)?;
        Ok(wanted.iter().filter_map(|part| there.remove(part)).map(|found| found.built).collect())
    }

    /// Whether the lab file names a registry that parts come from.
    pub(super) fn fetches(&self) -> bool {
        self.lab.images.registry.is_some() && self.lab.images.source != Source::Parts
    }

    /// The parts from the registry that the lab file names; `None` if they are to be built.
    async fn fetch(
        &self,
        recipes: &Recipes,
        wanted: &[String],
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Option<Vec<Built>>, Failure> {
        let Some(registry) = self.lab.images.registry.as_ref().filter(|_| self.fetches()) else { return Ok(None) };
        let mirror = Mirror::at(registry, &self.access)?;
        let must = self.lab.images.source == Source::Registry;
        if let Err(error) = mirror.client().ping().await {
            if must {
                return Err(
                    Failure::from(error).hint("`images.source: auto` builds the parts where no registry answers.")
                );
            }
            progress.note(format!("{registry} does not answer: the parts are built."));
            return Ok(None);
        }
        let mirror: Arc<dyn Content> = Arc::new(mirror);
        match parts::fetch(recipes, wanted, &self.paths, &mirror, progress, cancel).await? {
            Fetched::All(built) => Ok(Some(built)),
            Fetched::Missing(missing) if must => {
                let text = format!("{registry} lacks these parts as this project makes them: {}", names(&missing));
                Err(Failure::new(Kind::Unavailable, text).hint(format!(
                    "On a machine that can build them, run `istiolab images mirror --to {registry} -f {}`.",
                    self.lab.file
                )))
            }
            Fetched::Missing(missing) => {
                progress.note(format!("{registry} lacks {} parts: they are built.", missing.len()));
                Ok(None)
            }
        }
    }

    /// The project's recipes.
    ///
    /// # Errors
    /// [`Kind::BadInput`] for recipes that are wrong.
    pub(super) fn recipes(&self) -> Result<Recipes, Failure> {
        Recipes::load(self.project.join("parts")).map_err(Failure::from)
    }

    /// The parts called `wanted`, fetched or built as the lab file says.
    pub(super) async fn built(
        &self,
        recipes: &Recipes,
        wanted: &[String],
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Vec<Built>, Failure> {
        match self.fetch(recipes, wanted, progress, cancel).await? {
            Some(fetched) => Ok(fetched),
            None => parts::build(recipes, wanted, &self.paths, progress, cancel).await,
        }
    }

    /// Fetches or builds what is missing of the parts that the lab needs.
    ///
    /// # Errors
    /// Those of [`parts::fetch`] and [`parts::build`]; [`Kind::BadInput`] for versions that no recipe makes.
    pub async fn stock(
        &self,
        supply: &Supply,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Stock, Failure> {
        let recipes = self.recipes()?;
        let wanted = self.wanted(&recipes)?;
        let built = match supply {
            Supply::Given(bundles) => self.given(&bundles.content, &recipes, &wanted, progress, cancel).await?,
            Supply::Open => self.built(&recipes, &wanted, progress, cancel).await?,
            Supply::Here => self.here(&recipes, &wanted, cancel).await?,
        };
        let part = |name: &str| {
            built
                .iter()
                .find(|part| part.name == name)
                .ok_or_else(|| Failure::new(Kind::Unexpected, format!("the part `{name}` was not built")))
        };
        let image = |name: &str| {
            let images = &part(name)?.images;
            images
                .first()
                .map(|image| image.name.clone())
                .ok_or_else(|| Failure::new(Kind::Unexpected, format!("the part `{name}` has no image")))
        };
        let file = |name: &str, file: &str| {
            part(name)?
                .files
                .get(file)
                .cloned()
                .ok_or_else(|| Failure::new(Kind::Unexpected, format!("the part `{name}` has no file `{file}`")))
        };
        let standing = self.standing(&recipes);
        let istio = match &self.lab.mesh {
            Some(_) => Some((file(ISTIO, "istioctl")?, part(ISTIO)?.version.clone())),
            None => None,
        };
        let needed = demand::images(self.documents());
        let in_mesh = |name: &str| {
            self.lab.mesh.is_some() && part(ISTIO).is_ok_and(|part| part.images.iter().any(|image| image.name == name))
        };
        let images = built
            .iter()
            .flat_map(|part| &part.images)
            .filter(|image| needed.contains(&image.name) || in_mesh(&image.name));
        Ok(Stock {
            store: Layout::open(self.paths.cache.join("images")).map_err(Failure::from)?,
            node: image(self.node_part(&recipes))?,
            standing,
            load_balancer: if self.has_load_balancer() { Some(image(LOAD_BALANCER)?) } else { None },
            registry: image(REGISTRY)?,
            bundles: if let Supply::Given(bundles) = supply { Some(bundles.clone()) } else { None },
            kind: file(KIND, "kind")?,
            istio,
            images: images.map(|image| (image.name.clone(), image.digest)).collect(),
        })
    }
}

/// The parts that artifacts are of.
fn names(artifacts: &[Reference]) -> String {
    let names: Vec<&str> = artifacts.iter().filter_map(|artifact| artifact.repository().rsplit('/').next()).collect();
    names.join(", ")
}

/// The lab's cluster by its provider; `kind` is the provider's program.
#[must_use]
pub fn provider(kind: &Utf8Path, docker: &Docker, lab: &Lab, folder: &Utf8Path) -> Arc<kind::Kind> {
    Arc::new(kind::Kind::new(kind, docker.clone(), &lab.name, folder))
}

/// The lab's nodes that run, by its provider: there is at least one.
///
/// # Errors
/// [`Kind::Unavailable`] if the lab is not up; what the engine fails with.
pub(super) async fn running_nodes(docker: &Docker, lab: &Lab, folder: &Utf8Path) -> Result<Vec<Node>, Failure> {
    let mut nodes = provider(Utf8Path::new(KIND), docker, lab, folder).nodes().await?;
    nodes.retain(|node| node.is_kubernetes() && node.running);
    if nodes.is_empty() {
        return Err(Failure::new(Kind::Unavailable, format!("the lab `{}` is not up", lab.name))
            .hint("Run `istiolab up` first."));
    }
    Ok(nodes)
}

/// The container engine.
///
/// # Errors
/// [`Kind::Unavailable`] with the reason and what to do.
pub async fn engine() -> Result<Docker, Failure> {
    engine::connect().await.map_err(Failure::from)
}
