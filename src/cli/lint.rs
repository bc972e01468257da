//! `istiolab lint`.

use super::Context;
use crate::error::{Failure, Kind};
use crate::verify::{Options, lint};

/// Look for faults in the lab's feature files, without a cluster
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Fail also if a step of the vocabulary is used by no scenario
    #[arg(long)]
    unused: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let lab = context.lab()?;
        let linted = lint::lint(&Options::of(&lab))?;
        let counts = format!("{} files, {} scenarios, {} steps", linted.files, linted.scenarios, linted.steps);
        let mut problems: Vec<String> = linted.faults.iter().map(ToString::to_string).collect();
        if self.unused {
            problems.extend(linted.unused.iter().map(|pattern| format!("no scenario uses the step: {pattern}")));
        }
        context.print(&linted, if problems.is_empty() { format!("{counts}: no fault") } else { counts })?;
        if problems.is_empty() {
            return Ok(());
        }
        Err(Failure::new(Kind::BadInput, problems.join("\n"))
            .hint("`istiolab steps --search WORD` shows the steps that there are."))
    }
}
