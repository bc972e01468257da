//! An authority for certificates that one scenario has for itself: nobody else trusts it, and it trusts
//! nobody else.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::unmet::Unmet;
use crate::observe::Tls;

/// A scenario's own authority.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, as PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new one, with a key of its own.
    pub(super) fn new(name: &str) -> Result<Self, Unmet> {
        let mut wanted = named(name, Vec::new())?;
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Ok(Self(made(CertifiedIssuer::self_signed(wanted, made(KeyPair::generate())?))?))
    }

    /// Its own certificate, as PEM.
    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A new key with a certificate for a server of these host names.
    ///
    /// # Errors
    /// [`Unmet::Misused`] for what is no name of a host.
    pub(super) fn server(&self, hosts: &[&str]) -> Result<Pair, Unmet> {
        if let Some(wrong) = hosts.iter().find(|host| ServerName::try_from(**host).is_err()) {
            return Err(Unmet::Misused(format!("`{wrong}` is no name of a host")));
        }
        let hosts = hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let name = hosts.first().ok_or_else(|| Unmet::Misused("a certificate needs a host's name".to_owned()))?.clone();
        let mut wanted = named(&name, hosts)?;
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = made(KeyPair::generate())?;
        let certificate = made(wanted.signed_by(&key, &self.0))?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// How a client speaks to `host` that trusts this authority alone, and shows a certificate of its own by
    /// it for `name`, if there is a name.
    ///
    /// # Errors
    /// [`Unmet::Misused`] for what is no name of a host.
    pub(super) fn client(&self, host: &str, name: Option<&str>) -> Result<Tls, Unmet> {
        let own = name.map(|name| self.pair_of_client(name)).transpose()?;
        Tls::new(host, self.0.der().clone(), own).map_err(|error| Unmet::Misused(error.to_string()))
    }

    fn pair_of_client(&self, name: &str) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Unmet> {
        let mut wanted = named(name, Vec::new())?;
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = made(KeyPair::generate())?;
        let certificate = made(wanted.signed_by(&key, &self.0))?;
        Ok((certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into())))
    }
}

/// What a certificate says in any case.
fn named(name: &str, hosts: Vec<String>) -> Result<CertificateParams, Unmet> {
    let wrong = |error| Unmet::Misused(format!("there can't be a certificate for {name}: {error}"));
    let mut wanted = CertificateParams::new(hosts).map_err(wrong)?;
    wanted.distinguished_name.push(DnType::CommonName, name);
    Ok(wanted)
}

fn made<T>(result: Result<T, rcgen::Error>) -> Result<T, Unmet> {
    result.map_err(|error| Unmet::Never(format!("making a certificate: {error}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::UnixTime;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::server::WebPkiClientVerifier;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

    use super::*;

    fn provider() -> Arc<rustls::crypto::CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    fn roots(authority: &Authority) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM")).expect("an authority");
        roots
    }

    /// Whether a client that trusts `trusted` believes `pair` to be `host`'s.
    fn believes(trusted: &Authority, host: &'static str, pair: &Pair) -> bool {
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
        let versions = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let server = versions.expect("versions").with_no_client_auth().with_single_cert(vec![certificate], key);
        let mut server = ServerConnection::new(Arc::new(server.expect("a pair"))).expect("a server");
        let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let client = versions.expect("versions").with_root_certificates(roots(trusted)).with_no_client_auth();
        let name = ServerName::try_from(host).expect("a name");
        let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
        for _ in 0..4 {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).expect("bytes");
            server.read_tls(&mut bytes.as_slice()).expect("bytes");
            server.process_new_packets().expect("the server is content");
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).expect("bytes");
            client.read_tls(&mut bytes.as_slice()).expect("bytes");
            if client.process_new_packets().is_err() {
                return false;
            }
        }
        !client.is_handshaking()
    }

    #[test]
    fn only_its_own_certificates_are_believed_and_only_for_their_hosts() {
        let (ours, other) = (Authority::new("ours").expect("one"), Authority::new("ours").expect("another"));
        let pair = ours.server(&["a.test", "b.test"]).expect("a certificate");
        assert!(believes(&ours, "a.test", &pair) && believes(&ours, "b.test", &pair));
        assert!(!believes(&ours, "c.test", &pair));
        assert!(!believes(&other, "a.test", &pair));
        let wrong = ours.server(&["a.test", "b test"]).err().expect("no name of a host");
        assert_eq!(wrong.to_string(), "`b test` is no name of a host");
    }

    #[test]
    fn a_certificate_of_a_client_is_the_authoritys() {
        let (ours, other) = (Authority::new("ours").expect("one"), Authority::new("ours").expect("another"));
        let (certificate, _) = ours.pair_of_client("somebody").expect("a certificate");
        let believes = |authority: &Authority| {
            let roots = Arc::new(roots(authority));
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build().expect("a verifier");
            verifier.verify_client_cert(&certificate, &[], UnixTime::now()).is_ok()
        };
        assert!(believes(&ours) && !believes(&other));
        let wrong = ours.client("not a host", None).expect_err("no name of a host");
        assert!(wrong.to_string().contains("not a host: "), "{wrong}");
    }
}
