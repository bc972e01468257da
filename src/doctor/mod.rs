//! Whether this machine can run labs, what stands in the way, and its removal: facts are read,
//! judged, and, when asked for, mended by commands that are shown first.

use camino::Utf8PathBuf;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, Kind};
use crate::plan::event::Progress;

pub mod facts;
pub mod fix;
mod judge;
mod probe;
mod remedy;
mod table;

/// What to look at.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where built images and downloads go.
    pub cache: Utf8PathBuf,
    /// Ports of 127.0.0.1 that the lab asks for; empty if it takes any.
    pub ports: Vec<u16>,
    /// Whether images will be built here, so that the toolchains are needed.
    pub build: bool,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, but may hurt.
    Warn,
    /// Labs can't run like this.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, briefly.
    pub name: String,
    /// How it came out.
    pub status: Status,
    /// What was found, in words.
    pub found: String,
    /// What would mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
}

/// How something is mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// What the commands do, as "install Docker".
    pub what: String,
    /// Command lines for a shell, exactly as `--fix` runs them.
    pub commands: Vec<String>,
    /// Whether `--fix` may run them on this machine.
    pub automatic: bool,
}

/// All checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order in which they are shown.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether labs can run here.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.checks.iter().all(|check| check.status != Status::Fail)
    }

    /// The remedies of what is not as it should be, each once.
    #[must_use]
    pub fn remedies(&self) -> Vec<&Remedy> {
        let mut all: Vec<&Remedy> = Vec::new();
        for remedy in self.checks.iter().filter_map(|check| check.remedy.as_ref()) {
            if !all.contains(&remedy) {
                all.push(remedy);
            }
        }
        all
    }

    /// A table for people, with the remedies below it.
    #[must_use]
    pub fn table(&self) -> String {
        table::text(self)
    }

    /// Nothing if labs can run here, else what stands in the way.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] with the names of the checks that failed.
    pub fn verdict(&self) -> Result<(), Failure> {
        let failed: Vec<&Check> = self.checks.iter().filter(|check| check.status == Status::Fail).collect();
        if failed.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = failed.iter().map(|check| format!("{} ({})", check.name, check.found)).collect();
        let failure = Failure::new(Kind::Unavailable, format!("this machine can't run labs yet: {}", names.join("; ")));
        let automatic = |check: &&Check| check.remedy.as_ref().is_some_and(|remedy| remedy.automatic);
        Err(if failed.iter().any(automatic) {
            failure.hint("Run `istiolab doctor --fix`: it shows each command before it runs it.")
        } else {
            failure.hint("`istiolab doctor` shows the commands that help.")
        })
    }
}

/// Looks at everything. Changes nothing that stays: a container is started and removed.
pub async fn examine(options: &Options, progress: &Progress, cancel: &CancellationToken) -> Report {
    progress.status("looking at this machine");
    let facts = facts::gather(options, cancel).await;
    judge::all(&facts, options)
}
