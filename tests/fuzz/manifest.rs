//! Manifests and indexes, as a lock, a bundle and a copy read them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use camino::Utf8PathBuf;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use istiolab::error::Failure;
use istiolab::images::bundle::Parsed;
use istiolab::images::content::{Content, Raw, Stream};
use istiolab::images::copy::{Copier, Known, Target, Wanted};
use istiolab::images::digest::Digest;
use istiolab::images::layout::{CONFIG, Descriptor, INDEX, ImageIndex, ImageManifest, LAYER, Layout, MANIFEST};
use istiolab::images::lock::describe;
use istiolab::images::reference::Reference;
use istiolab::plan::event::Progress;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// What says that content is an index.
pub(crate) const KIND: &str = "\"mediaType\":\"application/vnd.oci.image.index.v1+json\"";

/// One image, whatever is asked for.
#[derive(Debug)]
struct Source {
    root: Raw,
    others: Arc<HashMap<Digest, Bytes>>,
}

impl Content for Source {
    fn describe(&self) -> String {
        "the input".to_owned()
    }

    fn manifest<'a>(
        &'a self,
        _image: &'a Reference,
        digest: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<Option<Raw>, Failure>> {
        let found = match digest {
            Some(digest) if *digest != self.root.digest => {
                self.others.get(digest).map(|bytes| Raw::new(bytes.clone(), MANIFEST))
            }
            _ => Some(self.root.clone()),
        };
        futures::future::ready(Ok(found)).boxed()
    }

    fn blob<'a>(
        &'a self,
        _image: &'a Reference,
        blob: &'a Descriptor,
        _from: u64,
    ) -> BoxFuture<'a, Result<Stream, Failure>> {
        let bytes = self.others.get(&blob.digest).cloned().unwrap_or_default();
        let stream = futures::stream::iter([Ok(bytes)]).boxed();
        futures::future::ready(Ok(stream)).boxed()
    }
}

fn blob(kind: &str, text: &[u8]) -> Descriptor {
    Descriptor::new(kind, Digest::of(text), text.len() as u64)
}

fn config() -> Vec<u8> {
    json!({"architecture": "amd64", "os": "linux", "variant": "v2", "rootfs": {"type": "layers"}}).to_string().into()
}

fn manifest() -> Vec<u8> {
    let config = blob(CONFIG, &config());
    let layers = [blob(LAYER, b"one"), blob("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", b"two")];
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).to_string().into()
}

/// A manifest, and an index of it.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let child = blob(MANIFEST, &manifest());
    let platform = json!({"os": "linux", "architecture": "arm64", "variant": "v8", "os.version": "1"});
    let listed = json!({"mediaType": MANIFEST, "digest": child.digest, "size": child.size, "platform": platform});
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed, child], "annotations": {"a": "b"}});
    vec![manifest(), index.to_string().into()]
}

/// Reads an input in every way in which manifests are read.
pub(crate) fn target() -> impl FnMut(&[u8]) -> Result<(), String> + Send {
    let others = HashMap::from([manifest(), config()].map(|bytes| (Digest::of(&bytes), Bytes::from(bytes))));
    let others = Arc::new(others);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("UTF-8");
    let store = Layout::open(path).expect("a store");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let silent = Progress::silent();
    move |bytes| {
        let _kept_until_the_end = &dir;
        let root = Raw::new(Bytes::copy_from_slice(bytes), INDEX);
        let accepted = Parsed::read(bytes);
        if let Some(parsed) = &accepted {
            assert!(describe::is_index(parsed.media_type()) || describe::is_manifest(parsed.media_type()));
        }
        written_again::<ImageManifest>(bytes);
        written_again::<ImageIndex>(bytes);
        let image: Reference = "x.test/a:1".parse().expect("a reference");
        drop(describe::platforms(&root));
        let source = Source { root: root.clone(), others: Arc::clone(&others) };
        let described = runtime.block_on(describe::describe(&source, &image, &root, &[]));
        let wanted = Wanted {
            image,
            from: Vec::new(),
            known: Known::Nothing,
            repository: "a".to_owned(),
            name: "x.test/a:1".to_owned(),
        };
        let copier = Copier::new(Arc::new(source), Target::Store(store.clone()));
        let (wanted, cancel) = ([wanted], CancellationToken::new());
        let plan = runtime.block_on(copier.plan(&wanted, &silent, &cancel)).map_err(|failure| failure.to_string())?;
        assert!(plan.blobs <= 1000 && plan.manifests <= 1000, "{plan:?}");
        described.map(drop).map_err(|failure| failure.to_string())
    }
}

/// What is read is, when it is written and read again, the same.
fn written_again<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<T>(bytes) {
        let again = serde_json::to_vec(&read).expect("JSON");
        assert_eq!(serde_json::from_slice::<T>(&again).expect("what was written is read"), read);
    }
}
