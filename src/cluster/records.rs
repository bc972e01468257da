//! The images that nodes have, by their own records, and giving them more.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::Docker;
use camino::Utf8Path;

use super::{Error, nodes};
use crate::images::digest::Digest;
use crate::images::reference::Reference;

/// How long a node may take to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// The images of a node's containerd by reference, with the digests of what their names mean there.
///
/// # Errors
/// [`Error::Engine`], [`Error::Exec`].
pub async fn images(docker: &Docker, node: &str) -> Result<BTreeMap<Reference, Digest>, Error> {
    let output = nodes::exec(docker, node, &["ctr", "-n", "k8s.io", "images", "ls"], LIMIT).await?;
    Ok(read(&String::from_utf8_lossy(&output.stdout)))
}

/// Gives a node's containerd the images of a bundle on this machine, under all the names that the bundle has for them.
///
/// # Errors
/// [`Error::Engine`], [`Error::Exec`] if containerd refuses it, [`Error::State`] if the file can't be read.
pub async fn import(docker: &Docker, node: &str, file: &Utf8Path) -> Result<(), Error> {
    let argv = ["ctr", "-n", "k8s.io", "images", "import", "-"];
    let output = nodes::feed(docker, node, &argv, file).await?;
    if output.code == 0 {
        return Ok(());
    }
    Err(Error::Exec { node: node.to_owned(), command: argv.join(" "), code: output.code, output: output.last_words() })
}

/// The table that `ctr images ls` prints: name, media type, digest, more.
fn read(table: &str) -> BTreeMap<Reference, Digest> {
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, digest) = (words.next()?, words.nth(1)?);
        Some((name.parse::<Reference>().ok()?.complete(), digest.parse::<Digest>().ok()?))
    };
    table.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_and_what_is_no_image_left_out() {
        let digest = Digest::of("x");
        let table = format!(
            "REF TYPE DIGEST SIZE PLATFORMS LABELS\n\
             a.b/c:1 application/vnd.oci.image.manifest.v1+json {digest} 4.0 MiB linux/amd64 io.cri=managed\n\
             sha256:12 application/vnd.oci.image.manifest.v1+json {digest} 4.0 MiB linux/amd64 -\n"
        );
        let images: Vec<(String, Digest)> =
            read(&table).into_iter().map(|(name, digest)| (name.to_string(), digest)).collect();
        assert!(images.contains(&("a.b/c:1".to_owned(), digest)), "{images:?}");
    }
}
