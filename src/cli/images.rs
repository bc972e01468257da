//! `images build|list|verify`: the parts that labs are made of.

use std::fmt::Write as _;
use std::io::Write as _;

use camino::Utf8PathBuf;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, Kind};
use crate::parts::{self, Built, Listed, Recipes};
use crate::paths::Paths;
use crate::plan::event::Progress;

/// Build and show the images that labs are made of.
#[derive(Debug, Args)]
pub struct Images {
    #[command(subcommand)]
    verb: Verb,
    /// The folder of recipes; found from the working folder upwards if not given.
    #[arg(long, global = true, value_name = "DIR")]
    recipes: Option<Utf8PathBuf>,
    /// How results are written to standard output.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
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
    /// Read everything that was built; what is damaged is taken away, to be built again.
    Verify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Text,
    /// For programs.
    Json,
}

/// Runs the verb; the result goes to standard output.
///
/// # Errors
/// As [`parts::build`], [`parts::list`] and [`parts::verify`]; [`Kind::BadInput`] where there are no
/// recipes.
pub async fn run(
    images: &Images,
    paths: &Paths,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let recipes = Recipes::load(folder(images.recipes.clone())?)?;
    match &images.verb {
        Verb::Build { parts } => {
            let built = parts::build(&recipes, parts, paths, progress, cancel).await?;
            show(images.output, &built, built_table)
        }
        Verb::List => {
            let listed = parts::list(&recipes, paths)?;
            show(images.output, &listed, listed_table)
        }
        Verb::Verify => {
            let wrong = parts::verify(&recipes, paths, progress)?;
            show(images.output, &wrong, |wrong| {
                if wrong.is_empty() { "Everything is as it was built.\n".to_owned() } else { wrong.join("\n") + "\n" }
            })?;
            if wrong.is_empty() {
                return Ok(());
            }
            Err(Failure::new(Kind::Unexpected, format!("{} blobs were damaged or missing", wrong.len()))
                .hint("Run `istiolab images build`: it makes them again."))
        }
    }
}

/// The folder `parts` of the project: that of the working folder or of one above it, else that of
/// the sources that this program was built from.
fn folder(given: Option<Utf8PathBuf>) -> Result<Utf8PathBuf, Failure> {
    if let Some(dir) = given {
        return Ok(dir);
    }
    let here = std::env::current_dir().ok().and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok());
    let above = here.iter().flat_map(|dir| dir.ancestors()).map(|dir| dir.join("parts"));
    let sources = Utf8PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/parts"));
    above.chain([sources]).find(|dir| dir.join("base/part.yaml").is_file()).ok_or_else(|| {
        Failure::new(Kind::BadInput, "no folder with recipes of parts was found")
            .hint("Run this in a checkout of the project, or name the folder with --recipes.")
    })
}

fn show<T: Serialize>(format: Format, value: &T, table: impl Fn(&T) -> String) -> Result<(), Failure> {
    let text = match format {
        Format::Text => table(value),
        Format::Json => {
            serde_json::to_string_pretty(value).map_err(|error| Failure::new(Kind::Unexpected, error))? + "\n"
        }
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(Kind::Unexpected, error).context("writing to standard output")),
        Ok(()) => Ok(()),
    }
}

fn built_table(parts: &Vec<Built>) -> String {
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

fn listed_table(parts: &Vec<Listed>) -> String {
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
