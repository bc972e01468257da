use super::*;

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("UTF-8");
    (dir, path)
}

fn listing(layer: &Layer) -> Vec<String> {
    let mut bytes = Vec::new();
    layer.write_tar(&mut bytes).expect("it is written");
    let mut tar = tar::Archive::new(bytes.as_slice());
    tar.entries()
        .expect("it is a tar")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let header = entry.header();
            assert_eq!(header.mtime().expect("a time"), TIME);
            let link = entry.link_name().expect("readable").map(|to| format!(" -> {}", to.display()));
            format!(
                "{:?} {:o} {}:{} {} {}{}",
                header.entry_type(),
                header.mode().expect("a mode"),
                header.uid().expect("an owner"),
                header.gid().expect("a group"),
                entry.path().expect("a path").display(),
                header.size().expect("a size"),
                link.unwrap_or_default(),
            )
        })
        .collect()
}

#[test]
fn entries_are_sorted_and_parents_added() {
    let long = format!("deep/{}/file", "x".repeat(150));
    let mut layer = Layer::new();
    layer
        .symlink("/usr/bin/b", "a")
        .file("usr/bin/a", Source::Bytes(b"abc".to_vec()), 0o755)
        .folder("/tmp", 0o1777)
        .file(&long, Source::Bytes(Vec::new()), 0o644)
        .owner("tmp", 5, 6);
    let long_parent = long.trim_end_matches("/file");
    assert_eq!(
        listing(&layer),
        [
            "Directory 755 0:0 deep/ 0".to_owned(),
            format!("Directory 755 0:0 {long_parent}/ 0"),
            format!("Regular 644 0:0 {long} 0"),
            "Directory 1777 5:6 tmp/ 0".to_owned(),
            "Directory 755 0:0 usr/ 0".to_owned(),
            "Directory 755 0:0 usr/bin/ 0".to_owned(),
            "Regular 755 0:0 usr/bin/a 3".to_owned(),
            "Symlink 777 0:0 usr/bin/b 0 -> a".to_owned(),
        ]
    );
}

#[test]
fn a_tree_keeps_links_and_leaves_out_what_it_is_told() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (_dir, root) = folder();
    fs::create_dir_all(root.join("a/cache/x")).expect("made");
    fs::write(root.join("a/one"), "1").expect("written");
    fs::set_permissions(root.join("a/one"), PermissionsExt::from_mode(0o4711)).expect("set");
    fs::hard_link(root.join("a/one"), root.join("a/two")).expect("linked");
    symlink("/nowhere", root.join("a/gone")).expect("linked");
    fs::write(root.join("a/x.pyc"), "1").expect("written");
    fs::set_permissions(root.join("a"), PermissionsExt::from_mode(0o755)).expect("set");
    fs::set_permissions(root.join("a/cache"), PermissionsExt::from_mode(0o755)).expect("set");
    let how = Tree { omit: vec!["a/cache/*".into(), "**/*.pyc".into()], mode: None };
    let mut layer = Layer::new();
    layer.tree(&root, "/opt", &how).expect("it can be read");
    assert_eq!(
        listing(&layer),
        [
            "Directory 755 0:0 opt/ 0",
            "Directory 755 0:0 opt/a/ 0",
            "Directory 755 0:0 opt/a/cache/ 0",
            "Symlink 777 0:0 opt/a/gone 0 -> /nowhere",
            "Regular 4711 0:0 opt/a/one 1",
            "Link 4711 0:0 opt/a/two 0 -> opt/a/one",
        ]
    );
}

#[test]
fn a_layer_can_be_put_into_another() {
    let (_dir, root) = folder();
    let mut first = Layer::new();
    first.file("bin/a", Source::Bytes(b"abc".to_vec()), 0o4755).owner("bin/a", 7, 8).symlink("bin/b", "a");
    first.file("drop/c", Source::Bytes(b"c".to_vec()), 0o644);
    first.insert(
        "bin/d",
        Entry { content: Content::Hardlink("bin/a".into()), mode: 0o4755, uid: 7, gid: 8, implied: false },
    );
    let mut bytes = Vec::new();
    first.write_tar(&mut bytes).expect("written");
    fs::write(root.join("first.tar"), bytes).expect("written");
    let mut second = Layer::new();
    let usr = |path: &str| (!path.starts_with("drop")).then(|| format!("usr/{path}"));
    second.archive(&root.join("first.tar"), "/kind", usr).expect("read");
    assert_eq!(
        listing(&second),
        [
            "Directory 755 0:0 kind/ 0",
            "Directory 755 0:0 kind/usr/ 0",
            "Directory 755 0:0 kind/usr/bin/ 0",
            "Regular 4755 7:8 kind/usr/bin/a 3",
            "Symlink 777 0:0 kind/usr/bin/b 0 -> a",
            "Link 4755 7:8 kind/usr/bin/d 0 -> kind/usr/bin/a",
        ]
    );
}

#[test]
fn patterns() {
    for (pattern, path, expected) in [
        ("a/b", "a/b", true),
        ("a/b", "a/b/c", true),
        ("a/b", "a/bc", false),
        ("a/b", "a", false),
        ("a/*", "a", false),
        ("a/*", "a/b/c", true),
        ("a/*-old", "a/dpkg-old", true),
        ("a/*-old", "a/dpkg-new", false),
        ("**/*.pyc", "x.pyc", true),
        ("**/*.pyc", "a/b/x.pyc", true),
        ("**/*.pyc", "a/b/x.py", false),
    ] {
        assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
    }
}

#[test]
fn the_same_content_gives_the_same_image() {
    let digests = [(); 2].map(|()| {
        let (_dir, root) = folder();
        let layout = Layout::open(root.join("images")).expect("a store");
        fs::write(root.join("program"), vec![7; 3 * BUFFER + 5]).expect("written");
        let mut layer = Layer::new();
        layer.file("program", Source::Path(root.join("program")), 0o755);
        let layer = layer.write(&layout).expect("written");
        let labels = BTreeMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]);
        let config = RunConfig { entrypoint: vec!["/program".into()], labels, ..RunConfig::default() };
        let image = image(&layout, std::slice::from_ref(&layer), &config).expect("composed");
        let manifest = layout.manifest(&image.digest).expect("it is there");
        assert!(manifest.blobs().all(|blob| layout.has_whole(blob)));
        assert_eq!(manifest.layers, [layer]);
        image.digest
    });
    assert_eq!(digests[0], digests[1]);
    assert_eq!(
        digests[0].to_string(),
        "sha256:5f171ed49430c69d8c97eb0d09cfff0fc5634d3d6de2c29c7cb98c47259a19f0",
        "the format changed: raise the builder's version"
    );
}
