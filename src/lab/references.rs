//! Every image that a lab will ever pull, with the places that name it: those of its objects and of the
//! rendered mesh, those that the mesh's webhook puts into pods, and those that nodes and registry run as.

use camino::Utf8Path;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::demand;
use super::site::{ISTIO, LOAD_BALANCER, NODE, REGISTRY, Site};
use crate::error::{Failure, Kind};
use crate::images::lock::{Error, Place, References};
use crate::images::reference::{self, Reference};
use crate::mesh::{self, Rendered};
use crate::objects::Object;
use crate::parts::{Recipe, Recipes};
use crate::plan::event::Progress;

/// Reads them. For a lab with a mesh its objects are rendered, for which `istioctl` is fetched or built
/// unless it is there.
///
/// # Errors
/// [`Error::References`] with every text that is no reference; what building and rendering fail with.
pub async fn read(
    site: &Site,
    recipes: &Recipes,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<References, Failure> {
    let rendered = match &site.lab.mesh {
        None => None,
        Some(mesh) => {
            let built = site.built(recipes, &[ISTIO.to_owned()], progress, cancel).await?;
            let istio = built.iter().find(|part| part.name == ISTIO);
            let istioctl = istio.and_then(|part| Some((part.files.get("istioctl")?, &part.version)));
            let (istioctl, version) = istioctl
                .ok_or_else(|| Failure::new(Kind::Unexpected, format!("the part `{ISTIO}` has no file `istioctl`")))?;
            let images = mesh::Images::parts(version);
            Some(mesh::render(istioctl, mesh, &images, &site.paths.cache, progress, cancel).await?)
        }
    };
    Ok(of(site, recipes, rendered.as_ref())?)
}

/// As [`read`], with what was rendered of the mesh.
///
/// # Errors
/// [`Error::References`]; [`Error::Yaml`] if the webhook's configuration can't be read.
pub fn of(site: &Site, recipes: &Recipes, rendered: Option<&Rendered>) -> Result<References, Error> {
    let mut found = Found { site, references: References::default(), problems: Vec::new() };
    let mesh: Vec<&Object> = rendered.iter().flat_map(|mesh| mesh.control_plane.iter().chain(&mesh.gateways)).collect();
    let own: Vec<&Object> = site.objects().collect();
    for object in own.iter().chain(&mesh) {
        for named in demand::named(&object.document) {
            found.object(object, &named.what, &named.image);
        }
    }
    for injected in mesh::injected(&mesh, &own)? {
        found.object(injected.object, &injected.what, &injected.image);
    }
    found.cluster(recipes);
    if found.problems.is_empty() { Ok(found.references) } else { Err(Error::References(found.problems)) }
}

struct Found<'a> {
    site: &'a Site,
    references: References,
    problems: Vec<(Place, reference::Error)>,
}

impl Found<'_> {
    fn add(&mut self, image: &str, place: Place) {
        if let Err(error) = self.references.add(image, place.clone()) {
            self.problems.push((place, error));
        }
    }

    fn object(&mut self, object: &Object, what: &str, image: &str) {
        let origin = format!("{}:{}", self.shown(Utf8Path::new(&object.source)), object.line);
        self.add(image, Place { origin, what: format!("{}, {what}", object.reference()) });
    }

    fn lab(&mut self, what: &str, image: &str) {
        let origin = self.shown(&self.site.lab.file).to_string();
        self.add(image, Place { origin, what: what.to_owned() });
    }

    /// A file as the user sees the project (`manifests/demo/web.yaml`), or the lab's own folder elsewhere.
    fn shown<'f>(&self, file: &'f Utf8Path) -> &'f Utf8Path {
        let inside = file.strip_prefix(&self.site.project).or_else(|_| file.strip_prefix(&self.site.lab.dir));
        inside.unwrap_or(file)
    }

    /// What the engine runs: nodes, the load balancer before them, the registry. What is inside the node
    /// image is never pulled.
    fn cluster(&mut self, recipes: &Recipes) {
        let part = |name: &str| recipes.iter().find(|recipe| recipe.name == name);
        let image = |recipe: &Recipe| recipe.images.first().map(|image| image.full_name(recipe));
        let cluster = &self.site.lab.cluster;
        let nodes = cluster.config.get("nodes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let own: Vec<Option<&str>> = nodes.iter().map(|node| node.get("image")?.as_str()).collect();
        for (index, image) in own.iter().enumerate() {
            if let Some(image) = image {
                self.lab(&format!("`cluster.config.nodes[{index}].image`"), image);
            }
        }
        if let Some(image) = part(LOAD_BALANCER).and_then(image).filter(|_| self.site.has_load_balancer()) {
            self.lab("kind's load balancer, for there are several control planes", &image);
        }
        if let Some(registry) = part(REGISTRY).and_then(image) {
            self.lab("the lab's registry", &registry);
        }
        let full = self.site.node_part(recipes);
        let Some(node) = part(full).and_then(image) else { return };
        // A user who names images for all nodes has ours nowhere.
        if own.is_empty() || own.contains(&None) {
            self.lab("the node image", &node);
            let Ok(node) = node.parse::<Reference>() else { return };
            let layers = [NODE, full].into_iter().filter_map(part).flat_map(|recipe| recipe.layers.values().flatten());
            for inside in layers.filter_map(|entry| entry.images.as_ref()).flatten().filter_map(|name| part(name)) {
                let names = inside.images.iter().filter_map(|image| image.full_name(inside).parse::<Reference>().ok());
                self.references.inside.extend(names.map(|name| (name.complete(), node.clone().complete())));
            }
        }
    }
}

#[cfg(test)]
mod tests;
