//! `istiolab collect`, and the bundle that other verbs leave when they fail.

use std::fmt::Write as _;
use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use camino::{Utf8DirEntry, Utf8Path, Utf8PathBuf};
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::collect::{Collected, Grade, file_name};
use crate::error::{Failure, Kind};
use crate::lab;
use crate::lab::collect::Wanted;
use crate::plan::event::{Outcome, Progress, What};
use crate::report::counted;
use crate::spec::Lab;

/// How long collecting may take unless `--timeout` says so.
const LIMIT: Duration = Duration::from_mins(2);
/// How long it may take when another verb has failed.
const LIMIT_AFTER_FAILURE: Duration = Duration::from_mins(1);
/// How many bundles of a lab are kept that were not asked for.
const KEPT: usize = 5;
/// How many findings are shown.
const SHOWN: usize = 10;

/// Collect what explains how the lab stands in one file, without what is secret
///
/// Objects, events, logs, what proxies, istiod and nodes say, versions, and a page to read first. Works also when
/// the API server does not answer.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write [default: istiolab-debug-LAB-TIME.tar.gz in this folder]
    #[arg(long, value_name = "FILE")]
    to: Option<Utf8PathBuf>,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let lab = context.lab()?;
        let to = self.to.unwrap_or_else(|| file_name(&lab.name, SystemTime::now()).into());
        // What was collected by then is written.
        let limit = context.global.timeout.map_or(LIMIT, |timeout| timeout.mul_f32(0.8));
        let (collected, to) = (&lab, &to);
        let work =
            async |progress: Progress| collect(collected, context, to, None, limit, &progress, &context.cancel).await;
        let collected = context.report(None, work).await?;
        context.print(&collected, text(&collected))
    }
}

fn text(collected: &Collected) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    for finding in collected.findings.iter().filter(|finding| finding.grade != Grade::Notable).take(SHOWN) {
        let _ = writeln!(text, "{}: {}", finding.object, finding.cause);
    }
    if !collected.missing.is_empty() {
        let _ =
            writeln!(text, "{} could not be collected; the page says why.", counted(collected.missing.len(), "thing"));
    }
    let removed = collected.removed.values().sum();
    let _ = writeln!(text, "{} removed because they are secret.", counted(removed, "value"));
    let _ = write!(text, "{}\nUnpack it and open its index.html first.", collected.file);
    text
}

/// Collects as a step of its own.
async fn collect(
    lab: &Lab,
    context: &Context,
    to: &Utf8Path,
    cause: Option<String>,
    limit: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Collected, Failure> {
    let progress = progress.for_step("collect");
    let title = "collecting what explains how the lab stands".to_owned();
    progress.emit(What::StepStarted { phase: "collect".to_owned(), title });
    let begin = Instant::now();
    let wanted = Wanted { lab, paths: &context.paths, access: context.access(), cause, to, limit };
    let result = lab::collect::collect(lab::site::engine().await, wanted, &progress, cancel).await;
    let outcome = match &result {
        Ok(collected) => Outcome::done(format!("{} files, {} kB", collected.files, collected.bytes / 1000)),
        Err(failure) if failure.kind == Kind::Interrupted => Outcome::Cancelled,
        Err(failure) => Outcome::Failed { error: failure.lines().join(": ") },
    };
    progress.emit(What::StepFinished { outcome, elapsed: begin.elapsed() });
    result
}

/// Whether a verb that fails leaves a debug bundle.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Rescue {
    /// Write no debug bundle when it fails
    #[arg(long)]
    no_collect: bool,
}

impl Rescue {
    /// Runs `work` as [`Context::report`] does. If it fails, or what came of it is a failure by
    /// `verdict`, and the lab has nodes, what explains it is collected, and the user told where it is.
    pub(super) async fn report<T, Fut>(
        &self,
        lab: &Lab,
        context: &Context,
        verdict: impl FnOnce(&T) -> Result<(), Failure>,
        work: impl FnOnce(Progress) -> Fut,
    ) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        let rescued = async |progress: Progress, result: Result<T, Failure>| {
            let failed = match &result {
                Ok(value) => verdict(value).err().map(|failure| (failure.kind, failure.to_string())),
                Err(failure) => Some((failure.kind, failure.to_string())),
            };
            let Some((kind, cause)) = failed else { return result };
            let Some(file) = self.collect(lab, context, kind, cause, &progress).await else { return result };
            let told = format!("What explains it is in {file}; open its index.html first.");
            match result {
                Ok(value) => {
                    progress.note(told);
                    Ok(value)
                }
                Err(failure) => Err(failure.hint(told)),
            }
        };
        context.report_then(Some(lab), work, rescued).await
    }

    /// Collects, where there is something to collect that explains a failure of this kind. That it
    /// can't be collected must not hide why.
    async fn collect(
        &self,
        lab: &Lab,
        context: &Context,
        kind: Kind,
        cause: String,
        progress: &Progress,
    ) -> Option<Utf8PathBuf> {
        let explains = matches!(kind, Kind::Unexpected | Kind::Unavailable | Kind::TimedOut | Kind::ScenariosFailed);
        if self.no_collect || !explains {
            return None;
        }
        let engine = lab::site::engine().await.ok()?;
        if !lab::collect::has_nodes(&engine, lab, &context.paths.lab(&lab.name)).await {
            return None;
        }
        let folder = context.paths.state.join("debug");
        let file = folder.join(file_name(&lab.name, SystemTime::now()));
        // A run that is out of time has cancelled everything that it began.
        let cancel = if kind == Kind::TimedOut { CancellationToken::new() } else { context.cancel.clone() };
        let collected = collect(lab, context, &file, Some(cause), LIMIT_AFTER_FAILURE, progress, &cancel).await;
        remove_old(&folder, &lab.name);
        collected.ok().map(|_| file)
    }
}

/// Removes all but the newest bundles of a lab.
fn remove_old(folder: &Utf8Path, lab: &str) {
    let (head, time) = (format!("istiolab-debug-{lab}-"), "20000101T000000Z.tar.gz");
    let entries = folder.read_dir_utf8().into_iter().flatten().flatten();
    let is_one = |name: &str| name.strip_prefix(&head).is_some_and(|rest| rest.len() == time.len());
    let mut bundles: Vec<Utf8PathBuf> =
        entries.filter(|entry| is_one(entry.file_name())).map(Utf8DirEntry::into_path).collect();
    bundles.sort();
    for old in &bundles[..bundles.len().saturating_sub(KEPT)] {
        // What stays costs room, nothing else.
        drop(fs_err::remove_file(old));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_bundles_of_the_same_lab_are_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Utf8Path::from_path(dir.path()).expect("UTF-8");
        let name =
            |lab: &str, day: u64| file_name(lab, SystemTime::UNIX_EPOCH + Duration::from_hours(500_000 + 24 * day));
        for file in (0..8).map(|day| name("a", day)).chain([name("a-b", 0), "istiolab-debug-a-notes.txt".to_owned()]) {
            fs_err::write(folder.join(file), "x").expect("written");
        }
        remove_old(folder, "a");
        let left = |file: &str| folder.join(file).is_file();
        assert!(!left(&name("a", 2)) && left(&name("a", 3)) && left(&name("a", 7)));
        assert!(left(&name("a-b", 0)) && left("istiolab-debug-a-notes.txt"));
    }
}
