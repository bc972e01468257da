//! A lab's debug bundle: what the collector needs of the lab, found out so far as it is there.

use std::time::Duration;

use bollard::Docker;
use camino::Utf8Path;
use tokio_util::sync::CancellationToken;

use super::site::provider;
use crate::cluster::{self, Provider as _};
use crate::collect::{self, Collected, Request};
use crate::error::Failure;
use crate::plan::event::Progress;
use crate::spec::Lab;

/// What is to be collected of a lab.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// Its state folder.
    pub folder: &'a Utf8Path,
    /// The file of logins for registries.
    pub logins: Option<&'a Utf8Path>,
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
    let Wanted { lab, folder, logins, cause, to, limit } = wanted;
    let told = |failure: &Failure| failure.lines().join(": ");
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
    let request = Request { lab, folder, engine, nodes, cluster, logins, cause, to, limit };
    Ok(collect::collect(request, progress, cancel).await?)
}
