//! Faults on the way to the target.

use istiolab::error::Kind;
use istiolab::images::registry::About;
use reqwest::Method;

use super::proxy::{Fault, Proxy};
use super::{Bench, answer};

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_sent_again_with_and_without_a_pause() {
    let Some(bench) = Bench::needed("429 of a target").await else { return };
    let proxy = Proxy::before(&bench.target.client);
    let busy = |pause: &str| Fault::Answer(answer("429 Too Many Requests", pause));
    proxy
        .rule("HEAD", "/manifests/", 2, busy(""))
        .rule("POST", "/uploads/", 3, busy("retry-after: 0\r\n"))
        .rule("PUT", "/uploads/", 2, busy("retry-after: 0\r\n"))
        .rule("PUT", "/manifests/", 1, busy("retry-after: 1\r\n"));
    bench.copy(&bench.source.client, &proxy.client()).await.expect("it waits");
    assert!(proxy.is_spent());
    bench.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_in_trouble_is_sent_it_again() {
    let Some(bench) = Bench::needed("5xx of a target").await else { return };
    let proxy = Proxy::before(&bench.target.client);
    for status in ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable"] {
        proxy
            .rule("POST", "/uploads/", 1, Fault::Answer(answer(status, "")))
            .rule("PUT", "/uploads/", 1, Fault::Answer(answer(status, "")))
            .rule("PUT", "/manifests/", 1, Fault::Answer(answer(status, "")));
    }
    bench.copy(&bench.source.client, &proxy.client()).await.expect("it goes in the end");
    assert!(proxy.is_spent());
    bench.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_ends_well() {
    let Some(bench) = Bench::needed("cut of a target").await else { return };
    for percent in [10, 50, 99] {
        let Some(target) = crate::fixture::Registry::needed("cut of a target").await else { return };
        let proxy = Proxy::before(&target.client);
        proxy.rule("PUT", "/uploads/", 3, Fault::CutRequest(percent));
        let to = proxy.client();
        bench.copy(&bench.source.client, &to).await.expect("it goes in the end");
        assert!(proxy.is_spent());
        assert!(target.client.head_manifest("x.test/a", "1").await.expect("it answers").is_some());
        let sent = to.traffic();
        assert!(sent.count(&Method::GET, About::Upload) >= 3, "how much arrived is asked: {sent:?}");
        assert!(sent.sent < 3 * bench.bytes(), "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_led_away_is_refused() {
    let Some(bench) = Bench::needed("upload led away").await else { return };
    let proxy = Proxy::before(&bench.target.client);
    let away = answer("202 Accepted", "location: http://10.0.0.1/upload\r\n");
    proxy.rule("POST", "/uploads/", 100, Fault::Answer(away));
    let failure = bench.copy(&bench.source.client, &proxy.client()).await.expect_err("refused");
    assert!(failure.to_string().contains("leads to http://10.0.0.1/upload"), "{failure}");
    assert_eq!(failure.kind, Kind::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_without_end_is_told_and_nothing_is_shown() {
    let Some(bench) = Bench::needed("target down").await else { return };
    let proxy = Proxy::before(&bench.target.client);
    proxy.rule("PUT", "/manifests/", 100, Fault::Answer(answer("503 Service Unavailable", "retry-after: 0\r\n")));
    let failure = bench.copy(&bench.source.client, &proxy.client()).await.expect_err("it stays so");
    assert!(failure.to_string().contains("503"), "{failure}");
    assert_eq!(failure.kind, Kind::Unavailable);
    bench.shows_nothing().await;
    assert!(proxy.count("PUT", "/manifests/") > 1);
}
