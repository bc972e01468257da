//! `istiolab test`.

use camino::Utf8Path;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::Context;
use crate::error::{Failure, Kind};
use crate::plan::event::{Outcome, Progress, What};
use crate::spec::Lab;
use crate::verify::{self, Options, Totals};

/// Run the lab's scenarios
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    choice: Choice,
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
        context.report(Some(&lab), |progress| async move { choice.test(tested, context, &progress).await }).await?;
        Ok(())
    }
}

impl Choice {
    /// Runs the lab's scenarios as a phase of their own.
    pub(super) async fn test(&self, lab: &Lab, context: &Context, progress: &Progress) -> Result<(), Failure> {
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
        let totals = result?;
        if totals.failed == 0 { Ok(()) } else { Err(Failure::new(Kind::ScenariosFailed, totals.to_string())) }
    }

    async fn run(&self, lab: &Lab, context: &Context, progress: &Progress) -> Result<Totals, Failure> {
        let options = Options {
            tags: self.tags.clone().or_else(|| lab.features.tags.clone()),
            name: self.name.clone(),
            parallel: self.parallel.map_or(lab.features.parallel, usize::from),
            fail_fast: self.fail_fast,
            ..Options::of(lab)
        };
        let config = configuration(&context.paths.lab(&lab.name).join("kubeconfig"), lab).await?;
        verify::run(config, options, progress, &context.cancel).await
    }
}

/// The lab's own kubeconfig.
async fn configuration(file: &Utf8Path, lab: &Lab) -> Result<kube::Config, Failure> {
    if !file.exists() {
        return Err(Failure::new(Kind::Unavailable, format!("the lab `{}` is not up: there is no {file}", lab.name))
            .hint("Bring it up: istiolab up"));
    }
    let unusable = |error| Failure::new(Kind::Unavailable, error).context(format!("reading {file}"));
    let kubeconfig = Kubeconfig::read_from(file).map_err(unusable)?;
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(unusable)?;
    // The API server is on this machine; a proxy of the environment does not lead to it.
    config.proxy_url = None;
    Ok(config)
}
