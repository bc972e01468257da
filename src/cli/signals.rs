//! Ctrl-C once: stop cleanly and keep what the next run goes on from. Twice: stop now.

use std::io::Write;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::Kind;

/// Watches for signals from now on. Must be called inside the runtime.
pub(super) fn watch(cancel: CancellationToken) {
    let (Ok(interrupt), Ok(terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        // Without handlers the signals end the program at once, as they do by default.
        return;
    };
    tokio::spawn(escalate(interrupt, terminate, cancel));
}

async fn escalate(mut interrupt: Signal, mut terminate: Signal, cancel: CancellationToken) {
    let mut next = async || {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
    };
    next().await;
    cancel.cancel();
    drop(writeln!(std::io::stderr(), "stopping; once more stops at once"));
    next().await;
    #[expect(clippy::exit, reason = "asked for twice; nothing may hold it up")]
    std::process::exit(i32::from(Kind::Interrupted.code()));
}
