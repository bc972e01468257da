//! What to copy, by a lock or by names.

use super::error::Error;
use super::{Known, Tree, Wanted};
use crate::images::digest::Digest;
use crate::images::lock::Lock;
use crate::images::reference::Reference;
use crate::images::registry::Mirror;

/// Where images go: under which repository and name.
#[derive(Debug)]
pub enum Naming<'a> {
    /// Into a mirror, each under its registry's name.
    Mirror(&'a Mirror),
    /// Into a store, by their whole names.
    Store,
}

impl Naming<'_> {
    fn of(&self, image: &Reference) -> (String, String) {
        let name = |tag: Option<&str>| match (tag, image.digest()) {
            (None, Some(digest)) => digest.to_string(),
            (tag, _) => tag.unwrap_or_else(|| image.tag_or_default()).to_owned(),
        };
        match self {
            Self::Mirror(mirror) => (mirror.repository(image), name(image.tag())),
            Self::Store => (String::new(), image.to_string()),
        }
    }
}

/// All images of the lock. `flatten` names a platform whose manifest is shown under the tag instead of the
/// index.
///
/// # Errors
/// [`Error::Unresolved`], [`Error::Platform`].
pub fn locked(lock: &Lock, naming: &Naming<'_>, flatten: Option<&str>) -> Result<Vec<Wanted>, Error> {
    let wanted = lock.images.iter().map(|(image, entry)| {
        let tree = Tree::of_entry(image, entry, flatten)?;
        let (repository, mut name) = naming.of(image);
        // The index's digest is not that of one of its manifests.
        if flatten.is_some() && matches!(naming, Naming::Mirror(_)) && name.parse::<Digest>().is_ok() {
            name = tree.root().to_string();
        }
        let known = Known::Tree(tree);
        Ok(Wanted { image: image.clone(), from: entry.from.clone(), known, repository, name })
    });
    wanted.collect()
}

/// These images, whatever their names mean at the source.
#[must_use]
pub fn named(images: &[Reference], naming: &Naming<'_>) -> Vec<Wanted> {
    let wanted = images.iter().map(|image| {
        let known = image.digest().map_or(Known::Nothing, |digest| Known::Root(*digest));
        let (repository, name) = naming.of(image);
        Wanted { image: image.clone(), from: Vec::new(), known, repository, name }
    });
    wanted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::registry::Client;

    #[test]
    fn images_go_where_nodes_look_for_them() {
        let mirror = Mirror::new(Client::new("http://localhost:1").expect("an address"), "team/lab/");
        let digest = Digest::of("");
        let images = ["nginx:1", "quay.io/a/b", &format!("quay.io/a/b@{digest}"), &format!("quay.io/a/b:2@{digest}")]
            .map(|text| text.parse().expect("a reference"));
        let places: Vec<(String, String)> = named(&images, &Naming::Mirror(&mirror))
            .into_iter()
            .map(|wanted| (wanted.repository, wanted.name))
            .collect();
        let place = |repository: &str, name: &str| (format!("team/lab/{repository}"), name.to_owned());
        let b = "quay.io/a/b";
        let expected =
            [place("docker.io/library/nginx", "1"), place(b, "latest"), place(b, &digest.to_string()), place(b, "2")];
        assert_eq!(places, expected);
        let stored = named(&images[..1], &Naming::Store).remove(0);
        assert_eq!((stored.repository.as_str(), stored.name.as_str()), ("", "docker.io/library/nginx:1"));
    }
}
