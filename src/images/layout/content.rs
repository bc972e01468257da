//! A layout as what images are read from.

use std::io::{self, SeekFrom};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::{StreamExt as _, try_unfold};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::{Descriptor, Error, INDEX, ImageIndex, Layout, REF_NAME};
use crate::error::Failure;
use crate::images::bundle::Names;
use crate::images::content::{Content, Raw, Shelf, Stream};
use crate::images::digest::Digest;
use crate::images::reference::Reference;

/// How much is read at a time: every read is a hop to another thread, so not too little.
const CHUNK: usize = 256 * 1024;
/// The annotation by which containerd names images.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// What Docker calls an index.
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// How deep indexes in indexes are looked through for names.
const DEEPEST: usize = 4;

impl Layout {
    /// What the layout's index, or an index that it leads to, has under the image's name or digest.
    fn find(&self, image: &Reference) -> Result<Option<Descriptor>, Error> {
        let mut level = self.index()?.manifests;
        for _ in 0..DEEPEST {
            if let Some(found) = level.iter().find(|entry| is_named(entry, image)) {
                return Ok(Some(found.clone()));
            }
            let mut below = Vec::new();
            // Named indexes are images; those without a name only hold others.
            for entry in level.iter().filter(|entry| is_index(entry) && !entry.annotations.contains_key(REF_NAME)) {
                let path = self.path(&entry.digest);
                let index: ImageIndex = serde_json::from_slice(&self.read(&entry.digest)?)
                    .map_err(|source| Error::Json { path, source })?;
                below.extend(index.manifests);
            }
            level = below;
        }
        Ok(None)
    }

    fn raw(&self, image: &Reference, digest: Option<&Digest>) -> Result<Option<Raw>, Error> {
        let (digest, told) = match digest.or(image.digest()) {
            Some(digest) => (*digest, None),
            None => match self.find(image)? {
                Some(found) => (found.digest, Some(found.media_type)),
                None => return Ok(None),
            },
        };
        let bytes = match self.read(&digest) {
            Ok(bytes) => Bytes::from(bytes),
            Err(Error::Missing { .. }) if told.is_none() => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Raw::new(bytes, told.as_deref().unwrap_or(super::MANIFEST))))
    }

    async fn stream(&self, digest: &Digest, from: u64) -> Result<Stream, Error> {
        let mut file =
            fs_err::tokio::File::open(self.path(digest)).await.map_err(|source| self.missing(digest, source))?;
        if from > 0 {
            file.seek(SeekFrom::Start(from)).await.map_err(|source| self.io(source))?;
        }
        let layout = self.clone();
        let pieces = try_unfold((file, layout), |(mut file, layout)| async move {
            let mut piece = BytesMut::with_capacity(CHUNK);
            match file.read_buf(&mut piece).await {
                Ok(0) => Ok(None),
                Ok(_) => Ok(Some((piece.freeze(), (file, layout)))),
                Err(source) => Err(Failure::from(layout.io(io::Error::other(source)))),
            }
        });
        Ok(pieces.boxed())
    }
}

fn is_index(entry: &Descriptor) -> bool {
    matches!(entry.media_type.as_str(), INDEX | DOCKER_INDEX)
}

/// Names are whole ones in our stores; tools that keep one image in a layout write the tag alone, which
/// says too little to be taken for a name.
fn is_named(entry: &Descriptor, image: &Reference) -> bool {
    let mut names = [REF_NAME, CONTAINERD_NAME].iter().filter_map(|key| entry.annotations.get(*key));
    names.any(|name| {
        name.contains(['/', ':'])
            && name.parse::<Reference>().is_ok_and(|named| {
                named.registry() == image.registry()
                    && named.repository() == image.repository()
                    && named.digest().is_none()
                    && named.tag_or_default() == image.tag_or_default()
            })
    })
}

impl Content for Layout {
    fn describe(&self) -> String {
        format!("the image store at {}", self.dir())
    }

    fn manifest<'a>(
        &'a self,
        image: &'a Reference,
        digest: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<Option<Raw>, Failure>> {
        Box::pin(async move { Ok(self.raw(image, digest)?) })
    }

    fn blob<'a>(
        &'a self,
        _image: &'a Reference,
        blob: &'a Descriptor,
        from: u64,
    ) -> BoxFuture<'a, Result<Stream, Failure>> {
        Box::pin(async move { Ok(self.stream(&blob.digest, from).await?) })
    }
}

impl Shelf for Layout {
    fn names(&self) -> Result<Names, Failure> {
        Ok(Names::of(&self.index()?.manifests))
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        let file = fs_err::metadata(self.path(digest)).ok()?;
        file.is_file().then_some(file.len())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;

    use super::*;
    use crate::images::layout::{LAYER, MANIFEST};

    #[tokio::test]
    async fn images_are_found_by_name_and_digest_also_below_an_index() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = camino::Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("UTF-8");
        let layout = Layout::open(path).expect("a store");
        let put = |bytes: &[u8], kind: &str| {
            let (digest, size) = layout.put(bytes).expect("there is room");
            Descriptor::new(kind, digest, size)
        };
        let mut below = put(br#"{"mediaType":"a/b"}"#, MANIFEST);
        below.annotations.insert(CONTAINERD_NAME.to_owned(), "docker.io/library/below:1".to_owned());
        let index = ImageIndex { manifests: vec![below.clone()], ..ImageIndex::default() };
        let nested = put(&serde_json::to_vec(&index).expect("JSON"), INDEX);
        let top = put(b"{}", MANIFEST);
        layout.name(&[("x.test/top:1".to_owned(), top.clone())]).expect("named");
        let mut all: ImageIndex =
            serde_json::from_slice(&fs_err::read(layout.dir().join("index.json")).expect("there")).expect("an index");
        all.manifests.push(nested);
        fs_err::write(layout.dir().join("index.json"), serde_json::to_vec(&all).expect("JSON")).expect("writable");

        let found = async |name: &str| {
            let image: Reference = name.parse().expect("a reference");
            Content::manifest(&layout, &image, None)
                .await
                .expect("it can be read")
                .map(|raw| (raw.digest, raw.media_type))
        };
        assert_eq!(found("x.test/top:1").await, Some((top.digest, MANIFEST.to_owned())));
        assert_eq!(found("below:1").await, Some((below.digest, "a/b".to_owned())));
        assert_eq!(found(&format!("other@{}", top.digest)).await.map(|found| found.0), Some(top.digest));
        assert_eq!(found("x.test/top:2").await, None);
        assert_eq!(found(&format!("other@{}", Digest::of("none"))).await, None);

        let layer = put(b"0123456789", LAYER);
        let image: Reference = "x.test/top:1".parse().expect("a reference");
        let rest = layout.blob(&image, &layer, 4).await.expect("it is there");
        let rest: Vec<Bytes> = rest.try_collect().await.expect("it can be read");
        assert_eq!(rest.concat(), b"456789");
    }
}
