//! Bundles that were damaged or made to do harm.

use fs_err as fs;
use tar::{EntryType, Header};

use super::super::{Bundle, Problem};
use super::*;

/// A tar of files.
fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).expect("memory takes it");
    }
    archive.into_inner().expect("memory takes it")
}

const MARKER: (&str, &[u8]) = ("oci-layout", b"{}");

fn refused(bytes: &[u8]) -> String {
    let (_dir, dir) = folder();
    let path = dir.join("lab.tar");
    fs::write(&path, bytes).expect("written");
    let failure = Failure::from(Bundle::open(&path).expect_err("it is refused"));
    assert_eq!(failure.kind, Kind::BadInput, "{failure}");
    failure.to_string()
}

#[test]
fn what_is_no_bundle_is_said_to_be_none() {
    assert!(refused(b"").contains("cut off"));
    assert!(refused(&[0; 10_240]).contains("no file `oci-layout`"));
    assert!(refused(&vec![b'x'; 5000]).contains("checksum is wrong, at byte 0"));
    assert!(refused(&tar_of(&[MARKER])).contains("no index.json"));
    assert!(refused(&tar_of(&[MARKER, ("index.json", b"[]")])).contains("index.json can't be read"));
    let (_dir, dir) = folder();
    let failure = Failure::from(Bundle::open(&dir).expect_err("a folder"));
    assert!(failure.to_string().contains("it is not a file"), "{failure}");
    let failure = Failure::from(Bundle::open(&dir.join("none.tar")).expect_err("there is none"));
    assert!(failure.kind == Kind::BadInput && failure.to_string().contains("none.tar"), "{failure}");
}

#[test]
fn names_of_blobs_are_digests() {
    let index = ("index.json", &br#"{"schemaVersion":2,"mediaType":"m","manifests":[]}"#[..]);
    for name in ["blobs/sha256/abc", "blobs/sha256/x/y"] {
        assert!(refused(&tar_of(&[MARKER, index, (name, b"")])).contains("is not a digest"), "{name}");
    }
    let upper = format!("blobs/sha256/{}", Digest::of("").hex().to_uppercase());
    assert!(refused(&tar_of(&[MARKER, index, (&upper, b"")])).contains("is not a digest"));
}

#[test]
fn deep_or_large_front_files_do_no_harm() {
    let deep = "[".repeat(1_000_000);
    assert!(refused(&tar_of(&[MARKER, ("index.json", deep.as_bytes())])).contains("index.json can't be read"));
    let index = ("index.json", &br#"{"schemaVersion":2,"mediaType":"m","manifests":[]}"#[..]);
    assert!(refused(&tar_of(&[MARKER, index, ("delta.json", b"{}")])).contains("delta.json can't be read"));
    assert!(refused(&tar_of(&[MARKER, index, ("images.lock", b"\xff")])).contains("not UTF-8"));
    let text = refused(&tar_of(&[MARKER, index, ("images.lock", b"kind: Lab\n")]));
    assert!(
        text.contains("lab.tar is not a bundle that can be used: in it, images.lock:1:7: unknown variant `Lab`"),
        "{text}"
    );
    let mut large = tar_of(&[MARKER]);
    large.truncate(1024);
    let mut header = Header::new_ustar();
    header.set_path("index.json").expect("short");
    header.set_size(17 << 20);
    header.set_cksum();
    large.extend_from_slice(header.as_bytes());
    large.resize(large.len() + (17 << 20) + 1024, 0);
    assert!(refused(&large).contains("its index.json has 17825792 bytes"));
}

#[test]
fn a_link_is_never_followed() {
    let (_dir, dir) = folder();
    let path = dir.join("lab.tar");
    for kind in [EntryType::Symlink, EntryType::Link] {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(0);
        archive.append_link(&mut header, "index.json", "/etc/passwd").expect("memory takes it");
        fs::write(&path, archive.into_inner().expect("memory takes it")).expect("written");
        assert!(Failure::from(Bundle::open(&path).expect_err("a link")).to_string().contains("`index.json` is a link"));
    }
}

/// A bundle of the lab with one byte changed inside the blob.
async fn spoilt(dir: &Utf8Path, digest: Digest) -> Stack {
    let path = dir.join("lab.tar");
    bundled(&Memory::lab(), &path).await;
    let mut bytes = fs::read(&path).expect("there");
    let name = format!("blobs/sha256/{}", digest.hex());
    let at = bytes.windows(name.len()).position(|window| window == name.as_bytes()).expect("a header");
    bytes[at + 512 + 40] ^= 1;
    fs::write(&path, bytes).expect("written");
    stack(&[&path])
}

#[tokio::test]
async fn one_changed_byte_is_found_and_named() {
    let (_dir, dir) = folder();
    let layer = Digest::of(vec![1; 300_000]);
    let checked = verified(&spoilt(&dir, layer).await).await;
    assert!(matches!(&checked.problems[..], [Problem::Damaged { digest, .. }] if *digest == layer));
    let wrong: Vec<_> = checked.images.iter().filter(|row| !row.whole).map(|row| row.image.to_string()).collect();
    assert_eq!(wrong, ["istiolab.local/one:1.0"]);
    assert!(checked.problems[0].to_string().contains("lab.tar: the blob sha256:"));

    let memory = Memory::lab();
    let lock = memory.lock().await;
    let image: Reference = "istiolab.local/one:1.0".parse().expect("a reference");
    let root = *lock.images[&image].digest().expect("resolved");
    let stack = spoilt(&dir, root).await;
    let failure = stack.manifest(&image, None).await.expect_err("a damaged manifest is not given out");
    assert!(failure.to_string().contains("is damaged"), "{failure}");
    let checked = verified(&stack).await;
    assert!(checked.problems.len() == 2 && checked.images.iter().filter(|row| !row.whole).count() == 1);
}

/// The lab's bundle with some of its files replaced.
async fn forged(dir: &Utf8Path, change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> Stack {
    let path = dir.join("lab.tar");
    bundled(&Memory::lab(), &path).await;
    let mut files = Vec::new();
    let mut archive = tar::Archive::new(fs::File::open(&path).expect("there"));
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("whole");
        let name = entry.path().expect("UTF-8").display().to_string();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("readable");
        if let Some(bytes) = change(&name, bytes) {
            files.push((name, bytes));
        }
    }
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    fs::write(&path, tar_of(&files)).expect("written");
    stack(&[&path])
}

#[tokio::test]
async fn lock_index_and_blobs_must_agree() {
    let (_dir, dir) = folder();
    // A tag that leads to another image than the lock says.
    let swapped = forged(&dir, |name, bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap_or_default();
        Some(if name == "index.json" { text.replace("web:1", "web:9").into_bytes() } else { bytes })
    });
    let checked = verified(&swapped.await).await;
    assert!(
        matches!(&checked.problems[..], [Problem::Disagrees { why, .. }] if why.contains("nothing under its name"))
    );

    // A blob that is not there, and is not said to be elsewhere.
    let layer = Digest::of(vec![1; 300_000]);
    let short = forged(&dir, |name, bytes| (!name.ends_with(&layer.hex())).then_some(bytes)).await;
    let checked = verified(&short).await;
    assert!(matches!(&checked.problems[..], [Problem::Missing { digest, found: None, .. }] if *digest == layer));

    // A blob that nobody asked for.
    let stray = Digest::of(b"{}");
    let more = forged(&dir, |name, bytes| Some(if name == "oci-layout" { b"{}".to_vec() } else { bytes })).await;
    assert_eq!(verified(&more).await.problems, vec![]);
    let path = dir.join("lab.tar");
    let mut bytes = fs::read(&path).expect("there");
    bytes.truncate(bytes.len() - 1024);
    bytes.extend(tar_of(&[(&format!("blobs/sha256/{}", stray.hex()), b"{}")]));
    fs::write(&path, bytes).expect("written");
    let checked = verified(&stack(&[&path])).await;
    assert!(matches!(&checked.problems[..], [Problem::Stray { digest, .. }] if *digest == stray));

    // A lock beside it that says otherwise.
    let mut lock = Memory::lab().lock().await;
    let gone = lock.images.pop_first().expect("some").0;
    bundled(&Memory::lab(), &path).await;
    let checked =
        super::super::verify(&stack(&[&path]), Some(&lock), &Progress::silent(), &CancellationToken::new()).await;
    let problems = checked.expect("readable").problems;
    assert!(matches!(&problems[..], [Problem::Disagrees { image, .. }] if *image == gone), "{problems:?}");
}

#[tokio::test]
async fn one_of_another_tool_is_read_too() {
    let (_dir, dir) = folder();
    // As `skopeo` and `docker save` write it: no lock, folders, `./` before names.
    let foreign = forged(&dir, |name, bytes| (name != "images.lock").then_some(bytes)).await;
    let checked = verified(&foreign).await;
    assert_eq!((checked.problems.len(), checked.images.len()), (0, 3));
    assert!(super::super::Base::of_bundle(&foreign.bundles()[0]).is_err());
}
