//! The command line: one file a verb, each a clap structure and a call into the library.

mod collect;
mod completion;
mod context;
mod convert;
mod doctor;
mod down;
mod graph;
mod images;
mod inject;
mod lint;
mod plan;
mod reach;
mod run;
mod schema;
mod selftest;
mod signals;
mod status;
mod steps;
mod test;
mod up;
mod version;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use camino::Utf8PathBuf;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::error::{Failure, Kind};
use crate::report::Target;

pub use context::Context;

/// Installs a service-mesh lab from one file, proves that it works, and takes it down again.
#[derive(Debug, Parser)]
#[command(name = "istiolab", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
   0  ok
   1  unexpected
   2  changes are pending (plan --exit-code)
  64  the command line is wrong
  65  a file is wrong
  69  the engine, the cluster or a registry does not answer
  75  timed out
  77  refused: it would destroy what is not ours
  79  scenarios failed
 130  interrupted";

/// Flags that every verb takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The lab file, `-` for standard input [default: scenarios/quickstart.yaml here or above]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub file: Option<Utf8PathBuf>,
    /// Give up after this time, with a unit: 90s, 15m, 1h
    #[arg(long, global = true, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// The form of what goes to standard output
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub output: Output,
    /// Report files to write: junit=PATH, json=PATH, html=PATH, messages=PATH
    #[arg(long, global = true, value_delimiter = ',', value_name = "FORMAT=PATH")]
    pub report: Vec<Target>,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    /// Show only warnings, failures and totals
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show every detail
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// The form of data on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people; where objects are printed, YAML.
    #[default]
    #[value(alias = "yaml")]
    Text,
    /// For programs.
    Json,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What is to be done. A new verb is a file beside this one, a line here and one in [`dispatch`].
#[derive(Debug, Subcommand)]
enum Verb {
    Doctor(doctor::Args),
    Plan(plan::Args),
    Up(up::Args),
    Test(test::Args),
    Run(run::Args),
    Status(status::Args),
    Collect(collect::Args),
    Down(down::Args),
    Inject(inject::Args),
    Convert(convert::Args),
    Graph(graph::Args),
    Steps(steps::Args),
    Lint(lint::Args),
    Selftest(selftest::Args),
    Images(images::Args),
    Schema(schema::Args),
    Completion(completion::Args),
    Version(version::Args),
}

async fn dispatch(verb: Verb, context: &Context) -> Result<(), Failure> {
    match verb {
        Verb::Doctor(args) => args.run(context).await,
        Verb::Plan(args) => args.run(context).await,
        Verb::Up(args) => args.run(context).await,
        Verb::Test(args) => args.run(context).await,
        Verb::Run(args) => args.run(context).await,
        Verb::Status(args) => args.run(context).await,
        Verb::Collect(args) => args.run(context).await,
        Verb::Down(args) => args.run(context).await,
        Verb::Inject(args) => args.run(context).await,
        Verb::Convert(args) => args.run(context).await,
        Verb::Graph(args) => args.run(context).await,
        Verb::Steps(args) => args.run(context),
        Verb::Lint(args) => args.run(context),
        Verb::Selftest(args) => args.run(context).await,
        Verb::Images(args) => args.run(context).await,
        Verb::Schema(args) => args.run(context),
        Verb::Completion(args) => args.run(context),
        Verb::Version(args) => args.run(context),
    }
}

/// Runs a command line, the program's name first, and tells the user how it ended.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let failure = match start(cli) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    if failure.kind != Kind::ChangesPending {
        drop(writeln!(std::io::stderr(), "{failure}"));
    }
    ExitCode::from(failure.kind.code())
}

fn start(cli: Cli) -> Result<(), Failure> {
    // Fails only if a provider is there already, which serves as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Kind::Unexpected, error).context("starting the program's threads"))?;
    let context = Context::new(cli.global)?;
    let result = runtime.block_on(async {
        signals::watch(context.cancel.clone());
        dispatch(cli.verb, &context).await
    });
    // A thread that reads a file or standard input must not keep the program from ending.
    runtime.shutdown_background();
    result
}

/// Help and version are data; everything else that clap refuses is a fault of usage.
fn usage(error: &clap::Error) -> ExitCode {
    // Where to print it failing, nothing is left to tell it to.
    drop(error.print());
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(Kind::Usage.code()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let time =
        humantime::parse_duration(text).map_err(|_| "write it with a unit, such as 90s, 15m or 1h".to_owned())?;
    if time.is_zero() { Err("it must be longer than nothing".to_owned()) } else { Ok(time) }
}

/// The whole command, for completions.
fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn times_need_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert!(duration("90").is_err() && duration("").is_err() && duration("0s").is_err());
    }
}
