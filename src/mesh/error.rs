//! What can go wrong with the mesh.

use thiserror::Error;

use crate::error::{Failure, Kind};
use crate::{objects, process, yaml};

/// Why the mesh could not be rendered, brought up or asked.
#[derive(Debug, Error)]
pub enum Error {
    /// istioctl did not generate the manifests.
    #[error("istioctl can't generate the mesh's manifests")]
    Generate(#[source] process::Error),
    /// What istioctl generated, or what was kept of it, can't be read.
    #[error(transparent)]
    Objects(#[from] objects::Error),
    /// The operator file can't be written.
    #[error(transparent)]
    Yaml(#[from] yaml::Error),
    /// The cache can't be used.
    #[error("can't use the cache of rendered manifests")]
    Cache(#[source] std::io::Error),
    /// The webhook refuses to inject.
    #[error("the webhook refuses to inject {object}: {message}")]
    Refused {
        /// The object, with its file and line.
        object: String,
        /// What it says.
        message: String,
    },
    /// The webhook's answer makes no sense.
    #[error("the webhook's answer for {object} can't be used: {message}")]
    Answer {
        /// The object, with its file and line.
        object: String,
        /// What is wrong with it.
        message: String,
    },
    /// An injected object can't be brought back.
    #[error("{object} can't be brought back: {message}")]
    Remove {
        /// The object, with its file and line.
        object: String,
        /// Why not.
        message: String,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Objects(error) => error.into(),
            Error::Yaml(error) => error.into(),
            Error::Generate(process::Error::Cancelled { .. }) => crate::plan::graph::interrupted(),
            error @ Error::Generate(process::Error::Status { .. }) => Self::new(Kind::BadInput, error)
                .hint("Check `mesh.profile`, `mesh.set` and the operator file of the lab."),
            error @ Error::Generate(_) => Self::new(Kind::Unavailable, error),
            error @ (Error::Refused { .. } | Error::Remove { .. }) => Self::new(Kind::BadInput, error),
            error @ (Error::Cache(_) | Error::Answer { .. }) => Self::new(Kind::Unexpected, error),
        }
    }
}
