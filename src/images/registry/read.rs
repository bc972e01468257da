//! Reading: manifests byte for byte, blobs from any byte on.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use reqwest::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE};
use reqwest::{Method, StatusCode};

use super::pace::Turn;
use super::send::{Answer, Request, header};
use super::traffic::About;
use super::{Client, Error, auth};
use crate::images::content::Raw;
use crate::images::digest::Digest;
use crate::images::layout::Descriptor;

/// Every kind of manifest: a registry answers with the one that it has.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// The longest manifest, as registries have it too.
pub const LONGEST_MANIFEST: usize = 4 << 20;
/// How often reading goes on without having got a single byte further.
const TRIES: u32 = 5;

impl Client {
    /// Asks whether a registry is there at all. One try, so that callers can poll.
    ///
    /// # Errors
    /// [`Error::Unreachable`], or [`Error::Answer`] if something else answers there.
    pub async fn ping(&self) -> Result<(), Error> {
        let line = "GET /v2/";
        self.0.counters.request(&Method::GET, About::Other);
        let answer = self.http_for(&self.0.base)?.get(self.url("")).timeout(Duration::from_secs(5)).send().await;
        let answer = answer.map_err(|source| self.unreachable(line, source))?;
        // One that wants a login is there.
        self.accept(answer, line, &[StatusCode::OK, StatusCode::UNAUTHORIZED]).await.map(drop)
    }

    /// The digest of the manifest that `reference` (a tag or a digest) names; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Answer`].
    pub async fn head_manifest(&self, repository: &str, reference: &str) -> Result<Option<Digest>, Error> {
        let request = self.manifest_request(Method::HEAD, repository, reference);
        let answer = self.send(&request, &[StatusCode::OK, StatusCode::NOT_FOUND]).await?;
        if answer.response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        // Without the header the image counts as unknown, and is put again.
        Ok(header(answer.response.headers(), "docker-content-digest").and_then(|text| text.parse().ok()))
    }

    /// The manifest that `reference` (a tag or a digest) names, byte for byte; `None` if there is none.
    /// Its digest is computed, and compared with the one asked for.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Nonsense`] if it is longer than [`LONGEST_MANIFEST`] or its digest
    /// is not the one that the registry itself says; [`Error::Unreachable`], [`Error::Answer`].
    pub async fn get_manifest(&self, repository: &str, reference: &str) -> Result<Option<Raw>, Error> {
        let request = self.manifest_request(Method::GET, repository, reference);
        let mut tries = 0;
        let (kind, told, line, bytes) = loop {
            let answer = self.send(&request, &[StatusCode::OK, StatusCode::NOT_FOUND]).await?;
            if answer.response.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            let Answer { response, line, turn } = answer;
            let text = |name: &str| header(response.headers(), name).map(str::to_owned);
            let (kind, told) = (text(CONTENT_TYPE.as_str()), text("docker-content-digest"));
            match self.whole(response, LONGEST_MANIFEST, &line).await {
                Ok(bytes) => break (kind, told, line, bytes),
                Err(error) if error.may_pass() && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
            drop(turn);
        };
        self.0.counters.received(bytes.len());
        let raw = Raw::new(bytes, &kind.unwrap_or_default());
        let digest = raw.digest;
        let asked = reference.parse().ok();
        let told = told.and_then(|text| text.parse::<Digest>().ok());
        if let Some(asked) = asked.filter(|asked| *asked != digest) {
            return Err(Error::Damaged { base: self.0.base.to_string(), digest: asked, found: digest });
        }
        if let Some(told) = told.filter(|told| *told != digest) {
            return Err(self.nonsense(&line, &format!("it says that this is {told}, but its digest is {digest}")));
        }
        Ok(Some(raw))
    }

    fn manifest_request(&self, method: Method, repository: &str, reference: &str) -> Request {
        let url = self.url(&format!("{repository}/manifests/{reference}"));
        let mut request = Request::new(method, url, About::Manifest, vec![auth::pull(repository)]);
        request.headers.insert(ACCEPT, HeaderValue::from_static(MANIFESTS));
        request
    }

    /// Whether the repository has the blob.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Answer`].
    pub async fn head_blob(&self, repository: &str, digest: &Digest) -> Result<bool, Error> {
        let url = self.url(&format!("{repository}/blobs/{digest}"));
        let request = Request::new(Method::HEAD, url, About::Blob, vec![auth::pull(repository)]);
        let answer = self.send(&request, &[StatusCode::OK, StatusCode::NOT_FOUND]).await?;
        Ok(answer.response.status() == StatusCode::OK)
    }

    /// The bytes of a blob from `from` on. Where the connection is cut, it is gone on from that byte.
    /// Their number is checked, their digest is not.
    ///
    /// # Errors
    /// The first answer's: [`Error::Unreachable`], [`Error::Answer`], [`Error::Nonsense`] for another
    /// length. Later ones come in the stream.
    pub async fn get_blob(
        &self,
        repository: &str,
        blob: &Descriptor,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let mut reading = Reading {
            client: self.clone(),
            repository: repository.to_owned(),
            digest: blob.digest,
            size: blob.size,
            at: from,
            tries: 0,
            open: None,
        };
        if from < blob.size {
            reading.open = Some(reading.begin(None).await?);
        }
        Ok(futures::stream::try_unfold(reading, Reading::next).boxed())
    }
}

/// A blob that is being read.
struct Reading {
    client: Client,
    repository: String,
    digest: Digest,
    size: u64,
    /// The next byte that the reader has not got.
    at: u64,
    tries: u32,
    open: Option<Open>,
}

/// An answer that is being read, and how many of its first bytes are known.
struct Open {
    answer: Answer,
    skip: u64,
}

impl Reading {
    async fn begin(&self, turn: Option<Turn>) -> Result<Open, Error> {
        let url = self.client.url(&format!("{}/blobs/{}", self.repository, self.digest));
        let mut request = Request::new(Method::GET, url, About::Blob, vec![auth::pull(&self.repository)]);
        if self.at > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", self.at))
        {
            request.headers.insert(RANGE, range);
        }
        let good = [StatusCode::OK, StatusCode::PARTIAL_CONTENT];
        let answer = self.client.send_in_turn(&request, &good, turn).await?;
        let partial = answer.response.status() == StatusCode::PARTIAL_CONTENT;
        let begin = if partial {
            let range = header(answer.response.headers(), CONTENT_RANGE.as_str());
            let begin = range.and_then(|text| text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok());
            begin.ok_or_else(|| self.client.nonsense(&answer.line, "it does not say which bytes it has"))?
        } else {
            0
        };
        if begin > self.at {
            return Err(self.client.nonsense(&answer.line, "it has other bytes than were asked for"));
        }
        let there = answer.response.content_length().map(|length| begin + length);
        // A partial answer may end early; a whole one is as long as the blob.
        if there.is_some_and(|there| there > self.size || (!partial && there < self.size)) {
            let why = format!("the blob has {} bytes, not {}", there.unwrap_or_default(), self.size);
            return Err(self.client.nonsense(&answer.line, &why));
        }
        Ok(Open { answer, skip: self.at - begin })
    }

    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        while self.at < self.size {
            let Some(mut open) = self.open.take() else { return Ok(None) };
            let why = match open.answer.response.chunk().await {
                Ok(Some(mut piece)) => {
                    self.client.0.counters.received(piece.len());
                    let known = open.skip.min(piece.len() as u64);
                    open.skip -= known;
                    let piece = piece.split_off(usize::try_from(known).unwrap_or(piece.len()));
                    if piece.len() as u64 > self.size - self.at {
                        let why = format!("the blob is longer than {} bytes", self.size);
                        return Err(self.client.nonsense(&open.answer.line, &why));
                    }
                    self.open = Some(open);
                    if piece.is_empty() {
                        continue;
                    }
                    self.at += piece.len() as u64;
                    self.tries = 0;
                    return Ok(Some((piece, self)));
                }
                Ok(None) => {
                    let why = format!("it ends after {} of {} bytes", self.at, self.size);
                    self.client.nonsense(&open.answer.line, &why)
                }
                Err(source) => self.client.unreachable(&open.answer.line, source),
            };
            self.tries += 1;
            if self.tries >= TRIES {
                return Err(why);
            }
            self.open = Some(self.begin(Some(open.answer.turn.renewed())).await?);
        }
        Ok(None)
    }
}
