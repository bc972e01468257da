//! The service graph as a server beside a Prometheus, for a lab's add-on.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `PROMETHEUS_URL` | where Prometheus answers | `http://prometheus:9090` |
//! | `LISTEN` | the address of the pages | `0.0.0.0:8088` |
//!
//! It needs no file of the image: statically linked, it runs `FROM scratch`.

use std::error::Error;

use istiolab_servicegraph::{Prometheus, router};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let prometheus = Prometheus::new(&setting("PROMETHEUS_URL", "http://prometheus:9090"))?;
    let listener = TcpListener::bind(setting("LISTEN", "0.0.0.0:8088")).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let end = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    axum::serve(listener, router(prometheus)).with_graceful_shutdown(end).await?;
    Ok(())
}
