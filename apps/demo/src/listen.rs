//! Listeners of what is not HTTP/1.1.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The pause after a connection that could not be accepted, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Hands every connection to `serve` until `stopped` is true.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
    serve: impl Fn(TcpStream) -> F,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        tokio::select! {
            () = async {
                // A closed channel means that the watcher of signals is gone: end as well.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            } => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(serve(stream));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
}
