//! The sets of objects that a lab consists of: the one list that `up` applies and `plan` looks at.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::site::Site;
use crate::apps;
use crate::error::{Failure, Kind};
use crate::mesh::{self, Rendered};
use crate::objects::{self, Api, Heirs, Object, SetName};
use crate::plan::event::Progress;

/// Where the mesh and the add-ons live.
const SYSTEM: &str = mesh::NAMESPACE;
/// What the names of all sets of a lab begin with.
const PREFIX: &str = "istiolab-";
const MESH: &str = "istiolab-mesh";
const MESH_CONFIGURATION: &str = "istiolab-mesh-configuration";

/// A set of objects that is applied as one. Add-ons and applications go by their index in the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// Namespaces that mesh and add-ons share.
    Namespaces,
    /// The mesh's definitions and control plane.
    Mesh,
    /// Gateways and the lab's objects for the mesh, which need the mesh's answers.
    Gateways,
    Addon(usize),
    Application(usize),
}

/// All sets of a lab, each after those whose kinds and namespaces it uses.
pub(super) fn all(site: &Site) -> Vec<Set> {
    let mesh: &[Set] = if site.lab.mesh.is_some() { &[Set::Mesh, Set::Gateways] } else { &[] };
    let addons = (0..site.addons.len()).map(Set::Addon);
    let applications = (0..site.applications.len()).map(Set::Application);
    [Set::Namespaces].into_iter().chain(mesh.iter().copied()).chain(addons).chain(applications).collect()
}

/// The sets that are in the lab's cluster and no longer in its file, in the order in which they go.
///
/// # Errors
/// The API server can't be asked within `limit`.
pub(super) async fn departed(
    site: &Site,
    api: &Api,
    limit: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Vec<SetName>, Failure> {
    let wanted: Vec<_> = all(site).into_iter().map(|set| set.name(site)).collect();
    let mut sets = objects::unwanted(api, PREFIX, &wanted, limit, progress, cancel).await?;
    // Applications, which lie elsewhere, before add-ons, and the mesh last: others need its definitions.
    let rank = |set: &SetName| match set.name.as_str() {
        MESH => 3,
        MESH_CONFIGURATION => 2,
        _ => usize::from(set.namespace == SYSTEM),
    };
    sets.sort_by_key(rank);
    Ok(sets)
}

/// Which set a namespace of the lab belongs to when the set that made it leaves the lab.
pub(super) fn heirs(site: &Site) -> Heirs {
    let mut heirs = Heirs::from([(SYSTEM.to_owned(), Set::Namespaces.name(site))]);
    for (index, (application, _)) in site.applications.iter().enumerate() {
        heirs.entry(application.namespace.clone()).or_insert_with(|| Set::Application(index).name(site));
    }
    heirs
}

/// What people call a set that left the lab: `application-demo`, `zipkin`.
pub(super) fn shown(set: &SetName) -> &str {
    set.name.strip_prefix(PREFIX).unwrap_or(&set.name)
}

impl Set {
    /// What it is remembered and waited for by; `mesh` for both of its sets.
    pub(super) fn id(self, site: &Site) -> String {
        match self {
            Self::Namespaces => "namespaces".to_owned(),
            Self::Mesh | Self::Gateways => "mesh".to_owned(),
            Self::Addon(index) => format!("add-on/{}", site.addons[index].0.name),
            Self::Application(index) => format!("application/{}", site.applications[index].0.name),
        }
    }

    /// The step that applies it.
    pub(super) fn step(self, site: &Site) -> String {
        match self {
            Self::Namespaces => self.id(site),
            Self::Gateways => "mesh/gateways".to_owned(),
            _ => format!("{}/apply", self.id(site)),
        }
    }

    /// What that step is called.
    pub(super) fn title(self, site: &Site) -> String {
        match self {
            Self::Namespaces => "making namespaces".to_owned(),
            Self::Mesh => "applying the mesh's objects".to_owned(),
            Self::Gateways => "applying gateways and the mesh's configuration".to_owned(),
            Self::Addon(index) => format!("applying {}", site.addons[index].0.name),
            Self::Application(index) => format!("applying {}", site.applications[index].0.name),
        }
    }

    /// The phase of the run that it belongs to.
    pub(super) fn phase(self) -> &'static str {
        match self {
            Self::Namespaces => "cluster",
            Self::Mesh | Self::Gateways => "mesh",
            Self::Addon(_) => "add-ons",
            Self::Application(_) => "applications",
        }
    }

    /// What its members are marked with.
    pub(super) fn name(self, site: &Site) -> SetName {
        match self {
            Self::Namespaces => SetName::new("istiolab-namespaces", "default"),
            Self::Mesh => SetName::new(MESH, SYSTEM),
            Self::Gateways => SetName::new(MESH_CONFIGURATION, SYSTEM),
            Self::Addon(index) => SetName::new(format!("{PREFIX}{}", site.addons[index].0.name), SYSTEM),
            Self::Application(index) => apps::set(&site.applications[index].0),
        }
    }

    /// How it is applied.
    pub(super) fn options(self, site: &Site, deadline: Duration, recreate: bool) -> Result<objects::Options, Failure> {
        let namespace = match self {
            Self::Application(index) => &site.applications[index].0.namespace,
            _ => SYSTEM,
        };
        let default_namespace = Some(namespace.to_owned());
        let readiness = objects::ready::Policy::of(&site.lab)?;
        Ok(objects::Options { default_namespace, deadline, recreate, readiness, ..objects::Options::default() })
    }

    /// Its objects as the lab's files and the rendered mesh have them; those of applications without what
    /// [`apps::objects`] adds.
    pub(super) fn objects(self, site: &Site, rendered: Option<&Rendered>) -> Result<Vec<Object>, Failure> {
        let mesh = || rendered.ok_or_else(|| Failure::new(Kind::Unexpected, "the mesh's objects are not rendered yet"));
        Ok(match self {
            Self::Namespaces => {
                let document =
                    serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}});
                vec![Object { document, source: "istiolab".to_owned(), line: 1 }]
            }
            Self::Mesh => mesh()?.control_plane.clone(),
            Self::Gateways => mesh()?.gateways.iter().chain(&site.mesh_objects).cloned().collect(),
            Self::Addon(index) => site.addons[index].1.clone(),
            Self::Application(index) => site.applications[index].1.clone(),
        })
    }
}
