//! Gherkin scenarios: vocabulary, world, runner, and the record of what they saw.
//!
//! A scenario's steps are entries of the [`mod@vocabulary`]; each is done once, or repeated as its
//! text says (`eventually within 10 seconds …`). What a step asks and sees is kept on the
//! scenario's trail, and its end is an event that reports read.

mod arguments;
mod authority;
pub mod doubt;
mod involved;
mod leaks;
mod leftovers;
pub mod lint;
mod look;
mod path;
mod perform;
mod programs;
pub mod record;
mod run;
mod select;
mod steps;
mod tags;
mod told;
pub mod traffic;
mod trail;
mod undo;
mod unmet;
pub mod vocabulary;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use arguments::Arguments;
pub use programs::Programs;
pub use select::{Place, Shard, selected};
pub use steps::vocabulary;
pub use unmet::Unmet;
pub use world::Scene;

use crate::error::{Failure, Kind};
use crate::objects::Api;
use crate::objects::ready::Policy;
use crate::observe::Proxy;
use crate::plan::event::Progress;
use crate::spec::{self, Lab};
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
    /// How long a scenario may take, unless a tag says otherwise. What it made is taken away after that.
    pub deadline: Duration,
    /// How often a scenario that failed is tried again, unless a tag says otherwise.
    pub retry: usize,
    /// What the lab has; a scenario with `@requires(x)` runs only if `x` is among it.
    pub capabilities: BTreeSet<String>,
    /// Tags that features may use, for the lint; if there are none, all may be used.
    pub known_tags: Vec<String>,
    /// How readiness is judged.
    pub readiness: Policy,
    /// The programs that scenarios may run.
    pub programs: Programs,
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
            deadline: spec::Features::DEADLINE,
            retry: 0,
            capabilities: BTreeSet::new(),
            known_tags: Vec::new(),
            readiness: Policy::default(),
            programs: Programs::default(),
        }
    }
}

impl Options {
    /// What the lab file says. The lab has `mesh` if it has one, each add-on, each application, and each
    /// program that scenarios may run, by its name, and `tracing` if one of its add-ons keeps traces.
    #[must_use]
    pub fn of(lab: &Lab) -> Self {
        let mesh = lab.mesh.iter().map(|_| "mesh".to_owned());
        let addons = lab.addons.iter().map(|addon| addon.name.clone());
        let applications = lab.applications.iter().map(|application| application.name.clone());
        let programs = lab.features.programs.keys().cloned();
        let tracing = lab.addons.iter().find(|addon| spec::TRACING.contains(&addon.name.as_str()));
        let tracing = tracing.map(|_| tags::TRACING.to_owned());
        Self {
            paths: lab.features.paths.clone(),
            dir: std::env::current_dir().ok().and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok()),
            tags: lab.features.tags.clone(),
            parallel: lab.features.parallel,
            deadline: lab.features.deadline,
            capabilities: mesh.chain(addons).chain(tracing).chain(applications).chain(programs).collect(),
            known_tags: lab.features.known_tags.clone(),
            // A lab file that was checked has no rule that can't be read.
            readiness: Policy::of(lab).unwrap_or_default(),
            programs: Programs::of(lab),
            ..Self::default()
        }
    }

    /// The same with the way to the lab's cluster for the programs that scenarios run.
    #[must_use]
    pub fn against(self, kubeconfig: impl Into<Utf8PathBuf>) -> Self {
        Self { programs: self.programs.against(kubeconfig), ..self }
    }
}

/// How many scenarios ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// As they should, at the first try.
    pub passed: usize,
    /// As they should, after tries that failed.
    pub flaky: usize,
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
    /// How many tries failed before the one that ended so.
    pub failed_tries: usize,
}

impl Ran {
    /// How many ended how.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let count = |status| self.scenarios.iter().filter(|ended| ended.status == status).count();
        Totals {
            passed: count(Status::Passed),
            flaky: count(Status::Flaky),
            failed: count(Status::Failed),
            skipped: count(Status::Skipped),
        }
    }

    /// The places of those that failed at least once.
    #[must_use]
    pub fn failed(&self) -> BTreeSet<Place> {
        let failed = self.scenarios.iter().filter(|ended| ended.status == Status::Failed);
        failed.map(|ended| ended.place.clone()).collect()
    }

    /// Scenarios that neither passed nor failed every time: their names, how often they failed, and
    /// how often they ran, each try counted.
    #[must_use]
    pub fn flakes(&self) -> Vec<(String, usize, usize)> {
        let mut counts: BTreeMap<&Place, (&str, usize, usize)> = BTreeMap::new();
        for ended in self.scenarios.iter().filter(|ended| ended.status != Status::Skipped) {
            let (_, failed, ran) = counts.entry(&ended.place).or_insert((&ended.scenario, 0, 0));
            *failed += ended.failed_tries + usize::from(ended.status == Status::Failed);
            *ran += ended.failed_tries + 1;
        }
        let flaky = counts.into_values().filter(|(_, failed, ran)| *failed > 0 && failed < ran);
        flaky.map(|(name, failed, ran)| (name.to_owned(), failed, ran)).collect()
    }
}

impl Totals {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> usize {
        self.passed + self.flaky + self.failed + self.skipped
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = if self.all() == 1 { "" } else { "s" };
        write!(f, "{} scenario{s}: {} passed", self.all(), self.passed)?;
        if self.flaky > 0 {
            write!(f, ", {} flaky", self.flaky)?;
        }
        write!(f, ", {} failed, {} skipped", self.failed, self.skipped)
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
    let shared = world::Shared {
        api: Api::new(client),
        proxy: Proxy::new(config)?,
        vocabulary,
        readiness: options.readiness.clone(),
        programs: options.programs.clone(),
        capabilities: options.capabilities.clone(),
        cancel: inner,
    };
    let (handle, teller, options) = (tokio::runtime::Handle::current(), progress.clone(), options.clone());
    let ran = tokio::task::spawn_blocking(move || handle.block_on(run::execute(shared, selection, &options, &teller)))
        .await
        .map_err(|error| Failure::new(Kind::Unexpected, error).context("running the scenarios"))??;
    if cancel.is_cancelled() { Err(crate::plan::graph::interrupted()) } else { Ok(ran) }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    #[test]
    fn either_keeper_of_traces_is_tracing() {
        let head = "apiVersion: istiolab.dev/v1alpha1\nkind: Lab\nname: traced\n";
        let has = |addons: &str| {
            let (shown, path) = (Utf8Path::new("lab.yaml"), Utf8Path::new("/traced/lab.yaml"));
            Options::of(&spec::parse(&format!("{head}{addons}"), shown, path).expect("a lab")).capabilities
        };
        assert!(has("addons: [{name: zipkin}]").into_iter().eq(["tracing", "zipkin"]));
        assert!(has("addons: [{name: jaeger}]").into_iter().eq(["jaeger", "tracing"]));
        assert!(has("addons: [{name: grafana}]").into_iter().eq(["grafana"]));
    }

    #[test]
    fn what_fails_now_and_then_is_flaky() {
        let ended = |name: &str, line, status| Ended {
            scenario: format!("F: {name}"),
            place: ("f.feature".to_owned(), line),
            status,
            failed_tries: usize::from(status == Status::Flaky),
        };
        let (passed, flaky, failed, skipped) = (Status::Passed, Status::Flaky, Status::Failed, Status::Skipped);
        let scenarios = vec![
            ended("always", 1, failed),
            ended("always", 1, failed),
            ended("never", 2, passed),
            ended("never", 2, skipped),
            ended("at times", 3, passed),
            ended("at times", 3, failed),
            ended("tried again", 4, flaky),
        ];
        let ran = Ran { scenarios };
        assert_eq!(ran.flakes(), [("F: at times".to_owned(), 1, 2), ("F: tried again".to_owned(), 1, 2)]);
        assert_eq!(ran.totals(), Totals { passed: 2, flaky: 1, failed: 3, skipped: 1 });
        assert_eq!(ran.totals().to_string(), "7 scenarios: 2 passed, 1 flaky, 3 failed, 1 skipped");
        assert_eq!(ran.failed().len(), 2);
    }
}
