//! `istiolab doctor`: looks at this machine and, if asked to, mends it.

use std::io::{IsTerminal as _, Write as _};

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::doctor::{self, Options, Remedy, fix};
use crate::error::{Failure, Kind};
use crate::paths::Paths;
use crate::plan::event::Progress;

/// Check what labs need of this machine: engine, kernel limits, room, toolchains.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// Install and start what is missing (Debian, as root); elsewhere the commands are shown
    #[arg(long)]
    pub fix: bool,
    /// Do not ask before each change
    #[arg(short, long, requires = "fix")]
    pub yes: bool,
    /// The form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// The form of a report on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table.
    Text,
    /// One JSON document.
    Json,
}

/// Runs the verb.
///
/// # Errors
/// [`Kind::Unavailable`] if something is wrong that labs can't do without; [`Kind::Usage`] if it
/// would have to ask and nobody can answer; a failed command of `--fix`.
pub async fn run(args: &Doctor, paths: &Paths, progress: &Progress, cancel: &CancellationToken) -> Result<(), Failure> {
    let options = Options { cache: paths.cache.clone(), ports: Vec::new(), build: true };
    let report = if args.fix {
        if !args.yes && !std::io::stdin().is_terminal() {
            return Err(Failure::new(
                Kind::Usage,
                "`doctor --fix` asks before each change, and nobody can answer here",
            )
            .hint("Add --yes to agree to every change, or run `istiolab doctor` to see them first."));
        }
        let here = fix::Here { options: &options, progress, cancel };
        fix::fix(&here, progress, cancel, |remedy| args.yes || agreed(remedy)).await?
    } else {
        doctor::examine(&options, progress, cancel).await
    };
    let text = match args.output {
        Output::Text => report.table(),
        Output::Json => format!("{:#}\n", serde_json::json!(report)),
    };
    let written = std::io::stdout().write_all(text.as_bytes());
    written.map_err(|error| Failure::new(Kind::Unexpected, error).context("writing the report"))?;
    report.verdict()
}

/// Shows a remedy and asks the person at the terminal.
fn agreed(remedy: &Remedy) -> bool {
    let mut question = format!("To {}:\n", remedy.what);
    for command in &remedy.commands {
        question = format!("{question}  {command}\n");
    }
    question.push_str("Run this? [y/N] ");
    let mut answer = String::new();
    let asked =
        std::io::stderr().write_all(question.as_bytes()).is_ok() && std::io::stdin().read_line(&mut answer).is_ok();
    asked && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}
