//! The registry as clients ask it.

use std::io::Write;
use std::sync::{Arc, Mutex};

use reqwest::header::{ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LINK, RANGE};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Server;
use crate::images::bundle::tests::{Memory, bundled, folder, stack};
use crate::images::digest::Digest;
use crate::images::layout::{INDEX, MANIFEST};
use crate::images::lock::Lock;

/// A log that the test reads.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("whole").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Served {
    base: String,
    http: reqwest::Client,
    log: Lines,
    lock: Lock,
    memory: Memory,
    cancel: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), super::Error>>,
    _dir: tempfile::TempDir,
}

impl Served {
    /// Serves a bundle of the test's lab.
    async fn start() -> Self {
        let (dir, path) = folder();
        let memory = Memory::lab();
        bundled(&memory, &path.join("lab.tar")).await;
        let shelf = Arc::new(stack(&[&path.join("lab.tar")]));
        let server = Server::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
        let base = format!("http://{}", server.address());
        let (log, cancel) = (Lines::default(), CancellationToken::new());
        let running = tokio::spawn(server.run(shelf, Box::new(log.clone()), cancel.clone()));
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { base, http, log, lock: memory.lock().await, memory, cancel, running, _dir: dir }
    }

    async fn ask(&self, method: Method, path: &str, range: Option<&str>) -> Response {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = range.map(|range| request.try_clone().expect("plain").header(RANGE, range)).unwrap_or(request);
        request.send().await.expect("it answers")
    }

    async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path, None).await
    }

    /// The status and the code of an error.
    async fn code(&self, path: &str) -> (u16, String) {
        let answer = self.get(path).await;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.expect("JSON");
        (status, body["errors"][0]["code"].as_str().expect("a code").to_owned())
    }

    fn root(&self, image: &str) -> Digest {
        *self.lock.images[&image.parse().expect("a reference")].digest().expect("resolved")
    }

    async fn lines(&self, count: usize) -> Vec<Value> {
        // A line is written when the answer's content is given back, which may be after the client has it.
        for _ in 0..500 {
            let text = String::from_utf8(self.log.0.lock().expect("whole").clone()).expect("UTF-8");
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            if lines.len() >= count {
                return lines;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("no {count} lines came");
    }
}

fn header(answer: &Response, name: impl reqwest::header::AsHeaderName) -> String {
    answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn manifests_by_tag_and_digest_byte_for_byte() {
    let served = Served::start().await;
    let answer = served.get("/v2/").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "docker-distribution-api-version"), "registry/2.0");
    let root = served.root("web:1");
    let paths = [
        "/v2/docker.io/library/web/manifests/1".to_owned(),
        "/v2/library/web/manifests/1?ns=docker.io".to_owned(),
        "/v2/docker.io/library/web/manifests/1?ns=docker.io".to_owned(),
        "/v2/library/web/manifests/1".to_owned(),
        format!("/v2/docker.io/library/web/manifests/{root}"),
        format!("/v2/docker.io/library/web/manifests/{}", root.to_string().replace(':', "%3A")),
    ];
    for path in &paths {
        let expected = &served.memory.blobs[&root];
        for method in [Method::GET, Method::HEAD] {
            let answer = served.ask(method.clone(), path, None).await;
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(header(&answer, CONTENT_TYPE), INDEX);
            assert_eq!(header(&answer, "docker-content-digest"), root.to_string());
            assert_eq!(header(&answer, CONTENT_LENGTH), expected.len().to_string());
            let body = answer.bytes().await.expect("read");
            assert!(if method == Method::HEAD { body.is_empty() } else { body == *expected });
        }
    }
    let deep = served.get("/v2/localhost_5000/deep/er/api/manifests/2").await;
    assert_eq!(header(&deep, "docker-content-digest"), served.root("localhost:5000/deep/er/api:2").to_string());
    let one = served.get("/v2/istiolab.local/one/manifests/1.0").await;
    assert_eq!(header(&one, CONTENT_TYPE), MANIFEST);
}

#[tokio::test]
async fn what_is_not_here_is_said_as_registries_do() {
    let served = Served::start().await;
    let absent = Digest::of("absent");
    let config = served.lock.images.values().next().expect("some").platforms["linux/amd64"].config.digest;
    for (path, status, code) in [
        ("/v2/quay.io/web/manifests/1".to_owned(), 404, "NAME_UNKNOWN"),
        ("/v2/library/web/manifests/1?ns=quay.io".to_owned(), 404, "NAME_UNKNOWN"),
        ("/v2/library/web/manifests/2".to_owned(), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/library/web/manifests/{absent}"), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/library/web/manifests/{config}"), 404, "MANIFEST_UNKNOWN"),
        ("/v2/library/web/manifests/sha256:abc".to_owned(), 400, "DIGEST_INVALID"),
        (format!("/v2/library/web/blobs/{absent}"), 404, "BLOB_UNKNOWN"),
        ("/v2/library/web/blobs/../../../etc/passwd".to_owned(), 404, "UNSUPPORTED"),
        ("/v2/library/web/blobs/1".to_owned(), 400, "DIGEST_INVALID"),
        ("/v2/library/web/referrers/1".to_owned(), 400, "DIGEST_INVALID"),
        ("/v1/search".to_owned(), 404, "UNSUPPORTED"),
    ] {
        assert_eq!(served.code(&path).await, (status, code.to_owned()), "{path}");
    }
    for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
        let answer = served.ask(method, "/v2/library/web/blobs/uploads/", None).await;
        assert_eq!((answer.status().as_u16(), header(&answer, ALLOW)), (405, "GET, HEAD".to_owned()));
        assert_eq!(answer.json::<Value>().await.expect("JSON")["errors"][0]["code"], "UNSUPPORTED");
    }
}

#[tokio::test]
async fn blobs_whole_and_in_parts() {
    let served = Served::start().await;
    let layer = vec![7; 100_000];
    let path = format!("/v2/library/web/blobs/{}", Digest::of(&layer));
    let answer = served.get(&path).await;
    assert_eq!((answer.status().as_u16(), header(&answer, ACCEPT_RANGES)), (200, "bytes".to_owned()));
    assert!(answer.bytes().await.expect("read") == layer);
    let answer = served.ask(Method::HEAD, &path, None).await;
    assert_eq!(header(&answer, CONTENT_LENGTH), "100000");
    for (range, status, length, content) in [
        ("bytes=0-9", 206, 10, "bytes 0-9/100000"),
        ("bytes=99990-", 206, 10, "bytes 99990-99999/100000"),
        ("bytes=-10", 206, 10, "bytes 99990-99999/100000"),
        ("bytes=50000-999999", 206, 50_000, "bytes 50000-99999/100000"),
        ("bytes=0-1,5-6", 200, 100_000, ""),
    ] {
        let answer = served.ask(Method::GET, &path, Some(range)).await;
        assert_eq!((answer.status().as_u16(), header(&answer, CONTENT_RANGE).as_str()), (status, content), "{range}");
        assert_eq!(answer.bytes().await.expect("read").len(), length, "{range}");
    }
    let answer = served.ask(Method::GET, &path, Some("bytes=100000-")).await;
    assert_eq!((answer.status().as_u16(), header(&answer, CONTENT_RANGE).as_str()), (416, "bytes */100000"));
    // A layer without content.
    let path = format!("/v2/library/web/blobs/{}", Digest::of(""));
    let answer = served.get(&path).await;
    assert_eq!((answer.status().as_u16(), header(&answer, CONTENT_LENGTH).as_str()), (200, "0"));
}

#[tokio::test]
async fn lists_by_pages() {
    let served = Served::start().await;
    let json = async |path: &str| {
        let answer = served.get(path).await;
        (header(&answer, LINK), answer.json::<Value>().await.expect("JSON"))
    };
    let tags = json("/v2/docker.io/library/web/tags/list").await;
    assert_eq!(tags, (String::new(), json!({"name": "docker.io/library/web", "tags": ["1"]})));
    let (link, page) = json("/v2/_catalog?n=2").await;
    assert_eq!(page, json!({"repositories": ["docker.io/library/web", "istiolab.local/one"]}));
    assert_eq!(link, "</v2/_catalog?n=2&last=istiolab.local/one>; rel=\"next\"");
    let (link, page) = json("/v2/_catalog?n=2&last=istiolab.local/one").await;
    assert_eq!((link, page), (String::new(), json!({"repositories": ["localhost_5000/deep/er/api"]})));
    let (_, referrers) = json(&format!("/v2/library/web/referrers/{}", served.root("web:1"))).await;
    assert_eq!(referrers, json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}));
}

#[tokio::test]
async fn every_answer_is_a_line_in_the_log() {
    let served = Served::start().await;
    let layer = Digest::of(vec![7; 100_000]);
    served.get("/v2/library/web/manifests/1?ns=docker.io").await.bytes().await.expect("read");
    served
        .ask(Method::GET, &format!("/v2/library/web/blobs/{layer}"), Some("bytes=0-9"))
        .await
        .bytes()
        .await
        .expect("read");
    served.get("/v2/library/none/manifests/1?ns=docker.io").await.bytes().await.expect("read");
    served.ask(Method::HEAD, &format!("/v2/library/web/blobs/{layer}"), None).await;
    let lines = served.lines(4).await;
    let line = |path: &str, method: &str| {
        lines
            .iter()
            .find(|line| line["path"] == path && line["method"] == method)
            .unwrap_or_else(|| panic!("{lines:?}"))
    };
    let manifest = line("/v2/library/web/manifests/1", "GET");
    assert_eq!((&manifest["ns"], &manifest["status"]), (&json!("docker.io"), &json!(200)));
    assert_eq!(manifest["image"], "docker.io/library/web:1");
    assert!(manifest["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:")));
    assert!(manifest["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    let blob = line(&format!("/v2/library/web/blobs/{layer}"), "GET");
    assert_eq!(
        (&blob["status"], &blob["bytes"], &blob["image"]),
        (&json!(206), &json!(10), &json!("docker.io/library/web"))
    );
    assert_eq!(line("/v2/library/none/manifests/1", "GET")["status"], 404);
    assert_eq!(line(&format!("/v2/library/web/blobs/{layer}"), "HEAD")["bytes"], 0);
}

#[tokio::test]
async fn it_stops_when_asked_and_a_taken_port_is_named() {
    let served = Served::start().await;
    let address = served.base.trim_start_matches("http://").parse().expect("an address");
    let failure = crate::error::Failure::from(Server::listen(address).await.expect_err("it is taken"));
    assert!(failure.to_string().contains(&address.to_string()), "{failure}");
    served.get("/v2/").await;
    served.cancel.cancel();
    served.running.await.expect("no panic").expect("it ends well");
}
