//! Which images something holds, by repository and tag.

use std::collections::BTreeMap;

use crate::images::layout::{Descriptor, REF_NAME};
use crate::images::reference::{DEFAULT_REGISTRY, Reference, mirror_prefix};

/// The annotation by which containerd names an image that it imports.
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Repositories, by [`Reference::mirrored_repository`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The repositories.
    pub repositories: BTreeMap<String, Repository>,
}

/// One repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Its registry and its name, without tag and digest.
    pub reference: Reference,
    /// What each tag names.
    pub tags: BTreeMap<String, Descriptor>,
}

impl Names {
    /// The names in the `manifests` of an `index.json`. A descriptor that names no image, or only a tag
    /// without saying of which repository, is left out.
    #[must_use]
    pub fn of(manifests: &[Descriptor]) -> Self {
        let mut names = Self::default();
        for image in manifests {
            let text = image.annotations.get(CONTAINERD_NAME).or_else(|| image.annotations.get(REF_NAME));
            // A tag alone would be read as a repository of the default registry.
            let reference = text.filter(|text| text.contains([':', '@', '/'])).and_then(|text| text.parse().ok());
            if let Some(reference) = reference {
                names.add(&reference, image);
            }
        }
        names
    }

    /// Adds one image under its repository and, if it has one, its tag.
    fn add(&mut self, reference: &Reference, image: &Descriptor) {
        let key = reference.mirrored_repository();
        let repository = self
            .repositories
            .entry(key)
            .or_insert_with(|| Repository { reference: bare(reference), tags: BTreeMap::new() });
        if reference.tag().is_some() || reference.digest().is_none() {
            // The first one stays, as in a stack of bundles.
            repository.tags.entry(reference.tag_or_default().to_owned()).or_insert_with(|| image.clone());
        }
    }

    /// What `image`'s tag names.
    #[must_use]
    pub fn get(&self, image: &Reference) -> Option<&Descriptor> {
        self.repositories.get(&image.mirrored_repository())?.tags.get(image.tag_or_default())
    }

    /// The repository that a client means that asks for `name`. With `host`, which containerd gives as
    /// `ns=`, it is one of that registry; without, the registry is the first part of the name, as
    /// in [`Reference::mirrored_repository`], else it is the default one.
    #[must_use]
    pub fn find(&self, name: &str, host: Option<&str>) -> Option<&Repository> {
        let prefix = mirror_prefix(host.unwrap_or(DEFAULT_REGISTRY));
        let inside = format!("{prefix}/{name}");
        let official = format!("{prefix}/library/{name}");
        let whole = (host.is_none() || name.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('/')))
            .then(|| name.to_owned());
        let official = (prefix == DEFAULT_REGISTRY && !name.contains('/')).then_some(official);
        let mut keys = [whole, Some(inside), official].into_iter().flatten();
        keys.find_map(|key| self.repositories.get(&key))
    }

    /// Adds those of `below` that are not here.
    pub(super) fn extend(&mut self, below: &Self) {
        for (key, theirs) in &below.repositories {
            let ours = self
                .repositories
                .entry(key.clone())
                .or_insert_with(|| Repository { reference: theirs.reference.clone(), tags: BTreeMap::new() });
            for (tag, image) in &theirs.tags {
                ours.tags.entry(tag.clone()).or_insert_with(|| image.clone());
            }
        }
    }
}

/// The repository that `reference` is in.
fn bare(reference: &Reference) -> Reference {
    let text = format!("{}/{}", reference.registry(), reference.repository());
    // A part of a reference is one; if not, the whole serves as well.
    text.parse().unwrap_or_else(|_| reference.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::digest::Digest;
    use crate::images::layout::MANIFEST;

    fn named(key: &str, name: &str) -> Descriptor {
        let mut image = Descriptor::new(MANIFEST, Digest::of(name), 1);
        image.annotations.insert(key.to_owned(), name.to_owned());
        image
    }

    #[test]
    fn images_are_found_by_every_spelling() {
        let digest = format!("registry.k8s.io/pause@{}", Digest::of("x"));
        let names = Names::of(&[
            named(REF_NAME, "docker.io/library/nginx:1.27"),
            named(CONTAINERD_NAME, "localhost:5000/a/b"),
            named(CONTAINERD_NAME, &digest),
            named(REF_NAME, "1.27"),
            named(REF_NAME, "no reference at all:"),
        ]);
        let found = |text: &str| names.get(&text.parse().expect(text)).is_some();
        assert!(found("nginx:1.27") && found("localhost:5000/a/b:latest") && !found("nginx"));
        assert_eq!(
            names.repositories.keys().map(String::as_str).collect::<Vec<_>>(),
            ["docker.io/library/nginx", "localhost_5000/a/b", "registry.k8s.io/pause"]
        );
        let asked = |name: &str, host: Option<&str>| names.find(name, host).map(|found| found.reference.to_string());
        let nginx = Some("docker.io/library/nginx".to_owned());
        for (name, host) in [
            ("docker.io/library/nginx", None),
            ("library/nginx", None),
            ("nginx", None),
            ("library/nginx", Some("docker.io")),
            ("nginx", Some("docker.io")),
            ("docker.io/library/nginx", Some("docker.io")),
        ] {
            assert_eq!(asked(name, host), nginx, "{name} {host:?}");
        }
        assert_eq!(asked("a/b", Some("localhost:5000")).as_deref(), Some("localhost:5000/a/b"));
        for (name, host) in
            [("library/nginx", Some("quay.io")), ("docker.io/library/nginx", Some("quay.io")), ("", None)]
        {
            assert_eq!(asked(name, host), None, "{name} {host:?}");
        }
        assert!(names.repositories["registry.k8s.io/pause"].tags.is_empty());
    }
}
