use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::images::layout::{CONFIG, INDEX, LAYER, MANIFEST};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const START: &str = "apiVersion: istiolab.dev/v1alpha1\nkind: ImageLock\n";

fn told(rest: &str) -> String {
    parse(&format!("{START}{rest}"), "images.lock").expect_err(rest).to_string()
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (rest, told_as) in [
        ("imagse: {}\n", "images.lock:3:1: "),
        ("images:\n  docker.io/library/a:1:\n    digset: x\n", "images.lock:5:5: "),
        ("images:\n  docker.io/library/a:1:\n    digest: sha256:00\n", "images.lock:5:13: "),
        ("images:\n  docker.io/library/a:1: {}\n  docker.io/library/a:1: {}\n", "images.lock:5:3: "),
        ("images:\n  a:1: {}\n", "images.lock:4:3: `a:1` is written `docker.io/library/a:1` in a lock"),
        ("images:\n  b/A: {}\n", "images.lock:4:3: `b/A` is not an image reference"),
        ("images:\n  docker.io/library/a:1: {size: 3}\n", "images.lock:4:3: `docker.io/library/a:1`: `digest`, "),
        (
            "images:\n  docker.io/library/a:1: {part: a}\n",
            "images.lock:4:3: `docker.io/library/a:1`: the part `a` is not",
        ),
    ] {
        let told = told(rest);
        assert!(told.starts_with(told_as), "{rest}\n{told}");
    }
    let other = format!("images:\n  docker.io/library/a@{DIGEST}:\n    digest: sha256:{}\n", "0".repeat(64));
    assert!(told(&other).contains("its `digest` is"), "{}", told(&other));
    assert!(parse("kind: ImageLock\n", "x").is_err(), "the version is missing");
    assert!(parse("apiVersion: istiolab.dev/v2\nkind: ImageLock\n", "x").is_err(), "another version");
    assert_eq!(parse(START, "x").expect("an empty lock"), Lock::default());
}

#[test]
fn one_image_is_one_block() {
    let blob = |kind: &str, text: &str| Descriptor::new(kind, Digest::of(text), text.len() as u64);
    let platform = Platform {
        manifest: blob(MANIFEST, "manifest"),
        config: blob(CONFIG, "config"),
        layers: vec![blob(LAYER, "layer")],
    };
    let labs = BTreeSet::from(["quickstart".to_owned()]);
    let entry = Entry {
        root: Some(blob(INDEX, "index")),
        platforms: [("linux/amd64".to_owned(), platform)].into(),
        from: vec!["mirror.example/nginx:1.27".parse().expect("a reference")],
        labs: labs.clone(),
        ..Entry::default()
    };
    let part = Part { name: "zipkin".to_owned(), version: "3.10".to_owned(), made_of: vec!["jdk 17".to_owned()] };
    let built = Entry { part: Some(part), labs, ..Entry::default() };
    let name = |text: &str| text.parse::<Reference>().expect("a reference");
    let lock = Lock { images: [(name("nginx:1.27"), entry), (name("istiolab.local/zipkin:3.10"), built)].into() };
    insta::assert_snapshot!(text(&lock).expect("it has a form"), @r#"
    # Which bytes every image is. Written by `istiolab images lock`; changes by hand get lost.
    apiVersion: istiolab.dev/v1alpha1
    kind: ImageLock
    images:
      "docker.io/library/nginx:1.27":
        digest: sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6
        mediaType: application/vnd.oci.image.index.v1+json
        size: 5
        from:
        - mirror.example/nginx:1.27
        labs:
        - quickstart
        platforms:
          linux/amd64:
            manifest:
              digest: sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
              mediaType: application/vnd.oci.image.manifest.v1+json
              size: 8
            config:
              digest: sha256:b79606fb3afea5bd1609ed40b622142f1c98125abcfe89a76a661b0e8e343910
              mediaType: application/vnd.oci.image.config.v1+json
              size: 6
            layers:
            - digest: sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85
              mediaType: application/vnd.oci.image.layer.v1.tar
              size: 5
      "istiolab.local/zipkin:3.10":
        labs:
        - quickstart
        part: zipkin
    parts:
      zipkin:
        version: "3.10"
        madeOf:
        - jdk 17
    "#);
}

#[test]
fn a_bad_file_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = Utf8Path::from_path(dir.path()).expect("UTF-8").join("images.lock");
    assert!(load(&path).expect("none is fine").is_none());
    fs::write(&path, "kind: ImageLock\nimages: [").expect("written");
    update(&path, |lock| lock.images.clear()).expect_err("it can't be read");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "kind: ImageLock\nimages: [");
    fs::remove_file(&path).expect("it goes");
    assert!(update(&path, |_| ()).expect("a new one"));
    assert!(!update(&path, |_| ()).expect("the same one"));
    let names: Vec<_> =
        fs::read_dir(dir.path()).expect("a folder").map(|file| file.expect("one").file_name()).collect();
    assert_eq!(names, ["images.lock"], "nothing else lies about");
}

#[test]
fn two_that_write_at_once_lose_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = Utf8Path::from_path(dir.path()).expect("UTF-8").join("images.lock");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let path = &path;
            scope.spawn(move || {
                let image: Reference = format!("a:{number}").parse().expect("a reference");
                update(path, |lock| lock.adopt(&format!("lab-{number}"), [(image, Entry::default())]))
                    .expect("written");
            });
        }
    });
    assert_eq!(load(&path).expect("it is whole").expect("it is there").images.len(), 8);
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 4]>().prop_map(Digest::of)
}

fn blob() -> impl Strategy<Value = Descriptor> {
    ("[a-z]{1,9}/[a-z.+]{1,12}", digest(), any::<u64>())
        .prop_map(|(media_type, digest, size)| Descriptor::new(&media_type, digest, size))
}

fn platform() -> impl Strategy<Value = Platform> {
    (blob(), blob(), vec(blob(), 0..4)).prop_map(|(manifest, config, layers)| Platform { manifest, config, layers })
}

fn reference() -> impl Strategy<Value = Reference> {
    ("(|localhost:5000/|a\\.b/c/)[a-z0-9]{1,6}(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,8})?").prop_map(|text| {
        let reference: Reference = text.parse().expect("made by the grammar");
        reference.complete()
    })
}

/// Text that a YAML reader takes for something else if it is not quoted.
fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,16}", "(yes|no|on|0644|1e3|1\\.30|~|null|- a|a: b|#|12)"]
}

fn entry() -> impl Strategy<Value = Entry> {
    let content = prop_oneof![
        Just((None, None, BTreeMap::new())),
        digest().prop_map(|digest| (None, Some(digest), BTreeMap::new())),
        (digest(), any::<u64>(), btree_map("[a-z]{1,6}/[a-z0-9]{1,6}(@x)?", platform(), 0..3))
            .prop_map(|(digest, size, platforms)| (Some(Descriptor::new(INDEX, digest, size)), None, platforms)),
        (blob(), platform()).prop_map(|(root, platform)| {
            let root = Descriptor::new(MANIFEST, root.digest, root.size);
            let platform = Platform { manifest: root.clone(), ..platform };
            (Some(root), None, [("linux/amd64".to_owned(), platform)].into())
        }),
    ];
    (content, vec(reference(), 0..3), any::<bool>(), option::of("[ab]"), btree_set(word(), 0..3)).prop_map(
        |((root, pinned, platforms), from, trusted_on_first_use, part, labs)| Entry {
            root,
            pinned,
            platforms,
            from,
            trusted_on_first_use,
            // What the entries of a lock say of one part is always the same.
            part: part.map(|name| Part {
                version: format!("1.{}", name.len()),
                made_of: vec![format!("x {name}: 1")],
                name,
            }),
            labs,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(images in btree_map(reference(), entry(), 0..6)) {
        let lock = Lock { images };
        let text = text(&lock).expect("it has a form");
        prop_assert_eq!(parse(&text, "images.lock").map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?, lock);
    }

    #[test]
    fn words_of_parts_come_back(version in word(), made_of in vec(word(), 0..4)) {
        let part = Part { name: "a".to_owned(), version, made_of };
        let image: Reference = "a:1".parse().expect("a reference");
        let lock = Lock { images: [(image, Entry { part: Some(part), ..Entry::default() })].into() };
        let text = text(&lock).expect("it has a form");
        prop_assert_eq!(parse(&text, "images.lock").expect(&text), lock);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}", cut in 0_usize..400) {
        drop(parse(&text, "x"));
        drop(parse(&format!("{START}{text}"), "x"));
        let whole = format!("{START}images:\n  docker.io/library/a:1:\n    digest: {DIGEST}\n    mediaType: a/b\n    size: 1\n");
        let cut = whole.floor_char_boundary(cut);
        drop(parse(&whole[..cut], "x"));
    }
}
