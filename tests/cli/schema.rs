//! The published schema is the one that is enforced.

use camino::Utf8Path;

use crate::sandbox::Sandbox;

#[test]
fn the_published_schema_is_the_programs() {
    let output = Sandbox::new().command(&["schema"]).output().expect("istiolab can be started");
    let file = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lab.schema.json");
    let published = fs_err::read_to_string(&file).unwrap_or_default();
    let printed = String::from_utf8(output.stdout).expect("it is text");
    assert!(published == printed, "{file} is stale: cargo run -- schema > docs/lab.schema.json");
}
