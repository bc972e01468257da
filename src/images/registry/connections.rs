//! The connections to a registry, and to where it leads.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Certificate, ClientBuilder};
use url::Url;

use super::{Access, Error, address};

/// Pools of connections, each made when it is first needed: one that speaks TLS reads all authorities that the
/// system trusts, which takes longer than asking a registry nearby what it has.
#[derive(Debug)]
pub(super) struct Connections {
    authorities: Vec<Certificate>,
    /// No proxy is asked for what is on this machine.
    direct: bool,
    /// To the registry, and to hosts that the user named, without and with TLS.
    plain: OnceLock<reqwest::Client>,
    secure: OnceLock<reqwest::Client>,
    /// To places that the registry leads to: it can't reach private networks.
    outside: OnceLock<reqwest::Client>,
}

impl Connections {
    /// For the registry at `base`.
    ///
    /// # Errors
    /// [`Error::Authority`].
    pub(super) fn new(base: &Url, access: &Access) -> Result<Self, Error> {
        // A library's user need not have installed the process' TLS provider; main has.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Losing a race against another thread that installs it is just as good.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let authorities = authorities(access)?;
        let direct = address::is_loopback(base);
        let (plain, secure, outside) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Ok(Self { authorities, direct, plain, secure, outside })
    }

    /// Those for `url`. It is `near` if it is the registry's own, or of a host that the user named.
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub(super) fn to(&self, url: &Url, near: bool) -> Result<&reqwest::Client, Error> {
        match (near, url.scheme()) {
            (true, "http") => made(&self.plain, self.near(builder().tls_certs_only([]))),
            (true, _) => made(&self.secure, self.near(self.trusting())),
            (false, _) => made(&self.outside, self.trusting().dns_resolver(Arc::new(address::PublicOnly))),
        }
    }

    fn trusting(&self) -> ClientBuilder {
        let authorities = self.authorities.iter().cloned();
        if self.authorities.is_empty() { builder() } else { builder().tls_certs_merge(authorities) }
    }

    fn near(&self, builder: ClientBuilder) -> ClientBuilder {
        if self.direct { builder.no_proxy() } else { builder }
    }
}

/// What is in `place`, or else what `builder` makes.
fn made(place: &OnceLock<reqwest::Client>, builder: ClientBuilder) -> Result<&reqwest::Client, Error> {
    if let Some(made) = place.get() {
        return Ok(made);
    }
    let built = builder.build().map_err(|source| Error::Tls { source })?;
    Ok(place.get_or_init(|| built))
}

fn authorities(access: &Access) -> Result<Vec<Certificate>, Error> {
    let Some(path) = &access.authorities else { return Ok(Vec::new()) };
    let wrong = |why: String| Error::Authority { path: path.clone(), why };
    let pem = fs_err::read(path).map_err(|error| wrong(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("there is none in it".to_owned())) } else { Ok(found) }
}

fn builder() -> ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_mins(1))
}
