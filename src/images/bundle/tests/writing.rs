//! What is written, how it goes on after a stop, and deltas.

use fs_err as fs;
use futures::TryStreamExt as _;
use proptest::prelude::*;

use super::super::{Base, Bundle, Delta, Error};
use super::*;

#[tokio::test]
async fn the_same_lock_gives_the_same_bytes() {
    let (_dir, dir) = folder();
    let memory = Memory::lab();
    let (one, two) = (dir.join("one.tar"), dir.join("two.tar"));
    let first = bundled(&memory, &one).await;
    let second = bundled(&Memory::lab(), &two).await;
    let bytes = fs::read(&one).expect("there");
    assert!(bytes == fs::read(&two).expect("there"), "the same bytes");
    assert_eq!((first.lock, first.bytes), (second.lock, bytes.len() as u64));
    // 2 images of an index, 2 manifests and 2 configurations each (the same for all: 2); 1 of one platform.
    assert_eq!((first.images, first.blobs), (3, 2 + 5 + 2 + 1 + 4 + 1 + 1));
    assert_eq!(memory.asked.lock().expect("whole").len(), 2 + 1 + 4 + 1 + 1, "each blob is asked for once");
    let checked = verified(&stack(&[&one])).await;
    assert_eq!((checked.problems, checked.blobs), (vec![], first.blobs));
    assert!(checked.images.len() == 3 && checked.images.iter().all(|row| row.whole));
}

#[tokio::test]
async fn others_read_it_as_an_image_layout() {
    let (_dir, dir) = folder();
    let path = dir.join("lab.tar");
    bundled(&Memory::lab(), &path).await;
    let mut archive = tar::Archive::new(fs::File::open(&path).expect("there"));
    let mut files = Vec::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("UTF-8").display().to_string();
        assert_eq!((entry.header().mtime().ok(), entry.header().uid().ok()), (Some(0), Some(0)));
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            assert_eq!(Digest::of_reader(&mut entry).expect("readable").0.hex(), hex);
        }
        files.push(name);
    }
    assert_eq!(files[..3], ["oci-layout", "index.json", "images.lock"]);
    assert!(files[3..].is_sorted() && files[3..].iter().all(|name| name.starts_with("blobs/sha256/")));
    let bundle = Bundle::open(&path).expect("a bundle");
    // By tag and by digest.
    assert_eq!(bundle.roots().len(), 6);
}

#[tokio::test]
async fn one_platform_keeps_the_index_of_all() {
    let (_dir, dir) = folder();
    let memory = Memory::lab();
    let path = dir.join("lab.tar");
    let mut lock = memory.lock().await;
    let amd = written(&memory, &lock, &["linux/amd64"], &path).await.expect("written");
    assert_eq!((amd.images, amd.blobs), (3, 2 + 3 + 1 + 1 + 2 + 1));
    let stack = stack(&[&path]);
    let image: Reference = "web:1".parse().expect("a reference");
    let root = stack.manifest(&image, None).await.expect("readable").expect("there");
    let whole = memory.manifest(&image, None).await.expect("readable").expect("there");
    assert_eq!(root, whole, "byte for byte");
    assert_eq!(verified(&stack).await.problems, vec![]);

    let failure = written(&memory, &lock, &["linux/arm64"], &path).await.expect_err("one image is not for it");
    assert!(failure.to_string().contains("istiolab.local/one:1.0 is not locked for linux/arm64"), "{failure}");
    assert_eq!(failure.kind, Kind::BadInput);
    lock.images.values_mut().next().expect("some").root = None;
    let failure = written(&memory, &lock, &[], &path).await.expect_err("one image has no digest");
    assert!(failure.to_string().contains("istiolab images lock"), "{failure}");
}

#[tokio::test]
async fn content_is_read_from_any_byte_on() {
    let (_dir, dir) = folder();
    let memory = Memory::lab();
    let path = dir.join("lab.tar");
    bundled(&memory, &path).await;
    let stack = stack(&[&path]);
    let image: Reference = "web:1".parse().expect("a reference");
    for (digest, bytes) in &memory.blobs {
        let blob = Descriptor::new(LAYER, *digest, bytes.len() as u64);
        for from in [0, 1, bytes.len() / 2, bytes.len()].map(|from| from.min(bytes.len())) {
            let stream = stack.blob(&image, &blob, from as u64).await.expect("there");
            let pieces: Vec<Bytes> = stream.try_collect().await.expect("readable");
            assert!(pieces.concat() == bytes[from..]);
        }
    }
    // A file that is replaced meanwhile is read on.
    fs::rename(&path, dir.join("other.tar")).expect("renamed");
    fs::write(&path, "nothing").expect("written");
    assert!(stack.manifest(&image, None).await.expect("readable").is_some());
}

#[tokio::test]
async fn a_run_that_failed_is_gone_on_with() {
    let (_dir, dir) = folder();
    let path = dir.join("lab.tar");
    fs::write(&path, "an older one").expect("written");
    let mut memory = Memory::lab();
    let lock = memory.lock().await;
    let large = Digest::of(vec![1; 300_000]);
    memory.spoilt.insert(large, vec![2; 300_000].into());
    let failure = written(&memory, &lock, &[], &path).await.expect_err("wrong bytes");
    let text = failure.to_string();
    assert!(text.contains(&large.to_string()) && text.contains("istiolab.local/one:1.0"), "{text}");
    assert_eq!(fs::read(&path).expect("there"), b"an older one", "nothing half made under the name");

    memory.spoilt.clear();
    let before = std::mem::take(&mut *memory.asked.lock().expect("whole"));
    let second = written(&memory, &lock, &[], &path).await.expect("written");
    let asked = memory.asked.lock().expect("whole").clone();
    assert!(asked.contains(&large));
    assert_eq!(second.reused + asked.len() as u64, 9, "what was whole is not asked for again: {before:?}");
    let other = dir.join("other.tar");
    bundled(&Memory::lab(), &other).await;
    assert!(fs::read(&path).expect("there") == fs::read(&other).expect("there"));
    assert!(!dir.join("lab.tar.part").exists());
}

#[tokio::test]
async fn what_another_run_left_does_not_show() {
    let (_dir, dir) = folder();
    let (path, part) = (dir.join("lab.tar"), dir.join("lab.tar.part"));
    let other = dir.join("other.tar");
    bundled(&Memory::lab(), &other).await;
    let fresh = fs::read(&other).expect("there");
    let mut damaged = fresh.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for left in [vec![0xff; 2_000_000], fresh[..middle].to_vec(), damaged, vec![]] {
        fs::write(&part, left).expect("written");
        bundled(&Memory::lab(), &path).await;
        assert!(fs::read(&path).expect("there") == fresh);
    }
    // Of another lock.
    let amd = written(&Memory::lab(), &Memory::lab().lock().await, &["linux/amd64"], &path).await.expect("written");
    fs::rename(&path, &part).expect("renamed");
    let all = bundled(&Memory::lab(), &path).await;
    assert!(amd.bytes < all.bytes && fs::read(&path).expect("there") == fresh);
}

#[tokio::test]
async fn wrong_answers_of_a_source_are_told_apart() {
    let (_dir, dir) = folder();
    let path = dir.join("lab.tar");
    let layer = Digest::of(vec![1; 300_000]);
    for (instead, word) in [
        (vec![1; 299_999], "299999 of 300000 bytes came"),
        (vec![1; 300_001], "more than its 300000 bytes came"),
        (vec![2; 300_000], "they have the digest"),
        (vec![], "0 of 300000 bytes came"),
    ] {
        let mut memory = Memory::lab();
        memory.spoilt.insert(layer, instead.into());
        let failure = written(&memory, &memory.lock().await, &[], &path).await.expect_err("wrong");
        assert!(failure.to_string().contains(word), "{failure}");
    }
    // A manifest is compared before anything else is asked for.
    let mut memory = Memory::lab();
    let lock = memory.lock().await;
    let root = *lock.images.values().next().expect("some").digest().expect("resolved");
    memory.spoilt.insert(root, Bytes::from_static(b"{}"));
    written(&memory, &lock, &[], &path).await.expect_err("wrong");
    assert!(memory.asked.lock().expect("whole").is_empty());
}

#[tokio::test]
async fn another_place_with_the_same_bytes_is_asked_next() {
    let (_dir, dir) = folder();
    let path = dir.join("lab.tar");
    let mut memory = Memory::lab();
    let mut lock = memory.lock().await;
    let mirror: Reference = "mirror.example/m:1".parse().expect("a reference");
    memory.only = Some(mirror.clone());
    written(&memory, &lock, &[], &path).await.expect_err("only the mirror has blobs");
    for entry in lock.images.values_mut() {
        entry.from = vec!["nowhere.example/m:1".parse().expect("a reference"), mirror.clone()];
    }
    written(&memory, &lock, &[], &path).await.expect("the mirror has them");
}

#[tokio::test]
async fn two_do_not_write_one_file() {
    let (_dir, dir) = folder();
    let path = dir.join("lab.tar");
    let held = fs::File::create(dir.join("lab.tar.part")).expect("made");
    held.lock().expect("locked");
    let memory = Memory::lab();
    let failure = written(&memory, &memory.lock().await, &[], &path).await.expect_err("it is busy");
    assert!(failure.kind == Kind::Refused && failure.to_string().contains("lab.tar.part"), "{failure}");
}

#[tokio::test]
async fn an_interruption_stops_and_leaves_no_bundle() {
    let (_dir, dir) = folder();
    let path = dir.join("lab.tar");
    let memory = Memory::lab();
    let lock = memory.lock().await;
    let request = Request { lock: &lock, platforms: &[], source: &memory, base: None, to: &path };
    let cancel = CancellationToken::new();
    cancel.cancel();
    let failure = write(request, &Progress::silent(), &cancel).await.expect_err("interrupted");
    assert_eq!(failure.kind, Kind::Interrupted);
    assert!(!path.exists());
}

/// The lab after an update: one image has a new layer, one is new.
fn updated() -> Memory {
    let mut memory = Memory::lab();
    let one = memory.image("amd64", &[vec![1; 300_000], b"more".to_vec()]);
    memory.name("istiolab.local/one:1.0", one);
    let new = memory.image("amd64", &[b"new".to_vec()]);
    memory.name("istiolab.local/new:1", new);
    memory
}

#[tokio::test]
async fn a_delta_holds_what_is_new_and_names_everything() {
    let (_dir, dir) = folder();
    let (old, new) = (dir.join("old.tar"), dir.join("new.tar"));
    let before = Memory::lab();
    bundled(&before, &old).await;
    let memory = updated();
    let lock = memory.lock().await;
    let base = Base::of_bundle(&Bundle::open(&old).expect("a bundle")).expect("it has a lock");
    assert_eq!(base, Base::of_lock(&before.lock().await, &[]).expect("resolved"), "the lock says the same");
    let request = Request { lock: &lock, platforms: &[], source: &memory, base: Some(base.clone()), to: &new };
    let delta = write(request, &Progress::silent(), &CancellationToken::new()).await.expect("written");
    assert_eq!(memory.asked.lock().expect("whole").len(), 2, "two new layers; the configuration is the same");
    assert_eq!(delta.brought, 7);
    assert_eq!(delta.elsewhere, 9);

    // Alone it is whole as far as it goes, and says what is missing.
    let alone = stack(&[&new]);
    let checked = verified(&alone).await;
    assert_eq!((checked.problems, checked.needs), (vec![], Some(base.lock)));
    let layer = Descriptor::new(LAYER, Digest::of(vec![1; 300_000]), 300_000);
    let image: Reference = "istiolab.local/one:1.0".parse().expect("a reference");
    let failure = alone.blob(&image, &layer, 0).await.err().expect("it is in the older one");
    assert!(failure.to_string().contains("Name the older bundle too"), "{failure}");
    assert!(matches!(alone.complete(), Err(Error::NeedsBase { .. })));

    // With the older one it is everything, and the newer tag counts.
    let both = stack(&[&new, &old]);
    both.complete().expect("nothing is missing");
    let checked = verified(&both).await;
    assert_eq!((checked.problems, checked.needs, checked.images.len()), (vec![], None, 4));
    let root = both.manifest(&image, None).await.expect("readable").expect("there");
    assert_eq!(Some(&root.digest), lock.images[&image].digest());
    let whole = dir.join("whole.tar");
    let request = Request { lock: &lock, platforms: &[], source: &both, base: None, to: &whole };
    write(request, &Progress::silent(), &CancellationToken::new()).await.expect("a stack is a source too");
    assert_eq!(verified(&stack(&[&whole])).await.problems, vec![]);
    // The older one of another lab does not help.
    let other = dir.join("other.tar");
    let mut small = Memory::default();
    let image = small.image("amd64", &[]);
    small.name("a.example/b:1", image);
    bundled(&small, &other).await;
    assert!(matches!(stack(&[&new, &other]).complete(), Err(Error::NeedsBase { .. })));
    let text = serde_json::to_string(Bundle::open(&new).expect("a bundle").delta().expect("one")).expect("JSON");
    assert!(serde_json::from_str::<Delta>(&text.replace("\"base\"", "\"b\"")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_the_sizes_are_it_is_read_back(sizes in prop::collection::vec(0_usize..3000, 1..12), cut in any::<u16>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (_dir, dir) = folder();
            let path = dir.join("lab.tar");
            let mut memory = Memory::default();
            let layers: Vec<Vec<u8>> = sizes.iter().map(|size| vec![1; *size]).collect();
            let image = memory.image("amd64", &layers);
            memory.name("a.example/b:1", image);
            bundled(&memory, &path).await;
            assert_eq!(verified(&stack(&[&path])).await.problems, vec![]);
            // Cut anywhere, it is never taken for whole.
            let bytes = fs::read(&path).expect("there");
            let length = usize::from(cut) % bytes.len();
            fs::write(&path, &bytes[..length]).expect("written");
            assert!(Bundle::open(&path).is_err());
        });
    }
}
