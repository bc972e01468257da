//! The engine's own images as what others are read from.
//!
//! An engine gives images out only as a whole, as a tar with an OCI layout inside. It is asked once, when the first
//! image is needed, and what it gives is kept in a folder as long as this value lives. An engine without
//! containerd's image store keeps neither manifests nor packed layers: it makes new ones, whose digests are its own.

use std::io::{self, Read};

use bollard::Docker;
use bytes::{Buf as _, Bytes};
use camino::{Utf8Path, Utf8PathBuf};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::sync::{OnceCell, mpsc};

use super::Error;
use crate::error::Failure;
use crate::images::content::{Content, Raw, Stream};
use crate::images::digest::{Digest, copy};
use crate::images::layout::{Descriptor, Layout};
use crate::images::reference::Reference;

/// The longest `index.json` that is taken.
const LONGEST_INDEX: u64 = 4 << 20;

/// The images of an engine.
#[derive(Debug)]
pub struct Exported {
    docker: Docker,
    host: String,
    images: Vec<Reference>,
    folder: Utf8PathBuf,
    there: OnceCell<(Layout, tempfile::TempDir)>,
}

impl Exported {
    /// Those of `images` that the engine has. Meanwhile they are kept below `folder`.
    #[must_use]
    pub fn new(docker: Docker, images: Vec<Reference>, folder: &Utf8Path) -> Self {
        Self { docker, host: super::host(), images, folder: folder.to_owned(), there: OnceCell::new() }
    }

    async fn layout(&self) -> Result<&Layout, Failure> {
        let (layout, _) = self.there.get_or_try_init(|| self.export()).await?;
        Ok(layout)
    }

    async fn export(&self) -> Result<(Layout, tempfile::TempDir), Failure> {
        let kept = |source| Error::Kept { folder: self.folder.clone(), source };
        fs_err::create_dir_all(&self.folder).map_err(kept)?;
        let dir = tempfile::Builder::new().prefix("engine-").tempdir_in(&self.folder).map_err(kept)?;
        let path = Utf8Path::from_path(dir.path()).unwrap_or(&self.folder).join("images");
        let layout = Layout::open(path)?;
        let mut names = Vec::new();
        for image in &self.images {
            let name = image.to_string();
            // One that is not there would fail all of them.
            if super::id(&self.docker, &name).await?.is_some() {
                names.push(name);
            }
        }
        if !names.is_empty() {
            self.receive(&names, &layout).await?;
        }
        Ok((layout, dir))
    }

    async fn receive(&self, names: &[String], layout: &Layout) -> Result<(), Failure> {
        let (sender, receiver) = mpsc::channel(8);
        let (to, host) = (layout.clone(), self.host.clone());
        let reader =
            tokio::task::spawn_blocking(move || unpack(Incoming { receiver, piece: Bytes::new() }, &to, &host));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut pieces = Box::pin(self.docker.export_images(&names));
        let mut failed = None;
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => {
                    if sender.send(piece).await.is_err() {
                        // Whoever reads has its own reason to stop.
                        break;
                    }
                }
                Err(source) => {
                    failed = Some(Error::request(format!("saving {}", names.join(", ")))(source));
                    break;
                }
            }
        }
        drop(sender);
        let unpacked = match reader.await {
            Ok(unpacked) => unpacked,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        // An export that broke off is no tar either.
        failed.map_or(unpacked.map_err(Failure::from), |error| Err(error.into()))
    }
}

/// Keeps the blobs and the index of an export.
fn unpack(export: impl Read, layout: &Layout, host: &str) -> Result<(), Error> {
    let wrong = |why: String| Error::Export { host: host.to_owned(), why };
    let broken = |error: io::Error| wrong(error.to_string());
    let stored = |source| Error::Store { name: "what the engine gave".to_owned(), source };
    let mut has_index = false;
    let mut archive = tar::Archive::new(export);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.to_string_lossy().into_owned();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        if path == "index.json" {
            let mut text = Vec::new();
            (&mut entry).take(LONGEST_INDEX).read_to_end(&mut text).map_err(broken)?;
            fs_err::write(layout.dir().join("index.json"), text)
                .map_err(|source| Error::Kept { folder: layout.dir().to_owned(), source })?;
            has_index = true;
        } else if let Some(named) = path.strip_prefix("blobs/sha256/").and_then(|hex| Digest::from_hex(hex).ok()) {
            let mut blob = layout.writer().map_err(stored)?;
            copy(&mut entry, &mut blob).map_err(broken)?;
            let (found, _) = blob.finish().map_err(stored)?;
            if found != named {
                return Err(wrong(format!("what it calls {named} has the digest {found}")));
            }
        }
    }
    if has_index { Ok(()) } else { Err(wrong("it has no index.json, as those of Docker before version 25".to_owned())) }
}

/// What comes through a channel, to be read on another thread.
struct Incoming {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl Content for Exported {
    fn describe(&self) -> String {
        format!("the container engine at {}", self.host)
    }

    fn manifest<'a>(
        &'a self,
        image: &'a Reference,
        digest: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<Option<Raw>, Failure>> {
        Box::pin(async move { Content::manifest(self.layout().await?, image, digest).await })
    }

    fn blob<'a>(
        &'a self,
        image: &'a Reference,
        blob: &'a Descriptor,
        from: u64,
    ) -> BoxFuture<'a, Result<Stream, Failure>> {
        Box::pin(async move { self.layout().await?.blob(image, blob, from).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, *bytes).expect("memory takes it");
        }
        archive.into_inner().expect("memory takes it")
    }

    #[test]
    fn what_is_no_layout_or_not_what_it_says_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let layout = Layout::open(Utf8PathBuf::from_path_buf(dir.path().into()).expect("UTF-8")).expect("a store");
        let blob = format!("blobs/sha256/{}", Digest::of("a").hex());
        let unpacked =
            |files: &[(&str, &[u8])]| unpack(&tar(files)[..], &layout, "x").map_err(|error| error.to_string());
        assert_eq!(unpacked(&[("index.json", b"{}"), (&blob, b"a"), ("manifest.json", b"[]")]), Ok(()));
        assert!(layout.has(&Digest::of("a")));
        let error = unpacked(&[("index.json", b"{}"), (&blob, b"b")]).expect_err("another digest");
        assert!(error.contains("has the digest"), "{error}");
        let error = unpacked(&[("manifest.json", b"[]")]).expect_err("old");
        assert!(error.contains("before version 25"), "{error}");
        assert!(unpack(&b"no tar at all, but long enough to be looked at"[..], &layout, "x").is_err());
    }
}
