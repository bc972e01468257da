//! What images are read from: a layout, a bundle, a registry. Whoever copies, bundles or serves images
//! asks for them in this one way.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::Value;

use super::bundle::Names;
use super::digest::Digest;
use super::layout::Descriptor;
use super::reference::Reference;
use crate::error::Failure;

/// The bytes of a blob, as they come. They are not checked: whoever keeps them checks them.
pub type Stream = BoxStream<'static, Result<Bytes, Failure>>;

/// A manifest or an index, byte for byte as its author wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// What kind it is, as `application/vnd.oci.image.index.v1+json`.
    pub media_type: String,
    /// The digest of `bytes`, computed from them.
    pub digest: Digest,
    /// Its content.
    pub bytes: Bytes,
}

impl Raw {
    /// A manifest of these bytes, whose digest is computed. Its kind is what it says itself, else `told`.
    #[must_use]
    pub fn new(bytes: Bytes, told: &str) -> Self {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            media_type: String,
        }
        let kind = serde_json::from_slice::<Kind>(&bytes).map(|kind| kind.media_type);
        let media_type = kind.unwrap_or_else(|_| told.split(';').next().unwrap_or_default().trim().to_owned());
        Self { media_type, digest: Digest::of(&bytes), bytes }
    }
}

/// Something that holds images.
pub trait Content: Send + Sync + std::fmt::Debug {
    /// What it is and where, for messages: `the bundle lab.tar`, `the registry at localhost:5000`.
    fn describe(&self) -> String;

    /// The manifest or index `digest` of `image`'s repository; without `digest`, the one that the
    /// reference's own digest or else its tag names. `None` if it is not there.
    fn manifest<'a>(
        &'a self,
        image: &'a Reference,
        digest: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<Option<Raw>, Failure>>;

    /// The bytes of a blob of `image`'s repository from the offset `from` on, which is at most its size.
    fn blob<'a>(
        &'a self,
        image: &'a Reference,
        blob: &'a Descriptor,
        from: u64,
    ) -> BoxFuture<'a, Result<Stream, Failure>>;

    /// What refers to the manifest `digest` of `image`'s repository, as descriptors word for word: signatures,
    /// bills of materials. Nothing where nobody keeps such a list.
    fn referrers<'a>(
        &'a self,
        _image: &'a Reference,
        _digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Vec<Value>, Failure>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// Something that knows all that it holds, so that it can be served as a registry.
pub trait Shelf: Content {
    /// Its images by name.
    ///
    /// # Errors
    /// They can't be read.
    fn names(&self) -> Result<Names, Failure>;

    /// The length of a blob; `None` if it is not there.
    fn size(&self, digest: &Digest) -> Option<u64>;
}
