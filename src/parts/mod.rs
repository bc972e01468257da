//! Parts: images and tools built from package registries, as recipes say, into a store that is
//! keyed by content.
//!
//! A part is built when what it is made of changed (recipe, files beside it, toolchain, parts below
//! it) or when something that came out of it is gone. Nothing is recorded before it is whole, so an
//! interrupted build goes on where it was.

mod assemble;
mod build;
mod found;
mod input;
mod key;
pub mod recipe;
mod record;
mod share;
mod sweep;
#[cfg(test)]
mod tests;
mod toolchain;

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

pub use build::{build, verify};
pub use found::{Found, found};
pub use recipe::{Recipe, Recipes};
pub use record::{Built, BuiltImage, Listed, list};
pub use share::{Fetched, Packed, fetch, pack, references};

use crate::error::{Failure, Kind};
use crate::images::digest::Digest;
use crate::images::{compose, layout};
use crate::process;

/// The registry in the names of images that are built here and that no other registry has.
pub const REGISTRY: &str = "istiolab.local";

/// Why a part could not be built.
#[derive(Debug, Error)]
pub enum Error {
    /// A file can't be read.
    #[error("can't read {path}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the cache can't be written.
    #[error("can't write {path}")]
    Write {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A recipe is wrong.
    #[error("{file}: {message}")]
    Recipe {
        /// The recipe.
        file: Utf8PathBuf,
        /// What is wrong, with line and column where there are some.
        message: String,
    },
    /// No part has this name.
    #[error("there is no part `{name}`; there are: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// All names.
        known: String,
    },
    /// Parts need each other.
    #[error("these parts need each other in a circle: {parts}")]
    Circle {
        /// Their names.
        parts: String,
    },
    /// What was downloaded is not what the recipe names.
    #[error("{what} has the SHA-256 {found}, the recipe wants {wanted}")]
    Checksum {
        /// The file.
        what: String,
        /// What came.
        found: Digest,
        /// What should have come.
        wanted: Digest,
    },
    /// No Debian archive is known.
    #[error(
        "apt is not set up for an archive of Debian on this machine; set ISTIOLAB_DEBIAN_ARCHIVE to the address of one"
    )]
    Archive,
    /// A program that builds need is not installed.
    #[error("`{program}` is not in PATH; the part needs it")]
    Tool {
        /// The program.
        program: String,
    },
    /// A program failed.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// An image could not be composed.
    #[error(transparent)]
    Compose(#[from] compose::Error),
    /// The store failed.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// Another process builds the part and does not end.
    #[error("another istiolab has been building `{part}` for {minutes} minutes")]
    Locked {
        /// The part.
        part: String,
        /// How long it was waited for.
        minutes: u64,
    },
    /// A part is to be given away that is not there.
    #[error("the part `{part}` is not built, or not whole")]
    Unbuilt {
        /// The part.
        part: String,
    },
    /// An artifact is not what the recipe makes.
    #[error("the part `{part}` that came is not this project's: {what}")]
    Foreign {
        /// The part.
        part: String,
        /// What is wrong.
        what: String,
    },
    /// It was asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    fn read(path: impl AsRef<Utf8Path>, source: io::Error) -> Self {
        Self::Read { path: path.as_ref().to_owned(), source }
    }

    fn write(path: impl AsRef<Utf8Path>, source: io::Error) -> Self {
        Self::Write { path: path.as_ref().to_owned(), source }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Compose(error) => error.into(),
            Error::Layout(error) => error.into(),
            Error::Cancelled => crate::plan::graph::interrupted(),
            Error::Process(process::Error::Status { command, status, output }) => {
                let full = output.iter().any(|line| line.to_lowercase().contains("no space left on device"));
                let error = process::Error::Status { command, status, output };
                if full {
                    Self::new(Kind::Unavailable, error).hint(DISK_FULL)
                } else {
                    Self::new(Kind::Unexpected, error)
                }
            }
            Error::Process(error @ process::Error::Start { .. }) => Self::new(Kind::Unavailable, error).hint(TOOLS),
            Error::Process(error) => error.into(),
            Error::Recipe { .. } | Error::Circle { .. } => Self::new(Kind::BadInput, error),
            Error::Unknown { .. } => Self::new(Kind::Usage, error).hint("`istiolab images list` shows all parts."),
            Error::Unbuilt { .. } => Self::new(Kind::Unavailable, error).hint("Run `istiolab images build`."),
            Error::Foreign { .. } => Self::new(Kind::Refused, error)
                .hint("Nothing of it was used. Fill the registry or the bundle again, from this project."),
            Error::Archive => Self::new(Kind::Unavailable, error),
            Error::Tool { .. } => Self::new(Kind::Unavailable, error).hint(TOOLS),
            Error::Checksum { .. } => Self::new(Kind::Refused, error)
                .hint("The package was replaced, or the download was tampered with: nothing of it was used."),
            Error::Locked { .. } => Self::new(Kind::TimedOut, error).hint("End the other one, or wait for it."),
            Error::Write { source, path } if source.kind() == io::ErrorKind::StorageFull => {
                Self::new(Kind::Unavailable, Error::Write { path, source }).hint(DISK_FULL)
            }
            Error::Read { .. } | Error::Write { .. } => Self::new(Kind::Unexpected, error),
        }
    }
}

const TOOLS: &str = "Run `istiolab doctor --fix`: it installs, or names, what builds need.";

const DISK_FULL: &str = "The disk is full: free some space, or set ISTIOLAB_CACHE to a folder on a disk with room. \
                         What was built so far is kept; the same command goes on from there.";
