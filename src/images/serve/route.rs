//! What an address asks for.

/// What is asked for; names and references as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Whether a registry is here.
    Base,
    /// All repositories.
    Catalog,
    /// A repository's tags.
    Tags(String),
    /// A manifest by tag or digest.
    Manifest(String, String),
    /// A blob by digest.
    Blob(String, String),
    /// What refers to a manifest.
    Referrers(String, String),
    /// Something that registries do not have.
    Unknown,
}

impl Route {
    /// Reads a path. Names may have any number of parts, also such as `manifests`: what counts stands
    /// at the end.
    pub(super) fn of(path: &str) -> Self {
        let path = path.replace("%3A", ":").replace("%3a", ":");
        let Some(rest) = path.strip_prefix("/v2") else { return Self::Unknown };
        match rest {
            "" | "/" => return Self::Base,
            "/_catalog" => return Self::Catalog,
            _ => {}
        }
        let mut parts = rest.strip_prefix('/').unwrap_or_default().rsplitn(3, '/');
        let (last, kind, name) = (parts.next(), parts.next(), parts.next());
        match (name, kind, last) {
            (Some(""), ..) | (.., Some("")) => Self::Unknown,
            (Some(name), Some("tags"), Some("list")) => Self::Tags(name.to_owned()),
            (Some(name), Some("manifests"), Some(last)) => Self::Manifest(name.to_owned(), last.to_owned()),
            (Some(name), Some("blobs"), Some(last)) => Self::Blob(name.to_owned(), last.to_owned()),
            (Some(name), Some("referrers"), Some(last)) => Self::Referrers(name.to_owned(), last.to_owned()),
            _ => Self::Unknown,
        }
    }
}

/// The value of `key` in a query.
pub(super) fn value(query: Option<&str>, key: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query?.as_bytes());
    pairs.find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_depth() {
        let two = |name: &str, last: &str| (name.to_owned(), last.to_owned());
        let manifest = |(name, last)| Route::Manifest(name, last);
        assert_eq!(Route::of("/v2"), Route::Base);
        assert_eq!(Route::of("/v2/"), Route::Base);
        assert_eq!(Route::of("/v2/_catalog"), Route::Catalog);
        assert_eq!(Route::of("/v2/a/manifests/1"), manifest(two("a", "1")));
        assert_eq!(Route::of("/v2/a/b/c/d/e/manifests/1"), manifest(two("a/b/c/d/e", "1")));
        assert_eq!(Route::of("/v2/manifests/manifests/manifests"), manifest(two("manifests", "manifests")));
        assert_eq!(Route::of("/v2/tags/list/tags/list"), Route::Tags("tags/list".to_owned()));
        assert_eq!(Route::of("/v2/a/blobs/sha256%3Aab"), Route::Blob("a".into(), "sha256:ab".into()));
        for path in
            ["/", "/v1/", "/v2x", "/v2/a", "/v2/manifests/1", "/v2//manifests/1", "/v2/a/manifests/", "/v2/a/b/c"]
        {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
        assert_eq!(value(Some("a=b&ns=localhost%3A5000"), "ns").as_deref(), Some("localhost:5000"));
    }
}
