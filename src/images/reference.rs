//! Image references by the grammar of the distribution project
//! ([reference.go](https://github.com/distribution/reference/blob/main/reference.go)).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::digest::Digest;
use crate::error::{Failure, Kind};

/// The registry of references that name none.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// The tag of references that have neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";

/// The longest repository name, its registry not counted.
const MOST_REPOSITORY: usize = 255;

/// Which image is meant: `registry/repository[:tag][@digest]`, with registry and `library/` filled
/// in as every client does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{text}` is not an image reference: {why}")]
pub struct Error {
    /// The text.
    pub text: String,
    /// The rule that it breaks.
    pub why: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(Kind::BadInput, error).hint("An image is written `[registry/]repository[:tag][@sha256:…]`.")
    }
}

impl Reference {
    /// The host, with its port if it has one: `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry: `library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one was written.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was written.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The tag that a client asks for when there is no digest: the one written, else `latest`.
    #[must_use]
    pub fn tag_or_default(&self) -> &str {
        self.tag.as_deref().unwrap_or(DEFAULT_TAG)
    }

    /// The same with the tag `latest` where neither tag nor digest is written, which is what a client
    /// asks for: two spellings of one image are then equal.
    #[must_use]
    pub fn complete(self) -> Self {
        let tag = match (self.tag, &self.digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag,
        };
        Self { tag, ..self }
    }

    /// The same repository with this digest and no tag, as `docker.io/library/nginx@sha256:…`.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// Where the lab's registry keeps images of this name: the upstream registry is the first part
    /// of the path, so that no two upstreams meet. A port's colon, which a path can't have, becomes `_`.
    #[must_use]
    pub fn mirrored_repository(&self) -> String {
        format!("{}/{}", mirror_prefix(&self.registry), self.repository)
    }
}

/// The first part of the path under which the lab's registry keeps the images of `registry`.
#[must_use]
pub fn mirror_prefix(registry: &str) -> String {
    registry.to_ascii_lowercase().replace(['[', ']'], "").replace(':', "_")
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error { text: text.to_owned(), why: why.to_owned() };
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        let (named, digest) = match text.split_once('@') {
            None => (text, None),
            Some((named, digest)) => {
                let digest = digest.parse().map_err(|error: super::digest::NotADigest| wrong(&error.to_string()))?;
                (named, Some(digest))
            }
        };
        // A colon after the last slash starts a tag; one before it belongs to the registry's port.
        let tag_at = named.rfind(':').filter(|&at| !named[at..].contains('/'));
        let (name, tag) = match tag_at {
            Some(at) => (&named[..at], Some(&named[at + 1..])),
            None => (named, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(wrong(
                "a tag has 1 to 128 letters, digits, `_`, `.` and `-`, and starts with none of the last two",
            ));
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if looks_like_registry(first) => (first, rest.to_owned()),
            _ => (DEFAULT_REGISTRY, name.to_owned()),
        };
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        if !is_registry(registry) {
            return Err(wrong("its registry is not a host name with an optional port"));
        }
        let repository = if registry == DEFAULT_REGISTRY && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository
        };
        if repository.len() > MOST_REPOSITORY {
            return Err(wrong("its repository is longer than 255 characters"));
        }
        if repository.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(wrong("a repository is written in lower case"));
        }
        if !repository.split('/').all(is_path_component) {
            return Err(wrong(
                "each part of a repository is lower-case letters and digits, separated by `.`, `_`, `__` or dashes",
            ));
        }
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl serde::Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Reference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The part before the first slash is a registry if it can't be a user's name.
fn looks_like_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':', '[']) || first.chars().any(|c| c.is_ascii_uppercase())
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let hexadecimal = !address.is_empty() && address.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
            return hexadecimal && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

fn is_path_component(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !text.starts_with(word) || !text.ends_with(word) || !text.chars().all(|c| word(c) || "._-".contains(c)) {
        return false;
    }
    text.split(word).all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.chars().all(|c| c == '-'))
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=128).contains(&text.len()) && text.starts_with(word) && text.chars().all(|c| word(c) || c == '.' || c == '-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn full(text: &str) -> String {
        text.parse::<Reference>().expect(text).to_string()
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        assert_eq!(full("nginx"), "docker.io/library/nginx");
        assert_eq!(full("nginx:1.27"), "docker.io/library/nginx:1.27");
        assert_eq!(full("istio/pilot:1.31"), "docker.io/istio/pilot:1.31");
        assert_eq!(full("index.docker.io/nginx"), "docker.io/library/nginx");
        assert_eq!(full("docker.io/nginx"), "docker.io/library/nginx");
        assert_eq!(full("localhost/a"), "localhost/a");
        assert_eq!(full("localhost:5000/a:b"), "localhost:5000/a:b");
        assert_eq!(full("[::1]:5000/a"), "[::1]:5000/a");
        assert_eq!(full("Registry/a"), "Registry/a");
        assert_eq!(
            full(&format!("istiolab.local/istio/pilot:1.31-dev@{DIGEST}")),
            format!("istiolab.local/istio/pilot:1.31-dev@{DIGEST}")
        );
        assert_eq!(full("a/b__c/d---e.f"), "docker.io/a/b__c/d---e.f");
    }

    #[test]
    fn what_is_none_is_refused_with_the_rule() {
        for text in [
            "",
            "/",
            "a//b",
            "a/",
            ":tag",
            "a:",
            "a:-b",
            "A",
            "a/B",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a@b",
            "a@",
            "http://a/b",
            "a b",
            "a.-b/c",
            "host.:1/c",
            "host:port/c",
            "a:b:c",
            "[::1/a",
            "[zz]/a",
            "é",
            "@sha256:00",
        ] {
            let error = text.parse::<Reference>().expect_err(text);
            assert_eq!(error.text, text);
        }
        assert!(format!("a/{}", "b".repeat(256)).parse::<Reference>().is_err());
        assert!(format!("a:{}", "b".repeat(129)).parse::<Reference>().is_err());
        assert!("a/B".parse::<Reference>().expect_err("upper case").to_string().contains("lower case"));
    }

    #[test]
    fn spellings_of_one_image_are_one() {
        let complete = |text: &str| text.parse::<Reference>().expect(text).complete().to_string();
        assert_eq!(complete("nginx"), "docker.io/library/nginx:latest");
        assert_eq!(complete("docker.io/nginx:1"), "docker.io/library/nginx:1");
        assert_eq!(complete(&format!("nginx@{DIGEST}")), format!("docker.io/library/nginx@{DIGEST}"));
        let pinned = "a:1".parse::<Reference>().expect("one").pinned(DIGEST.parse().expect("one"));
        assert_eq!(pinned.to_string(), format!("docker.io/library/a@{DIGEST}"));
    }

    #[test]
    fn a_mirror_keeps_upstreams_apart() {
        let path = |text: &str| text.parse::<Reference>().expect(text).mirrored_repository();
        assert_eq!(path("nginx"), "docker.io/library/nginx");
        assert_eq!(path("localhost:5000/nginx"), "localhost_5000/nginx");
        assert!(path("[::1]:5000/a").split('/').all(|part| !part.contains(['[', ']', ':'])));
    }

    proptest! {
        #[test]
        fn text_and_back(
            registry in prop_oneof![
                // A first part with a dot would be a registry.
                Just("library/".to_owned()),
                "[a-z0-9]{1,5}(-[a-z0-9]{1,3})?\\.[a-z]{2,3}(:[0-9]{1,5})?/",
                Just("localhost:5000/".to_owned()),
            ],
            path in prop::collection::vec("[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", 1..4),
            tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
            digest in prop::option::of(any::<[u8; 4]>()),
        ) {
            let mut text = format!("{registry}{}", path.join("/"));
            if let Some(tag) = &tag { text = format!("{text}:{tag}"); }
            if let Some(bytes) = &digest { text = format!("{text}@{}", Digest::of(bytes)); }
            let reference: Reference = text.parse().expect("made by the grammar");
            prop_assert_eq!(reference.tag(), tag.as_deref());
            prop_assert_eq!(reference.digest().copied(), digest.map(Digest::of));
            let again: Reference = reference.to_string().parse().expect("what is displayed is a reference");
            prop_assert_eq!(again, reference);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>().expect("displayed"), reference);
            }
        }
    }
}
