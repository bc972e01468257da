//! What a manifest or an index points at, read without trusting who wrote it.

use serde::Deserialize;

use crate::images::layout::{Descriptor, INDEX, MANIFEST};
use crate::images::lock::describe::{is_index, is_manifest};

/// The longest manifest or index that is read, in bytes: what registries allow.
pub const MOST_MANIFEST: u64 = 4 * 1024 * 1024;

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An index: what it lists.
    Index {
        /// Its media type.
        media_type: String,
        /// The manifests of each platform, or further indexes.
        children: Vec<Descriptor>,
    },
    /// The manifest of one platform's image.
    Image {
        /// Its media type.
        media_type: String,
        /// Its configuration.
        config: Box<Descriptor>,
        /// Its layers, the lowest first.
        layers: Vec<Descriptor>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

impl Parsed {
    /// Reads `bytes`; `None` if they are neither a manifest nor an index, or both at once, which two
    /// readers could take for different images.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(bytes).ok()?;
        let kind = document.media_type;
        match (document.manifests, document.config, document.layers) {
            (Some(children), None, None) => {
                let media_type = kind.unwrap_or_else(|| INDEX.to_owned());
                is_index(&media_type).then_some(Self::Index { media_type, children })
            }
            (None, Some(config), Some(layers)) => {
                let media_type = kind.unwrap_or_else(|| MANIFEST.to_owned());
                let config = Box::new(config);
                is_manifest(&media_type).then_some(Self::Image { media_type, config, layers })
            }
            _ => None,
        }
    }

    /// Its media type; one that was not written down is the standard's.
    #[must_use]
    pub fn media_type(&self) -> &str {
        match self {
            Self::Index { media_type, .. } | Self::Image { media_type, .. } => media_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn kind(text: &str) -> Option<String> {
        Parsed::read(text.replace("EMPTY", EMPTY).as_bytes()).map(|parsed| parsed.media_type().to_owned())
    }

    #[test]
    fn kinds_are_told_by_what_is_written_and_by_what_is_there() {
        let blob = r#"{"mediaType":"a","digest":"EMPTY","size":0}"#;
        assert_eq!(kind(r#"{"manifests":[]}"#).as_deref(), Some(INDEX));
        let docker = "application/vnd.docker.distribution.manifest.list.v2+json";
        assert_eq!(kind(&format!(r#"{{"mediaType":"{docker}","manifests":[]}}"#)).as_deref(), Some(docker));
        assert_eq!(kind(&format!(r#"{{"config":{blob},"layers":[{blob}]}}"#)).as_deref(), Some(MANIFEST));
        assert_eq!(kind(&format!(r#"{{"mediaType":"{INDEX}","config":{blob},"layers":[]}}"#)), None);
        assert_eq!(kind(&format!(r#"{{"manifests":[],"config":{blob},"layers":[]}}"#)), None);
        assert_eq!(kind(r#"{"os":"linux","rootfs":{}}"#), None);
        assert_eq!(kind(r#"{"manifests":[{"mediaType":"a","digest":"sha256:0","size":0}]}"#), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(Parsed::read(&bytes));
        }
    }
}
