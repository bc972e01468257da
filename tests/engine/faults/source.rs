//! Faults on the way from the source.

use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use istiolab::error::Kind;
use istiolab::images::copy::{Known, Target, Wanted};
use istiolab::images::digest::Digest;
use istiolab::images::layout::Layout;
use istiolab::images::registry::{About, Mirror};
use istiolab::process::Command;
use reqwest::Method;
use std::io::Write as _;
use tokio_util::sync::CancellationToken;

use super::proxy::{Fault, Proxy};
use super::{Bench, LARGE, answer};
use crate::copy::{anew, copy};
use crate::fixture::needed;

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_asked_again_with_and_without_a_pause() {
    let Some(bench) = Bench::needed("429 of a source").await else { return };
    let proxy = Proxy::before(&bench.source.client);
    proxy
        .rule("GET", "/blobs/", 3, Fault::Answer(answer("429 Too Many Requests", "retry-after: 0\r\n")))
        .rule("GET", "/blobs/", 2, Fault::Answer(answer("429 Too Many Requests", "")))
        .rule("GET", "/manifests/", 1, Fault::Answer(answer("429 Too Many Requests", "")));
    bench.copy(&proxy.client(), &bench.target.client).await.expect("it waits");
    assert!(proxy.is_spent());
    bench.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_an_hour_is_told_instead_of_waited_for() {
    let Some(bench) = Bench::needed("long pause").await else { return };
    let proxy = Proxy::before(&bench.source.client);
    proxy.rule("GET", "/blobs/", 9, Fault::Answer(answer("429 Too Many Requests", "retry-after: 3600\r\n")));
    let failure = bench.copy(&proxy.client(), &bench.target.client).await.expect_err("too long");
    assert!(failure.to_string().contains("before 1h have passed"), "{failure}");
    assert_eq!(failure.kind, Kind::Unavailable);
    bench.shows_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_in_trouble_is_asked_again() {
    let Some(bench) = Bench::needed("5xx of a source").await else { return };
    let proxy = Proxy::before(&bench.source.client);
    for status in ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable"] {
        proxy.rule("GET", "/blobs/", 1, Fault::Answer(answer(status, "")));
    }
    proxy.rule("GET", "/manifests/", 2, Fault::Answer(answer("503 Service Unavailable", "retry-after: 0\r\n")));
    bench.copy(&proxy.client(), &bench.target.client).await.expect("it goes in the end");
    assert!(proxy.is_spent());
    bench.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_cut_is_gone_on_with_and_no_byte_comes_twice() {
    let Some(bench) = Bench::needed("cut of a source").await else { return };
    let proxy = Proxy::before(&bench.source.client);
    for percent in [10, 50, 99] {
        proxy.rule("GET", "/blobs/", 1, Fault::CutAnswer(percent));
    }
    let from = proxy.client();
    bench.copy(&from, &bench.target.client).await.expect("it goes on");
    assert!(proxy.is_spent());
    assert_eq!(from.traffic().count(&Method::GET, About::Blob), 3 + 3, "three blobs, three cuts");
    let manifest = from.traffic().received - bench.bytes();
    assert!(manifest < 2000, "beside the manifest each byte came once, {manifest}");
    bench.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_goes_on_with_a_blob_that_is_cut_too() {
    let Some(bench) = Bench::needed("cut into a store").await else { return };
    let proxy = Proxy::before(&bench.source.client);
    for percent in [10, 50, 99] {
        proxy.rule("GET", "/blobs/", 1, Fault::CutAnswer(percent));
    }
    let store = Layout::open(bench.dir.join("target")).expect("a store");
    let from = proxy.client();
    let source = Mirror::new(from.clone(), "");
    copy(source, Target::Store(store), std::slice::from_ref(&bench.image)).await.expect("it goes on");
    assert!(proxy.is_spent() && from.traffic().received - bench.bytes() < 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_asked_for_again_and_then_refused() {
    let Some(bench) = Bench::needed("wrong bytes").await else { return };
    let proxy = Proxy::before(&bench.source.client);
    proxy.rule("GET", "/blobs/", 2, Fault::Spoil);
    bench.copy(&proxy.client(), &bench.target.client).await.expect("the second time they are right, or the third");
    bench.is_whole().await;
    let Some(bench) = Bench::needed("wrong bytes always").await else { return };
    let proxy = Proxy::before(&bench.source.client);
    proxy.rule("GET", "/blobs/", 100, Fault::Spoil);
    let failure = bench.copy(&proxy.client(), &bench.target.client).await.expect_err("they stay wrong");
    assert!(failure.to_string().contains("gives damaged content for x.test/a:1"), "{failure}");
    assert_eq!(failure.kind, Kind::Refused);
    bench.shows_nothing().await;
    let store = Layout::open(bench.dir.join("target")).expect("a store");
    let source = Mirror::new(proxy.client(), "");
    let failure = copy(source, Target::Store(store.clone()), std::slice::from_ref(&bench.image)).await;
    assert_eq!(failure.expect_err("they stay wrong").kind, Kind::Refused);
    assert!(store.images().expect("an index").is_empty());
    let left = fs_err::read_dir(store.dir().join("blobs")).expect("a folder");
    let left: u64 =
        left.flatten().filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file).count() as u64;
    assert!(left <= 2, "what was wrong is not kept: {left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_length_is_refused() {
    let Some(bench) = Bench::needed("wrong length").await else { return };
    for length in [3, LARGE * 2] {
        let proxy = Proxy::before(&bench.source.client);
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\nabc");
        proxy.rule("GET", "/blobs/", 100, Fault::Answer(head));
        let failure = bench.copy(&proxy.client(), &bench.target.client).await.expect_err("not its length");
        assert!(failure.to_string().contains("bytes, not"), "{failure}");
        bench.shows_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_changed_since_it_was_looked_at_is_refused() {
    let Some(bench) = Bench::needed("changed manifest").await else { return };
    let proxy = Proxy::before(&bench.source.client);
    let body = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    proxy.rule("GET", "/manifests/", 100, Fault::Answer(head));
    let failure = bench.copy(&proxy.client(), &bench.target.client).await.expect_err("another manifest");
    assert!(failure.to_string().contains(&Digest::of(body).to_string()), "{failure}");
    assert_eq!(failure.kind, Kind::Refused);
    bench.shows_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_source_does_not_keep_an_upload_open() {
    let Some(bench) = Bench::needed("slow source").await else { return };
    let slow = Proxy::before(&bench.source.client);
    slow.rule("GET", "/blobs/", 3, Fault::Delay(Duration::from_millis(1500)));
    let impatient = Proxy::impatient(&bench.target.client, Duration::from_millis(500));
    let to = impatient.client();
    bench.copy(&slow.client(), &to).await.expect("nothing waits in the middle of a request");
    assert_eq!(to.traffic().count(&Method::PUT, About::Upload), 3, "none was sent again");
    bench.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_end_are_left() {
    let Some(bench) = Bench::needed("endless").await else { return };
    for path in ["/blobs/", "/manifests/"] {
        let proxy = Proxy::before(&bench.source.client);
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned();
        proxy.rule("GET", path, 100, Fault::Endless(head));
        let failure = bench.copy(&proxy.client(), &bench.target.client).await.expect_err("endless");
        let text = failure.to_string();
        assert!(text.contains("longer than") || text.contains("damaged"), "{text}");
        bench.shows_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_led_into_a_private_network() {
    let Some(bench) = Bench::needed("redirect").await else { return };
    let proxy = Proxy::before(&bench.source.client);
    let head = answer("307 Temporary Redirect", "location: http://169.254.169.254/latest/meta-data\r\n");
    proxy.rule("GET", "/blobs/", 100, Fault::Answer(head));
    let failure = bench.copy(&proxy.client(), &bench.target.client).await.expect_err("refused");
    assert!(failure.to_string().contains("leads to http://169.254.169.254/latest/meta-data"), "{failure}");
    assert_eq!(failure.kind, Kind::Refused);
    bench.shows_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_unpacked_for_a_registry() {
    let Some(bench) = Bench::needed("gzip bomb").await else { return };
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..512 {
        bomb.write_all(&vec![b' '; 1 << 20]).expect("memory takes it");
    }
    // Half a gigabyte in half a megabyte; as text, for the proxy: only its length counts.
    let length = bomb.finish().expect("memory takes it").len();
    let proxy = Proxy::before(&bench.source.client);
    let body = "\u{1f}".repeat(length);
    let head = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    proxy.rule("GET", "/manifests/", 100, Fault::Answer(head));
    let by_name = Wanted { known: Known::Nothing, ..bench.image.clone() };
    let source = Mirror::new(proxy.client(), "");
    let failure =
        copy(source, Target::Registry(anew(&bench.target.client)), &[by_name]).await.expect_err("no manifest");
    assert!(failure.to_string().contains("can't be understood"), "{failure}");
    bench.shows_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_what_fits_is_kept() {
    let Some(bench) = Bench::needed("full disk").await else { return };
    let dir = bench.dir.join("small");
    fs_err::create_dir_all(&dir).expect("writable");
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "none", dir.as_str()]);
    let mounted = mount.run(&CancellationToken::new()).await.map(drop).map_err(|error| error.to_string());
    if needed("full disk", mounted).is_none() {
        return;
    }
    let run = async |from: &istiolab::images::registry::Client| {
        let store = Layout::open(dir.join("images")).expect("a store");
        copy(Mirror::new(from.clone(), ""), Target::Store(store), std::slice::from_ref(&bench.image)).await
    };
    let failure = run(&anew(&bench.source.client)).await.expect_err("it does not fit");
    assert_eq!(failure.kind, Kind::Unavailable, "{failure}");
    assert!(failure.hints.iter().any(|hint| hint.contains("disk is full")), "{failure}");
    let grow = Command::new("mount").args(["-o", "remount,size=20m", dir.as_str()]);
    grow.run(&CancellationToken::new()).await.expect("it grows");
    let from = anew(&bench.source.client);
    run(&from).await.expect("it fits now");
    assert!(from.traffic().received < bench.bytes(), "what was there did not come again");
    Command::new("umount").arg(&dir).run(&CancellationToken::new()).await.expect("it goes");
}
