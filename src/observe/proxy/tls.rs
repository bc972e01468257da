//! TLS to what stands behind the API server, which only carries the bytes.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How a client speaks TLS: the name that it asks for, whom it trusts, and who it says it is.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    /// A client that asks for `name`, and believes a server only if `authority` or one that it certified
    /// says so. It shows `own`, a certificate with its key, to servers that want one.
    ///
    /// # Errors
    /// `name` is no name of a host, or a certificate or key can't be used.
    pub fn new(
        name: &str,
        authority: CertificateDer<'static>,
        own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> Result<Self, rustls::Error> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| rustls::Error::General(format!("{name}: {error}")))?;
        let mut authorities = RootCertStore::empty();
        authorities.add(authority)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(authorities);
        let config = match own {
            Some((certificate, key)) => config.with_client_auth_cert(vec![certificate], key)?,
            None => config.with_no_client_auth(),
        };
        Ok(Self { connector: Arc::new(config).into(), name })
    }

    /// Shakes hands.
    pub(super) async fn connect<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connector.connect(self.name.clone(), stream).await
    }
}
