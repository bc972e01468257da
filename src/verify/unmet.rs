//! Why a step did not pass.

use thiserror::Error;

use crate::observe;

/// Why a step did not pass. A check that is repeated until a deadline tries again after those that
/// may change with time.
#[derive(Debug, Error)]
pub enum Unmet {
    /// What was seen is not what is expected; it may still become so.
    #[error("{0}")]
    NotYet(String),
    /// What was seen can't become what is expected, such as a counter that rose too far.
    #[error("{0}")]
    Never(String),
    /// The step can't be meant so: a missing table, a name that nothing was remembered under.
    #[error("{0}")]
    Misused(String),
    /// A service could not be asked.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// The API server refused or did not answer.
    #[error("{doing}")]
    Kube {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: Box<kube::Error>,
    },
    /// Objects could not be read, found or changed.
    #[error(transparent)]
    Objects(#[from] crate::objects::Error),
    /// Injection by hand failed.
    #[error(transparent)]
    Injection(#[from] crate::mesh::Error),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl Unmet {
    /// Something that may still become true.
    pub fn not_yet(text: impl Into<String>) -> Self {
        Self::NotYet(text.into())
    }

    /// Adds what was being done when the API server failed.
    pub fn kube(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Kube { doing, source: Box::new(source) }
    }

    /// Whether trying again is of no use.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Never(_) | Self::Misused(_) | Self::Interrupted | Self::Injection(_) => true,
            Self::Observe(error) => error.is_final(),
            Self::NotYet(_) | Self::Kube { .. } | Self::Objects(_) => false,
        }
    }

    /// The message and its causes, each text once, a line each.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}\n{more}");
            }
            cause = error.source();
        }
        text
    }
}
