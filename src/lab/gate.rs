//! A lab that is offline by contract: its gate, and the verdict on what tried to leave.

use std::collections::BTreeSet;
use std::time::SystemTime;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::site::{engine, provider};
use crate::cluster::{Provider as _, gate};
use crate::error::{Failure, Kind};
use crate::paths::Paths;
use crate::plan::journal;
use crate::spec::Lab;

/// The journal's entry.
pub(super) const ENTRY: &str = "gate";

/// A closed gate, as the lab's journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Closed {
    /// When it was closed, in seconds since 1970.
    pub(super) since: u64,
    /// The registries whose images the lab's own one has.
    pub(super) registries: BTreeSet<String>,
}

impl Closed {
    pub(super) fn now(registries: BTreeSet<String>) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Self { since, registries }
    }
}

/// Fails if the lab is to be offline and a node asked anybody but the lab's registry for an image since the gate
/// was closed.
///
/// # Errors
/// [`Kind::Refused`] with each image and node, or if the gate is open; what the engine fails with.
pub async fn verdict(lab: &Lab, paths: &Paths, offline: bool) -> Result<(), Failure> {
    if !offline {
        return Ok(());
    }
    let (docker, folder) = (&engine().await?, &paths.lab(&lab.name));
    let entry = journal::read(folder)?.remove(ENTRY);
    let closed: Option<Closed> = entry.and_then(|value| serde_json::from_value(value).ok());
    let Some(closed) = closed else {
        return Err(Failure::new(Kind::Refused, format!("the lab `{}` was not brought up offline", lab.name))
            .hint("Run `istiolab up --offline` first: it closes the nodes' ways to other registries."));
    };
    let nodes = provider(Utf8Path::new("kind"), docker, lab, folder).nodes().await?;
    let nodes: Vec<_> = nodes.into_iter().filter(crate::cluster::Node::is_kubernetes).collect();
    let escapes = gate::escapes(docker, &nodes, &closed.registries, closed.since).await?;
    if escapes.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = escapes.iter().map(|escape| format!("  {} ({})", escape.image, escape.node)).collect();
    let text = format!("images were asked for that are not the lab's; nothing was fetched:\n{}", lines.join("\n"));
    Err(Failure::new(Kind::Refused, text)
        .hint("Name these images in the lab's objects, then `istiolab images lock` and a new bundle bring them along."))
}
