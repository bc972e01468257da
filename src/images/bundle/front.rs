//! The files at the beginning of a bundle, which say what the blobs after them are.

use serde_json::{Value, json};

use super::Error;
use super::delta::Delta;
use super::names::CONTAINERD_NAME;
use crate::images::digest::Digest;
use crate::images::layout::{Descriptor, ImageIndex, REF_NAME};
use crate::images::lock::{self, Lock};

/// The file that marks an image layout.
pub(super) const MARKER: &str = "oci-layout";
/// The file that names the images.
pub(super) const INDEX_FILE: &str = "index.json";
/// The file that says which bytes each image is.
pub(super) const LOCK_FILE: &str = lock::FILE;
/// The file that says what is in an older bundle.
pub(super) const DELTA_FILE: &str = "delta.json";
/// The folder of blobs.
pub(super) const BLOBS: &str = "blobs/sha256/";

/// The name of a blob's file.
pub(super) fn blob_file(digest: &Digest) -> String {
    format!("{BLOBS}{}", digest.hex())
}

/// All of them, in the order in which they are written.
pub(super) fn files(lock: &Lock, delta: Option<&Delta>) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    let mut files = vec![
        (MARKER, br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        (INDEX_FILE, text(&json!(index(lock)))),
        (LOCK_FILE, lock_text(lock)?),
    ];
    if let Some(delta) = delta {
        files.push((DELTA_FILE, text(&json!(delta))));
    }
    Ok(files)
}

/// The lock as it stands in a bundle.
pub(super) fn lock_text(lock: &Lock) -> Result<Vec<u8>, Error> {
    Ok(lock::file::text(lock)?.into_bytes())
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Each image twice: under its tag, and under its digest, so that containerd, when it imports the
/// bundle, also resolves references by digest.
fn index(lock: &Lock) -> ImageIndex {
    let mut index = ImageIndex::default();
    for (image, entry) in &lock.images {
        let Some(root) = &entry.root else { continue };
        let repository = format!("{}/{}", image.registry(), image.repository());
        let tagged = image.tag().map(|tag| format!("{repository}:{tag}"));
        for name in tagged.into_iter().chain([format!("{repository}@{}", root.digest)]) {
            let mut named = Descriptor::new(&root.media_type, root.digest, root.size);
            named.annotations.insert(CONTAINERD_NAME.to_owned(), name.clone());
            named.annotations.insert(REF_NAME.to_owned(), name);
            index.manifests.push(named);
        }
    }
    // Two tags of one image have the same name by digest.
    index.manifests.dedup();
    index
}
