use super::*;

const HEAD: &str = "apiVersion: istiolab.dev/v1alpha1\nkind: Part\n";

fn project(parts: &[(&str, &str)]) -> (tempfile::TempDir, Result<Recipes, Error>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let root = Utf8Path::from_path(dir.path()).expect("UTF-8").join("parts");
    for (name, text) in parts {
        fs::create_dir_all(root.join(name)).expect("made");
        fs::write(root.join(name).join("part.yaml"), format!("{HEAD}{text}")).expect("written");
    }
    let recipes = Recipes::load(root);
    (dir, recipes)
}

fn message(parts: &[(&str, &str)]) -> String {
    project(parts).1.expect_err("it is wrong").to_string()
}

#[test]
fn parts_come_after_what_they_need() {
    let parts = [
        ("a", "{name: a, version: 1, title: A, needs: [c]}"),
        ("b", "{name: b, version: 1, title: B}"),
        ("c", "{name: c, version: 1, title: C, needs: [d]}"),
        ("d", "{name: d, version: 1, title: D}"),
    ]
    .map(|(name, text)| (name, text.trim_matches(['{', '}']).replace(", ", "\n")));
    let parts: Vec<(&str, &str)> = parts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let (_dir, recipes) = project(&parts);
    let recipes = recipes.expect("they are right");
    let names = |parts: Vec<&Recipe>| parts.iter().map(|part| part.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(recipes.iter().collect()), ["b", "d", "c", "a"]);
    assert_eq!(names(recipes.closure(&["a".into()]).expect("it is there")), ["d", "c", "a"]);
    assert!(recipes.closure(&["x".into()]).is_err());
}

#[test]
fn wrong_recipes_are_refused() {
    let one = |text: &str| message(&[("a", &format!("name: a\nversion: 1\ntitle: A\n{text}"))]);
    for (text, expected) in [
        ("neds: [b]\n", "neds"),
        ("needs: [b]\n", "`b`, which is no part"),
        ("layers: {x: [{path: /a}]}\n", "must have one of"),
        ("layers: {x: [{path: /a, link: b, text: c}]}\n", "must have one of"),
        ("layers: {x: [{path: /a, from: b/c}]}\n", "`from: b/c` names neither"),
        ("images: [{name: i, layers: [x]}]\n", "a layer `x`, which is not there"),
        ("images: [{name: i, base: b, layers: []}]\n", "not among its `needs`"),
        ("inputs: {j: {jar: {coordinates: a, sha256: 12}}}\n", "is not a digest"),
        ("inputs: {j: {command: {run: a, uses: [k]}}}\n", "uses `k`"),
        ("inputs: {j: {go: {package: a, tag: [k]}}}\n", "tag"),
    ] {
        let message = one(text);
        assert!(message.contains(expected), "{text}: {message}");
    }
    assert!(message(&[("a", "name: b\nversion: 1\ntitle: A\n")]).contains("its folder's is not"));
    let circle =
        [("a", "name: a\nversion: 1\ntitle: A\nneeds: [b]\n"), ("b", "name: b\nversion: 1\ntitle: A\nneeds: [a]\n")];
    assert!(message(&circle).contains("a, b"));
}

#[test]
fn modes_are_octal() {
    let text = "name: a\nversion: 1\ntitle: A\nlayers: {x: [{path: /a, text: '', mode: 0755}]}\n";
    let (_dir, recipes) = project(&[("a", text)]);
    let recipes = recipes.expect("it is right");
    assert_eq!(recipes.parts[0].layers["x"][0].mode, Some(0o755));
}
