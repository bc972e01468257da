//! Why an image can't be copied.

use thiserror::Error;

use crate::error::{Failure, Kind};
use crate::images::digest::Digest;

/// Why an image can't be copied, if it is neither the source's nor the target's own reason.
#[derive(Debug, Error)]
pub enum Error {
    /// The source does not have it.
    #[error("{place} has no {image}{}", other(digest.as_ref(), image))]
    Missing {
        /// The image.
        image: String,
        /// The manifest that was asked for.
        digest: Option<Digest>,
        /// The source.
        place: String,
    },
    /// What the source gave is something else than its name says.
    #[error("{place} gives damaged content for {image}: what should be {blob} has the digest {found}")]
    Damaged {
        /// What it should be.
        blob: Digest,
        /// The image that needs it.
        image: String,
        /// The source.
        place: String,
        /// What it is.
        found: Digest,
    },
    /// What the source gave is longer or shorter than it should be.
    #[error("{place} gives {blob} of {image} with another length than the {size} bytes that it should have")]
    Length {
        /// The blob.
        blob: Digest,
        /// The image that needs it.
        image: String,
        /// The source.
        place: String,
        /// How long it should be.
        size: u64,
    },
    /// A manifest is none.
    #[error("the manifest {digest} of {image} can't be understood: {why}")]
    Manifest {
        /// The manifest.
        digest: Digest,
        /// The image.
        image: String,
        /// Why.
        why: String,
    },
    /// The lock does not say which image it is.
    #[error("{image} is not resolved in the lock")]
    Unresolved {
        /// The image.
        image: String,
    },
    /// The platform is none of the image's.
    #[error("{image} has no {platform}")]
    Platform {
        /// The image.
        image: String,
        /// What was asked for.
        platform: String,
    },
    /// The target wants all platforms of an index or none.
    #[error(
        "{place} takes no index of which platforms are missing: {image} has {all} manifests, of which {kept} are to be copied"
    )]
    Sparse {
        /// The image.
        image: String,
        /// The target.
        place: String,
        /// How many manifests the index names.
        all: usize,
        /// How many of them are copied.
        kept: usize,
        /// What the registry said.
        source: Box<crate::images::registry::Error>,
    },
    /// The journal can't be kept.
    #[error("can't keep the journal of uploads at {path}")]
    Journal {
        /// The file.
        path: camino::Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The digest that was asked for, unless the image's name has it.
fn other(digest: Option<&Digest>, image: &str) -> String {
    let digest = digest.map(Digest::to_string).filter(|digest| !image.ends_with(digest));
    digest.map_or_else(String::new, |digest| format!(" with the digest {digest}"))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Missing { .. } => Self::new(Kind::BadInput, error)
                .hint("See that the name is right, and that the image was built (`istiolab images list`) or is where it is looked for."),
            Error::Damaged { .. } | Error::Length { .. } => Self::new(Kind::Refused, error)
                .hint("Nothing of it was kept. If it is the store of built images: `istiolab images verify` takes out what is damaged, `istiolab images build` makes it again."),
            Error::Manifest { .. } => Self::new(Kind::Refused, error),
            Error::Unresolved { .. } => Self::new(Kind::BadInput, error).hint("Run `istiolab images lock`, which resolves it."),
            Error::Platform { .. } => Self::new(Kind::BadInput, error).hint("Write a platform as `linux/amd64`."),
            Error::Sparse { .. } => Self::new(Kind::Refused, error)
                .hint("Lock all platforms of the image, or run with `--flatten PLATFORM`: the tag then shows that platform's manifest, which has another digest than the index.")
                .hint("A registry of the distribution project takes such an index since its third version with `validation.manifests.indexes.platforms: none`."),
            Error::Journal { .. } => Self::new(Kind::Unexpected, error),
        }
    }
}
