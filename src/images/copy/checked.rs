//! Content that is compared with its descriptor while it passes.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};

use crate::error::Failure;
use crate::images::content::Stream;
use crate::images::digest::{Digest, Hasher};
use crate::images::layout::Descriptor;

/// Why content was given up; filled while it passes.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The source failed.
    Source(Failure),
    /// It has another digest.
    Digest(Digest),
    /// It is longer or shorter.
    Length,
}

/// Where to look when passing it on has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict(Arc<Mutex<Option<Wrong>>>);

impl Verdict {
    /// The reason, once.
    pub(super) fn take(&self) -> Option<Wrong> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn give(&self, wrong: Wrong) -> io::Error {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(wrong);
        io::Error::other("the content was given up")
    }
}

struct Passing {
    content: Stream,
    /// The piece that is not given out yet.
    held: Option<Bytes>,
    left: u64,
    /// `None` where only a part passes: whoever gets all of it compares then.
    hasher: Option<Hasher>,
    digest: Digest,
    verdict: Verdict,
}

/// The content of `blob`, hashed. The last piece is given out only after all of it was found right: a
/// client stops asking when it has as many bytes as were announced, so an error after them would be lost.
pub(super) fn whole(content: Stream, blob: &Descriptor) -> (BoxStream<'static, io::Result<Bytes>>, Verdict) {
    passing(content, blob, blob.size, Some(Hasher::new()))
}

/// `length` bytes of the blob from somewhere on; only their number is compared.
pub(super) fn part(
    content: Stream,
    blob: &Descriptor,
    length: u64,
) -> (BoxStream<'static, io::Result<Bytes>>, Verdict) {
    passing(content, blob, length, None)
}

/// As [`whole`] for what is left of the blob when `hasher` has seen its beginning.
pub(super) fn rest(
    content: Stream,
    blob: &Descriptor,
    at: u64,
    hasher: Hasher,
) -> (BoxStream<'static, io::Result<Bytes>>, Verdict) {
    passing(content, blob, blob.size.saturating_sub(at), Some(hasher))
}

fn passing(
    content: Stream,
    blob: &Descriptor,
    left: u64,
    hasher: Option<Hasher>,
) -> (BoxStream<'static, io::Result<Bytes>>, Verdict) {
    let verdict = Verdict::default();
    let state = Passing { content, held: None, left, hasher, digest: blob.digest, verdict: verdict.clone() };
    (futures::stream::try_unfold(state, Passing::next).boxed(), verdict)
}

impl Passing {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        loop {
            if self.left == 0 {
                // Of a part nobody asks for more than was wanted.
                if let Some(hasher) = self.hasher.take() {
                    self.end(hasher).await?;
                }
                return Ok(self.held.take().map(|piece| (piece, self)));
            }
            let mut piece = match self.content.next().await {
                Some(Ok(piece)) => piece,
                Some(Err(failure)) => return Err(self.verdict.give(Wrong::Source(failure))),
                None => return Err(self.verdict.give(Wrong::Length)),
            };
            if piece.is_empty() {
                continue;
            }
            if piece.len() as u64 > self.left {
                if self.hasher.is_some() {
                    return Err(self.verdict.give(Wrong::Length));
                }
                piece.truncate(usize::try_from(self.left).unwrap_or(piece.len()));
            }
            self.left -= piece.len() as u64;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&piece);
            }
            if let Some(before) = self.held.replace(piece) {
                return Ok(Some((before, self)));
            }
        }
    }

    /// All bytes are there: nothing more may come, and their digest must be right.
    async fn end(&mut self, hasher: Hasher) -> io::Result<()> {
        while let Some(piece) = self.content.next().await {
            match piece {
                Ok(piece) if piece.is_empty() => {}
                Ok(_) => return Err(self.verdict.give(Wrong::Length)),
                Err(failure) => return Err(self.verdict.give(Wrong::Source(failure))),
            }
        }
        let found = hasher.finish();
        if found == self.digest { Ok(()) } else { Err(self.verdict.give(Wrong::Digest(found))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::layout::LAYER;

    async fn pass(pieces: &[&'static str], said: &str) -> (String, Option<Wrong>) {
        let content = futures::stream::iter(pieces.iter().map(|piece| Ok((*piece).into())).collect::<Vec<_>>()).boxed();
        let blob = Descriptor::new(LAYER, Digest::of(said), said.len() as u64);
        let (mut passing, verdict) = whole(content, &blob);
        let mut got = String::new();
        while let Some(Ok(piece)) = passing.next().await {
            got.push_str(&String::from_utf8_lossy(&piece));
        }
        (got, verdict.take())
    }

    #[tokio::test]
    async fn the_last_piece_waits_for_the_verdict() {
        assert!(matches!(pass(&["ab", "", "c"], "abc").await, (got, None) if got == "abc"));
        assert!(matches!(pass(&[], "").await, (got, None) if got.is_empty()));
        assert!(matches!(pass(&["ab", "d"], "abc").await, (got, Some(Wrong::Digest(_))) if got == "ab"));
        assert!(matches!(pass(&["abd"], "abc").await, (got, Some(Wrong::Digest(_))) if got.is_empty()));
        assert!(matches!(pass(&["ab"], "abc").await, (got, Some(Wrong::Length)) if got.is_empty()));
        assert!(matches!(pass(&["abc", "d"], "abc").await, (got, Some(Wrong::Length)) if got.is_empty()));
        assert!(matches!(pass(&["abcd"], "abc").await, (got, Some(Wrong::Length)) if got.is_empty()));
        assert!(matches!(pass(&["a"], "").await, (got, Some(Wrong::Length)) if got.is_empty()));
    }

    #[tokio::test]
    async fn of_a_part_only_the_number_counts() {
        let content = futures::stream::iter([Ok("cdef".into())]).boxed();
        let blob = Descriptor::new(LAYER, Digest::of("abcdef"), 6);
        let (passing, verdict) = part(content, &blob, 2);
        let got: Vec<_> = passing.collect().await;
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].as_ref().expect("a piece"), "cd");
        assert!(verdict.take().is_none());
    }
}
