//! Bundles: the tar, and the files at its beginning.

use camino::Utf8PathBuf;
use istiolab::images::bundle::Bundle;
use istiolab::images::digest::Digest;
use istiolab::images::layout::INDEX;
use serde_json::json;

use crate::text::LOCK;

/// A header of a tar has so many bytes, and everything in it begins at a multiple.
const BLOCK: usize = 512;
/// Where the checksum of a header is.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// A bundle as we write it, one as GNU tar does, and one with a header of extensions.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let manifest = br#"{"schemaVersion":2}"#;
    let listed = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": Digest::of(manifest), "size": manifest.len(),
        "annotations": {"io.containerd.image.name": "x.test/a:1", "org.opencontainers.image.ref.name": "1"},
    });
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]}).to_string();
    let old = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": Digest::of("old"), "size": 3});
    let delta = json!({"base": Digest::of("lock"), "blobs": [old]}).to_string();
    let lock = LOCK.replace("DIGEST", crate::DIGEST);
    let blob = format!("blobs/sha256/{}", Digest::of(manifest).hex());
    let files: [(&str, &[u8]); 4] = [
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", index.as_bytes()),
        ("images.lock", lock.as_bytes()),
        (&blob, manifest),
    ];
    let plain = archive(tar::Header::new_ustar, "", &files);
    let gnu = archive(tar::Header::new_gnu, "./", &files[..2]);
    let mut extended = file(tar::Header::new_ustar, tar::EntryType::XHeader, "pax", b"12 uid=1234\n");
    extended.extend(plain.clone());
    let with_delta = archive(tar::Header::new_ustar, "", &[files[0], files[1], ("delta.json", delta.as_bytes())]);
    vec![plain, gnu, extended, with_delta]
}

fn archive(header: fn() -> tar::Header, prefix: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let entries = files
        .iter()
        .flat_map(|(name, content)| file(header, tar::EntryType::Regular, &format!("{prefix}{name}"), content));
    entries.chain([0; 2 * BLOCK]).collect()
}

fn file(header: fn() -> tar::Header, kind: tar::EntryType, name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = header();
    header.set_path(name).expect("a short name");
    header.set_size(content.len() as u64);
    header.set_entry_type(kind);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// Opens an input as a bundle; of one that opens everything inside is read. Three of four inputs get right
/// checksums: with wrong ones a reader does not come far.
pub(crate) fn target() -> impl FnMut(&[u8]) -> Result<(), String> + Send {
    // In memory, where the system has such a place.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder");
    let path = Utf8PathBuf::from_path_buf(dir.path().join("lab.tar")).expect("UTF-8");
    move |bytes| {
        let _kept_until_the_end = &dir;
        let mut bytes = bytes.to_vec();
        // By the input alone, so that the same one gives the same result.
        if bytes.iter().map(|byte| byte.count_ones()).sum::<u32>() % 4 != 0 {
            correct(&mut bytes);
        }
        fs_err::write(&path, &bytes).expect("there is room");
        let bundle = Bundle::open(&path).map_err(|error| error.to_string())?;
        for (digest, size) in bundle.blobs() {
            assert!(size <= bytes.len() as u64, "{digest} has {size} bytes");
            assert_eq!(bundle.size(&digest), Some(size));
            bundle.digest_of(&digest).expect("all of it is in the file");
            if let Ok(Some(raw)) = bundle.raw(&digest) {
                assert_eq!(Digest::of(&raw.bytes), digest);
            }
        }
        for root in bundle.roots() {
            drop(bundle.raw(&root.digest));
        }
        Ok(())
    }
}

/// Writes right checksums into what are headers as far as can be told.
fn correct(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(block) = bytes.get_mut(at..at + BLOCK) {
        if block.iter().all(|byte| *byte == 0) {
            return;
        }
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut whole = [0; BLOCK];
        whole.copy_from_slice(block);
        let size = tar::Header::from_byte_slice(&whole).entry_size().unwrap_or_default();
        let Some(next) = usize::try_from(size).ok().and_then(|size| size.checked_next_multiple_of(BLOCK)) else {
            return;
        };
        let Some(after) = at.checked_add(BLOCK).and_then(|offset| offset.checked_add(next)) else { return };
        at = after;
    }
}
