//! What the converted objects are for: a cluster, or a release of Kubernetes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use kube::discovery::Discovery;

use super::kinds;
use crate::objects::api;
use crate::objects::object::{group_of, version_of};

/// A minor release of Kubernetes that the tables know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(u16);

impl Release {
    /// The first release whose removals are in the tables.
    pub const OLDEST: Self = Self(8);
    /// The last release whose removals are in the tables.
    pub const NEWEST: Self = Self(36);

    /// The second number: 34 for 1.34.
    #[must_use]
    pub fn minor(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

impl FromStr for Release {
    type Err = String;

    /// Reads `1.34`, `v1.34` and `1.34.4`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "write it as 1.34".to_owned();
        let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
        let (Some("1"), Some(minor), patch, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        if patch.is_some_and(|patch| patch.parse::<u16>().is_err()) {
            return Err(wrong());
        }
        let release = Self(minor.parse().map_err(|_| wrong())?);
        if (Self::OLDEST..=Self::NEWEST).contains(&release) {
            Ok(release)
        } else {
            Err(format!("known are Kubernetes {} to {}", Self::OLDEST, Self::NEWEST))
        }
    }
}

/// What decides which versions are served.
#[derive(Clone)]
pub enum Target {
    /// What discovery of a live cluster says.
    Cluster(Arc<Discovery>),
    /// What a release serves by default: no alpha versions, and of those betas that came after 1.24 none.
    Release(Release),
}

impl Target {
    /// Whether a kind is served in this version.
    pub(super) fn serves(&self, api_version: &str, kind: &str) -> bool {
        match self {
            Self::Cluster(discovery) => {
                api::find(discovery, group_of(api_version), version_of(api_version), kind).is_some()
            }
            Self::Release(release) => kinds::is_served(api_version, kind, *release),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(_) => f.write_str("the cluster"),
            Self::Release(release) => write!(f, "Kubernetes {release}"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_as_people_write_them() {
        for text in ["1.34", "v1.34", "1.34.4"] {
            assert_eq!(text.parse::<Release>().map(Release::minor), Ok(34), "{text}");
        }
        for text in ["", "1", "34", "2.34", "1.x", "1.34.x", "1.34.4.1", "-1.34"] {
            assert_eq!(text.parse::<Release>(), Err("write it as 1.34".to_owned()), "{text}");
        }
        assert_eq!("1.99".parse::<Release>(), Err("known are Kubernetes 1.8 to 1.36".to_owned()));
    }
}
