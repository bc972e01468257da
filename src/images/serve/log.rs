//! The access log: a line of JSON for each answer, written when its last byte was given out.

use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;

use crate::images::content::Stream;

/// Where lines go.
#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<Box<dyn Write + Send>>>);

/// A line.
#[derive(Debug, Default, Serialize)]
pub(super) struct Line {
    /// When the request came, as `2026-01-02T03:04:05.678Z`.
    pub(super) time: String,
    /// Who asked.
    pub(super) client: String,
    pub(super) method: String,
    pub(super) path: String,
    /// The registry that the client believes to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ns: Option<String>,
    pub(super) status: u16,
    /// Bytes of content that were given out.
    pub(super) bytes: u64,
    /// The image or repository that was meant, if it is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<String>,
}

impl Line {
    /// The time now, as it is written.
    pub(super) fn now() -> String {
        humantime::format_rfc3339_millis(SystemTime::now()).to_string()
    }
}

impl Log {
    pub(super) fn new(to: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(to)))
    }

    /// Writes a line. A log that can't be written is no reason not to serve.
    pub(super) fn write(&self, line: &Line) {
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        let mut to = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // In one piece, so that several processes may share a file.
        drop(to.write_all(&text).and_then(|()| to.flush()));
    }
}

/// The first `left` bytes of a stream; the line is written when it ends, or when nobody wants more.
pub(super) struct Metered {
    pub(super) stream: Stream,
    pub(super) left: u64,
    pub(super) line: Line,
    pub(super) log: Log,
}

impl futures::Stream for Metered {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = std::task::ready!(Pin::new(&mut self.stream).poll_next(context));
        Poll::Ready(Some(match piece {
            Some(Ok(mut piece)) => {
                piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= piece.len() as u64;
                self.line.bytes += piece.len() as u64;
                Ok(piece)
            }
            // The length is announced already: the connection must break, not end as if all were well.
            Some(Err(failure)) => Err(std::io::Error::other(failure.to_string())),
            None => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }))
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.log.write(&self.line);
    }
}
