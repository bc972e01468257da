//! Writing: blobs by mounting or sending, manifests byte for byte.

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::send::{Request, header};
use super::traffic::About;
use super::{Client, Error, auth};
use crate::images::digest::Digest;

/// What asking for an upload leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Upload {
    /// The blob is in the repository now; nothing needs to be sent.
    Mounted,
    /// Send it there.
    To(Url),
}

/// Content of a request that can be given only once.
pub type Body = BoxStream<'static, std::io::Result<Bytes>>;

impl Client {
    /// Puts a manifest's raw bytes under a tag or a digest.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Answer`].
    pub async fn put_manifest(&self, repository: &str, reference: &str, kind: &str, bytes: Bytes) -> Result<(), Error> {
        let url = self.url(&format!("{repository}/manifests/{reference}"));
        let mut request = Request::new(Method::PUT, url, About::Manifest, vec![auth::push(repository)]);
        let kind = HeaderValue::from_str(kind)
            .map_err(|_| self.nonsense(&format!("PUT {}", request.url.path()), "the media type can't be sent"))?;
        request.headers.insert(CONTENT_TYPE, kind);
        request.body = bytes;
        self.send(&request, &[StatusCode::CREATED]).await.map(drop)
    }

    /// Starts an upload into `repository`, unless the blob can be had from the repository `from`.
    /// With `from` equal to `repository` this one request is "is it there? if not, I send it".
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Answer`], [`Error::Nonsense`], [`Error::Led`].
    pub async fn start_upload(&self, repository: &str, digest: &Digest, from: &str) -> Result<Upload, Error> {
        let mut url = self.url(&format!("{repository}/blobs/uploads/"));
        url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", from);
        let mut scopes = vec![auth::push(repository)];
        if from != repository {
            scopes.push(auth::pull(from));
        }
        let request = Request::new(Method::POST, url, About::Upload, scopes);
        let answer = self.send(&request, &[StatusCode::CREATED, StatusCode::ACCEPTED]).await?;
        if answer.response.status() == StatusCode::CREATED {
            return Ok(Upload::Mounted);
        }
        self.location(&request.url, answer.response.headers(), &answer.line).map(Upload::To)
    }

    /// Sends what is left of a blob, `length` bytes, and completes the upload.
    ///
    /// # Errors
    /// [`Error::Unreachable`], also if `body` fails; [`Error::Answer`].
    pub async fn finish_upload(
        &self,
        repository: &str,
        to: &Url,
        digest: &Digest,
        length: u64,
        body: Body,
    ) -> Result<(), Error> {
        let mut url = to.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let (line, answer) = self.stream(Method::PUT, repository, url, HeaderMap::new(), length, body).await?;
        self.accept(answer, &line, &[StatusCode::CREATED]).await.map(drop)
    }

    /// Sends `length` bytes of a blob from the byte `at` on, and returns where to go on.
    ///
    /// # Errors
    /// As [`Client::finish_upload`], [`Error::Nonsense`], [`Error::Led`].
    pub async fn continue_upload(
        &self,
        repository: &str,
        to: &Url,
        at: u64,
        length: u64,
        body: Body,
    ) -> Result<Url, Error> {
        let mut headers = HeaderMap::new();
        if let Ok(range) = HeaderValue::from_str(&format!("{at}-{}", (at + length).saturating_sub(1))) {
            headers.insert(CONTENT_RANGE, range);
        }
        let (line, answer) = self.stream(Method::PATCH, repository, to.clone(), headers, length, body).await?;
        let answer = self.accept(answer, &line, &[StatusCode::ACCEPTED]).await?;
        self.location(to, answer.headers(), &line)
    }

    /// How many bytes of an upload the registry has, and where to go on with it. `None` if it does not
    /// know the upload any more, or can't go on with one that was cut.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Answer`] for trouble that may pass.
    pub async fn upload_state(&self, repository: &str, to: &Url) -> Result<Option<(u64, Url)>, Error> {
        let request = Request::new(Method::GET, to.clone(), About::Upload, vec![auth::push(repository)]);
        let answer = match self.send(&request, &[StatusCode::NO_CONTENT, StatusCode::OK]).await {
            Ok(answer) => answer,
            Err(Error::Answer { status, .. }) if status.is_client_error() => return Ok(None),
            Err(error) => return Err(error),
        };
        let headers = answer.response.headers();
        let last = header(headers, RANGE.as_str()).and_then(|text| text.rsplit('-').next()?.trim().parse::<u64>().ok());
        let next = self.location(to, headers, &answer.line).unwrap_or_else(|_| to.clone());
        // `0-0` is written for nothing as well as for one byte: one byte is soon sent again.
        Ok(last.map(|last| (if last == 0 { 0 } else { last + 1 }, next)))
    }

    /// Sends content once. The login is one that a request before it has got.
    async fn stream(
        &self,
        method: Method,
        repository: &str,
        url: Url,
        headers: HeaderMap,
        length: u64,
        body: Body,
    ) -> Result<(String, Response), Error> {
        let line = format!("{method} {}", url.path());
        let turn = self.0.writes.turn().await;
        let login = self.authorization(&[auth::push(repository)]).await?;
        let counting = self.clone();
        let counted = body.inspect(move |piece| {
            if let Ok(piece) = piece {
                counting.0.counters.sent(piece.len());
            }
        });
        let request = self
            .http_for(&url)?
            .request(method.clone(), url.clone())
            .headers(headers)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(counted));
        self.0.counters.request(&method, About::Upload);
        let answer = self.show(request, &url, login.as_ref()).send().await;
        let answer = answer.map_err(|source| self.unreachable(&line, source))?;
        self.heed(turn, &answer, &line)?;
        Ok((line, answer))
    }

    /// Where an upload goes on. A registry must not make us send an image into somebody's network.
    fn location(&self, asked: &Url, headers: &HeaderMap, line: &str) -> Result<Url, Error> {
        let location = header(headers, LOCATION.as_str()).ok_or_else(|| self.nonsense(line, "it has no Location"))?;
        let location = asked.join(location).map_err(|_| self.nonsense(line, "its Location is not an address"))?;
        self.follow(&self.0.base, &location, line)?;
        Ok(location)
    }
}
