//! `istiolab test`.

use std::collections::BTreeSet;
use std::time::SystemTime;

use camino::Utf8Path;
use tokio_util::sync::CancellationToken;

use super::collect::Rescue;
use super::{Context, Output};
use crate::error::{Failure, Kind};
use crate::lab::gate;
use crate::observe::prometheus::Prometheus;
use crate::observe::{Proxy, snapshot};
use crate::plan::event::{Outcome, Progress, What};
use crate::plan::journal::Journal;
use crate::spec::Lab;
use crate::verify::{self, Options, Place, Ran, Shard, Totals};

/// Run the lab's scenarios
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    choice: Choice,
    /// Fail also if a node asked others than the lab's registry for an image since `up --offline`
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    rescue: Rescue,
}

/// Which scenarios run, and how; shared with `run`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Choice {
    /// Only scenarios whose tags answer this expression, such as '@mtls and not @slow'
    #[arg(long, value_name = "EXPRESSION")]
    tags: Option<String>,
    /// Only scenarios with these words in 'Feature: scenario'
    #[arg(long, value_name = "WORDS")]
    name: Option<String>,
    /// How many scenarios run at once [default: the lab's]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: Option<u16>,
    /// Begin no scenario after one has failed
    #[arg(long)]
    fail_fast: bool,
    /// Try a scenario that failed so many times again; what then passes is told as flaky
    #[arg(long, value_name = "TIMES", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=10))]
    retry: u16,
    /// Only one part of the scenarios, such as 1/3
    #[arg(long, value_name = "PART/PARTS")]
    shard: Option<Shard>,
    /// Run the scenarios so many times, and tell those that fail only now and then
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Only scenarios that failed the last time
    #[arg(long)]
    rerun_failed: bool,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let lab = context.lab()?;
        let (choice, tested) = (self.choice, &lab);
        let work = |progress| async move {
            let totals = choice.test(tested, context, &progress).await?;
            gate::verdict(tested, &context.paths, self.offline).await?;
            Ok(totals)
        };
        let totals = self.rescue.report(&lab, context, |totals| verdict(*totals), work).await?;
        // On a terminal the report has told them already.
        if context.global.output == Output::Json {
            context.print(&totals, totals)?;
        }
        verdict(totals)
    }
}

impl Choice {
    /// Runs the chosen scenarios as a phase of their own against the lab, which must be up.
    pub(super) async fn test(&self, lab: &Lab, context: &Context, progress: &Progress) -> Result<Totals, Failure> {
        let progress = progress.for_step("scenarios");
        let title = "running the scenarios".to_owned();
        progress.emit(What::StepStarted { phase: "scenarios".to_owned(), title });
        let begin = std::time::Instant::now();
        let result = self.run(lab, context, &progress).await;
        let outcome = match &result {
            Ok(totals) if totals.failed == 0 => Outcome::done(totals.to_string()),
            Ok(totals) => Outcome::Failed { error: totals.to_string() },
            Err(failure) if failure.kind == Kind::Interrupted => Outcome::Cancelled,
            Err(failure) => Outcome::Failed { error: failure.lines().join(": ") },
        };
        progress.emit(What::StepFinished { outcome, elapsed: begin.elapsed() });
        result
    }

    async fn run(&self, lab: &Lab, context: &Context, progress: &Progress) -> Result<Totals, Failure> {
        let folder = context.paths.lab(&lab.name);
        let hint = "Run `istiolab up` first, or `istiolab run`, which does both.";
        let config = context.cluster(lab, hint).await?;
        let options = Options {
            tags: self.tags.clone().or_else(|| lab.features.tags.clone()),
            name: self.name.clone(),
            parallel: self.parallel.map_or(lab.features.parallel, usize::from),
            fail_fast: self.fail_fast,
            retry: usize::from(self.retry),
            shard: self.shard,
            only: self.rerun_failed.then(|| last_failed(&folder)).transpose()?,
            ..Options::of(lab).against(folder.join("kubeconfig"))
        };
        let begin = SystemTime::now();
        let ran = self.rounds(&config, &options, progress, &context.cancel).await?;
        Journal::open(&folder)?.set(FAILED, &ran.failed())?;
        for (scenario, failed, times) in ran.flakes() {
            progress.warn(format!("Flaky: {scenario} failed {failed} of {times} times."));
        }
        let measured = lab.mesh.is_some() && lab.addons.iter().any(|addon| addon.name == "prometheus");
        if measured && !context.global.report.is_empty() {
            let proxy = Proxy::new(config)?;
            // For the reader of a report alone: what can't be had is only missed there.
            match snapshot::take(&Prometheus::of_lab(&proxy), begin).await {
                Ok(snapshot) => progress.emit(What::Mesh(Box::new(snapshot))),
                Err(why) => progress.detail(format!("no picture of the mesh: {why}")),
            }
        }
        Ok(ran.totals())
    }

    /// Runs the scenarios as often as was asked for.
    async fn rounds(
        &self,
        config: &kube::Config,
        options: &Options,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Ran, Failure> {
        let mut all = Ran::default();
        for round in 1..=self.repeat {
            if self.repeat > 1 {
                progress.note(format!("Round {round} of {}.", self.repeat));
            }
            let ran = verify::run(config.clone(), options.clone(), progress, cancel).await?;
            all.scenarios.extend(ran.scenarios);
            if self.fail_fast && all.totals().failed > 0 {
                break;
            }
        }
        Ok(all)
    }
}

/// The journal's entry with the scenarios that failed the last time.
const FAILED: &str = "failed-scenarios";

fn last_failed(folder: &Utf8Path) -> Result<BTreeSet<Place>, Failure> {
    let failed: BTreeSet<Place> = Journal::open(folder)?.get(FAILED).unwrap_or_default();
    if failed.is_empty() {
        return Err(Failure::new(Kind::Usage, "no scenario failed the last time")
            .hint("Run `istiolab test` without --rerun-failed."));
    }
    Ok(failed)
}

/// The failure of a run in which scenarios failed.
pub(super) fn verdict(totals: Totals) -> Result<(), Failure> {
    if totals.failed == 0 {
        return Ok(());
    }
    let s = if totals.failed == 1 { "" } else { "s" };
    Err(Failure::new(Kind::ScenariosFailed, format!("{} scenario{s} of {} failed", totals.failed, totals.all()))
        .hint("Each failed scenario is told above, with what was asked and seen."))
}
