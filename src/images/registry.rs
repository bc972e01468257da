//! A client of registries
//! ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md)), as
//! much of it as bringing images into one needs. Every request goes through one place, which counts,
//! retries, and is where authentication will be added.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use camino::Utf8PathBuf;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use thiserror::Error;
use url::Url;

use super::digest::Digest;
use super::layout;
use crate::error::{Failure, Kind};

mod body;

/// How often a request is tried that failed for a reason that may pass.
const TRIES: u32 = 4;
/// The longest pause between two tries, whatever the registry asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Every kind of manifest: a registry answers with the one that it has.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Why a registry did not do what was asked.
#[derive(Debug, Error)]
pub enum Error {
    /// The address is none.
    #[error("`{text}` is not the address of a registry")]
    Address {
        /// What was given.
        text: String,
    },
    /// It does not answer.
    #[error("the registry at {base} does not answer ({request})")]
    Unreachable {
        /// The registry.
        base: String,
        /// The method and the path asked for.
        request: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It answered that it won't.
    #[error("the registry answered {status} to {request}{}", explained(detail))]
    Answer {
        /// The method and the path asked for.
        request: String,
        /// The status.
        status: StatusCode,
        /// What the registry's own errors say, if anything.
        detail: String,
    },
    /// It answered something that the specification does not allow.
    #[error("the registry's answer to {request} makes no sense: {why}")]
    Nonsense {
        /// The method and the path asked for.
        request: String,
        /// What is wrong.
        why: String,
    },
    /// The content to send can't be read or is damaged.
    #[error("the image can't be sent")]
    Content {
        /// The blob's file.
        path: Utf8PathBuf,
        /// Why.
        source: layout::Error,
    },
}

impl Error {
    /// The blob of the store that is damaged or missing, if that is the reason: taking it out of the
    /// store and building its part again helps.
    #[must_use]
    pub fn bad_blob(&self) -> Option<Digest> {
        match self {
            Self::Content {
                source: layout::Error::Damaged { digest, .. } | layout::Error::Missing { digest, .. },
                ..
            } => Some(*digest),
            _ => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Address { .. } => Self::new(Kind::BadInput, error),
            Error::Unreachable { .. } => Self::new(Kind::Unavailable, error)
                .hint("See that the registry runs: for the lab's own, `istiolab status`, then `istiolab up`."),
            Error::Answer { status, .. } if status == StatusCode::INSUFFICIENT_STORAGE || status.is_server_error() => {
                Self::new(Kind::Unavailable, error)
                    .hint("The registry's log says more; a full disk is a frequent reason.")
            }
            Error::Answer { .. } | Error::Nonsense { .. } => Self::new(Kind::Unavailable, error),
            Error::Content { path, source } => {
                let hint =
                    format!("The file is {path}. Delete it, then run `istiolab images build`: it is made again.");
                Self::from(source).context("sending an image to the registry").hint(hint)
            }
        }
    }
}

fn explained(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

/// What went over the wire, of all clones of a client together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Traffic {
    /// Requests, repeated ones included.
    pub requests: u64,
    /// Bytes of blobs and manifests sent.
    pub sent: u64,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    sent: AtomicU64,
}

/// A registry. Clones share connections and counters.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    counters: Arc<Counters>,
}

/// What asking for an upload leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Upload {
    /// The blob is in the repository now; nothing needs to be sent.
    Mounted,
    /// Send it there.
    To(Url),
}

impl Client {
    /// A client of the registry at `base`, as `http://127.0.0.1:5000`. Proxies of the environment
    /// are not used: the registries of labs are on this machine.
    ///
    /// # Errors
    /// [`Error::Address`] if `base` is not an http or https address without a path.
    pub fn new(base: &str) -> Result<Self, Error> {
        let wrong = || Error::Address { text: base.to_owned() };
        let url = Url::parse(base).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.path() != "/" || url.query().is_some() {
            return Err(wrong());
        }
        // A library's user need not have installed the process' TLS provider; main has.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Losing a race against another thread that installs it is just as good.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_mins(2))
            .build()
            .map_err(|_| wrong())?;
        Ok(Self { http, base: url, counters: Arc::default() })
    }

    /// Where the registry is.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// What went over the wire so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.counters.requests.load(Ordering::Relaxed),
            sent: self.counters.sent.load(Ordering::Relaxed),
        }
    }

    /// Asks whether a registry is there at all. One try, so that callers can poll.
    ///
    /// # Errors
    /// [`Error::Unreachable`], or [`Error::Answer`] if something else answers there.
    pub async fn ping(&self) -> Result<(), Error> {
        let url = self.url("");
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.http.get(url.clone()).timeout(Duration::from_secs(5)).send().await;
        let answer = answer.map_err(|source| self.unreachable(&Method::GET, &url, source))?;
        accept(answer, &Method::GET, &url, &[StatusCode::OK]).await.map(drop)
    }

    /// The digest of the manifest that `reference` (a tag or a digest) names; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Answer`].
    pub async fn head_manifest(&self, repository: &str, reference: &str) -> Result<Option<Digest>, Error> {
        let url = self.url(&format!("{repository}/manifests/{reference}"));
        let answer = self.send(Method::HEAD, &url, |request| request.header(ACCEPT, MANIFESTS)).await?;
        let answer = accept(answer, &Method::HEAD, &url, &[StatusCode::OK, StatusCode::NOT_FOUND]).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        // Without the header the image counts as unknown, and is put again.
        Ok(header(answer.headers(), "docker-content-digest").and_then(|text| text.parse().ok()))
    }

    /// Puts a manifest's raw bytes under a tag or a digest.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Answer`].
    pub async fn put_manifest(&self, repository: &str, reference: &str, kind: &str, bytes: &[u8]) -> Result<(), Error> {
        let url = self.url(&format!("{repository}/manifests/{reference}"));
        let put = |request: RequestBuilder| request.header(CONTENT_TYPE, kind).body(bytes.to_vec());
        let answer = self.send(Method::PUT, &url, put).await?;
        accept(answer, &Method::PUT, &url, &[StatusCode::CREATED]).await?;
        self.counters.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the repository has the blob.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Answer`].
    pub async fn head_blob(&self, repository: &str, digest: &Digest) -> Result<bool, Error> {
        let url = self.url(&format!("{repository}/blobs/{digest}"));
        let answer = self.send(Method::HEAD, &url, |request| request).await?;
        let answer = accept(answer, &Method::HEAD, &url, &[StatusCode::OK, StatusCode::NOT_FOUND]).await?;
        Ok(answer.status() == StatusCode::OK)
    }

    /// Starts an upload into `repository`, unless the blob can be had from the repository `from`.
    /// With `from` equal to `repository` this one request is "is it there? if not, I send it".
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Answer`], [`Error::Nonsense`].
    pub async fn start_upload(&self, repository: &str, digest: &Digest, from: &str) -> Result<Upload, Error> {
        let mut url = self.url(&format!("{repository}/blobs/uploads/"));
        url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", from);
        // An explicit length: some registries ask for it on a POST without content.
        let answer = self.send(Method::POST, &url, |request| request.header(CONTENT_LENGTH, 0)).await?;
        let answer = accept(answer, &Method::POST, &url, &[StatusCode::CREATED, StatusCode::ACCEPTED]).await?;
        if answer.status() == StatusCode::CREATED {
            return Ok(Upload::Mounted);
        }
        let nonsense = |why: &str| Error::Nonsense { request: line(&Method::POST, &url), why: why.to_owned() };
        let location = header(answer.headers(), LOCATION.as_str()).ok_or_else(|| nonsense("it has no Location"))?;
        let location = self.base.join(location).map_err(|_| nonsense("its Location is not an address"))?;
        // A registry must not make us send an image to somebody else.
        if location.origin() == self.base.origin() {
            Ok(Upload::To(location))
        } else {
            Err(nonsense(&format!("its Location is on another host, {location}")))
        }
    }

    /// Sends a blob from the store to where [`Client::start_upload`] said. The digest is computed
    /// again on the way: a damaged blob is found here, before its last byte is sent.
    ///
    /// # Errors
    /// [`Error::Content`] for a damaged or missing blob; [`Error::Unreachable`], [`Error::Answer`].
    pub async fn put_blob(&self, to: &Url, store: &layout::Layout, digest: &Digest) -> Result<(), Error> {
        let mut url = to.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let content = |source| Error::Content { path: store.path(digest), source };
        let blob = body::Blob::open(store, digest).await.map_err(content)?;
        let (length, found) = (blob.length(), blob.verdict());
        let request = self
            .http
            .put(url.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(blob.stream()));
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let answer = request.send().await;
        if let Some(error) = found.take() {
            return Err(content(error));
        }
        let answer = answer.map_err(|source| self.unreachable(&Method::PUT, &url, source))?;
        accept(answer, &Method::PUT, &url, &[StatusCode::CREATED]).await?;
        self.counters.sent.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    fn url(&self, below: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{below}"));
        url
    }

    /// The one place that sends, except for blobs, whose content can be given only once.
    async fn send(
        &self,
        method: Method,
        url: &Url,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Error> {
        let mut pause = Duration::from_millis(100);
        for attempt in 1.. {
            self.counters.requests.fetch_add(1, Ordering::Relaxed);
            let result = fill(self.http.request(method.clone(), url.clone())).send().await;
            let wait = match &result {
                Ok(answer) if may_pass(answer.status()) => Some(asked_pause(answer.headers()).unwrap_or(pause)),
                Err(error) if error.is_connect() || error.is_request() => Some(pause),
                _ => None,
            };
            let Some(wait) = wait.filter(|_| attempt < TRIES) else {
                return result.map_err(|source| self.unreachable(&method, url, source));
            };
            tokio::time::sleep(wait.min(LONGEST_PAUSE)).await;
            pause *= 3;
        }
        unreachable!("the loop ends by returning")
    }

    fn unreachable(&self, method: &Method, url: &Url, source: reqwest::Error) -> Error {
        // The address is in our message already.
        Error::Unreachable { base: self.base.to_string(), request: line(method, url), source: source.without_url() }
    }
}

fn line(method: &Method, url: &Url) -> String {
    format!("{method} {}", url.path())
}

fn may_pass(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || matches!(status.as_u16(), 500 | 502..=504)
}

fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    header(headers, RETRY_AFTER.as_str())?.parse().ok().map(Duration::from_secs)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

async fn accept(answer: Response, method: &Method, url: &Url, good: &[StatusCode]) -> Result<Response, Error> {
    let status = answer.status();
    if good.contains(&status) {
        return Ok(answer);
    }
    let detail = answer.text().await.map(|text| detail(&text)).unwrap_or_default();
    Err(Error::Answer { request: line(method, url), status, detail })
}

/// The registry's errors as one line; the beginning of the text if it is something else.
fn detail(text: &str) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<OneError>,
    }
    #[derive(Deserialize)]
    struct OneError {
        code: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        detail: serde_json::Value,
    }
    match serde_json::from_str::<Errors>(text) {
        Ok(Errors { errors }) => {
            let line = |error: OneError| match error.detail {
                serde_json::Value::Null => format!("{} {}", error.code, error.message),
                detail => format!("{} {} ({detail})", error.code, error.message),
            };
            errors.into_iter().map(line).collect::<Vec<_>>().join("; ")
        }
        Err(_) => text.trim().chars().take(200).collect(),
    }
}

#[cfg(test)]
mod tests;
