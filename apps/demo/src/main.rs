//! The demo application of istiolab's labs: one program that is a front end when `BACKEND_URL` is
//! set and a back end when it is not, so that traces have depth and every hop has an identity.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `NAME` | what it calls itself | `demo` |
//! | `VERSION` | the version that it claims | the program's own |
//! | `LISTEN` | address of the application | `0.0.0.0:8080` |
//! | `BACKEND_URL` | base URL of the back end; makes it a front end | |
//! | `CONTROL_LISTEN` | address of the control port, see [`send`] | off |
//!
//! It needs no file of the image: statically linked, it runs `FROM scratch`.

mod client;
mod config;
mod pages;
mod propagate;
mod send;

use std::error::Error;
use std::future::Future;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::client::Client;
use crate::config::Config;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::read(|name| std::env::var(name).ok())?;
    let client = Client::new();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        asked_to_end().await;
        stop.send_replace(true);
    });
    let application = serve(TcpListener::bind(config.listen).await?, pages::router(&config, &client), stopped.clone());
    match config.control {
        None => application.await?,
        Some(address) => {
            let control = serve(TcpListener::bind(address).await?, send::router(client), stopped);
            tokio::try_join!(application, control)?;
        }
    }
    Ok(())
}

/// Serves until `stopped` is true, then lets the running requests end.
fn serve(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> impl Future<Output = std::io::Result<()>> {
    let end = async move {
        // A closed channel means that the watcher of signals is gone: end as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    async move { axum::serve(listener, router).with_graceful_shutdown(end).await }
}

/// Completes on SIGTERM, which Kubernetes sends, and on Ctrl-C.
async fn asked_to_end() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            // Without the handler the signal's default ends the process, which is what was asked.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
