//! A client of registries
//! ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md)): reading,
//! mounting and sending blobs, manifests byte for byte. Every request goes through `send`, which
//! counts, waits for its turn, logs in, follows redirects, and tries again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use camino::Utf8PathBuf;
use url::Url;

use super::reference::DEFAULT_REGISTRY;

mod address;
mod auth;
pub mod challenge;
mod connections;
mod credentials;
mod error;
mod pace;
mod read;
mod referrers;
mod send;
mod source;
mod traffic;
mod write;

pub use error::Error;
pub use read::LONGEST_MANIFEST;
pub use referrers::Referrers;
pub use send::Budget;
pub use source::{Mirror, Registries, Upstreams};
pub use traffic::{About, Traffic};
pub use write::{Body, Upload};

/// Where Docker's hub answers.
const HUB: &str = "https://registry-1.docker.io";

/// How registries are reached, the same for all of a run.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Docker's `config.json` with credentials; it need not exist.
    pub docker_config: Option<Utf8PathBuf>,
    /// Hosts, with their ports, that speak plain HTTP, and that redirects may lead to wherever they
    /// are: the user named them. Those on loopback are always spoken to so.
    pub plain: BTreeSet<String>,
    /// A file with certificates of authorities that are trusted besides the system's, as PEM.
    pub authorities: Option<Utf8PathBuf>,
}

/// A registry. Clones share connections, tokens, pace and counters.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: Url,
    plain: BTreeSet<String>,
    connections: connections::Connections,
    auth: auth::Auth,
    reads: pace::Pace,
    writes: pace::Pace,
    counters: traffic::Counters,
    budget: Mutex<Option<Budget>>,
}

impl Client {
    /// A client of the registry at `base`, as `http://127.0.0.1:5000`, without credentials.
    ///
    /// # Errors
    /// [`Error::Address`] if `base` is not an http or https address without a path.
    pub fn new(base: &str) -> Result<Self, Error> {
        Self::with(base, &Access::default())
    }

    /// As [`Client::new`], with credentials and authorities.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::Authority`].
    pub fn with(base: &str, access: &Access) -> Result<Self, Error> {
        let wrong = || Error::Address { text: base.to_owned() };
        let url = Url::parse(base).map_err(|_| wrong())?;
        let sound = matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !sound || url.host().is_none() {
            return Err(wrong());
        }
        let host = if base.trim_end_matches('/') == HUB { DEFAULT_REGISTRY.to_owned() } else { authority(&url) };
        let connections = connections::Connections::new(&url, access)?;
        let auth = auth::Auth::new(access.docker_config.clone(), host);
        Ok(Self(Arc::new(Inner {
            base: url,
            plain: access.plain.clone(),
            connections,
            auth,
            reads: pace::Pace::default(),
            writes: pace::Pace::default(),
            counters: traffic::Counters::default(),
            budget: Mutex::default(),
        })))
    }

    /// A client of the registry that references name so: `docker.io`, `quay.io`, `localhost:5000`. Plain
    /// HTTP is spoken with loopback and with the hosts of [`Access::plain`], never by falling back.
    ///
    /// # Errors
    /// As [`Client::with`].
    pub fn of_host(host: &str, access: &Access) -> Result<Self, Error> {
        if host == DEFAULT_REGISTRY {
            return Self::with(HUB, access);
        }
        let plain = format!("http://{host}");
        let on_loopback = Url::parse(&plain).is_ok_and(|url| address::is_loopback(&url));
        if on_loopback || access.plain.contains(host) {
            Self::with(&plain, access)
        } else {
            Self::with(&format!("https://{host}"), access)
        }
    }

    /// Where the registry is.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.0.base
    }

    /// What went over the wire so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.0.counters.traffic()
    }

    /// The client for what `url` names.
    fn http_for(&self, url: &Url) -> Result<&reqwest::Client, Error> {
        self.0.connections.to(url, url.host() == self.0.base.host() || self.trusted(url))
    }

    /// Whether the user named the host of `url`.
    fn trusted(&self, url: &Url) -> bool {
        self.0.plain.contains(&authority(url))
    }

    /// Refuses to be led to where a registry must not lead.
    fn follow(&self, from: &Url, to: &Url, request: &str) -> Result<(), Error> {
        match address::objection(from, to, &|url| self.trusted(url)) {
            None => Ok(()),
            Some(why) => {
                let mut to = to.clone();
                to.set_query(None);
                Err(Error::Led { base: self.0.base.to_string(), to: to.into(), request: request.to_owned(), why })
            }
        }
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests;
