//! What every verb gets: the flags, the folders, where data and progress go, and when to stop.

use std::fmt::Display;
use std::future::Future;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Color, Global, Output};
use crate::cluster;
use crate::error::{Failure, Kind};
use crate::images::registry::Access;
use crate::lab::project::DEFAULT_LAB;
use crate::paths::Paths;
use crate::plan::event::Progress;
use crate::report::terminal::Verbosity;
use crate::report::{self, Sinks, Style, Terminal};
use crate::spec::{self, Lab};

/// How long a run that is out of time may take to stop.
const GRACE: Duration = Duration::from_secs(30);

/// What every verb gets.
#[derive(Debug)]
pub struct Context {
    /// The flags that every verb takes.
    pub global: Global,
    /// The user's folders.
    pub paths: Paths,
    /// Cancelled by the first Ctrl-C or request to end, and when `--timeout` has passed.
    pub cancel: CancellationToken,
}

impl Context {
    /// Reads the environment.
    ///
    /// # Errors
    /// There are no folders to keep things in.
    pub fn new(global: Global) -> Result<Self, Failure> {
        Ok(Self { global, paths: Paths::from_env()?, cancel: CancellationToken::new() })
    }

    /// The lab that is meant: `--file`, else the quick start here or in a folder above.
    ///
    /// # Errors
    /// There is none, or it has problems.
    pub fn lab(&self) -> Result<Lab, Failure> {
        let file = match &self.global.file {
            Some(file) => file.clone(),
            None => quick_start()?,
        };
        Ok(spec::load(&file)?)
    }

    /// The way to the cluster of a lab that is up; `hint` says what to do where it is not.
    ///
    /// # Errors
    /// The lab is not up, or its kubeconfig can't be used.
    pub(super) async fn cluster(&self, lab: &Lab, hint: &str) -> Result<kube::Config, Failure> {
        let kubeconfig = self.paths.lab(&lab.name).join("kubeconfig");
        if !kubeconfig.is_file() {
            return Err(Failure::new(Kind::Unavailable, format!("the lab `{}` is not up", lab.name)).hint(hint));
        }
        Ok(cluster::config(&kubeconfig).await?)
    }

    /// The files with objects that a verb works on: `--file` and those named besides it. `doing` is
    /// what is done to them, for the error.
    ///
    /// # Errors
    /// There are none.
    pub(super) fn objects(&self, besides: &[Utf8PathBuf], doing: &str) -> Result<Vec<Utf8PathBuf>, Failure> {
        let files: Vec<_> = self.global.file.iter().chain(besides).cloned().collect();
        if files.is_empty() {
            return Err(Failure::new(Kind::Usage, format!("no objects to {doing}"))
                .hint("Name a file with -f FILE, or `-f -`."));
        }
        Ok(files)
    }

    /// How registries are reached: with the credentials that `docker login` left.
    pub fn access(&self) -> Access {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let own = set("DOCKER_CONFIG").map(PathBuf::from);
        let folder = own.or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".docker")));
        let file = folder.and_then(|folder| Utf8PathBuf::from_path_buf(folder.join("config.json")).ok());
        Access { docker_config: file, ..Access::default() }
    }

    /// Runs `work` within `--timeout`, reported as the flags say.
    ///
    /// # Errors
    /// What `work` failed with; [`Kind::TimedOut`] if the time passed; a report that can't be written.
    pub async fn report<T, Fut>(&self, lab: Option<&Lab>, work: impl FnOnce(Progress) -> Fut) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        self.report_then(lab, work, async |_, result| result).await
    }

    /// As [`Context::report`]; what came of `work` is then handed to `after`, which is reported, too,
    /// and for which `--timeout` does not count.
    ///
    /// # Errors
    /// What `after` fails with; a report that can't be written.
    pub async fn report_then<T, Fut>(
        &self,
        lab: Option<&Lab>,
        work: impl FnOnce(Progress) -> Fut,
        after: impl AsyncFnOnce(Progress, Result<T, Failure>) -> Result<T, Failure>,
    ) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        let both = async |progress: Progress| {
            // On the heap: a whole run is one large future.
            let result = self.limited(Box::pin(work(progress.clone()))).await;
            after(progress, result).await
        };
        report::around(self.sinks(lab), both).await
    }

    /// Asks `work` to stop when the time has passed, and says so if it then did.
    async fn limited<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let Some(limit) = self.global.timeout else { return work.await };
        let mut work = pin!(work);
        if let Ok(result) = tokio::time::timeout(limit, &mut work).await {
            return result;
        }
        self.cancel.cancel();
        let late = Failure::new(Kind::TimedOut, format!("not done within {}", humantime::format_duration(limit)))
            .hint("Run the same command again, it goes on from here; --timeout gives it longer.");
        match tokio::time::timeout(GRACE, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(failure)) if failure.kind != Kind::Interrupted => Err(failure),
            _ => Err(late),
        }
    }

    fn sinks(&self, lab: Option<&Lab>) -> Sinks {
        let stderr = std::io::stderr();
        let color = self.colors(stderr.is_terminal());
        let verbosity = match (self.global.quiet, self.global.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let terminal = if stderr.is_terminal() && !is_set("CI") && !is_dumb() {
            Terminal::live(color, verbosity)
        } else {
            Terminal::plain(Box::new(stderr), color, verbosity)
        };
        Sinks { terminal: Some(terminal), files: self.global.report.clone(), lab: lab.cloned() }
    }

    /// Whether what goes to a place is to be coloured.
    fn colors(&self, is_terminal: bool) -> bool {
        match self.global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && !is_set("NO_COLOR") && !is_dumb(),
        }
    }

    /// How text on standard output is painted.
    pub(super) fn style(&self) -> Style {
        Style { color: self.colors(std::io::stdout().is_terminal()) }
    }

    /// Writes data to standard output in the form that the user asked for.
    ///
    /// # Errors
    /// Standard output is gone; a reader that has seen enough is none.
    pub fn print(&self, data: &impl Serialize, text: impl Display) -> Result<(), Failure> {
        match self.global.output {
            Output::Text => write(&text),
            Output::Json => {
                let json = serde_json::to_string_pretty(data).map_err(|error| Failure::new(Kind::Unexpected, error))?;
                write(&json)
            }
        }
    }
}

/// Asks the person at the terminal; nobody there agrees to nothing.
pub(super) fn agreed(question: &str) -> bool {
    let mut answer = String::new();
    let asked = std::io::stdin().is_terminal()
        && std::io::stderr().write_all(question.as_bytes()).is_ok()
        && std::io::stdin().read_line(&mut answer).is_ok();
    asked && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Whether the terminal understands nothing but text.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Writes text to standard output, with a line break at its end.
pub(super) fn write(text: &impl Display) -> Result<(), Failure> {
    let text = text.to_string();
    match writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n')) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Kind::Unexpected, error).context("writing to standard output"))
        }
        _ => Ok(()),
    }
}

pub(super) fn quick_start() -> Result<Utf8PathBuf, Failure> {
    let here = std::env::current_dir().ok().and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok()).unwrap_or_default();
    let found = here.ancestors().map(|dir| dir.join(DEFAULT_LAB)).find(|file| file.is_file());
    // In the user's words where that is short: `scenarios/quickstart.yaml`, not the whole path.
    let found = found.map(|file| file.strip_prefix(&here).map(Utf8Path::to_owned).unwrap_or(file));
    found.ok_or_else(|| {
        Failure::new(Kind::Usage, format!("no lab file: there is no {DEFAULT_LAB} in this folder or above it"))
            .hint("Name one with -f FILE.")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Cli;
    use super::*;

    fn context(args: &[&str]) -> Context {
        let cli = Cli::parse_from(["istiolab", "version"].iter().chain(args));
        let paths = Paths { cache: "/nowhere".into(), state: "/nowhere".into() };
        Context { global: cli.global, paths, cancel: CancellationToken::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_out_of_time_is_asked_to_stop() {
        let context = context(&["--timeout", "5s"]);
        let cancel = context.cancel.clone();
        let failure = context
            .limited(async move {
                cancel.cancelled().await;
                Err::<(), _>(crate::plan::graph::interrupted())
            })
            .await
            .expect_err("it never ends by itself");
        assert_eq!((failure.kind, failure.lines()), (Kind::TimedOut, vec!["not done within 5s".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_does_not_stop_is_left() {
        let failure = context(&["--timeout", "5s"])
            .limited(std::future::pending::<Result<(), Failure>>())
            .await
            .expect_err("it never ends");
        assert_eq!(failure.kind, Kind::TimedOut);
    }

    #[tokio::test]
    async fn a_failure_in_time_is_its_own() {
        let failure = context(&["--timeout", "5s"])
            .limited(async { Err::<(), _>(Failure::new(Kind::Refused, "no")) })
            .await
            .expect_err("it fails");
        assert_eq!(failure.kind, Kind::Refused);
    }
}
