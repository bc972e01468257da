//! `istiolab test`.

use super::Context;
use crate::cluster;
use crate::error::{Failure, Kind};
use crate::plan::event::Progress;
use crate::spec::Lab;
use crate::verify::{self, Totals};

/// Run the lab's scenarios
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    choice: Choice,
}

/// Which scenarios run, and how; shared with `run`.
#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// Only scenarios whose tags match, such as '@prometheus and not @slow'
    #[arg(long, value_name = "EXPRESSION")]
    tags: Option<String>,
    /// Only scenarios with these words in `Feature: scenario`
    #[arg(long, value_name = "WORDS")]
    name: Option<String>,
    /// How many scenarios run at once [default: what the lab file says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    parallel: Option<u8>,
    /// Begin no scenario after one failed
    #[arg(long)]
    fail_fast: bool,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let lab = context.lab()?;
        let work = |progress: Progress| {
            let (lab, choice) = (&lab, self.choice);
            async move { choice.test(lab, context, &progress).await }
        };
        let totals = context.report(Some(&lab), work).await?;
        context.print(&totals, totals)?;
        verdict(totals)
    }
}

impl Choice {
    /// Runs the chosen scenarios against the lab, which must be up.
    pub(super) async fn test(self, lab: &Lab, context: &Context, progress: &Progress) -> Result<Totals, Failure> {
        let kubeconfig = context.paths.lab(&lab.name).join("kubeconfig");
        if !kubeconfig.is_file() {
            return Err(Failure::new(Kind::Unavailable, format!("the lab `{}` is not up", lab.name))
                .hint("Run `istiolab up` first, or `istiolab run`, which does both."));
        }
        let config = cluster::config(&kubeconfig).await?;
        let mut options = verify::Options::of(lab);
        options.tags = self.tags.or(options.tags);
        options.name = self.name;
        options.parallel = self.parallel.map_or(options.parallel, usize::from);
        options.fail_fast = self.fail_fast;
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
