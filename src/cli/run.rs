//! `istiolab run`.

use serde::Serialize;

use super::Context;
use super::collect::Rescue;
use super::doctor::mend;
use super::test::{Choice, verdict};
use super::up::Making;
use crate::error::Failure;
use crate::plan::event::Progress;
use crate::verify::Totals;

/// Bring the lab up, run its scenarios, report
///
/// With --yes, what this machine lacks is installed first, as `doctor --fix` does.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    making: Making,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    rescue: Rescue,
}

/// What came of it, for programs.
#[derive(Debug, Serialize)]
struct Ran {
    lab: String,
    kubeconfig: String,
    scenarios: Totals,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let lab = context.lab()?;
        let Self { making, choice, rescue } = self;
        let work = |progress: Progress| {
            let lab = &lab;
            async move {
                if context.global.yes {
                    mend(Some(lab), context, &progress).await?.verdict()?;
                }
                making.make(lab, context, &progress).await?;
                let totals = choice.test(lab, context, &progress).await?;
                making.verdict(lab, context).await?;
                Ok(totals)
            }
        };
        let scenarios = rescue.report(&lab, context, |totals| verdict(*totals), work).await?;
        let kubeconfig = context.paths.lab(&lab.name).join("kubeconfig").into_string();
        let file = &lab.file;
        let text = format!(
            "The lab `{}` stays up. To look at it:\n  \
               istiolab status -f {file}\n  \
               export KUBECONFIG={kubeconfig}\n\
             To take it down:\n  \
               istiolab down -f {file}",
            lab.name
        );
        context.print(&Ran { lab: lab.name.clone(), kubeconfig, scenarios }, text)?;
        verdict(scenarios)
    }
}
