//! Bundles: the images of a lab in one file.
//!
//! A bundle is a plain tar that is an OCI image layout
//! ([image-layout.md](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)), so that
//! `ctr images import`, `skopeo copy oci-archive:` and others read it too. The same lock and the same
//! platforms give the same bytes. `index.json` names each image; an image of several platforms keeps
//! its index as its author wrote it, also when only some of the platforms are inside, so digests stay
//! those of upstream. `images.lock` says what is inside, and in a bundle that holds only what is new,
//! `delta.json` says what is in an older one.

mod delta;
mod fill;
mod front;
mod gather;
mod inventory;
mod manifest;
mod names;
mod read;
mod select;
mod stack;
mod supply;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod verify;
mod write;

use std::io;

use camino::Utf8PathBuf;
use thiserror::Error;

pub use delta::{Base, Delta};
pub use inventory::inventory;
pub use manifest::{MOST_MANIFEST, Parsed};
pub use names::{Names, Repository};
pub use read::Bundle;
pub use select::select;
pub use stack::Stack;
pub use supply::Supply;
pub use verify::{Checked, Problem, Row, verify};
pub use write::{Request, Written, write};

use super::digest::Digest;
use super::lock;
use super::reference::Reference;
use crate::error::{Failure, Kind};

/// Why a bundle could not be written or read.
#[derive(Debug, Error)]
pub enum Error {
    /// A file can't be read or written.
    #[error("{doing} {path} failed")]
    Io {
        /// `reading`, `writing`.
        doing: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no bundle, or one that was damaged, or made to do harm.
    #[error("{path} is not a bundle that can be used: {why}")]
    Malformed {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, with the place in the file.
        why: String,
    },
    /// A lock can't be written or read.
    #[error(transparent)]
    Lock(Box<lock::Error>),
    /// The lock does not say which bytes these images are.
    #[error("the lock has no digest for {}", list(images))]
    Unresolved {
        /// The images.
        images: Vec<Reference>,
    },
    /// The lock has nothing for a platform that was asked for.
    #[error("{image} is not locked for {platform}; it is for {has}")]
    Platform {
        /// The image.
        image: String,
        /// What was asked for.
        platform: String,
        /// What there is.
        has: String,
    },
    /// The lock, or what it names, contradicts itself.
    #[error("{image}: {why}")]
    Disagrees {
        /// The image.
        image: String,
        /// How.
        why: String,
    },
    /// The source does not have what the lock names.
    #[error("{source_name} does not have {digest} of {image}")]
    Absent {
        /// The source.
        source_name: String,
        /// What is missing.
        digest: Digest,
        /// The image that needs it.
        image: String,
    },
    /// The source sent other bytes than the lock names.
    #[error("{source_name} sent other bytes for {digest} of {image}: {why}")]
    Wrong {
        /// The source.
        source_name: String,
        /// What was asked for.
        digest: Digest,
        /// The image that needs it.
        image: String,
        /// What came.
        why: String,
    },
    /// The source sends nothing more.
    #[error("{source_name} sent nothing more of {digest} of {image} for {seconds} seconds")]
    Stalled {
        /// The source.
        source_name: String,
        /// What was asked for.
        digest: Digest,
        /// The image that needs it.
        image: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Another process writes the same bundle.
    #[error("another istiolab is writing {path}")]
    Busy {
        /// The file.
        path: Utf8PathBuf,
    },
    /// A bundle without the older one that it builds upon.
    #[error("{path} lacks {digest}: it holds only what is new since an older bundle")]
    NeedsBase {
        /// The bundle.
        path: Utf8PathBuf,
        /// What is in the older one.
        digest: Digest,
    },
    /// A bundle lacks a blob.
    #[error("{path} lacks {digest}")]
    Lacks {
        /// The bundle, or all of them.
        path: String,
        /// The blob.
        digest: Digest,
    },
}

fn list(images: &[Reference]) -> String {
    images.iter().map(Reference::to_string).collect::<Vec<_>>().join(", ")
}

impl From<lock::Error> for Error {
    fn from(error: lock::Error) -> Self {
        Self::Lock(Box::new(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Lock(_) => match error {
                Error::Lock(error) => (*error).into(),
                other => Self::new(Kind::Unexpected, other),
            },
            Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Self::new(Kind::Unavailable, error).hint("The disk is full: free some space, or write to another one.")
            }
            Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Self::new(Kind::BadInput, error),
            Error::Io { .. } => Self::new(Kind::Unexpected, error),
            Error::Malformed { .. } => Self::new(Kind::BadInput, error)
                .hint("`istiolab images bundle -o FILE` writes one; if this one was copied here, copy it again."),
            Error::Unresolved { .. } => {
                Self::new(Kind::BadInput, error).hint("Run `istiolab images lock`: it finds the digests.")
            }
            Error::Platform { .. } => Self::new(Kind::BadInput, error)
                .hint("Name other platforms with --platform, or lock this one too: `istiolab images lock`."),
            Error::Disagrees { .. } => Self::new(Kind::BadInput, error)
                .hint("Make the lock anew: `istiolab images lock`. It is written by the tool only."),
            Error::Absent { .. } => Self::new(Kind::Unavailable, error)
                .hint("Images of parts are made by `istiolab images build`; for others, see that the lock is fresh."),
            Error::Wrong { .. } | Error::Stalled { .. } => Self::new(Kind::Unavailable, error)
                .hint("What came whole so far is kept; the same command goes on from there."),
            Error::Busy { .. } => {
                Self::new(Kind::Refused, error).hint("Wait until it has ended, or write to another file.")
            }
            Error::NeedsBase { .. } => {
                Self::new(Kind::BadInput, error).hint("Name the older bundle too, after this one.")
            }
            Error::Lacks { .. } => Self::new(Kind::BadInput, error),
        }
    }
}
