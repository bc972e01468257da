//! A blob of the store as the content of a request, hashed while it is read.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use tokio::io::AsyncReadExt as _;

use crate::images::digest::{Digest, Hasher};
use crate::images::layout::{self, Layout};

/// How much is read at a time: every read is a hop to another thread, so not too little.
const CHUNK: usize = 256 * 1024;

/// An open blob.
pub(crate) struct Blob {
    file: fs_err::tokio::File,
    dir: camino::Utf8PathBuf,
    digest: Digest,
    left: u64,
    length: u64,
    hasher: Hasher,
    verdict: Verdict,
}

/// Why the content was given up, if it was; filled while the content is read.
#[derive(Clone, Default)]
pub(crate) struct Verdict(Arc<Mutex<Option<layout::Error>>>);

impl Verdict {
    /// The reason, once.
    pub(crate) fn take(&self) -> Option<layout::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn give(&self, error: layout::Error) -> io::Error {
        let told = io::Error::other(error.to_string());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        told
    }
}

impl Blob {
    /// Opens the blob.
    pub(crate) async fn open(store: &Layout, digest: &Digest) -> Result<Self, layout::Error> {
        let dir = store.dir().to_owned();
        let wrong = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => layout::Error::Missing { dir: dir.clone(), digest: *digest },
            _ => layout::Error::Io { dir: dir.clone(), source },
        };
        let file = fs_err::tokio::File::open(store.path(digest)).await.map_err(wrong)?;
        let length = file.metadata().await.map_err(wrong)?.len();
        // Nobody reads a content of no bytes, so that one is judged here.
        let found = Digest::of("");
        if length == 0 && found != *digest {
            return Err(layout::Error::Damaged { digest: *digest, found });
        }
        Ok(Self {
            file,
            dir,
            digest: *digest,
            left: length,
            length,
            hasher: Hasher::new(),
            verdict: Verdict::default(),
        })
    }

    /// Its length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Where to look when sending it has ended.
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// Its content. The last piece is given out only after all of it was hashed: a client stops
    /// asking when it has as many bytes as were announced, so an error after them would be lost.
    pub(crate) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let ended = self.length == 0;
        futures::stream::try_unfold((self, ended), |(mut blob, ended)| async move {
            if ended {
                return Ok(None);
            }
            let piece = blob.piece().await?;
            let ended = blob.left == 0;
            Ok(Some((piece, (blob, ended))))
        })
    }

    async fn piece(&mut self) -> io::Result<Bytes> {
        let mut piece = BytesMut::with_capacity(CHUNK);
        let read = self.file.read_buf(&mut piece).await;
        let count = match read {
            Ok(count) => count as u64,
            Err(source) => return Err(self.verdict.give(layout::Error::Io { dir: self.dir.clone(), source })),
        };
        self.hasher.update(&piece);
        // The file grew or shrank while it was read: the digest below can't be right either.
        self.left = if count == 0 { 0 } else { self.left.saturating_sub(count) };
        if self.left == 0 {
            let found = self.hasher.clone().finish();
            if found != self.digest {
                return Err(self.verdict.give(layout::Error::Damaged { digest: self.digest, found }));
            }
        }
        Ok(piece.freeze())
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, TryStreamExt as _};

    use super::*;

    fn store() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = camino::Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("UTF-8");
        let layout = Layout::open(path).expect("a store");
        (dir, layout)
    }

    async fn read(layout: &Layout, digest: &Digest) -> (Vec<io::Result<Bytes>>, Option<layout::Error>) {
        let blob = Blob::open(layout, digest).await.expect("it is there");
        let verdict = blob.verdict();
        let pieces = blob.stream().collect().await;
        (pieces, verdict.take())
    }

    #[tokio::test]
    async fn content_passes_unchanged() {
        let (_dir, layout) = store();
        for size in [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let bytes = vec![7; size];
            let (digest, _) = layout.put(&bytes).expect("there is room");
            let blob = Blob::open(&layout, &digest).await.expect("it is there");
            assert_eq!(blob.length(), size as u64);
            let pieces: Vec<Bytes> = blob.stream().try_collect().await.expect("it is whole");
            assert_eq!(pieces.concat(), bytes);
        }
    }

    #[tokio::test]
    async fn a_flipped_byte_is_found_before_the_last_piece() {
        let (_dir, layout) = store();
        let mut bytes = vec![7; 2 * CHUNK];
        let (digest, _) = layout.put(&bytes).expect("there is room");
        bytes[3] = 8;
        fs_err::write(layout.path(&digest), &bytes).expect("writable");
        let (pieces, verdict) = read(&layout, &digest).await;
        let sent: usize = pieces.iter().filter_map(|piece| piece.as_ref().ok()).map(Bytes::len).sum();
        assert!(sent < bytes.len(), "the last piece must not go out");
        assert!(matches!(verdict, Some(layout::Error::Damaged { .. })));
    }

    #[tokio::test]
    async fn an_emptied_blob_is_damaged() {
        let (_dir, layout) = store();
        let (digest, _) = layout.put(b"abc").expect("there is room");
        fs_err::write(layout.path(&digest), b"").expect("writable");
        let opened = Blob::open(&layout, &digest).await;
        assert!(matches!(opened.err(), Some(layout::Error::Damaged { .. })));
    }
}
