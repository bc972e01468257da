//! The lock of [imgpkg](https://carvel.dev/imgpkg/docs/latest/resources/#imageslock): digests alone, with
//! the name that was resolved to each in an annotation.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::Lock;
use super::error::Error;
use crate::images::digest::Digest;
use crate::images::reference::Reference;
use crate::yaml;

/// What an image was called before it was resolved.
const ID: &str = "kbld.carvel.dev/id";

#[derive(Deserialize, Serialize)]
enum ApiVersion {
    #[serde(rename = "imgpkg.carvel.dev/v1alpha1")]
    V1alpha1,
}

#[derive(Deserialize, Serialize)]
enum Kind {
    ImagesLock,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    api_version: ApiVersion,
    kind: Kind,
    #[serde(default)]
    images: Vec<Image>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Image {
    image: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// An image of another tool's lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// What it is called; complete.
    pub name: Reference,
    /// Where it is, with its digest.
    pub at: Reference,
    /// Its digest.
    pub digest: Digest,
}

/// Reads an imgpkg lock; `path` names it in errors.
///
/// # Errors
/// [`Error::Yaml`] with line and column; [`Error::Import`] for images without a digest.
pub fn import(text: &str, path: &Utf8Path) -> Result<Vec<Imported>, Error> {
    let wrong = |message: String| Error::Import { path: path.to_owned(), message };
    let file: File = yaml::from_str(text, path.as_str())?;
    let imported = file.images.into_iter().map(|image| {
        let at: Reference =
            image.image.parse().map_err(|error: crate::images::reference::Error| wrong(error.to_string()))?;
        let Some(digest) = at.digest().copied() else {
            return Err(wrong(format!("`{}` has no digest", image.image)));
        };
        let name = match image.annotations.get(ID) {
            Some(id) => id.parse::<Reference>().map_err(|error| wrong(error.to_string()))?.complete(),
            None => at.clone(),
        };
        Ok(Imported { name, at, digest })
    });
    imported.collect()
}

/// The text of an imgpkg lock with the images of `lock` that registries have; those that are built here
/// are returned beside it, for no registry has them.
///
/// # Errors
/// [`Error::Yaml`] if it can't be written.
pub fn export(lock: &Lock) -> Result<(String, Vec<Reference>), Error> {
    let (mut images, mut left_out) = (Vec::new(), Vec::new());
    for (name, entry) in &lock.images {
        match entry.digest() {
            Some(digest) if entry.part.is_none() => {
                // What was trusted on first use is known to be at the alternate alone.
                let at = entry.from.first().filter(|_| entry.trusted_on_first_use).unwrap_or(name);
                images.push(Image {
                    image: at.pinned(*digest).to_string(),
                    annotations: [(ID.to_owned(), name.to_string())].into(),
                });
            }
            _ => left_out.push(name.clone()),
        }
    }
    let file = File { api_version: ApiVersion::V1alpha1, kind: Kind::ImagesLock, images };
    Ok((format!("---\n{}", yaml::to_string(&file)?), left_out))
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn read(images: &str) -> Result<Vec<Imported>, Error> {
        let text = format!("---\napiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n{images}");
        import(&text, Utf8Path::new("images.yml"))
    }

    #[test]
    fn names_come_from_the_annotation_where_there_is_one() {
        let images = format!(
            "- annotations:\n    kbld.carvel.dev/id: nginx:1.27\n    kbld.carvel.dev/origins: |\n      - resolved:\n  image: index.docker.io/library/nginx@{DIGEST}\n- image: example.com/a@{DIGEST}\n"
        );
        let all = read(&images).expect("a lock of imgpkg");
        let names: Vec<_> = all.iter().map(|image| (image.name.to_string(), image.at.to_string())).collect();
        let nginx = format!("docker.io/library/nginx@{DIGEST}");
        let other = format!("example.com/a@{DIGEST}");
        assert_eq!(names, [("docker.io/library/nginx:1.27".to_owned(), nginx), (other.clone(), other)]);
    }

    #[test]
    fn only_digests_are_taken() {
        let told = |images: &str| read(images).expect_err("it is wrong").to_string();
        assert_eq!(told("- image: nginx:1.27\n"), "images.yml: `nginx:1.27` has no digest");
        assert!(told("- image: nginx@sha256:00\n").contains("not a digest"));
        assert!(told("- imagee: nginx\n").starts_with("images.yml:5:"), "{}", told("- imagee: nginx\n"));
    }

    #[test]
    fn what_is_exported_is_imported_again() {
        let digest: Digest = DIGEST.parse().expect("a digest");
        let entry = Entry { pinned: Some(digest), ..Entry::default() };
        let built = Entry { part: Some(super::super::Part::default()), ..entry.clone() };
        let name = |text: &str| text.parse::<Reference>().expect("a reference").complete();
        let from = vec![name("mirror.example/old:1")];
        let trusted = Entry { from, trusted_on_first_use: true, ..entry.clone() };
        let images = [
            (name("nginx:1.27"), entry),
            (name("old:1"), trusted),
            (name("istiolab.local/a:1"), built),
            (name("b"), Entry::default()),
        ];
        let (text, left_out) = export(&Lock { images: images.into() }).expect("it has a form");
        assert_eq!(left_out, [name("b"), name("istiolab.local/a:1")]);
        let all = import(&text, Utf8Path::new("x")).expect("it is one");
        let imported = |id: &str, at: &str| Imported { name: name(id), at: name(at).pinned(digest), digest };
        assert_eq!(all, [imported("nginx:1.27", "nginx"), imported("old:1", "mirror.example/old")]);
        insta::assert_snapshot!(text, @"
        ---
        apiVersion: imgpkg.carvel.dev/v1alpha1
        kind: ImagesLock
        images:
        - image: docker.io/library/nginx@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
          annotations:
            kbld.carvel.dev/id: docker.io/library/nginx:1.27
        - image: mirror.example/old@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
          annotations:
            kbld.carvel.dev/id: docker.io/library/old:1
        ");
    }
}
