//! What can go wrong with a lock.

use std::fmt::Write as _;
use std::io;

use camino::Utf8PathBuf;
use thiserror::Error;

use super::check::{Finding, Unmet};
use super::references::Place;
use crate::error::{Failure, Kind};
use crate::images::digest::Digest;
use crate::images::reference::{self, Reference};
use crate::yaml;

/// A place that was asked for an image in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What was asked for.
    pub image: Reference,
    /// Why that did not help.
    pub why: String,
}

/// Why a lock can't be read, written or obeyed.
#[derive(Debug, Error)]
pub enum Error {
    /// The file can't be read or written.
    #[error("can't use the lock {path}")]
    Io {
        /// The lock.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no lock, with the place of the fault. It is left as it is.
    #[error(transparent)]
    Yaml(#[from] yaml::Error),
    /// A lock that can't be written: its entries disagree.
    #[error("the lock's entries disagree: the part `{part}` is described in two ways")]
    Parts {
        /// The part.
        part: String,
    },
    /// What an object names is no reference; all such faults.
    #[error("{}", unreadable(.0))]
    References(Vec<(Place, reference::Error)>),
    /// Nobody has the image.
    #[error("{image} can't be resolved{}", asked(.tried))]
    Nowhere {
        /// The image.
        image: Box<Reference>,
        /// Who was asked, in this order.
        tried: Vec<Tried>,
    },
    /// Only an alternate answers, and what the image's digest should be is not known.
    #[error("{image} can't be resolved: nobody has recorded its digest, and only the alternate {alternate} has it{}", asked(.tried))]
    Untrusted {
        /// The image.
        image: Box<Reference>,
        /// Who has something of that name.
        alternate: Box<Reference>,
        /// Who was asked before.
        tried: Vec<Tried>,
    },
    /// An alternate has something else.
    #[error("the alternate {alternate} does not have {image} as {digest}{}", instead(.found.as_ref()))]
    Differs {
        /// The image.
        image: Box<Reference>,
        /// The alternate.
        alternate: Box<Reference>,
        /// What the image is.
        digest: Digest,
        /// What the alternate has under its tag.
        found: Option<Digest>,
    },
    /// A source answered with something else than was asked for.
    #[error("{origin} answered with {found} where {image} was asked for as {digest}")]
    Mismatch {
        /// The image.
        image: Box<Reference>,
        /// Who answered.
        origin: String,
        /// What was asked for.
        digest: Digest,
        /// What came.
        found: Digest,
    },
    /// An image's manifests are not what the OCI specification describes, or are too old.
    #[error("{image} can't be locked: {why}")]
    Manifest {
        /// The image.
        image: Box<Reference>,
        /// What is wrong.
        why: String,
    },
    /// The lock does not say what every image is, and nothing may be asked.
    #[error("the lock does not say what {} image{} of the lab {}{}", .0.len(), plural(.0.len()), are(.0.len()), lines(.0))]
    Frozen(Vec<Unmet>),
    /// What was built is not what the lock says.
    #[error("what was built here is not what the lock says{}", lines(.0))]
    Built(Vec<Finding>),
    /// The lock and the lab do not agree, in so many points.
    #[error("the lock and the lab do not agree in {} point{}", .0, plural(*.0))]
    Check(usize),
    /// A file of another tool that can't be taken over.
    #[error("{path}: {message}")]
    Import {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hint = match &error {
            Error::Yaml(error @ (yaml::Error::Read { .. } | yaml::Error::Duplicate { .. })) => {
                let (yaml::Error::Read { source_name, .. } | yaml::Error::Duplicate { source_name, .. }) = error else {
                    return Self::new(Kind::Unexpected, error.to_string());
                };
                format!("Nothing was changed. Put {source_name} right, or move it away and run `istiolab images lock`.")
            }
            Error::Yaml(_) | Error::Parts { .. } => return Self::new(Kind::Unexpected, error),
            Error::Io { .. } => {
                return Self::new(Kind::Unexpected, error).hint("See that the folder is there and is yours.");
            }
            Error::References(_) => "An image is written `[registry/]repository[:tag][@sha256:…]`.".to_owned(),
            Error::Nowhere { image, .. } => {
                let hint = format!(
                    "Name another place that has it in the lab file: `images.alternates: {{{image}: [HOST/REPOSITORY:TAG]}}`."
                );
                return Self::new(Kind::Unavailable, error).hint(hint);
            }
            Error::Untrusted { image, .. } => {
                let hint = format!(
                    "If you trust what it has now: `istiolab images lock --trust-first-use {image}`; the lock will say so."
                );
                return Self::new(Kind::Refused, error).hint(hint);
            }
            Error::Differs { .. } => {
                let hint = "Take it out of `images.alternates`: only what has the same digest is the same image.";
                return Self::new(Kind::Refused, error).hint(hint);
            }
            Error::Mismatch { .. } => {
                return Self::new(Kind::Refused, error).hint("It is not the same image; nothing of it was used.");
            }
            Error::Manifest { .. } => return Self::new(Kind::Unavailable, error),
            Error::Frozen(unmet) => {
                let commands = super::check::commands(unmet);
                return commands.into_iter().fold(Self::new(Kind::Refused, error), Self::hint);
            }
            Error::Built(_) => {
                let bytes = "Other compilers make other bytes of the same recipe: take the images from where the lock was made.";
                let keep = "To record what was built here instead, run `istiolab images lock`.";
                return Self::new(Kind::Refused, error).hint(bytes).hint(keep);
            }
            Error::Check(_) => {
                let update = "`istiolab images lock` writes what is missing, with `--update` also what moved.";
                let moving =
                    "An image whose tag is made to move needs a version or a digest in the object that names it.";
                return Self::new(Kind::BadInput, error).hint(update).hint(moving);
            }
            Error::Import { .. } => {
                "Only files of `kind: ImagesLock` whose images all have digests can be imported.".to_owned()
            }
        };
        Self::new(Kind::BadInput, error).hint(hint)
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn lines(all: &[impl ToString]) -> String {
    all.iter().fold(String::new(), |text, line| format!("{text}\n  {}", line.to_string()))
}

fn unreadable(all: &[(Place, reference::Error)]) -> String {
    let line = |(place, error): &(Place, reference::Error)| format!("{place}: {error}");
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn asked(all: &[Tried]) -> String {
    all.iter().fold(String::new(), |mut text, tried| {
        // Writing to a string can't fail.
        let _ = write!(text, "\n  {}: {}", tried.image, tried.why);
        text
    })
}

fn instead(found: Option<&Digest>) -> String {
    found.map_or_else(String::new, |found| format!("; its tag names {found}"))
}
