//! A registry to pull from, straight from a bundle or a store: nothing is unpacked and nothing can be
//! pushed ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md)).
//!
//! Images of several registries are told apart by the first part of their names
//! (`/v2/docker.io/library/nginx/…`) or by `?ns=docker.io`, as containerd asks a mirror.

mod answer;
mod log;
mod range;
mod route;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::content::Shelf;
use crate::error::{Failure, Kind};

/// How long answers that are under way may take when the server is asked to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Why nothing is served.
#[derive(Debug, Error)]
pub enum Error {
    /// The address can't be listened at.
    #[error("can't listen at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The access log can't be written.
    #[error("the access log {path} can't be opened")]
    Log {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The listener failed.
    #[error("serving at {address} failed")]
    Serve {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Log { .. } => Self::new(Kind::BadInput, error).hint("Name a file that can be written."),
            _ => Self::new(Kind::Unavailable, error)
                .hint("Another program may use the port: `--listen 127.0.0.1:0` takes a free one."),
        }
    }
}

/// The access log at `path`, which is appended to; standard error if there is none.
///
/// # Errors
/// [`Error::Log`].
pub fn access_log(path: Option<&Utf8Path>) -> Result<Box<dyn Write + Send>, Error> {
    let Some(path) = path else { return Ok(Box::new(io::stderr())) };
    let opened = fs_err::OpenOptions::new().append(true).create(true).open(path);
    Ok(Box::new(opened.map_err(|source| Error::Log { path: path.to_owned(), source })?))
}

/// A server that listens already.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub async fn listen(address: SocketAddr) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `images` until `cancel`. Each answer is a line of JSON in `access_log`.
    ///
    /// # Errors
    /// [`Error::Serve`].
    pub async fn run(
        self,
        images: Arc<dyn Shelf>,
        access_log: Box<dyn Write + Send>,
        cancel: CancellationToken,
    ) -> Result<(), Error> {
        let state = answer::State { shelf: images, log: log::Log::new(access_log) };
        let app = Router::new().fallback(answer::handle).with_state(state);
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let stop = cancel.clone();
        let serving = axum::serve(self.listener, app).with_graceful_shutdown(cancel.cancelled_owned());
        let ended = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            result = serving => result.map_err(|source| Error::Serve { address: self.address, source }),
            () = ended => Ok(()),
        }
    }
}
