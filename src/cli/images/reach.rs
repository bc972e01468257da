//! How registries are reached: flags that verbs share.

use camino::Utf8PathBuf;

use super::super::Context;
use crate::images::registry::Access;

/// How registries are reached.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Reach {
    /// Speak plain HTTP with this host; on loopback that is always so.
    #[arg(long, value_name = "HOST[:PORT]")]
    plain_http: Vec<String>,
    /// Trust the authorities in this file too, for TLS.
    #[arg(long, value_name = "PEM")]
    authorities: Option<Utf8PathBuf>,
}

impl Reach {
    /// As the flags say, with the user's credentials.
    pub(super) fn access(&self, context: &Context) -> Access {
        Access {
            plain: self.plain_http.iter().cloned().collect(),
            authorities: self.authorities.clone(),
            ..context.access()
        }
    }
}
