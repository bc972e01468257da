//! Where a registry may lead us. It names addresses in redirects, upload locations and the realm of its
//! tokens; one that is not trusted must not make us ask into the network that we stand in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Why `to` is not followed from `from`; `None` if it may be. Hosts in `trusted` were named by the user.
pub(super) fn objection(from: &Url, to: &Url, trusted: &dyn Fn(&Url) -> bool) -> Option<&'static str> {
    if !matches!(to.scheme(), "http" | "https") {
        return Some("that is neither http nor https");
    }
    if trusted(to) {
        return None;
    }
    if from.scheme() == "https" && to.scheme() == "http" {
        return Some("that would be without encryption");
    }
    // Another port of the same host is the same machine: an authority beside its registry.
    if from.host() != to.host() && is_private(to) {
        return Some("that is in a private network");
    }
    None
}

/// Whether the address names this machine or a private network, as far as can be seen without asking
/// the DNS; [`PublicOnly`] sees the rest.
pub(super) fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_private_address(address.into()),
        Some(Host::Ipv6(address)) => is_private_address(address.into()),
        Some(Host::Domain(name)) => is_local_name(name),
        None => true,
    }
}

/// Whether the registry is on this machine: plain HTTP is what is spoken there, and no proxy is asked.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => is_local_name(name),
        None => false,
    }
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

fn is_private_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || first == 0
        // Carriers' own networks, RFC 6598.
        || (first == 100 && second & 0xc0 == 64)
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        // Unique local and link local.
        || first & 0xfe00 == 0xfc00
        || first & 0xffc0 == 0xfe80
        // 6to4 and NAT64 carry an address of the fourth version in them.
        || first == 0x2002
        || (first == 0x64 && address.segments()[1] == 0xff9b)
}

/// Names that lead into private networks don't exist for it. The connection goes to the very address
/// that was looked at, so a name that changes in between gains nothing.
#[derive(Debug)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| !is_private_address(address.ip())).collect();
            if public.is_empty() {
                return Err(
                    format!("`{}` is in a private network, where another host must not lead", name.as_str()).into()
                );
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect(text)
    }

    #[test]
    fn private_networks_are_known() {
        for text in [
            "http://127.0.0.1",
            "http://10.1.2.3",
            "http://172.16.0.1",
            "http://192.168.1.1",
            "http://169.254.169.254",
            "http://0.0.0.0",
            "http://100.64.0.1",
            "http://[::1]",
            "http://[fe80::1]",
            "http://[fd00::1]",
            "http://[::ffff:10.0.0.1]",
            "http://localhost",
            "http://a.LOCALHOST.",
            "http://2130706433",
            "http://0x7f.1",
        ] {
            assert!(is_private(&url(text)), "{text}");
        }
        for text in ["https://1.1.1.1", "https://registry.example", "https://[2606:4700::1]", "https://172.32.0.1"] {
            assert!(!is_private(&url(text)), "{text}");
        }
    }

    #[test]
    fn a_registry_leads_to_public_places_and_to_its_own_machine() {
        let may = |from: &str, to: &str| objection(&url(from), &url(to), &|_| false).is_none();
        assert!(may("https://a.example", "https://cdn.example/x"));
        assert!(may("http://127.0.0.1:1", "http://127.0.0.1:2"));
        assert!(may("http://10.0.0.5:5000", "http://10.0.0.5:9000"));
        assert!(!may("https://a.example", "http://a.example/x"));
        assert!(!may("https://a.example", "https://10.0.0.1/"));
        assert!(!may("http://127.0.0.1:1", "http://127.0.0.2:1"));
        assert!(!may("http://127.0.0.1:1", "http://169.254.169.254/latest"));
        assert!(!may("https://a.example", "file:///etc/passwd"));
        assert!(objection(&url("https://a.example"), &url("http://10.0.0.1/"), &|_| true).is_none());
    }

    #[tokio::test]
    async fn a_name_of_a_private_address_is_none() {
        let name = "localhost".parse().expect("a name");
        let error = PublicOnly.resolve(name).await.err().expect("it leads home");
        assert!(error.to_string().contains("private network"), "{error}");
    }
}
