//! Mending: the remedies of what was found, one after another, each shown and agreed to first; then
//! everything is looked at again, until nothing is left that can be mended.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Options, Remedy, Report, examine};
use crate::error::{Failure, Kind};
use crate::images::engine;
use crate::plan::event::Progress;
use crate::plan::graph::interrupted;
use crate::process::Command;

/// How often the machine is looked at again: what one round mends may bring up what another needs
/// (an engine that starts can then be asked for a privileged container).
const ROUNDS: u32 = 4;
/// How long one command may take: packages come over the network.
const ONE_COMMAND: Duration = Duration::from_mins(20);
/// How long a started engine may take until it answers.
const ENGINE_START: Duration = Duration::from_mins(1);

/// What mending needs of the machine.
pub trait Machine: Sync {
    /// Looks at everything.
    fn examine(&self) -> impl Future<Output = Report> + Send;
    /// Runs one command line by a shell.
    fn run(&self, line: &str) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Waits until an engine that may have been started answers; not an error if it does not.
    fn settle(&self) -> impl Future<Output = ()> + Send;
}

/// This machine.
#[derive(Debug)]
pub struct Here<'a> {
    /// What to look at.
    pub options: &'a Options,
    /// Where to report.
    pub progress: &'a Progress,
    /// When to stop.
    pub cancel: &'a CancellationToken,
}

impl Machine for Here<'_> {
    async fn examine(&self) -> Report {
        examine(self.options, self.progress, self.cancel).await
    }

    async fn run(&self, line: &str) -> Result<(), Failure> {
        let command = Command::new("sh").args(["-ec", line]).limit(ONE_COMMAND);
        let ran = command.run_with(self.cancel, |line| self.progress.status(line)).await;
        ran.map(drop).map_err(|error| Failure::from(error).context(format!("running `{line}`")))
    }

    async fn settle(&self) {
        let answers = async {
            while engine::connect().await.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::select! {
            () = self.cancel.cancelled() => {}
            // What went wrong is found by looking again.
            _ = tokio::time::timeout(ENGINE_START, answers) => {}
        }
    }
}

/// Looks, mends, looks again. `agree` is asked before each remedy, with what it does and its
/// commands; a remedy that is not agreed to is left out. The last look is returned.
///
/// # Errors
/// The failure of a command; [`Kind::Interrupted`].
pub async fn fix(
    machine: &impl Machine,
    progress: &Progress,
    cancel: &CancellationToken,
    mut agree: impl FnMut(&Remedy) -> bool,
) -> Result<Report, Failure> {
    let mut tried: Vec<Remedy> = Vec::new();
    for _ in 0..ROUNDS {
        let report = machine.examine().await;
        if cancel.is_cancelled() {
            return Err(interrupted());
        }
        let todo: Vec<Remedy> = report
            .remedies()
            .into_iter()
            .filter(|remedy| remedy.automatic && !tried.contains(remedy))
            .cloned()
            .collect();
        if todo.is_empty() {
            return Ok(report);
        }
        for remedy in todo {
            if agree(&remedy) {
                for line in &remedy.commands {
                    progress.note(format!("doctor runs: {line}"));
                    machine.run(line).await.map_err(|failure| advise(failure, &remedy))?;
                }
                if remedy.commands.iter().any(|line| line.contains("docker")) {
                    progress.status("waiting for the engine");
                    machine.settle().await;
                }
            }
            tried.push(remedy);
        }
    }
    Ok(machine.examine().await)
}

fn advise(failure: Failure, remedy: &Remedy) -> Failure {
    if failure.kind == Kind::Interrupted {
        return failure;
    }
    let failure = Failure { kind: Kind::Unavailable, ..failure };
    let starts = remedy.commands.iter().any(|line| line.contains("dockerd"));
    let failure = failure.context(format!("could not {}", remedy.what));
    if starts { failure.hint(format!("The engine's log is {}.", super::remedy::ENGINE_LOG)) } else { failure }
}

#[cfg(test)]
mod tests;
