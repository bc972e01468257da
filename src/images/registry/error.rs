//! Why a registry did not do what was asked, and what the user can do about it.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use thiserror::Error;

use crate::error::{Failure, Kind};
use crate::images::digest::Digest;

/// Why a registry did not do what was asked.
#[derive(Debug, Error)]
pub enum Error {
    /// The address is none.
    #[error("`{text}` is not the address of a registry")]
    Address {
        /// What was given.
        text: String,
    },
    /// The authority's certificate can't be used.
    #[error("the certificates in {path} can't be used: {why}")]
    Authority {
        /// The file.
        path: camino::Utf8PathBuf,
        /// Why.
        why: String,
    },
    /// No connection can be encrypted.
    #[error("TLS can't be spoken on this machine")]
    Tls {
        /// Why: most often that the system has no authorities.
        source: reqwest::Error,
    },
    /// It does not answer, or stopped in the middle.
    #[error("the registry at {base} does not answer ({request})")]
    Unreachable {
        /// The registry.
        base: String,
        /// The method and the path asked for.
        request: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It answered that it won't.
    #[error("the registry at {base} answered {status} to {request}{}", explained(detail))]
    Answer {
        /// The registry.
        base: String,
        /// The method and the path asked for.
        request: String,
        /// The status.
        status: StatusCode,
        /// What the registry's own errors say, if anything.
        detail: String,
    },
    /// It wants to be asked again much later.
    #[error("the registry at {base} wants no request before {} have passed ({request})", humantime::format_duration(*pause))]
    Later {
        /// The registry.
        base: String,
        /// The method and the path asked for.
        request: String,
        /// How long.
        pause: Duration,
    },
    /// It answered something that the specification does not allow.
    #[error("the answer of the registry at {base} to {request} makes no sense: {why}")]
    Nonsense {
        /// The registry.
        base: String,
        /// The method and the path asked for.
        request: String,
        /// What is wrong.
        why: String,
    },
    /// What it sent is not what was asked for.
    #[error("what the registry at {base} sent for {digest} has the digest {found}")]
    Damaged {
        /// The registry.
        base: String,
        /// What was asked for.
        digest: Digest,
        /// What came.
        found: Digest,
    },
    /// It sends us where we won't go.
    #[error("the registry at {base} leads to {to}, and {why} ({request})")]
    Led {
        /// The registry.
        base: String,
        /// Where to, without its query.
        to: String,
        /// The method and the path asked for.
        request: String,
        /// Why we don't follow.
        why: &'static str,
    },
    /// The user's credentials can't be had.
    #[error("the credentials for {host} can't be had: {why}")]
    Credentials {
        /// The registry.
        host: String,
        /// Why, with the file or the helper.
        why: String,
    },
}

impl Error {
    /// Whether the same may succeed a moment later: a broken connection, a registry in trouble.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Answer { status, .. } => may_pass(*status),
            _ => false,
        }
    }
}

/// Whether asking again after this status makes sense.
pub(super) fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502..=504)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Address { .. } | Error::Authority { .. } => Self::new(Kind::BadInput, error),
            Error::Tls { .. } => Self::new(Kind::Unavailable, error)
                .hint("The system's authorities are needed (Debian's package ca-certificates), or name some with --authorities."),
            Error::Credentials { .. } => {
                Self::new(Kind::BadInput, error).hint("See what docker's config.json names for this host, or log in anew.")
            }
            Error::Unreachable { .. } => Self::new(Kind::Unavailable, error)
                .hint("See that the registry runs: for the lab's own, `istiolab status`, then `istiolab up`."),
            Error::Answer { status, .. } if matches!(status.as_u16(), 401 | 403) => Self::new(Kind::Unavailable, error)
                .hint("Log in with `docker login HOST`; its credentials are used here too. A wrong name of an image looks the same at some registries."),
            Error::Answer { status, .. } if *status == StatusCode::TOO_MANY_REQUESTS => Self::new(Kind::Unavailable, error)
                .hint("The registry limits how much may be asked; with `docker login` it often allows more. Run the same command again later: it goes on from here."),
            Error::Answer { status, .. } if status.is_server_error() => Self::new(Kind::Unavailable, error)
                .hint("The registry's log says more; a full disk is a frequent reason."),
            Error::Later { .. } => Self::new(Kind::Unavailable, error)
                .hint("Run the same command again after that time: it goes on from here."),
            Error::Damaged { .. } => Self::new(Kind::Refused, error)
                .hint("Something between here and there changes content, or the registry is broken: nothing of it was kept."),
            Error::Led { .. } => Self::new(Kind::Refused, error)
                .hint("A registry that sends its clients into private networks may be after what is there. If this is meant, name that host with --plain-http or use its address directly."),
            Error::Answer { .. } | Error::Nonsense { .. } => Self::new(Kind::Unavailable, error),
        }
    }
}

fn explained(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

/// The registry's errors as one line; the beginning of the text if it is something else.
pub(super) fn detail(text: &str) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<OneError>,
    }
    #[derive(Deserialize)]
    struct OneError {
        code: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        detail: serde_json::Value,
    }
    match serde_json::from_str::<Errors>(text) {
        Ok(Errors { errors }) => {
            let line = |error: OneError| match error.detail {
                serde_json::Value::Null => format!("{} {}", error.code, error.message),
                detail => format!("{} {} ({detail})", error.code, error.message),
            };
            errors.into_iter().map(line).collect::<Vec<_>>().join("; ")
        }
        Err(_) => text.trim().chars().take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_registries_become_one_line() {
        let text = r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"},{"code":"X","message":"y","detail":{"a":1}}]}"#;
        assert_eq!(detail(text), r#"DIGEST_INVALID provided digest did not match; X y ({"a":1})"#);
        assert_eq!(detail(" no JSON \n"), "no JSON");
    }
}
