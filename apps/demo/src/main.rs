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
//! | `GRPC_LISTEN` | address of the gRPC echo, see [`grpc`] | off |
//! | `TCP_LISTEN` | address of the TCP echo, see [`tcp`] | off |
//!
//! It needs no file of the image: statically linked, it runs `FROM scratch`.

mod client;
mod config;
mod counter;
mod grpc;
mod listen;
mod pages;
mod propagate;
mod report;
mod send;
mod tcp;

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::client::Client;
use crate::config::Config;
use crate::counter::Counter;
use crate::grpc::serve::{Server, connection};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::read(|name| std::env::var(name).ok())?;
    let client = Client::new();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        asked_to_end().await;
        stop.send_replace(true);
    });
    let received = Arc::new(Counter::default());
    let application = pages::router(&config, &client, Arc::clone(&received));
    let server = Server { name: config.name.clone(), version: config.version.clone() };
    let name = format!("{} {}", config.name, config.version);
    tokio::try_join!(
        serve(Some(config.listen), application, stopped.clone()),
        serve(config.control, send::router(client, received), stopped.clone()),
        echo(config.grpc, stopped.clone(), move |stream| connection(stream, server.clone())),
        echo(config.tcp, stopped, move |stream| tcp::echo(stream, name.clone())),
    )?;
    Ok(())
}

/// Listens, if anywhere, until `stopped` is true.
async fn echo<F>(
    address: Option<SocketAddr>,
    stopped: watch::Receiver<bool>,
    connection: impl Fn(TcpStream) -> F,
) -> std::io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let Some(address) = address else { return Ok(()) };
    listen::accept(TcpListener::bind(address).await?, stopped, connection).await
}

/// Serves, if anywhere, until `stopped` is true, then lets the running requests end.
async fn serve(address: Option<SocketAddr>, router: Router, mut stopped: watch::Receiver<bool>) -> std::io::Result<()> {
    let Some(address) = address else { return Ok(()) };
    let end = async move {
        // A closed channel means that the watcher of signals is gone: end as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    axum::serve(TcpListener::bind(address).await?, router).with_graceful_shutdown(end).await
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
