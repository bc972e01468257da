//! Why a step did not pass.

use thiserror::Error;

use crate::error::causes;
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
    Observe(Box<observe::Error>),
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
    Objects(Box<crate::objects::Error>),
    /// Injection by hand failed.
    #[error(transparent)]
    Injection(Box<crate::mesh::Error>),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl From<observe::Error> for Unmet {
    fn from(error: observe::Error) -> Self {
        Self::Observe(Box::new(error))
    }
}

impl From<crate::objects::Error> for Unmet {
    fn from(error: crate::objects::Error) -> Self {
        Self::Objects(Box::new(error))
    }
}

impl From<crate::mesh::Error> for Unmet {
    fn from(error: crate::mesh::Error) -> Self {
        Self::Injection(Box::new(error))
    }
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
        causes(self).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_change_is_tried_again() {
        let refused = || observe::Error::Refused { request: "GET a".to_owned(), reason: "parse error".to_owned() };
        let status = observe::Error::Status { request: "GET a".to_owned(), status: 503, body: String::new() };
        assert!(Unmet::from(refused()).is_final());
        assert!(!Unmet::from(status).is_final());
        assert!(!Unmet::not_yet("1 of 2").is_final());
        assert!(Unmet::Never("3 of 2".to_owned()).is_final());
    }

    #[test]
    fn causes_follow_the_message() {
        let source = kube::Error::Service("connection refused".into());
        let unmet = Unmet::kube("listing pods")(source);
        assert!(unmet.text().starts_with("listing pods\n"), "{}", unmet.text());
        assert!(unmet.text().contains("connection refused"));
    }
}
