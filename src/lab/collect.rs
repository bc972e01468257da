//! A lab's debug bundle: what the collector needs of the lab, found out so far as it is there.

use std::time::Duration;

use bollard::Docker;
use camino::Utf8Path;
use tokio_util::sync::CancellationToken;

use serde_json::Value;

use super::plan::{self, Data};
use super::site::{Site, provider};
use crate::cluster::{self, Provider as _};
use crate::collect::{self, Collected, Request};
use crate::error::Failure;
use crate::images::registry::Access;
use crate::paths::Paths;
use crate::plan::event::Progress;
use crate::spec::Lab;

/// How long finding out what `up` would do may take.
const PLAN: Duration = Duration::from_secs(15);

/// What is to be collected of a lab.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// The user's folders.
    pub paths: &'a Paths,
    /// How registries are reached; its logins are secret.
    pub access: Access,
    /// What the command failed with that asks for the bundle.
    pub cause: Option<String>,
    /// The file to write.
    pub to: &'a Utf8Path,
    /// How long it may take.
    pub limit: Duration,
}

/// Whether there are containers of the lab, so that there is something to collect.
pub async fn has_nodes(docker: &Docker, lab: &Lab, folder: &Utf8Path) -> bool {
    provider(Utf8Path::new("kind"), docker, lab, folder).nodes().await.is_ok_and(|nodes| !nodes.is_empty())
}

/// Collects what there is of the lab: also of one that is half made, or not there.
///
/// # Errors
/// Those of [`collect::collect`].
pub async fn collect(
    engine: Result<Docker, Failure>,
    wanted: Wanted<'_>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Collected, Failure> {
    let Wanted { lab, paths, access, cause, to, limit } = wanted;
    let folder = &paths.lab(&lab.name);
    let logins = access.docker_config.clone();
    let mut engine = engine.map_err(|failure| told(&failure));
    let mut nodes = Vec::new();
    if let Ok(docker) = &engine {
        match provider(Utf8Path::new("kind"), docker, lab, folder).nodes().await {
            Ok(found) => nodes = found,
            Err(error) => engine = Err(told(&error.into())),
        }
    }
    let kubeconfig = folder.join("kubeconfig");
    let cluster = if kubeconfig.is_file() {
        cluster::client(&kubeconfig).await.map_err(|error| told(&error.into()))
    } else {
        Err("the lab has no kubeconfig: it is not up".to_owned())
    };
    let engine = engine.as_ref().map_err(Clone::clone);
    let plan = plan(lab, paths, access, progress, cancel).await;
    let logins = logins.as_deref();
    let request = Request { lab, folder, engine, nodes, cluster, logins, plan, cause, to, limit };
    Ok(collect::collect(request, progress, cancel).await?)
}

fn told(failure: &Failure) -> String {
    failure.lines().join(": ")
}

/// What `up` would do with the lab as it stands, or why that can't be told.
async fn plan(
    lab: &Lab,
    paths: &Paths,
    access: Access,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Value, String> {
    progress.status("asking what `up` would do");
    let site = Site::open(lab.clone(), paths, access).map_err(|failure| told(&failure))?;
    // Its own requests would be told as if they were for the bundle.
    let silent = Progress::silent();
    let planned = tokio::time::timeout(PLAN, plan::plan(&site, PLAN, &silent, cancel)).await;
    let planned = planned.map_err(|_| format!("it took longer than {} s", PLAN.as_secs()))?;
    let planned = planned.map_err(|failure| told(&failure))?;
    serde_json::to_value(Data::new(&planned)).map_err(|error| error.to_string())
}
