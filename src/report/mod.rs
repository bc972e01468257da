//! What the user and other programs read about a run: consumers of one stream of events.

mod files;
mod html;
mod json;
mod junit;
mod messages;
mod style;
mod tally;
pub mod target;
pub mod terminal;
mod text;

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::error::Failure;
use crate::plan::event::{Event, Progress, What};
use files::Files;

pub(crate) use style::Style;
pub use tally::{Phase, Slow, StepRecord, Tally, Waited};
pub use target::{Format, Target};
pub use terminal::Terminal;
pub(crate) use text::counted;

/// How often open lines are repainted and signs of life are given.
const TICK: Duration = Duration::from_millis(100);

/// Where a run is reported.
pub struct Sinks {
    /// The terminal, unless nobody looks.
    pub terminal: Option<Terminal>,
    /// Report files.
    pub files: Vec<Target>,
    /// The lab that runs, for the reports' heads.
    pub lab: Option<crate::spec::Lab>,
}

/// Reads events until every sender is gone. Report files are valid at every moment, and at most half a
/// second behind unless they are long: what is not there yet is marked as missing.
///
/// # Errors
/// A report file that can't be written; events are read to their end all the same.
pub async fn run(mut receiver: UnboundedReceiver<Event>, mut sinks: Sinks) -> Result<Tally, Failure> {
    let mut tally = Tally::new(sinks.lab.take());
    let mut files = Files::begin(std::mem::take(&mut sinks.files), &tally);
    let mut ticks = tokio::time::interval(TICK);
    loop {
        let event = tokio::select! {
            event = receiver.recv() => event,
            _ = ticks.tick() => {
                if let Some(terminal) = &mut sinks.terminal {
                    terminal.tick();
                }
                files.tick(&tally);
                continue;
            }
        };
        let Some(event) = event else { break };
        tally.add(&event);
        if let Some(terminal) = &mut sinks.terminal {
            terminal.event(&event, &tally);
        }
        // A run that is killed leaves what it knew at its last milestones, but for those of a moment.
        if matches!(event.what, What::StepFinished { .. } | What::Scenario(_) | What::Ended { .. }) {
            files.outdated();
        }
    }
    if let Some(terminal) = &mut sinks.terminal {
        terminal.finish(&tally);
    }
    files.finish(&tally).map(|()| tally)
}

/// Runs `work` with a progress handle whose events go to `sinks`, and tells the reports how it ended.
///
/// # Errors
/// What `work` failed with; else a report file that can't be written.
pub async fn around<T, Fut>(sinks: Sinks, work: impl FnOnce(Progress) -> Fut) -> Result<T, Failure>
where
    Fut: Future<Output = Result<T, Failure>>,
{
    let (progress, receiver) = Progress::channel();
    let reports = tokio::spawn(run(receiver, sinks));
    let result = work(progress.clone()).await;
    progress.emit(match &result {
        Ok(_) => What::Ended { code: 0, error: None },
        Err(failure) => What::Ended { code: failure.kind.code(), error: Some(failure.to_string()) },
    });
    drop(progress);
    let reported = reports.await.map_err(|error| Failure::new(crate::error::Kind::Unexpected, error));
    let value = result?;
    reported??;
    Ok(value)
}

#[cfg(test)]
mod tests;
