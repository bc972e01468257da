//! A machine whose clock is wrong: nothing that the engine decides may hang on it.
//!
//! The engine runs in a process of its own, which is this very program, under another clock.

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use istiolab::objects::{Error, Options, SetName, apply, delete_set, ready};
use istiolab::plan::event::Progress;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::own::api_of;
use crate::programs::command;
use crate::readiness::{deployment, reference, set_status};
use crate::server::{objects, shared};
use crate::skipped::skipped;

/// What the process is told: the server's port, and the time by the right clock.
const CHILD: &str = "ISTIOLAB_TEST_SKEWED";
/// The library that gives a program another clock (libfaketime).
const LIBRARY: &str = "ISTIOLAB_TEST_FAKETIME";
const LIMIT: Duration = Duration::from_secs(30);

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

/// What the process with the other clock does. Called as a usual test, it has nothing to do.
#[tokio::test]
async fn a_process_with_another_clock() {
    let Some(order) = std::env::var_os(CHILD) else { return };
    let order = order.into_string().expect("text");
    let (port, now) = order.split_once(' ').expect("port and time");
    assert!(seconds().abs_diff(now.parse().expect("a number")) > 3000, "the clock is not another one");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let api = api_of("test-token", port.parse().expect("a port")).await;
    let (progress, cancel) = (Progress::silent(), CancellationToken::new());
    let (set, text) = (SetName::new("skewed", "default"), deployment("skewed"));
    let options = Options { deadline: LIMIT, ..Options::default() };

    let first = apply(&api, &set, &objects(&text), &options, &progress, &cancel).await.expect("applied");
    assert_eq!(first.created.len(), 1);
    let again = apply(&api, &set, &objects(&text), &options, &progress, &cancel).await.expect("applied");
    assert!(again.is_unchanged(), "{again:?}");

    let object = [reference("Deployment", "apps/v1", "skewed")];
    let (begin, short) = (Instant::now(), Duration::from_secs(1));
    let error = ready::wait(&api, &object, short, &progress, &cancel).await.expect_err("nobody makes it ready");
    assert!(matches!(error, Error::NotReady { .. }), "{error}");
    assert!((short..LIMIT).contains(&begin.elapsed()), "it took {:?}", begin.elapsed());
    let ready_now = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1});
    set_status(&api, &object[0], ready_now).await;
    ready::wait(&api, &object, LIMIT, &progress, &cancel).await.expect("ready");

    let deleted = delete_set(&api, &set, LIMIT, &progress, &cancel).await.expect("deleted").deleted;
    assert_eq!(deleted, object);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_changes_nothing() {
    let Some(server) = shared("another clock").await else { return };
    let Some(library) = std::env::var_os(LIBRARY) else {
        return skipped("another clock", &format!("{LIBRARY} does not name libfaketime's library"));
    };
    let program = std::env::current_exe().expect("this program");
    for skew in ["-1h", "+400d"] {
        let mut run = command(program.to_str().expect("UTF-8"));
        run.args(["--exact", "skew::a_process_with_another_clock", "--nocapture"]);
        run.env(CHILD, format!("{} {}", server.port(), seconds()));
        // Clocks that are wrong run as fast as others: what measures how long something takes is left alone.
        run.env("LD_PRELOAD", &library).env("FAKETIME", skew).env("DONT_FAKE_MONOTONIC", "1");
        let done = run.stdin(Stdio::null()).output().expect("it runs");
        let told = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{skew}: {told}{}", String::from_utf8_lossy(&done.stderr));
        assert!(told.contains("1 passed"), "{skew}: {told}");
    }
}
