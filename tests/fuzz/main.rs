//! What comes from foreign hands, changed at random: no reader of it panics, hangs, or takes memory without
//! bounds. Two seconds a target, or as many as `ISTIOLAB_FUZZ_SECONDS` says.

mod bundle;
mod manifest;
mod mutate;
mod run;
mod text;

use mutate::Words;
use run::fuzz;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn references() {
    let seeds =
        ["nginx", "localhost:5000/a/b_c/d--e:v1.2", "[::1]:5000/x:1", "registry.k8s.io/pause@DIGEST", "A.B/c__d"];
    fuzz(
        "references",
        &seeds_of(&seeds),
        &Words::new(&["/", ":", "@", "sha256:", DIGEST, "[", "]", "__"]),
        text::reference,
    );
}

#[test]
fn challenges() {
    let seeds = [
        r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
        r#"Basic realm=Registry , BEARER Realm = "a\"b,c" ,error=x"#,
        "Negotiate abc==, Basic",
    ];
    fuzz(
        "challenges",
        &seeds_of(&seeds),
        &Words::new(&["\"", "\\", "=", ",", " ", "Bearer ", "realm="]),
        text::challenge,
    );
}

#[test]
fn locks() {
    let words = [
        "&a ",
        "*a",
        "<<: ",
        "- ",
        "\n  ",
        "\t",
        "!!str ",
        "|\n",
        "? ",
        "{",
        "}",
        "~",
        "platforms:",
        "digest:",
        DIGEST,
    ];
    fuzz("locks", &seeds_of(&[text::LOCK, text::IMGPKG]), &Words::new(&words), text::lock);
}

#[test]
fn manifests() {
    let seeds: Vec<Vec<u8>> = manifest::seeds();
    let words = [
        "\"manifests\":[",
        "\"config\":",
        "\"layers\":[]",
        "null",
        "{}",
        "[]",
        "\"size\":",
        "\\ud800",
        DIGEST,
        manifest::KIND,
    ];
    fuzz("manifests", &seeds, &Words::new(&words), manifest::target());
}

#[test]
fn bundles() {
    let words = [
        "../",
        "./",
        "/",
        "\0",
        "ustar\x0000",
        "ustar  \0",
        "blobs/sha256/",
        "index.json",
        "L",
        "77777777777\0",
        "\u{80}",
    ];
    fuzz("bundles", &bundle::seeds(), &Words::new(&words), bundle::target());
}

fn seeds_of(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.replace("DIGEST", DIGEST).into_bytes()).collect()
}
