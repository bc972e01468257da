//! Answers of the registry.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LINK, RANGE};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::json;

use super::log::{Line, Log, Metered};
use super::range::Range;
use super::route::{Route, value};
use crate::error::Failure;
use crate::images::bundle::{Names, Repository};
use crate::images::content::Shelf;
use crate::images::digest::Digest;
use crate::images::layout::{Descriptor, INDEX};

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const JSON: &str = "application/json";
/// What any blob is, as far as a registry knows.
const BYTES: &str = "application/octet-stream";

/// What all answers need.
#[derive(Clone)]
pub(super) struct State {
    pub(super) shelf: Arc<dyn Shelf>,
    pub(super) log: Log,
}

/// An answer whose content is not given out yet.
struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    content: Content,
    /// What was asked for, as far as it is here.
    image: Option<String>,
}

enum Content {
    Small(Vec<u8>),
    /// Bytes of a blob.
    Blob(crate::images::content::Stream, u64),
}

impl Answer {
    fn new(status: StatusCode, kind: &str, content: Vec<u8>) -> Self {
        let headers = vec![(CONTENT_TYPE, kind.to_owned()), (CONTENT_LENGTH, content.len().to_string())];
        Self { status, headers, content: Content::Small(content), image: None }
    }

    /// An error as registries tell it.
    fn error(status: StatusCode, code: &str, message: &str) -> Self {
        let errors = json!({"errors": [{"code": code, "message": message, "detail": null}]});
        Self::new(status, JSON, errors.to_string().into_bytes())
    }

    fn with(mut self, name: HeaderName, text: impl Into<String>) -> Self {
        self.headers.push((name, text.into()));
        self
    }

    fn of(mut self, image: String) -> Self {
        self.image = Some(image);
        self
    }
}

/// Answers one request.
pub(super) async fn handle(
    axum::extract::State(state): axum::extract::State<State>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request<Body>,
) -> Response<Body> {
    let (head, _) = request.into_parts();
    let ns = value(head.uri.query(), "ns");
    let mut line = Line {
        time: Line::now(),
        client: client.to_string(),
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        ns: ns.clone(),
        ..Line::default()
    };
    let range = head.headers.get(RANGE).and_then(|value| value.to_str().ok());
    let answer = if matches!(head.method, Method::GET | Method::HEAD) {
        let asked = Asked { ns: ns.as_deref(), query: head.uri.query(), range };
        answer(state.shelf.as_ref(), &Route::of(head.uri.path()), &asked).await.unwrap_or_else(|failure| {
            Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", &failure.lines().join(": "))
        })
    } else {
        let message = "this registry can only be pulled from";
        Answer::error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message).with(ALLOW, "GET, HEAD")
    };
    line.status = answer.status.as_u16();
    line.image = answer.image;
    let body = match answer.content {
        _ if head.method == Method::HEAD => None,
        Content::Small(bytes) => {
            line.bytes = bytes.len() as u64;
            Some(Body::from(bytes))
        }
        Content::Blob(stream, left) => {
            let log = state.log.clone();
            let metered = Metered { stream, left, line: std::mem::take(&mut line), log };
            Some(Body::from_stream(metered))
        }
    };
    // One that was moved into its stream is written there.
    if !line.time.is_empty() {
        state.log.write(&line);
    }
    let mut response = Response::new(body.unwrap_or_default());
    *response.status_mut() = answer.status;
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    for (name, text) in answer.headers {
        if let Ok(text) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(name, text);
        }
    }
    response
}

/// What is asked besides the path.
struct Asked<'a> {
    ns: Option<&'a str>,
    query: Option<&'a str>,
    range: Option<&'a str>,
}

async fn answer(shelf: &dyn Shelf, route: &Route, asked: &Asked<'_>) -> Result<Answer, Failure> {
    let name = match route {
        Route::Base => return Ok(Answer::new(StatusCode::OK, JSON, b"{}".to_vec())),
        Route::Unknown => {
            return Ok(Answer::error(StatusCode::NOT_FOUND, "UNSUPPORTED", "registries have nothing at this address"));
        }
        Route::Catalog => {
            let names = shelf.names()?;
            return Ok(list("repositories", None, names.repositories.keys(), "/v2/_catalog", asked.query));
        }
        Route::Tags(name) | Route::Manifest(name, _) | Route::Blob(name, _) | Route::Referrers(name, _) => name,
    };
    let names: Names = shelf.names()?;
    let Some(repository) = names.find(name, asked.ns) else {
        let message = format!("{} has no repository `{name}`{}", shelf.describe(), of_registry(asked.ns));
        return Ok(Answer::error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", &message));
    };
    let found = repository.reference.to_string();
    match route {
        Route::Manifest(_, reference) => manifest(shelf, repository, reference).await,
        Route::Blob(_, digest) => blob(shelf, repository, digest, asked.range).await,
        Route::Referrers(_, digest) if digest.parse::<Digest>().is_err() => Ok(not_a_digest(digest)),
        Route::Referrers(..) => {
            // Nothing that refers to images is kept in bundles; the standard asks for an empty index then.
            let empty = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
            Ok(Answer::new(StatusCode::OK, INDEX, empty.to_string().into_bytes()).of(found))
        }
        _ => {
            let path = format!("/v2/{name}/tags/list");
            Ok(list("tags", Some(name), repository.tags.keys(), &path, asked.query).of(found))
        }
    }
}

fn of_registry(ns: Option<&str>) -> String {
    ns.map(|ns| format!(" of {ns}")).unwrap_or_default()
}

fn not_a_digest(text: &str) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", &format!("`{text}` is not a sha256 digest"))
}

async fn manifest(shelf: &dyn Shelf, repository: &Repository, reference: &str) -> Result<Answer, Failure> {
    let image = &repository.reference;
    // A tag has no colon, so this is a digest or meant to be one.
    let (digest, full) = if reference.contains(':') {
        match reference.parse::<Digest>() {
            Ok(digest) => (Some(digest), format!("{image}@{digest}")),
            Err(_) => return Ok(not_a_digest(reference)),
        }
    } else {
        (repository.tags.get(reference).map(|root| root.digest), format!("{image}:{reference}"))
    };
    let raw = match &digest {
        Some(digest) => shelf.manifest(image, Some(digest)).await?,
        None => None,
    };
    let Some(raw) = raw else {
        let message = format!("{} does not have {full}; other platforms may have been left out", shelf.describe());
        return Ok(Answer::error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", &message).of(full));
    };
    let digest = raw.digest.to_string();
    let answer = Answer::new(StatusCode::OK, &raw.media_type, raw.bytes.to_vec()).of(full);
    Ok(answer.with(ETAG, format!("\"{digest}\"")).with(CONTENT_DIGEST, digest))
}

async fn blob(
    shelf: &dyn Shelf,
    repository: &Repository,
    digest: &str,
    range: Option<&str>,
) -> Result<Answer, Failure> {
    let image = &repository.reference;
    let Ok(digest) = digest.parse::<Digest>() else { return Ok(not_a_digest(digest)) };
    let Some(size) = shelf.size(&digest) else {
        let message = format!("{} does not have {digest}", shelf.describe());
        return Ok(Answer::error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", &message).of(image.to_string()));
    };
    let (status, first, length) = match Range::of(range, size) {
        Range::Whole => (StatusCode::OK, 0, size),
        Range::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Range::Unsatisfiable => {
            let message = format!("{digest} has {size} bytes");
            let answer = Answer::error(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", &message);
            return Ok(answer.with(CONTENT_RANGE, format!("bytes */{size}")).of(image.to_string()));
        }
    };
    let descriptor = Descriptor::new(BYTES, digest, size);
    let stream = shelf.blob(image, &descriptor, first).await?;
    let mut headers = vec![
        (CONTENT_TYPE, BYTES.to_owned()),
        (CONTENT_LENGTH, length.to_string()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (CONTENT_DIGEST, digest.to_string()),
        (ETAG, format!("\"{digest}\"")),
    ];
    if status == StatusCode::PARTIAL_CONTENT {
        headers.push((CONTENT_RANGE, format!("bytes {first}-{}/{size}", first + length - 1)));
    }
    Ok(Answer { status, headers, content: Content::Blob(stream, length), image: Some(image.to_string()) })
}

/// A list by pages: `n` entries after `last`.
fn list<'a>(
    key: &str,
    name: Option<&str>,
    all: impl Iterator<Item = &'a String>,
    path: &str,
    query: Option<&str>,
) -> Answer {
    let most = value(query, "n").and_then(|n| n.parse::<usize>().ok()).unwrap_or(usize::MAX);
    let after = value(query, "last").unwrap_or_default();
    let mut rest = all.filter(|entry| after.is_empty() || **entry > after).peekable();
    let page: Vec<&String> = rest.by_ref().take(most).collect();
    let mut body = json!({key: page});
    if let Some(name) = name {
        body["name"] = name.into();
    }
    let answer = Answer::new(StatusCode::OK, JSON, body.to_string().into_bytes());
    match (page.last(), rest.peek()) {
        (Some(last), Some(_)) => answer.with(LINK, format!("<{path}?n={most}&last={last}>; rel=\"next\"")),
        _ => answer,
    }
}
