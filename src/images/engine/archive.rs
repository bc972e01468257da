//! An image as the tar that engines load: an OCI layout, with the `manifest.json` beside it that
//! engines without containerd's image store read.

use std::io::{self, Read, Write};

use serde_json::json;

use crate::images::digest::{Digest, Hasher};
use crate::images::layout::{self, Descriptor, ImageIndex, ImageManifest, Layout, REF_NAME};

/// The annotation by which containerd names an image that it imports.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Why the archive was not written to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The store's side.
    #[error(transparent)]
    Store(#[from] layout::Error),
    /// Whoever read the archive stopped.
    #[error("nobody reads on")]
    Gone,
}

/// Writes the image with the manifest `top` to `to`.
pub(super) fn write(
    store: &Layout,
    top: &Descriptor,
    manifest: &ImageManifest,
    name: &str,
    to: &mut impl Write,
) -> Result<(), Error> {
    let mut archive = tar::Builder::new(to);
    let mut index = ImageIndex::default();
    let mut named = top.clone();
    named.annotations.insert(CONTAINERD_NAME.to_owned(), name.to_owned());
    named.annotations.insert(REF_NAME.to_owned(), name.rsplit_once(':').map_or(name, |(_, tag)| tag).to_owned());
    index.manifests.push(named);
    let docker = json!([{
        "Config": inner_path(&manifest.config.digest),
        "RepoTags": [name],
        "Layers": manifest.layers.iter().map(|layer| inner_path(&layer.digest)).collect::<Vec<_>>(),
    }]);
    append(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut archive, "index.json", json!(index).to_string().as_bytes())?;
    append(&mut archive, "manifest.json", docker.to_string().as_bytes())?;
    let mut blobs: Vec<Digest> = vec![top.digest];
    blobs.extend(manifest.blobs().map(|blob| blob.digest));
    blobs.sort_unstable();
    blobs.dedup();
    for digest in blobs {
        append_blob(&mut archive, store, digest)?;
    }
    archive.into_inner().and_then(Write::flush).map_err(|_| Error::Gone)
}

fn inner_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    header
}

fn append(archive: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) -> Result<(), Error> {
    archive.append_data(&mut header(bytes.len() as u64), path, bytes).map_err(|_| Error::Gone)
}

fn append_blob(archive: &mut tar::Builder<impl Write>, store: &Layout, digest: Digest) -> Result<(), Error> {
    let wrong = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => layout::Error::Missing { dir: store.dir().to_owned(), digest },
        _ => layout::Error::Io { dir: store.dir().to_owned(), source },
    };
    let file = fs_err::File::open(store.path(&digest)).map_err(wrong)?;
    let size = file.metadata().map_err(wrong)?.len();
    let mut content = Checked { file: file.take(size), hasher: Hasher::new(), failed: None };
    let written = archive.append_data(&mut header(size), inner_path(&digest), &mut content);
    if let Some(source) = content.failed {
        return Err(wrong(source).into());
    }
    written.map_err(|_| Error::Gone)?;
    let found = content.hasher.finish();
    if found == digest { Ok(()) } else { Err(layout::Error::Damaged { digest, found }.into()) }
}

/// Hashes what is read and keeps a reader's failure apart from a writer's.
struct Checked {
    file: io::Take<fs_err::File>,
    hasher: Hasher,
    failed: Option<io::Error>,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            Ok(count) => {
                self.hasher.update(&buffer[..count]);
                Ok(count)
            }
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::images::layout::{CONFIG, LAYER, MANIFEST};

    fn store() -> (tempfile::TempDir, Layout, Descriptor, ImageManifest) {
        let dir = tempfile::tempdir().expect("a folder");
        let store =
            Layout::open(camino::Utf8PathBuf::from_path_buf(dir.path().into()).expect("UTF-8")).expect("a store");
        let put = |kind: &str, bytes: &[u8]| {
            let (digest, size) = store.put(bytes).expect("there is room");
            Descriptor::new(kind, digest, size)
        };
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config: put(CONFIG, b"{}"),
            layers: vec![put(LAYER, b"layer"), put(LAYER, b"layer")],
            annotations: BTreeMap::new(),
        };
        let top = put(MANIFEST, &serde_json::to_vec(&manifest).expect("JSON"));
        (dir, store, top, manifest)
    }

    #[test]
    fn each_blob_is_there_once_and_both_indexes_name_the_image() {
        let (_dir, store, top, manifest) = store();
        let mut tar = Vec::new();
        write(&store, &top, &manifest, "istiolab.local/a:1", &mut tar).expect("memory takes it");
        let mut archive = tar::Archive::new(&tar[..]);
        let files: BTreeMap<String, String> = archive
            .entries()
            .expect("a tar")
            .map(|entry| {
                let mut entry = entry.expect("an entry");
                let mut text = String::new();
                entry.read_to_string(&mut text).expect("text");
                (entry.path().expect("a path").display().to_string(), text)
            })
            .collect();
        assert_eq!(files.len(), 3 + 3, "two equal layers are one blob");
        assert!(files["manifest.json"].contains("istiolab.local/a:1"));
        assert!(files["index.json"].contains(r#""io.containerd.image.name":"istiolab.local/a:1""#));
        assert_eq!(files[&inner_path(&manifest.layers[0].digest)], "layer");
    }

    #[test]
    fn damage_and_loss_are_told_apart() {
        let (_dir, store, top, manifest) = store();
        let layer = manifest.layers[0].digest;
        fs_err::write(store.path(&layer), b"lager").expect("writable");
        let error = write(&store, &top, &manifest, "a:1", &mut io::sink()).expect_err("damaged");
        assert!(matches!(error, Error::Store(layout::Error::Damaged { digest, .. }) if digest == layer), "{error}");
        store.remove(&layer).expect("removable");
        let error = write(&store, &top, &manifest, "a:1", &mut io::sink()).expect_err("missing");
        assert!(matches!(error, Error::Store(layout::Error::Missing { .. })), "{error}");
    }
}
