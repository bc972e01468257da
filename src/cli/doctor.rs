//! `istiolab doctor`: looks at this machine and, if asked to, mends it.

use std::io::IsTerminal as _;

use tokio_util::sync::CancellationToken;

use super::{Context, context};
use crate::cluster::registry_container;
use crate::doctor::{self, Options, Remedy, Report, fix};
use crate::error::{Failure, Kind};
use crate::images::engine;
use crate::plan::event::Progress;
use crate::spec::Lab;

/// Check what labs need of this machine: engine, kernel limits, room, toolchains
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Install and start what is missing (Debian, as root); elsewhere the commands are shown
    #[arg(long)]
    fix: bool,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        // Without a lab file there is no port to ask for; one that is named must be good.
        let lab = if context.global.file.is_some() { Some(context.lab()?) } else { context.lab().ok() };
        let lab = lab.as_ref();
        let work = |progress: Progress| async move {
            if self.fix {
                mend(lab, context, &progress).await
            } else {
                Ok(doctor::examine(&options(lab, context).await, &progress, &context.cancel).await)
            }
        };
        let report = context.report(None, work).await?;
        context.print(&report, report.table())?;
        report.verdict()
    }
}

async fn options(lab: Option<&Lab>, context: &Context) -> Options {
    let mut ports = Vec::new();
    if let Some(lab) = lab
        && let Some(port) = lab.registry.port
    {
        // The lab's own registry may hold it.
        let held = match engine::connect().await {
            Ok(docker) => registry_container::exists(&docker, &lab.name).await.unwrap_or(false),
            Err(_) => false,
        };
        if !held {
            ports.push(port);
        }
    }
    Options { cache: context.paths.cache.clone(), ports, build: true }
}

/// Looks at the machine and mends what is wrong, after asking unless `--yes` is given.
pub(super) async fn mend(lab: Option<&Lab>, context: &Context, progress: &Progress) -> Result<Report, Failure> {
    let yes = context.global.yes;
    if !yes && !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            Kind::Usage,
            "each change of this machine is asked about, and nobody can answer here",
        )
        .hint("Add --yes to agree to every change, or run `istiolab doctor` to see them first."));
    }
    let options = options(lab, context).await;
    let cancel: &CancellationToken = &context.cancel;
    let here = fix::Here { options: &options, progress, cancel };
    fix::fix(&here, progress, cancel, |remedy| yes || agreed(remedy)).await
}

/// Shows a remedy and asks the person at the terminal.
fn agreed(remedy: &Remedy) -> bool {
    let mut question = format!("To {}:\n", remedy.what);
    for command in &remedy.commands {
        question = format!("{question}  {command}\n");
    }
    question.push_str("Run this? [y/N] ");
    context::agreed(&question)
}
