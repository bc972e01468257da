//! What networks and bad registries do, one test each: real registries behind a proxy of ours. Either the
//! copy is whole in the end, or it is refused with the reason and nothing of it is shown.

mod kill;
mod proxy;
mod source;
mod target;

use camino::Utf8PathBuf;
use istiolab::error::Failure;
use istiolab::images::copy::{Copied, Known, Target, Wanted};
use istiolab::images::layout::Layout;
use istiolab::images::registry::{Client, Mirror};
use serde_json::json;
use tempfile::TempDir;

use crate::copy::{anew, copy, wanted};
use crate::fixture::{Registry, folder, image, layer};

/// What every test here has: a registry with an image of a small and a large layer, and an empty one.
struct Bench {
    source: Registry,
    target: Registry,
    image: Wanted,
    dir: Utf8PathBuf,
    _dir: TempDir,
}

/// The size of the large layer's only file.
const LARGE: usize = 5 << 20;

impl Bench {
    async fn needed(test: &str) -> Option<Self> {
        let source = Registry::needed(test).await?;
        let target = Registry::needed(test).await?;
        let (guard, dir) = folder();
        let store = Layout::open(dir.join("store")).expect("a store");
        let large: Vec<u8> = (0..LARGE).map(|at| u8::try_from(at * at % 251).expect("small")).collect();
        let layers = [layer("small", 0o644, b"small"), layer("large", 0o644, &large)];
        let (digest, _) = image(&store, &json!({"Cmd": [test]}), &[&layers[0], &layers[1]]);
        let image = wanted(&store, "x.test/a:1", digest);
        let all = std::slice::from_ref(&image);
        copy(store, Target::Registry(anew(&source.client)), all).await.expect("it is filled");
        Some(Self { source, target, image, dir, _dir: guard })
    }

    /// Copies the image between these.
    async fn copy(&self, from: &Client, to: &Client) -> Result<Copied, Failure> {
        let source = Mirror::new(from.clone(), "");
        copy(source, Target::Registry(to.clone()), std::slice::from_ref(&self.image)).await
    }

    /// The target has the image, whole.
    async fn is_whole(&self) {
        let Known::Tree(tree) = &self.image.known else { panic!("it is known") };
        let there = self.target.client.head_manifest("x.test/a", "1").await.expect("it answers");
        assert_eq!(there.as_ref(), Some(tree.root()));
        let again = Layout::open(self.dir.join(format!("again-{}", rand()))).expect("a store");
        let source = Mirror::new(anew(&self.target.client), "");
        let named = Wanted { name: "x.test/a:1".to_owned(), ..self.image.clone() };
        copy(source, Target::Store(again.clone()), &[named]).await.expect("every byte is right");
        for blob in tree.blobs() {
            again.verify(&blob.digest).expect("it is whole");
        }
    }

    /// The target shows nothing.
    async fn shows_nothing(&self) {
        let there = self.target.client.head_manifest("x.test/a", "1").await.expect("it answers");
        assert_eq!(there, None);
    }

    /// The number of bytes that the image's blobs have.
    fn bytes(&self) -> u64 {
        let Known::Tree(tree) = &self.image.known else { panic!("it is known") };
        tree.blobs().map(|blob| blob.size).sum()
    }
}

/// A number that is another one each time.
fn rand() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// An answer without content.
fn answer(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n{headers}\r\n")
}
