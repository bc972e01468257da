//! `istiolab plan`.

use std::time::Duration;

use super::context::write;
use super::{Context, Output};
use crate::error::{Failure, Kind};
use crate::lab::plan::{self, Data, show};
use crate::lab::site::Site;
use crate::plan::event::Progress;

/// How long each set may take, where `--timeout` says nothing.
const LIMIT: Duration = Duration::from_secs(20);

/// Show what `up` would do with the lab's objects; changes nothing
///
/// What is made, changed field by field, replaced and pruned. Nothing is built, either. Fields are those that differ by a dry run on the API server;
/// defaults and fields of others are left out, and values of secrets hidden. Without a cluster everything is made.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End with 2 if anything would change
    #[arg(long)]
    exit_code: bool,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let lab = context.lab()?;
        let site = Site::open(lab, &context.paths, context.access())?;
        let limit = context.global.timeout.unwrap_or(LIMIT);
        let work = |progress: Progress| {
            let (site, cancel) = (&site, &context.cancel);
            async move { plan::plan(site, limit, &progress, cancel).await }
        };
        let plan = context.report(None, work).await?;
        match context.global.output {
            Output::Text => write(&show(&plan, context.style(), context.global.verbose))?,
            Output::Json => context.print(&Data::new(&plan), "")?,
        }
        if let Some(failure) = plan.failure() {
            return Err(failure);
        }
        if self.exit_code && !plan.is_empty() {
            return Err(Failure::new(Kind::ChangesPending, "changes are pending"));
        }
        Ok(())
    }
}
