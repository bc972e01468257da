//! What refers to an image: signatures, bills of materials and the like
//! ([listing referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers)).
//! Registries that have no list of their own keep it, by agreement of their clients, as an index under a tag that
//! is made of the digest.

use bytes::Bytes;
use reqwest::header::{ACCEPT, HeaderValue, LINK};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::send::{Request, header};
use super::traffic::About;
use super::{Client, Error, LONGEST_MANIFEST, auth};
use crate::images::digest::Digest;
use crate::images::layout::INDEX;

/// The most pages of a list that are read.
const MOST_PAGES: usize = 100;

/// A list of what refers to a manifest, and who keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referrers {
    /// The registry itself, which adds to it what is put there.
    Kept(Vec<Value>),
    /// Its clients, in an index under a tag.
    Tagged(Vec<Value>),
}

#[derive(Deserialize)]
struct List {
    manifests: Vec<Value>,
}

impl Referrers {
    /// The descriptors.
    #[must_use]
    pub fn into_descriptors(self) -> Vec<Value> {
        match self {
            Self::Kept(descriptors) | Self::Tagged(descriptors) => descriptors,
        }
    }
}

/// The tag with the list of what refers to `digest`.
fn tag(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

impl Client {
    /// What refers to the manifest `digest` of the repository.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Answer`], [`Error::Nonsense`], [`Error::Led`].
    pub async fn referrers(&self, repository: &str, digest: &Digest) -> Result<Referrers, Error> {
        let mut url = self.url(&format!("{repository}/referrers/{digest}"));
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut request = Request::new(Method::GET, url.clone(), About::Manifest, vec![auth::pull(repository)]);
            request.headers.insert(ACCEPT, HeaderValue::from_static(INDEX));
            let answer = self.send(&request, &[StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST]).await?;
            if answer.response.status() != StatusCode::OK {
                // It does not know the question.
                return Ok(Referrers::Tagged(self.tagged(repository, digest).await?));
            }
            let next = header(answer.response.headers(), LINK.as_str()).and_then(next_page);
            let next = next.and_then(|next| url.join(&next).ok());
            let bytes = self.whole(answer.response, LONGEST_MANIFEST, &answer.line).await?;
            found.extend(self.list(&answer.line, &bytes)?);
            let Some(next) = next else { return Ok(Referrers::Kept(found)) };
            self.follow(&self.0.base, &next, &answer.line)?;
            url = next;
        }
        Err(self.nonsense(&format!("GET {}", url.path()), "it has pages without end"))
    }

    async fn tagged(&self, repository: &str, digest: &Digest) -> Result<Vec<Value>, Error> {
        match self.get_manifest(repository, &tag(digest)).await? {
            Some(raw) => self.list(&format!("GET /v2/{repository}/manifests/{}", tag(digest)), &raw.bytes),
            None => Ok(Vec::new()),
        }
    }

    fn list(&self, line: &str, bytes: &Bytes) -> Result<Vec<Value>, Error> {
        let list: List =
            serde_json::from_slice(bytes).map_err(|_| self.nonsense(line, "it is no list of manifests"))?;
        Ok(list.manifests)
    }

    /// Adds to the list of what refers to `digest`, where the registry's clients keep it. What it has already stays.
    ///
    /// # Errors
    /// As [`Client::referrers`].
    pub async fn add_referrers(&self, repository: &str, digest: &Digest, new: &[Value]) -> Result<(), Error> {
        let Referrers::Tagged(mut all) = self.referrers(repository, digest).await? else { return Ok(()) };
        let before = all.len();
        for descriptor in new {
            if !all.iter().any(|known| known["digest"] == descriptor["digest"]) {
                all.push(descriptor.clone());
            }
        }
        if all.len() == before {
            return Ok(());
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": all});
        self.put_manifest(repository, &tag(digest), INDEX, index.to_string().into()).await
    }
}

/// The address of the next page in the header `Link`: `<…>; rel="next"`.
fn next_page(link: &str) -> Option<String> {
    let mut links = link.split(',');
    links.find_map(|one| {
        let (address, rest) = one.trim().strip_prefix('<')?.split_once('>')?;
        rest.replace(['"', ' '], "").contains("rel=next").then(|| address.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_named_in_a_header() {
        assert_eq!(next_page(r#"</v2/a?n=1>; rel="next""#).as_deref(), Some("/v2/a?n=1"));
        assert_eq!(next_page(r#"<a>; rel="prev", <b>; rel=next"#).as_deref(), Some("b"));
        assert_eq!(next_page("<a"), None);
    }
}
