//! Bundles written, read, spoilt and served, from images that are made here.

mod hostile;
mod writing;

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Names, Parsed, Request, Stack, Written, inventory, write};
use crate::error::{Failure, Kind};
use crate::images::content::{Content, Raw, Shelf, Stream};
use crate::images::digest::Digest;
use crate::images::layout::{CONFIG, Descriptor, INDEX, LAYER, MANIFEST, REF_NAME};
use crate::images::lock::Lock;
use crate::images::reference::Reference;
use crate::plan::event::Progress;

/// Images in memory, which counts what it is asked for and can be spoilt.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) blobs: HashMap<Digest, Bytes>,
    roots: Vec<Descriptor>,
    /// What is given instead of the right bytes.
    pub(crate) spoilt: HashMap<Digest, Bytes>,
    /// Only this repository has blobs, if one is named.
    pub(crate) only: Option<Reference>,
    /// The blobs that were asked for.
    pub(crate) asked: Mutex<Vec<Digest>>,
}

impl Memory {
    pub(crate) fn put(&mut self, kind: &str, bytes: impl Into<Bytes>) -> Descriptor {
        let bytes = bytes.into();
        let blob = Descriptor::new(kind, Digest::of(&bytes), bytes.len() as u64);
        self.blobs.insert(blob.digest, bytes);
        blob
    }

    /// One platform's image.
    pub(crate) fn image(&mut self, architecture: &str, layers: &[Vec<u8>]) -> Descriptor {
        let config = json!({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
        let config = self.put(CONFIG, config.to_string());
        let layers: Vec<_> = layers.iter().map(|bytes| self.put(LAYER, bytes.clone())).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.put(MANIFEST, manifest.to_string())
    }

    /// An index of images by architecture.
    pub(crate) fn index(&mut self, images: &[(&str, Descriptor)]) -> Descriptor {
        let listed: Vec<_> = images
            .iter()
            .map(|(architecture, image)| {
                let platform = json!({"os": "linux", "architecture": architecture});
                json!({"mediaType": MANIFEST, "digest": image.digest, "size": image.size, "platform": platform})
            })
            .collect();
        self.put(INDEX, json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).to_string())
    }

    pub(crate) fn name(&mut self, name: &str, mut root: Descriptor) {
        root.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        self.roots.retain(|other| other.annotations != root.annotations);
        self.roots.push(root);
    }

    /// Two images of two platforms that share a layer, one of one platform, a layer without content.
    pub(crate) fn lab() -> Self {
        let mut memory = Self::default();
        let base = vec![7; 100_000];
        for (name, own) in [("docker.io/library/web:1", b'w'), ("localhost:5000/deep/er/api:2", b'a')] {
            let amd = memory.image("amd64", &[base.clone(), vec![own; 512]]);
            let arm = memory.image("arm64", &[base.clone(), vec![own; 513], vec![]]);
            let root = memory.index(&[("amd64", amd), ("arm64", arm)]);
            memory.name(name, root);
        }
        let one = memory.image("amd64", &[vec![1; 300_000]]);
        memory.name("istiolab.local/one:1.0", one);
        memory
    }

    pub(crate) async fn lock(&self) -> Lock {
        let lock = inventory(self).await.expect("it holds images");
        self.asked.lock().expect("whole").clear();
        lock
    }
}

impl Content for Memory {
    fn describe(&self) -> String {
        "the test's memory".to_owned()
    }

    fn manifest<'a>(
        &'a self,
        image: &'a Reference,
        digest: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<Option<Raw>, Failure>> {
        let names = self.names().expect("it has some");
        let digest = digest.copied().or_else(|| Some(names.get(image)?.digest));
        let raw = digest.and_then(|digest| {
            let bytes = self.spoilt.get(&digest).or_else(|| self.blobs.get(&digest))?.clone();
            let media_type = Parsed::read(&bytes)?.media_type().to_owned();
            Some(Raw { media_type, digest, bytes })
        });
        futures::future::ready(Ok(raw)).boxed()
    }

    fn blob<'a>(
        &'a self,
        image: &'a Reference,
        blob: &'a Descriptor,
        from: u64,
    ) -> BoxFuture<'a, Result<Stream, Failure>> {
        self.asked.lock().expect("whole").push(blob.digest);
        let bytes = self.spoilt.get(&blob.digest).or_else(|| self.blobs.get(&blob.digest)).cloned();
        let elsewhere = self.only.as_ref().is_some_and(|only| only != image);
        let stream = bytes.filter(|_| !elsewhere).map(|bytes| {
            let rest = bytes.slice(usize::try_from(from).expect("small")..);
            // In odd pieces.
            let pieces: Vec<_> = rest.chunks(33_333).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            futures::stream::iter(pieces).boxed()
        });
        let stream = stream.ok_or_else(|| Failure::new(Kind::Unavailable, format!("{} is not there", blob.digest)));
        futures::future::ready(stream).boxed()
    }
}

impl Shelf for Memory {
    fn names(&self) -> Result<Names, Failure> {
        Ok(Names::of(&self.roots))
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        Some(self.blobs.get(digest)?.len() as u64)
    }
}

pub(crate) fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("UTF-8");
    (dir, path)
}

/// Writes a bundle of all that is in `memory`.
pub(crate) async fn bundled(memory: &Memory, to: &Utf8Path) -> Written {
    let lock = memory.lock().await;
    written(memory, &lock, &[], to).await.expect("it is written")
}

async fn written(memory: &Memory, lock: &Lock, platforms: &[&str], to: &Utf8Path) -> Result<Written, Failure> {
    let platforms: Vec<String> = platforms.iter().map(|name| (*name).to_owned()).collect();
    let request = Request { lock, platforms: &platforms, source: memory, base: None, to };
    write(request, &Progress::silent(), &CancellationToken::new()).await
}

pub(crate) fn stack(paths: &[&Utf8Path]) -> Stack {
    let paths: Vec<Utf8PathBuf> = paths.iter().map(|path| (*path).to_owned()).collect();
    Stack::open(&paths).expect("bundles")
}

async fn verified(stack: &Stack) -> super::Checked {
    super::verify(stack, None, &Progress::silent(), &CancellationToken::new()).await.expect("it can be read")
}
