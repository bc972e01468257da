//! A lab's objects as `up` applies them, to be applied with something altered: how the self-test breaks a lab.
//!
//! What comes of it belongs to the lab's own sets, with the same field manager, so that `up` finds every
//! difference and mends it: a changed field, an object that is missing, one that is too many. Nothing has to be
//! remembered for that, and a self-test that is killed leaves nothing that `up` does not know.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::plan;
use super::sets::{self, Set};
use super::site::Site;
use crate::apps;
use crate::error::{Failure, Kind};
use crate::mesh::Rendered;
use crate::objects::{self, Api, Object, ObjectRef};
use crate::plan::event::Progress;

/// How long applying a set may take, and istiod's answer for what is injected by hand.
const LIMIT: Duration = Duration::from_mins(1);

/// Objects that are applied as one set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lot {
    /// The namespace of those that name none.
    pub namespace: String,
    /// The objects.
    pub objects: Vec<Object>,
}

/// A lab that is up, with the objects that it was made of.
pub struct Laid {
    site: Site,
    api: Api,
    sets: Vec<(Set, Lot)>,
}

impl Laid {
    /// Finds out what the lab's objects are, rendered and injected. The lab must be up: istiod answers
    /// for what is injected by hand.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if the lab is not up or its `istioctl` is not there; what rendering and injecting fail
    /// with.
    pub async fn read(site: Site, progress: &Progress, cancel: &CancellationToken) -> Result<Self, Failure> {
        let rendered = plan::rendered(&site, progress, cancel).await?;
        if site.lab.mesh.is_some() && rendered.is_none() {
            return Err(Failure::new(Kind::Unavailable, "the istioctl that renders the mesh's objects is not there")
                .hint("Build or fetch it: istiolab images build istio"));
        }
        let Some(api) = plan::api(&site).await? else {
            return Err(Failure::new(Kind::Unavailable, format!("the lab `{}` is not up", site.lab.name))
                .hint("Run `istiolab up` first."));
        };
        let mut sets = Vec::new();
        for set in sets::all(&site) {
            let mut lot = lot(&site, set, rendered.as_ref())?;
            if let Set::Application(index) = set {
                let application = &site.applications[index].0;
                (lot.objects, _) = apps::objects(&api, application, &lot.objects, LIMIT, progress, cancel).await?;
            }
            sets.push((set, lot));
        }
        Ok(Self { site, api, sets })
    }

    /// The cluster's API.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The lab's objects, to be altered.
    #[must_use]
    pub fn lots(&self) -> Vec<Lot> {
        self.sets.iter().map(|(_, lot)| lot.clone()).collect()
    }

    /// Applies the lots that differ from the lab's own. Gives back the objects that are different now, the ones
    /// that are gone among them.
    ///
    /// # Errors
    /// As [`objects::apply`].
    pub async fn apply(
        &self,
        lots: &[Lot],
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Vec<ObjectRef>, Failure> {
        let mut written = Vec::new();
        for ((set, own), lot) in self.sets.iter().zip(lots) {
            if own == lot {
                continue;
            }
            let options = set.options(&self.site, LIMIT, false)?;
            let name = set.name(&self.site);
            let applied = objects::apply(&self.api, &name, &lot.objects, &options, progress, cancel).await?;
            written.extend([applied.created, applied.changed, applied.replaced, applied.pruned].concat());
        }
        Ok(written)
    }
}

fn lot(site: &Site, set: Set, rendered: Option<&Rendered>) -> Result<Lot, Failure> {
    let namespace = set.options(site, LIMIT, false)?.default_namespace.unwrap_or_default();
    Ok(Lot { namespace, objects: set.objects(site, rendered)? })
}

/// The lots of a lab of which there is no cluster: without what istioctl renders, and nothing is injected.
#[cfg(test)]
pub(crate) fn without_cluster(site: &Site) -> Vec<Lot> {
    let lots = sets::all(site).into_iter().filter(|set| *set != Set::Mesh).map(|set| {
        let mut lot = lot(site, set, Some(&Rendered::default())).expect("the lab's objects are known");
        if let Set::Application(index) = set {
            lot.objects = apps::objects_without_cluster(&site.applications[index].0, &lot.objects);
        }
        lot
    });
    lots.collect()
}
