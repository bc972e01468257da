//! `images …`: the parts that labs are made of, and what becomes of them; one file a verb or family of
//! verbs.

mod bundle;
mod copy;
mod ends;
mod load;
mod lock;
mod proof;
mod reach;
mod serve;

use std::fmt::Write as _;

use camino::Utf8PathBuf;
use clap::Subcommand;

use super::Context;
use crate::error::{Failure, Kind};
use crate::lab::project;
use crate::parts::{self, Built, Listed, Recipes};

/// Build and show the images that labs are made of.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// The folder of recipes; found from the working folder upwards if not given.
    #[arg(long, global = true, value_name = "DIR")]
    recipes: Option<Utf8PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build parts, with those that they need, unless they are there.
    Build {
        /// The parts; all if none is named.
        parts: Vec<String>,
    },
    /// Show all parts and which of them are built. Builds nothing.
    List,
    /// Read everything that was built; what is damaged is taken away, to be built again. With bundles:
    /// read all of them.
    Verify {
        /// The bundles, the newest first.
        #[arg(value_name = "BUNDLE")]
        bundles: Vec<Utf8PathBuf>,
        /// Also compare the bundles with this lock.
        #[arg(long, value_name = "FILE", requires = "bundles")]
        lock: Option<Utf8PathBuf>,
        /// Compare what the lab runs with its lock, in every place that has its images: their own registries, the
        /// lab's, the bundles, the nodes, running pods.
        #[arg(long, conflicts_with = "lock")]
        lab: bool,
        /// With --lab: ask no registry but the lab's.
        #[arg(long, requires = "lab")]
        offline: bool,
    },
    Bundle(bundle::Args),
    Load(load::Args),
    Lock(lock::Args),
    Mirror(copy::Mirror),
    Plan(copy::Plan),
    Pull(copy::Pull),
    Serve(serve::Args),
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let recipes = || Recipes::load(folder(self.recipes)?).map_err(Failure::from);
        match self.verb {
            Verb::Load(args) => args.run(context).await,
            Verb::Lock(args) => args.run(context).await,
            Verb::Mirror(args) => args.run(context).await,
            Verb::Plan(args) => args.run(context).await,
            Verb::Pull(args) => args.run(context).await,
            Verb::Bundle(args) => args.run(context).await,
            Verb::Serve(args) => args.run(context).await,
            Verb::Verify { bundles, lab: true, offline, .. } => proof::prove(context, &bundles, offline).await,
            Verb::Verify { bundles, lock, .. } if !bundles.is_empty() => {
                bundle::verify(context, &bundles, lock.as_deref()).await
            }
            Verb::Build { parts } => {
                let recipes = recipes()?;
                let work = |progress| async move {
                    parts::build(&recipes, &parts, &context.paths, &progress, &context.cancel).await
                };
                let built = context.report(None, work).await?;
                context.print(&built, built_table(&built))
            }
            Verb::List => {
                let listed = parts::list(&recipes()?, &context.paths)?;
                context.print(&listed, listed_table(&listed))
            }
            Verb::Verify { .. } => {
                let recipes = recipes()?;
                let work = |progress| async move { parts::verify(&recipes, &context.paths, &progress) };
                let wrong = context.report(None, work).await?;
                let text =
                    if wrong.is_empty() { "Everything is as it was built.".to_owned() } else { wrong.join("\n") };
                context.print(&wrong, text)?;
                if wrong.is_empty() {
                    return Ok(());
                }
                Err(Failure::new(Kind::Unexpected, format!("{} blobs were damaged or missing", wrong.len()))
                    .hint("Run `istiolab images build`: it makes them again."))
            }
        }
    }
}

/// The folder `parts` of the project that the working folder is in, unless one is given.
fn folder(given: Option<Utf8PathBuf>) -> Result<Utf8PathBuf, Failure> {
    let here = || std::env::current_dir().ok().and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok()).unwrap_or_default();
    given.map_or_else(|| Ok(project::root(&here())?.join("parts")), Ok)
}

fn built_table(parts: &[Built]) -> String {
    let mut text = format!("{:<12} {:<16} {:>8} {:>9}  {}\n", "PART", "VERSION", "SECONDS", "SIZE", "");
    for part in parts {
        let state = if part.cached { "cached" } else { "built" };
        let (name, version) = (&part.name, &part.version);
        let size = megabytes(part.size);
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name:<12} {version:<16} {:>8.1} {size:>9}  {state}", part.seconds);
    }
    text
}

fn listed_table(parts: &[Listed]) -> String {
    let mut text = format!("{:<12} {:<16} {:<6} {:>9}  {}\n", "PART", "VERSION", "BUILT", "SIZE", "MAKES");
    for part in parts {
        let size = part.built.as_ref().map_or_else(String::new, |built| megabytes(built.size));
        let state = if part.built.is_some() { "yes" } else { "no" };
        let (name, version) = (&part.name, &part.version);
        let _ = writeln!(text, "{name:<12} {version:<16} {state:<6} {size:>9}  {}", part.makes.join(" "));
    }
    text
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
