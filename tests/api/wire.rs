//! The line to the API server, which a test cuts: a TCP proxy of our own.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::watch;

/// How the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// Connections stay, and nothing comes through.
    Silent,
    /// New connections are closed at once.
    Refusing,
}

/// The mode, and how often connections have been cut: those made before the last time are closed.
type State = (Mode, u64);

/// A line to a port on this machine. It works while the test's runtime does.
pub(crate) struct Wire {
    port: u16,
    state: Arc<watch::Sender<State>>,
}

impl Wire {
    /// A line that works.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let state = Arc::new(watch::Sender::new((Mode::Open, 0)));
        tokio::spawn(accept(listener, port, Arc::clone(&state)));
        Self { port: own, state }
    }

    /// Where to connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections that there are; new ones work.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|(mode, cuts)| (*mode, *cuts) = (Mode::Open, *cuts + 1));
    }

    /// Cuts all connections and takes no new ones, until [`Wire::open`].
    pub(crate) fn refuse(&self) {
        self.state.send_modify(|(mode, cuts)| (*mode, *cuts) = (Mode::Refusing, *cuts + 1));
    }

    /// Lets nothing through any more, without anybody being told, as a network that is gone.
    pub(crate) fn silence(&self) {
        self.state.send_modify(|(mode, _)| *mode = Mode::Silent);
    }

    /// New connections work; those that have gone silent stay so.
    pub(crate) fn open(&self) {
        self.state.send_modify(|(mode, _)| *mode = Mode::Open);
    }
}

async fn accept(listener: TcpListener, port: u16, state: Arc<watch::Sender<State>>) {
    while let Ok((client, _)) = listener.accept().await {
        let (mode, cuts) = *state.borrow();
        if mode != Mode::Refusing {
            tokio::spawn(connection(client, port, cuts, state.subscribe()));
        }
    }
}

async fn connection(client: TcpStream, port: u16, made: u64, mut state: watch::Receiver<State>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let both = async {
        tokio::join!(forward(client_in, server_out), forward(server_in, client_out));
    };
    tokio::pin!(both);
    loop {
        match *state.borrow_and_update() {
            // Held until the runtime ends: neither end hears that it is over.
            (Mode::Silent, _) => break,
            (_, cuts) if cuts != made => return,
            _ => {}
        }
        tokio::select! {
            () = &mut both => return,
            changed = state.changed() => if changed.is_err() { return },
        }
    }
    std::future::pending::<()>().await;
}

async fn forward(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
