//! Gherkin scenarios: vocabulary, world, runner, and the record of what they saw.
//!
//! A scenario's steps are entries of the [`mod@vocabulary`]; each is done once, or repeated as its
//! text says (`eventually within 10 seconds …`). What a step asks and sees is kept on the
//! scenario's trail, and its end is an event that reports read.

mod arguments;
pub mod doubt;
mod leftovers;
pub mod lint;
mod perform;
pub mod record;
mod run;
mod select;
mod steps;
pub mod traffic;
mod trail;
mod unmet;
pub mod vocabulary;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use camino::Utf8PathBuf;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use arguments::Arguments;
pub use select::{Place, Shard, selected};
pub use steps::vocabulary;
pub use unmet::Unmet;
pub use world::Scene;

use crate::error::{Failure, Kind};
use crate::objects::Api;
use crate::observe::Proxy;
use crate::plan::event::Progress;
use crate::spec::Lab;
use record::Status;
use vocabulary::Vocabulary;

/// Which scenarios run, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Feature files and folders of them.
    pub paths: Vec<Utf8PathBuf>,
    /// Files are named relative to this folder in messages.
    pub dir: Option<Utf8PathBuf>,
    /// A cucumber tag expression.
    pub tags: Option<String>,
    /// Only scenarios with these words in `Feature: scenario`, whatever their case.
    pub name: Option<String>,
    /// How many scenarios run at once.
    pub parallel: usize,
    /// Only this part of the scenarios.
    pub shard: Option<Shard>,
    /// Only the scenarios at these places.
    pub only: Option<BTreeSet<Place>>,
    /// Whether no scenario begins after one failed.
    pub fail_fast: bool,
    /// What the lab has; a scenario with `@requires(x)` runs only if `x` is among it.
    pub capabilities: BTreeSet<String>,
    /// Tags that features may use, for the lint; if there are none, all may be used.
    pub known_tags: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            dir: None,
            tags: None,
            name: None,
            parallel: 3,
            shard: None,
            only: None,
            fail_fast: false,
            capabilities: BTreeSet::new(),
            known_tags: Vec::new(),
        }
    }
}

impl Options {
    /// What the lab file says. The lab has `mesh` if it has one, each add-on by its name, and each
    /// application by its name.
    #[must_use]
    pub fn of(lab: &Lab) -> Self {
        let mesh = lab.mesh.iter().map(|_| "mesh".to_owned());
        let addons = lab.addons.iter().map(|addon| addon.name.clone());
        let applications = lab.applications.iter().map(|application| application.name.clone());
        Self {
            paths: lab.features.paths.clone(),
            dir: std::env::current_dir().ok().and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok()),
            tags: lab.features.tags.clone(),
            parallel: lab.features.parallel,
            capabilities: mesh.chain(addons).chain(applications).collect(),
            known_tags: lab.features.known_tags.clone(),
            ..Self::default()
        }
    }
}

/// How many scenarios ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// As they should.
    pub passed: usize,
    /// Not as they should.
    pub failed: usize,
    /// Not at all, or not to their end.
    pub skipped: usize,
}

/// How the scenarios of a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Each of them; after several rounds, each as often as there were rounds.
    pub scenarios: Vec<Ended>,
}

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// `Feature: scenario`.
    pub scenario: String,
    /// Its file and line.
    pub place: Place,
    /// How it ended.
    pub status: Status,
}

impl Ran {
    /// How many ended how.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let count = |status| self.scenarios.iter().filter(|ended| ended.status == status).count();
        Totals { passed: count(Status::Passed), failed: count(Status::Failed), skipped: count(Status::Skipped) }
    }

    /// The places of those that failed at least once.
    #[must_use]
    pub fn failed(&self) -> BTreeSet<Place> {
        let failed = self.scenarios.iter().filter(|ended| ended.status == Status::Failed);
        failed.map(|ended| ended.place.clone()).collect()
    }

    /// Scenarios that neither passed nor failed every time: their names, how often they failed, and
    /// how often they ran.
    #[must_use]
    pub fn flakes(&self) -> Vec<(String, usize, usize)> {
        let mut counts: BTreeMap<&Place, (&str, usize, usize)> = BTreeMap::new();
        for ended in self.scenarios.iter().filter(|ended| ended.status != Status::Skipped) {
            let (_, failed, ran) = counts.entry(&ended.place).or_insert((&ended.scenario, 0, 0));
            *failed += usize::from(ended.status == Status::Failed);
            *ran += 1;
        }
        let flaky = counts.into_values().filter(|(_, failed, ran)| *failed > 0 && failed < ran);
        flaky.map(|(name, failed, ran)| (name.to_owned(), failed, ran)).collect()
    }
}

impl Totals {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = if self.all() == 1 { "" } else { "s" };
        write!(
            f,
            "{} scenario{s}: {} passed, {} failed, {} skipped",
            self.all(),
            self.passed,
            self.failed,
            self.skipped
        )
    }
}

/// Runs scenarios against the cluster that `config` leads to. Each that ends is an event
/// [`crate::plan::event::What::Scenario`]; those that failed are no error here.
///
/// # Errors
/// [`Kind::BadInput`] for features that can't be read, [`Kind::Usage`] if none is selected,
/// [`Kind::Unavailable`] if the configuration can't be used, [`Kind::Interrupted`] after `cancel`;
/// then every selected scenario has been told all the same.
pub async fn run(
    config: kube::Config,
    options: Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Ran, Failure> {
    let vocabulary = Arc::new(steps::vocabulary().map_err(|error| Failure::new(Kind::Unexpected, error))?);
    run_with(vocabulary, config, options, progress, cancel).await
}

async fn run_with(
    vocabulary: Arc<Vocabulary>,
    config: kube::Config,
    options: Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Ran, Failure> {
    let selection = select::select(&options)?;
    run_selected(vocabulary, config, selection, &options, progress, cancel).await
}

async fn run_selected(
    vocabulary: Arc<Vocabulary>,
    config: kube::Config,
    selection: select::Selection,
    options: &Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Ran, Failure> {
    let client = kube::Client::try_from(config.clone()).map_err(|error| Failure::new(Kind::Unavailable, error))?;
    // Dropping the caller's future must end the thread as well.
    let inner = cancel.child_token();
    let _end = inner.clone().drop_guard();
    let shared = world::Shared { api: Api::new(client), proxy: Proxy::new(config)?, vocabulary, cancel: inner };
    let (handle, teller, options) = (tokio::runtime::Handle::current(), progress.clone(), options.clone());
    let ran = tokio::task::spawn_blocking(move || handle.block_on(run::execute(shared, selection, &options, &teller)))
        .await
        .map_err(|error| Failure::new(Kind::Unexpected, error).context("running the scenarios"))?;
    if cancel.is_cancelled() { Err(crate::plan::graph::interrupted()) } else { Ok(ran) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_now_and_then_is_flaky() {
        let ended = |name: &str, line, status| Ended {
            scenario: format!("F: {name}"),
            place: ("f.feature".to_owned(), line),
            status,
        };
        let (passed, failed, skipped) = (Status::Passed, Status::Failed, Status::Skipped);
        let scenarios = vec![
            ended("always", 1, failed),
            ended("always", 1, failed),
            ended("never", 2, passed),
            ended("never", 2, skipped),
            ended("at times", 3, passed),
            ended("at times", 3, failed),
        ];
        let ran = Ran { scenarios };
        assert_eq!(ran.flakes(), [("F: at times".to_owned(), 1, 2)]);
        assert_eq!(ran.totals(), Totals { passed: 2, failed: 3, skipped: 1 });
        assert_eq!(ran.failed().len(), 2);
    }
}
