//! What the environment says.

use std::net::SocketAddr;

use crate::client;

/// The settings of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// What it calls itself in its answers.
    pub(crate) name: String,
    /// The version that it claims; labs that shift traffic run two.
    pub(crate) version: String,
    /// Where the application listens.
    pub(crate) listen: SocketAddr,
    /// Where the control port listens, if anywhere.
    pub(crate) control: Option<SocketAddr>,
    /// Where the gRPC echo listens, if anywhere.
    pub(crate) grpc: Option<SocketAddr>,
    /// Where the TCP echo listens, if anywhere.
    pub(crate) tcp: Option<SocketAddr>,
    /// The back end's base URL without a slash at its end; `None` makes this a back end.
    pub(crate) backend: Option<String>,
}

impl Config {
    /// Reads the settings through `get`.
    ///
    /// # Errors
    /// Names the variable whose value can't be used.
    pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        let address = |name: &str| {
            set(name)
                .map(|value| {
                    value.parse().map_err(|error| format!("{name}={value} is not an address and port: {error}"))
                })
                .transpose()
        };
        let backend = set("BACKEND_URL").map(|url| url.trim_end_matches('/').to_owned());
        if let Some(url) = &backend {
            client::url(url).map_err(|error| format!("BACKEND_URL={error}"))?;
        }
        Ok(Self {
            backend,
            name: set("NAME").unwrap_or_else(|| "demo".to_owned()),
            version: set("VERSION").unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            listen: address("LISTEN")?.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 8080))),
            control: address("CONTROL_LISTEN")?,
            grpc: address("GRPC_LISTEN")?,
            tcp: address("TCP_LISTEN")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_back_end_needs_no_settings() {
        let config = Config::read(|_| None).expect("the defaults are valid");
        assert_eq!((config.name.as_str(), config.listen.port()), ("demo", 8080));
        assert_eq!((config.backend, config.control, config.grpc, config.tcp), (None, None, None, None));
    }

    #[test]
    fn the_slash_of_the_back_ends_url_is_dropped() {
        let config = Config::read(|name| (name == "BACKEND_URL").then(|| "http://backend:8080/".to_owned()));
        assert_eq!(config.expect("it is valid").backend.as_deref(), Some("http://backend:8080"));
    }

    #[test]
    fn a_wrong_value_is_named() {
        let error = Config::read(|name| (name == "BACKEND_URL").then(|| "backend".to_owned())).expect_err("no URL");
        assert!(error.starts_with("BACKEND_URL=backend: not"), "{error}");
        let error = Config::read(|name| (name == "LISTEN").then(|| "8080".to_owned())).expect_err("no address");
        assert!(error.starts_with("LISTEN=8080 is not"), "{error}");
    }
}
