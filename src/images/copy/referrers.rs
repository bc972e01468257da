//! What refers to images (signatures, bills of materials) goes where they go, if that is asked for.

use std::collections::{BTreeMap, HashSet};

use futures::stream::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::look::Look;
use super::{Choice, Known, Shared, Target, Wanted};
use crate::error::Failure;
use crate::images::digest::Digest;

/// How many lists are asked for at once.
const AT_ONCE: usize = 32;
/// How far what refers to what refers to an image is followed, and how much of it there may be.
const DEEPEST: usize = 3;
const MOST: usize = 2000;

/// What refers to images, by the repository of the target and the manifest that is referred to.
pub(super) type Lists = BTreeMap<(String, Digest), Vec<Value>>;

impl Shared {
    /// Looks for what refers to the manifests of `images`, as for images of their own, and for what refers to that.
    pub(super) async fn referring(&self, images: &[(Wanted, Look)]) -> Result<(Vec<(Wanted, Look)>, Lists), Failure> {
        let (mut found, mut lists) = (Vec::new(), Lists::new());
        let mut seen: HashSet<(String, Digest)> = HashSet::new();
        let mut level = subjects(images);
        for _ in 0..DEEPEST {
            level.retain(|(wanted, digest)| seen.insert((wanted.repository.clone(), *digest)));
            let asked = level.drain(..).map(|(wanted, digest)| async move {
                let list = self.source.referrers(&wanted.image, &digest).await?;
                Ok::<_, Failure>((wanted, digest, list))
            });
            let asked: Vec<_> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).try_collect().await?;
            let mut looks = Vec::new();
            for (wanted, subject, list) in asked {
                for digest in list.iter().filter_map(digest_of) {
                    let image = wanted.image.pinned(digest);
                    let (from, repository) = (Vec::new(), wanted.repository.clone());
                    looks.push(Wanted {
                        image,
                        from,
                        known: Known::Root(digest),
                        repository,
                        name: digest.to_string(),
                    });
                }
                if !list.is_empty() {
                    lists.insert((wanted.repository, subject), list);
                }
            }
            if looks.is_empty() || found.len() + looks.len() > MOST {
                break;
            }
            looks.retain(|wanted| !found.iter().any(|(known, _): &(Wanted, Look)| same(known, wanted)));
            let looked = looks.into_iter().map(|wanted| async move {
                let look = self.look_whole(&wanted, &Choice::All).await?;
                Ok::<_, Failure>((wanted, look))
            });
            let looked: Vec<_> = futures::stream::iter(looked).buffer_unordered(AT_ONCE).try_collect().await?;
            level = subjects(&looked);
            found.extend(looked);
        }
        Ok((found, lists))
    }

    /// Tells a registry that keeps no list of what refers to what was copied.
    pub(super) async fn list(&self, lists: &Lists) -> Result<(), Failure> {
        let Target::Registry(client) = &self.target else { return Ok(()) };
        for ((repository, subject), list) in lists {
            client.add_referrers(repository, subject, list).await?;
        }
        Ok(())
    }
}

/// All manifests of these images.
fn subjects(images: &[(Wanted, Look)]) -> Vec<(Wanted, Digest)> {
    let trees = images.iter().filter_map(|(wanted, look)| Some((wanted, look.tree.as_ref()?)));
    trees.flat_map(|(wanted, tree)| tree.manifests.iter().map(|one| (wanted.clone(), one.digest))).collect()
}

fn digest_of(descriptor: &Value) -> Option<Digest> {
    descriptor["digest"].as_str()?.parse().ok()
}

fn same(one: &Wanted, other: &Wanted) -> bool {
    one.repository == other.repository && one.name == other.name
}
