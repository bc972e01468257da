//! What `up` would do with the lab's objects, without doing it: every set that it applies, looked at
//! in its order, in the cluster if there is one.

mod data;
mod show;

use std::time::Duration;

use camino::Utf8Path;
use tokio_util::sync::CancellationToken;

use super::sets::{self, Set};
use super::site::{ISTIO, Site, engine, provider};
use crate::apps;
use crate::cluster::{self, Provider as _, State};
use crate::error::{Failure, Kind};
use crate::mesh::{self, Rendered};
use crate::objects::{self, Api, Conversion, Expected, Intent, Item, Object, Place, Planned};
use crate::parts;
use crate::plan::event::Progress;
use crate::spec::Injection;

pub use data::Data;
pub(crate) use show::show;

/// How long istiod may take to answer for the plan of what is injected by hand.
const ANSWER: Duration = Duration::from_secs(5);

/// What would be done.
#[derive(Debug)]
pub struct Plan {
    /// The lab's name.
    pub lab: String,
    /// Whether there is a cluster; if not, everything is made.
    pub cluster: bool,
    /// Every set of the lab, in the order in which they are applied.
    pub sets: Vec<PlannedSet>,
}

/// What would be done with a set.
#[derive(Debug)]
pub struct PlannedSet {
    /// The phase of the run.
    pub phase: &'static str,
    /// Namespace and name of its parent.
    pub name: String,
    /// What is known of it, or why nothing is.
    pub known: Result<Planned, String>,
}

/// How many objects would be treated how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Made.
    pub create: usize,
    /// Changed.
    pub change: usize,
    /// Deleted and made anew.
    pub replace: usize,
    /// Deleted.
    pub prune: usize,
    /// Refused.
    pub fail: usize,
    /// Left as they are.
    pub unchanged: usize,
}

impl Plan {
    /// Counts.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for planned in self.sets.iter().filter_map(|set| set.known.as_ref().ok()) {
            totals.unchanged += planned.unchanged;
            for item in &planned.items {
                *(match item.intent {
                    Intent::Create => &mut totals.create,
                    Intent::Change(_) => &mut totals.change,
                    Intent::Replace { .. } => &mut totals.replace,
                    Intent::Prune => &mut totals.prune,
                    Intent::Fail(_) => &mut totals.fail,
                }) += 1;
            }
        }
        totals
    }

    /// Whether `up` would change nothing, as far as can be known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cluster && self.sets.iter().all(|set| set.known.as_ref().is_ok_and(|planned| planned.items.is_empty()))
    }

    /// The failure that `up` would end with, as far as the plan foresees one.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let items = self.sets.iter().filter_map(|set| set.known.as_ref().ok()).flat_map(|planned| &planned.items);
        let failing: Vec<_> = items
            .filter_map(|item| match &item.intent {
                Intent::Fail(error) => Some(error),
                _ => None,
            })
            .collect();
        let first = failing.first()?;
        let text = format!("{} could not be applied as the plan says", crate::report::counted(failing.len(), "object"));
        let failure = Failure::new(first.kind(), text);
        Some(match first.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        })
    }
}

/// Finds out what would be done. Nothing is built: the mesh's objects are not known as long as its
/// `istioctl` is not there. `limit` is how long each set may take.
///
/// # Errors
/// Those that `up` would end with before it writes; [`Kind::Unavailable`] if there is a cluster that does not answer.
pub async fn plan(
    site: &Site,
    limit: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Plan, Failure> {
    let rendered = rendered(site, progress, cancel).await?;
    progress.status("looking for the lab's cluster");
    let api = api(site).await?;
    let planner = Planner { site, api: api.as_ref(), rendered: rendered.as_ref(), limit, progress, cancel };
    let mut expected = Expected::default();
    Ok(Plan { lab: site.lab.name.clone(), cluster: api.is_some(), sets: planner.all(&mut expected).await? })
}

/// Finds what is wrong with the lab's own objects without asking a cluster: objects that are there twice, that
/// wait for each other, or for one that is not there. `up` begins with it: it takes
/// milliseconds, building what is missing minutes.
///
/// # Errors
/// All that is wrong.
pub async fn check(site: &Site, cancel: &CancellationToken) -> Result<(), Failure> {
    let progress = Progress::silent();
    let planner = Planner { site, api: None, rendered: None, limit: ANSWER, progress: &progress, cancel };
    let mut expected = Expected::default();
    // The cluster may know kinds that no file defines.
    expected.unknown();
    planner.all(&mut expected).await.map(drop)
}

/// The mesh's objects; `None` as long as the `istioctl` that renders them is neither built nor fetched.
pub(super) async fn rendered(
    site: &Site,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Option<Rendered>, Failure> {
    let Some(mesh) = &site.lab.mesh else { return Ok(None) };
    progress.status("rendering the mesh's objects");
    let recipes = site.recipes()?;
    // What no recipe makes is told here as by `up`.
    site.wanted(&recipes)?;
    let found = parts::found(&recipes, &[ISTIO.to_owned()], site.fetches(), &site.paths, cancel).await?;
    let Some(part) = found.get(ISTIO).map(|found| &found.built) else { return Ok(None) };
    let Some(istioctl) = part.files.get("istioctl") else { return Ok(None) };
    let images = mesh::Images::parts(&part.version);
    Ok(Some(mesh::render(istioctl, mesh, &images, &site.paths.cache, progress, cancel).await?))
}

/// The lab's cluster, if there is one. Whoever has no kubeconfig has none; only if there is one that leads
/// nowhere the engine is asked what became of it.
pub(super) async fn api(site: &Site) -> Result<Option<Api>, Failure> {
    let kubeconfig = site.folder.join("kubeconfig");
    if !kubeconfig.is_file() {
        return Ok(None);
    }
    let api = Api::new(cluster::client(&kubeconfig).await?);
    let failure = match api.served("", "v1", "Namespace").await {
        Ok(_) => return Ok(Some(api)),
        Err(error) => Failure::from(error).context("asking the lab's cluster"),
    };
    let Ok(docker) = engine().await else { return Err(failure) };
    match provider(Utf8Path::new("kind"), &docker, &site.lab, &site.folder).state().await? {
        State::Absent => Ok(None),
        State::Present { nodes, .. } if nodes.iter().any(|node| !node.running) => {
            Err(failure.hint("The cluster's nodes are stopped; `istiolab up` starts them."))
        }
        _ => Err(failure.hint("`istiolab status` says how the lab stands.")),
    }
}

/// Several failures as one, of the first one's kind.
fn together(mut failures: Vec<Failure>) -> Option<Failure> {
    if failures.len() < 2 {
        return failures.pop();
    }
    let text: Vec<_> = failures.iter().map(|failure| failure.lines().join(": ")).collect();
    let mut all = Failure::new(failures[0].kind, text.join("\n"));
    for hint in failures.into_iter().flat_map(|failure| failure.hints) {
        if !all.hints.contains(&hint) {
            all.hints.push(hint);
        }
    }
    Some(all)
}

/// An application's objects, and what was converted for their injection.
type Injected = (Vec<Object>, Vec<Conversion>);

struct Planner<'a> {
    site: &'a Site,
    api: Option<&'a Api>,
    rendered: Option<&'a Rendered>,
    limit: Duration,
    progress: &'a Progress,
    cancel: &'a CancellationToken,
}

impl Planner<'_> {
    /// Every set in its order; the faults of all of them at once.
    async fn all(&self, expected: &mut Expected) -> Result<Vec<PlannedSet>, Failure> {
        let mut planned = self.retired(expected).await?;
        let mut errors = Vec::new();
        for set in sets::all(self.site) {
            let name = set.name(self.site).to_string();
            self.progress.status(format!("looking at {name}"));
            match self.set(set, expected).await {
                Ok(known) => planned.push(PlannedSet { phase: set.phase(), name, known }),
                Err(failure) if matches!(failure.kind, Kind::BadInput | Kind::Refused) => errors.push(failure),
                Err(failure) => return Err(failure.context(format!("planning {name}"))),
            }
        }
        together(errors).map_or(Ok(planned), Err)
    }

    /// The sets that left the lab file, which are gone before any other is applied.
    async fn retired(&self, expected: &mut Expected) -> Result<Vec<PlannedSet>, Failure> {
        let Some(api) = self.api else { return Ok(Vec::new()) };
        let (heirs, mut planned) = (sets::heirs(self.site), Vec::new());
        for set in sets::departed(self.site, api, self.limit, self.progress, self.cancel).await? {
            let known = objects::plan_retiring(api, &set, &heirs, self.limit, self.progress, self.cancel).await?;
            expected.retires(&set);
            planned.push(PlannedSet { phase: "cluster", name: set.to_string(), known: Ok(known) });
        }
        Ok(planned)
    }

    async fn set(&self, set: Set, expected: &mut Expected) -> Result<Result<Planned, String>, Failure> {
        if matches!(set, Set::Mesh | Set::Gateways) && self.rendered.is_none() {
            expected.unknown();
            return Ok(Err(
                "the mesh's objects are known once istioctl is there: istiolab images build istio".to_owned()
            ));
        }
        let (mut objects, mut converted) = (set.objects(self.site, self.rendered)?, Vec::new());
        if let Set::Application(index) = set {
            (objects, converted) = match self.application(index, &objects).await? {
                Ok(found) => found,
                Err(why) => return Ok(Err(why)),
            };
            // Applications may share a namespace; the first makes it.
            objects.retain(|object| !(object.kind() == "Namespace" && expected.makes_namespace(object.name())));
        }
        let (name, options) = (set.name(self.site), set.options(self.site, self.limit, false)?);
        let mut planned =
            objects::plan(self.place()?, &name, &objects, expected, &options, self.progress, self.cancel).await?;
        for conversion in converted {
            let same = |item: &&mut Item| {
                let (object, was) = (&item.object, &conversion.object);
                item.origin.as_ref() == Some(&conversion.origin) && object.kind == was.kind && object.name == was.name
            };
            if let Some(item) = planned.items.iter_mut().find(same) {
                item.converted = Some(conversion);
            }
        }
        Ok(Ok(self.shown(planned)))
    }

    fn place(&self) -> Result<Place<'_>, Failure> {
        if let Some(api) = self.api {
            return Ok(Place::Cluster(api));
        }
        let (file, version) = (&self.site.lab.file, &self.site.lab.cluster.kubernetes);
        let release = version
            .parse()
            .map_err(|why| Failure::new(Kind::BadInput, format!("{file}: `cluster.kubernetes`: {version}: {why}")))?;
        Ok(Place::Release(release))
    }

    /// An application's objects as they are applied, or why they can't be known.
    async fn application(&self, index: usize, objects: &[Object]) -> Result<Result<Injected, String>, Failure> {
        let application = &self.site.applications[index].0;
        let Some(api) = self.api else {
            return Ok(Ok((apps::objects_without_cluster(application, objects), Vec::new())));
        };
        match apps::objects(api, application, objects, ANSWER, self.progress, self.cancel).await {
            Ok(objects) => Ok(Ok(objects)),
            Err(failure)
                if application.injection == Injection::Manual
                    && !matches!(failure.kind, Kind::Refused | Kind::BadInput) =>
            {
                let why = failure.lines().join(": ");
                Ok(Err(format!("its objects are injected by hand, and known once the mesh injects: {why}")))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Shortens the places of files to what a user of the project would write.
    fn shown(&self, mut planned: Planned) -> Planned {
        for item in &mut planned.items {
            let Item { origin: Some(origin), .. } = item else { continue };
            let inside = [&self.site.project, &self.site.lab.dir]
                .into_iter()
                .find_map(|folder| Utf8Path::new(origin.as_str()).strip_prefix(folder).ok().map(Utf8Path::to_string));
            *origin = inside.unwrap_or_else(|| origin.clone());
        }
        planned
    }
}
