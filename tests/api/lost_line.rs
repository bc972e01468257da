//! A line to the API server that is cut, or that has gone dead without anybody being told.

use std::time::{Duration, Instant};

use istiolab::objects::{Api, ready};
use istiolab::plan::event::Progress;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::own::api_of;
use crate::readiness::{deployment, reference, set_status};
use crate::server::{api, applied, config_maps, shared};
use crate::wire::Wire;

/// A client over a line of its own.
async fn over_a_wire(test: &str) -> Option<(Api, Wire)> {
    let own = shared(test).await?;
    let wire = Wire::to(own.port()).await;
    Some((api_of("test-token", wire.port()).await, wire))
}

const READY: fn() -> serde_json::Value = || json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1});

#[tokio::test]
async fn applying_goes_on_after_cuts() {
    let Some((api, wire)) = over_a_wire("cuts").await else { return };
    let text = config_maps("cut", 150);
    let cuts = async {
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            wire.cut();
        }
    };
    let (done, ()) = tokio::join!(applied(&api, "cuts", &text), cuts);
    assert_eq!(done.expect("applied").created.len(), 150);
    assert!(applied(&api, "cuts", &text).await.expect("applied").is_unchanged());
}

#[tokio::test]
async fn waiting_goes_on_after_cuts() {
    let Some((wired, wire)) = over_a_wire("watch cuts").await else { return };
    let api = api("watch cuts").await.expect("it is there");
    applied(&api, "cut-off", &deployment("cut-off")).await.expect("applied");
    let object = reference("Deployment", "apps/v1", "cut-off");
    let (progress, cancel, objects) = (Progress::silent(), CancellationToken::new(), [object.clone()]);
    let waiting = ready::wait(&wired, &objects, Duration::from_secs(30), &progress, &cancel);
    let cuts = async {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            wire.cut();
        }
        wire.refuse();
        set_status(&api, &object, READY()).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        wire.open();
        Instant::now()
    };
    let (waited, open) = tokio::join!(waiting, cuts);
    waited.expect("it is ready");
    assert!(open.elapsed() < Duration::from_secs(25), "seen {:?} after the line was there again", open.elapsed());
}

/// As after a machine's sleep: the connection is there, and nothing comes.
#[tokio::test]
async fn a_dead_line_is_noticed() {
    let Some((wired, wire)) = over_a_wire("dead line").await else { return };
    let api = api("dead line").await.expect("it is there");
    applied(&api, "dead-line", &deployment("dead-line")).await.expect("applied");
    let object = reference("Deployment", "apps/v1", "dead-line");
    let (progress, cancel, objects) = (Progress::silent(), CancellationToken::new(), [object.clone()]);
    let waiting = ready::wait(&wired, &objects, Duration::from_mins(2), &progress, &cancel);
    let silence = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        wire.silence();
        tokio::time::sleep(Duration::from_millis(100)).await;
        set_status(&api, &object, READY()).await;
        wire.open();
    };
    let (waited, ()) = tokio::join!(waiting, silence);
    waited.expect("it is ready");
}
