//! `istiolab run`.

use serde::Serialize;

use super::Context;
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
        let work = |progress: Progress| {
            let (lab, Self { making, choice }) = (&lab, self);
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
        let scenarios = context.report(Some(&lab), work).await?;
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
