use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A registry that gives these answers, one after another, each on a connection of its own, and
/// keeps the first lines of what it was asked.
async fn scripted(answers: &'static [&'static str]) -> (Client, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = Client::new(&format!("http://{}", listener.local_addr().expect("an address"))).expect("an address");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 64 * 1024];
            let count = stream.read(&mut request).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&request[..count]).into_owned();
            log.lock().expect("no poisoned lock").push(text.lines().next().unwrap_or_default().to_owned());
            // An empty answer is a connection that breaks off.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (client, asked)
}

const THERE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\ndocker-content-digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n\r\n";
const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\ncontent-length: 0\r\nretry-after: 0\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 9\r\n\r\ndisk full";

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let (client, asked) = scripted(&[BROKEN, "", BUSY, THERE]).await;
    let digest = client.head_manifest("a/b", "1").await.expect("the fourth time it answers");
    assert_eq!(digest, Some(Digest::of("")));
    assert_eq!(asked.lock().expect("no poisoned lock").len(), 4);
    assert_eq!(client.traffic().requests, 4);
}

#[tokio::test]
async fn what_does_not_pass_is_told_with_the_registrys_words() {
    let (client, _) = scripted(&[BROKEN; 4]).await;
    let error = client.put_manifest("a/b", "1", "x/y", b"{}").await.expect_err("it stays broken");
    assert_eq!(
        error.to_string(),
        "the registry answered 503 Service Unavailable to PUT /v2/a/b/manifests/1: disk full"
    );
    assert_eq!(Failure::from(error).kind, Kind::Unavailable);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let (client, asked) =
        scripted(&["HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"; 2]).await;
    client.head_blob("a/b", &Digest::of("")).await.expect_err("forbidden");
    assert_eq!(asked.lock().expect("no poisoned lock").len(), 1);
}

#[tokio::test]
async fn no_image_is_sent_to_another_host() {
    let (client, _) = scripted(&[
        "HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 0\r\nlocation: http://10.0.0.1/upload\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    ])
    .await;
    for why in ["another host", "no Location"] {
        let error = client.start_upload("a/b", &Digest::of(""), "a/b").await.expect_err(why);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_relative_location_and_its_query_are_kept() {
    let (client, asked) = scripted(&[
        "HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 0\r\nlocation: /v2/a/b/blobs/uploads/1?state=x%2By\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 67\r\n\r\n{\"errors\":[{\"code\":\"DIGEST_INVALID\",\"message\":\"did not match\"}]}   ",
    ])
    .await;
    let dir = tempfile::tempdir().expect("a folder");
    let store = layout::Layout::open(Utf8PathBuf::from_path_buf(dir.path().into()).expect("UTF-8")).expect("a store");
    let (digest, _) = store.put(b"abc").expect("there is room");
    let Upload::To(url) = client.start_upload("a/b", &digest, "c/d").await.expect("accepted") else {
        panic!("it was not mounted");
    };
    let error = client.put_blob(&url, &store, &digest).await.expect_err("the registry refuses it");
    assert!(error.to_string().contains("DIGEST_INVALID did not match"), "{error}");
    let asked = asked.lock().expect("no poisoned lock");
    assert!(asked[0].contains(&format!("mount=sha256%3A{}&from=c%2Fd", digest.hex())), "{}", asked[0]);
    assert!(
        asked[1].starts_with(&format!("PUT /v2/a/b/blobs/uploads/1?state=x%2By&digest=sha256%3A{}", digest.hex())),
        "{}",
        asked[1]
    );
}

#[test]
fn an_address_is_a_host_without_a_path() {
    assert!(Client::new("http://127.0.0.1:5000").is_ok());
    for text in ["127.0.0.1:5000", "ftp://a", "http://a/b", "", "http://a/?b"] {
        assert!(matches!(Client::new(text), Err(Error::Address { .. })), "{text}");
    }
}

#[test]
fn errors_of_registries_become_one_line() {
    let text = r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"},{"code":"X","message":"y","detail":{"a":1}}]}"#;
    assert_eq!(detail(text), r#"DIGEST_INVALID provided digest did not match; X y ({"a":1})"#);
    assert_eq!(detail(" no JSON \n"), "no JSON");
}

#[tokio::test]
async fn nobody_there_is_said_with_address_and_path() {
    // Port 9 (discard) of loopback: nobody listens there.
    let error = Client::new("http://127.0.0.1:9").expect("an address").ping().await.expect_err("nobody there");
    assert!(error.to_string().starts_with("the registry at http://127.0.0.1:9/ does not answer"), "{error}");
    assert_eq!(Failure::from(error).kind, Kind::Unavailable);
}
