//! Why a bundle could not be written. What could not be collected is no error but stands in it.

use camino::Utf8PathBuf;
use thiserror::Error;

use crate::error::{Failure, Kind};

/// Why there is no bundle.
#[derive(Debug, Error)]
pub enum Error {
    /// The file can't be written.
    #[error("can't write the debug bundle {path}")]
    Write {
        /// The bundle.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The lab's own rules of readiness can't be read.
    #[error(transparent)]
    Lab(Box<dyn std::error::Error + Send + Sync>),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Write { .. } => Self::new(Kind::Unexpected, error)
                .hint("See that its folder is there and has room, or name another file with --to."),
            Error::Lab(_) => Self::new(Kind::BadInput, error),
            Error::Interrupted => crate::plan::graph::interrupted(),
        }
    }
}
