//! `istiolab test`.

use super::collect::Rescue;
use super::{Context, Output};
use crate::cluster;
use crate::error::{Failure, Kind};
use crate::lab::gate;
use crate::lab::site::engine;
use crate::plan::event::{Outcome, Progress, What};
use crate::spec::Lab;
use crate::verify::{self, Options, Totals};

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
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let lab = context.lab()?;
        let (choice, tested) = (self.choice, &lab);
        let work = |progress| async move {
            let totals = choice.test(tested, context, &progress).await?;
            if self.offline {
                gate::verdict(&engine().await?, tested, &context.paths.lab(&tested.name)).await?;
            }
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
        let kubeconfig = context.paths.lab(&lab.name).join("kubeconfig");
        if !kubeconfig.is_file() {
            return Err(Failure::new(Kind::Unavailable, format!("the lab `{}` is not up", lab.name))
                .hint("Run `istiolab up` first, or `istiolab run`, which does both."));
        }
        let options = Options {
            tags: self.tags.clone().or_else(|| lab.features.tags.clone()),
            name: self.name.clone(),
            parallel: self.parallel.map_or(lab.features.parallel, usize::from),
            fail_fast: self.fail_fast,
            ..Options::of(lab)
        };
        let config = cluster::config(&kubeconfig).await?;
        verify::run(config, options, progress, &context.cancel).await
    }
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
