use std::sync::Mutex;

use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::error::{Failure, Kind};
use crate::images::digest::Digest;
use crate::images::layout::{Descriptor, LAYER};

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
    assert_eq!(client.traffic().count(&Method::HEAD, About::Manifest), 4);
}

#[tokio::test]
async fn what_does_not_pass_is_told_with_the_registrys_words() {
    let (client, _) = scripted(&[BROKEN; 5]).await;
    let error = client.put_manifest("a/b", "1", "x/y", "{}".into()).await.expect_err("it stays broken");
    let text = error.to_string();
    assert!(text.ends_with("answered 503 Service Unavailable to PUT /v2/a/b/manifests/1: disk full"), "{text}");
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
    for why in ["private network", "no Location"] {
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
    let digest = Digest::of("abc");
    let Upload::To(url) = client.start_upload("a/b", &digest, "c/d").await.expect("accepted") else {
        panic!("it was not mounted");
    };
    let error = client
        .finish_upload("a/b", &url, &digest, 3, futures::stream::iter([Ok("abc".into())]).boxed())
        .await
        .expect_err("the registry refuses it");
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

#[tokio::test]
async fn nobody_there_is_said_with_address_and_path() {
    // Port 9 (discard) of loopback: nobody listens there.
    let error = Client::new("http://127.0.0.1:9").expect("an address").ping().await.expect_err("nobody there");
    assert!(error.to_string().starts_with("the registry at http://127.0.0.1:9/ does not answer"), "{error}");
    assert_eq!(Failure::from(error).kind, Kind::Unavailable);
}

/// What a registry says of the blob `0123456789`, from a byte on, cut after `sent`.
fn blob() -> Descriptor {
    Descriptor::new(LAYER, Digest::of("0123456789"), 10)
}

async fn read(client: &Client, from: u64) -> Result<String, Error> {
    let pieces: Vec<_> = client.get_blob("a/b", &blob(), from).await?.try_collect().await?;
    Ok(pieces.iter().map(|piece| String::from_utf8_lossy(piece)).collect())
}

#[tokio::test]
async fn a_blob_that_is_cut_is_gone_on_with_from_that_byte() {
    let (client, asked) = scripted(&[
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 10\r\n\r\n0123",
        "HTTP/1.1 206 Partial Content\r\nconnection: close\r\ncontent-range: bytes 4-9/10\r\ncontent-length: 6\r\n\r\n45",
        // This one knows no ranges: what is known is passed over.
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 10\r\n\r\n0123456789",
    ])
    .await;
    assert_eq!(read(&client, 0).await.expect("it comes in the end"), "0123456789");
    assert_eq!(asked.lock().expect("no poisoned lock").len(), 3);
    let (client, asked) = scripted(&[]).await;
    assert_eq!(read(&client, 10).await.expect("nothing is left"), "");
    assert!(asked.lock().expect("no poisoned lock").is_empty());
}

#[tokio::test]
async fn a_blob_of_another_length_is_refused() {
    for answer in [
        &["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 11\r\n\r\n0123456789a"],
        &["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\n012345678"],
        &["HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123456789 and so on"],
    ] {
        let (client, _) = scripted(answer).await;
        let error = read(&client, 0).await.expect_err("not 10 bytes");
        assert!(matches!(error, Error::Nonsense { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_shown_to_the_registry() {
    let (authority, asked_authority) = scripted(&[
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 30\r\n\r\n{\"token\":\"t\",\"expires_in\":300}",
    ])
    .await;
    let port = authority.base().port().expect("a port");
    let challenge: &'static str = Box::leak(
        format!("HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\nwww-authenticate: Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"s\"\r\n\r\n").into_boxed_str(),
    );
    let (client, asked) = scripted(Box::leak(Box::new([challenge, THERE, THERE]))).await;
    client.head_manifest("a/b", "1").await.expect("with a token").expect("there");
    client.head_manifest("a/b", "2").await.expect("with the same token").expect("there");
    assert_eq!(asked.lock().expect("no poisoned lock").len(), 3);
    let asked = asked_authority.lock().expect("no poisoned lock");
    assert_eq!(*asked, ["GET /token?scope=repository%3Aa%2Fb%3Apull&service=s HTTP/1.1"]);
    assert_eq!(client.traffic().count(&Method::GET, About::Token), 1);
}

#[tokio::test]
async fn nobody_is_led_into_a_private_network() {
    let (client, _) = scripted(&[
        "HTTP/1.1 307 Temporary Redirect\r\nconnection: close\r\ncontent-length: 0\r\nlocation: http://169.254.169.254/latest?secret\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\nwww-authenticate: Bearer realm=\"http://10.0.0.1/token\"\r\n\r\n",
    ])
    .await;
    let error = read(&client, 0).await.expect_err("the address of clouds' secrets");
    assert!(matches!(&error, Error::Led { to, .. } if to == "http://169.254.169.254/latest"), "{error}");
    let error = client.head_manifest("a/b", "1").await.expect_err("a token from there");
    assert!(matches!(error, Error::Led { .. }), "{error}");
    assert_eq!(Failure::from(error).kind, Kind::Refused);
}

#[tokio::test]
async fn a_manifest_is_what_was_asked_for() {
    let (client, _) = scripted(&[
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\ncontent-type: a/b; charset=utf-8\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n[]",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 999999999\r\n\r\n[",
        "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    ])
    .await;
    let digest = Digest::of("{}");
    let raw = client.get_manifest("a/b", &digest.to_string()).await.expect("it answers").expect("it is there");
    assert_eq!((raw.digest, raw.media_type.as_str(), &raw.bytes[..]), (digest, "a/b", &b"{}"[..]));
    let error = client.get_manifest("a/b", &digest.to_string()).await.expect_err("something else");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let error = client.get_manifest("a/b", "1").await.expect_err("endless");
    assert!(error.to_string().contains("longer than"), "{error}");
    assert_eq!(client.get_manifest("a/b", "1").await.expect("it answers"), None);
}

#[test]
fn hosts_are_reached_as_they_are_to_be() {
    let access = Access { plain: ["plain.example:5000".to_owned()].into(), ..Access::default() };
    for (host, base) in [
        ("docker.io", "https://registry-1.docker.io/"),
        ("quay.io", "https://quay.io/"),
        ("localhost:5000", "http://localhost:5000/"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000/"),
        ("plain.example:5000", "http://plain.example:5000/"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000/"),
    ] {
        assert_eq!(Client::of_host(host, &access).expect(host).base().as_str(), base);
    }
}
