//! Images of other parts as one file that containerd imports.

use camino::Utf8PathBuf;
use fs_err as fs;

use super::{Made, Workshop};
use crate::images::compose::{Layer, Source};
use crate::images::layout::{self, ImageIndex, Layout};
use crate::parts::Error;
use crate::parts::recipe::Archive;
use crate::parts::record::Record;

impl Workshop<'_> {
    /// Writes the images of other parts, each blob once, as an OCI image layout in a tar file.
    pub(super) async fn archive(&self, name: &str, archive: &Archive) -> Result<Made, Error> {
        let path = self.work.join(name);
        let parts: Vec<Record> = self.needs.iter().filter(|need| archive.parts.contains(&need.name)).cloned().collect();
        let layout = self.layout.clone();
        self.progress.status(format!("{name}: packing images"));
        let (to, records) = (path.clone(), parts.clone());
        tokio::task::spawn_blocking(move || write(&layout, &records, &to))
            .await
            .map_err(|panic| Error::write(&path, panic.into()))??;
        let images = parts.iter().flat_map(|part| &part.images);
        Ok(Made { path, made_of: images.map(|(name, image)| format!("{name}@{}", image.digest)).collect() })
    }
}

fn write(layout: &Layout, parts: &[Record], path: &Utf8PathBuf) -> Result<(), Error> {
    let mut tar = Layer::new();
    let mut index = ImageIndex::default();
    for (name, image) in parts.iter().flat_map(|part| &part.images) {
        let mut image = image.clone();
        // containerd takes the name from here.
        image.annotations.insert("io.containerd.image.name".to_owned(), name.clone());
        image.annotations.insert(layout::REF_NAME.to_owned(), name.clone());
        index.manifests.push(image);
    }
    for (digest, _) in parts.iter().flat_map(|part| &part.blobs) {
        // What goes into another image must not carry damage on.
        layout.verify(digest)?;
        tar.file(&format!("blobs/sha256/{}", digest.hex()), Source::Path(layout.path(digest)), 0o644);
    }
    let text = serde_json::to_vec(&index).map_err(|error| Error::write(path, error.into()))?;
    tar.file("index.json", Source::Bytes(text), 0o644);
    tar.file("oci-layout", Source::Bytes(br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()), 0o644);
    let mut file = fs::File::create(path).map_err(|source| Error::write(path, source))?;
    Ok(tar.write_tar(&mut file)?)
}
