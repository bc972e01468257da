//! An API server that is killed and started again in the middle, and one that has forgotten what was.

use std::time::Duration;

use istiolab::objects::{Api, Options, SetName, apply, delete_set, ready};
use istiolab::plan::event::{Event, Progress, What};
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::own::{Own, api_of};
use crate::readiness::{deployment, reference, set_status};
use crate::server::{config_maps, get, objects};
use crate::wire::Wire;

/// Longer than a server takes to start on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

/// How long the server is away beyond the time that it takes to start.
const AWAY: Duration = Duration::from_millis(500);

/// Waits until this many states have been told.
async fn states(events: &mut UnboundedReceiver<Event>, count: usize) {
    let mut seen = 0;
    while seen < count {
        let event = events.recv().await.expect("it goes on");
        seen += usize::from(matches!(event.what, What::Status { .. }));
    }
}

async fn restart(own: &Own) {
    own.kill_server();
    tokio::time::sleep(AWAY).await;
    own.start_server();
}

async fn apply_and_restart(own: &Own, api: &Api, text: &str) {
    let (progress, mut events) = Progress::channel();
    let (set, objects, cancel) = (SetName::new("restarted", "default"), objects(text), CancellationToken::new());
    let options = Options { deadline: LIMIT, ..Options::default() };
    let applying = apply(api, &set, &objects, &options, &progress, &cancel);
    let break_it = async {
        states(&mut events, 60).await;
        restart(own).await;
    };
    let (applied, ()) = tokio::join!(applying, break_it);
    let applied = applied.expect("it goes on when the server is back");
    assert_eq!(applied.created.len(), objects.len(), "{applied}");
    let again = apply(api, &set, &objects, &options, &progress, &cancel).await.expect("applied");
    assert!(again.is_unchanged(), "{again}");
}

async fn wait_and_restart(own: &Own, api: &Api) {
    let object = reference("Deployment", "apps/v1", "restarted");
    let (progress, cancel, waited_for) = (Progress::silent(), CancellationToken::new(), [object.clone()]);
    let waiting = ready::wait(api, &waited_for, LIMIT, &progress, &cancel);
    let break_it = async {
        tokio::time::sleep(AWAY).await;
        restart(own).await;
        own.ready().await;
        let status = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1});
        set_status(api, &object, status).await;
    };
    let (waited, ()) = tokio::join!(waiting, break_it);
    waited.expect("it is ready");
}

async fn delete_and_restart(own: &Own, api: &Api) {
    let (progress, mut events) = Progress::channel();
    let cancel = CancellationToken::new();
    let set = SetName::new("restarted", "default");
    let deleting = delete_set(api, &set, LIMIT, &progress, &cancel);
    let break_it = async {
        states(&mut events, 2).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        restart(own).await;
    };
    let (deleted, ()) = tokio::join!(deleting, break_it);
    deleted.expect("it goes on when the server is back");
    for name in ["c-0", "c-299", "restarted"] {
        assert!(get(api, "v1", "ConfigMap", "default", name).await.is_none(), "{name} is gone");
    }
}

/// One server, one test: starting takes seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_in_the_middle_is_waited_for() {
    let Some(own) = Own::start("restarts", &[]) else { return };
    let api = own.api().await;
    apply_and_restart(&own, &api, &(config_maps("c", 300) + "---\n" + &deployment("restarted"))).await;
    wait_and_restart(&own, &api).await;
    delete_and_restart(&own, &api).await;
}

/// While nobody watches, the object changes and the server forgets everything that was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_whose_version_is_too_old_begins_anew() {
    let Some(own) = Own::start("compaction", &[]) else { return };
    let direct = own.api().await;
    let wire = Wire::to(own.port()).await;
    let api = api_of("test-token", wire.port()).await;
    crate::server::applied(&direct, "old", &deployment("old")).await.expect("applied");
    let object = reference("Deployment", "apps/v1", "old");
    let (progress, cancel, waited_for) = (Progress::silent(), CancellationToken::new(), [object.clone()]);
    let waiting = ready::wait(&api, &waited_for, LIMIT, &progress, &cancel);
    let break_it = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        wire.refuse();
        for number in 0..20 {
            set_status(&direct, &object, json!({"observedGeneration": 1, "replicas": number})).await;
        }
        let status = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1});
        set_status(&direct, &object, status).await;
        own.compact().await;
        // The new server's own memory begins after the compaction.
        restart(&own).await;
        own.ready().await;
        wire.open();
    };
    let (waited, ()) = tokio::join!(waiting, break_it);
    waited.expect("it is ready");
}

/// Lists of several pages, whose later pages are forgotten while the first ones are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_forgotten_in_the_middle_is_begun_anew() {
    let Some(own) = Own::start("lists", &["--watch-cache=false"]) else { return };
    let api = own.api().await;
    let text = config_maps("lists", 1200);
    crate::server::applied(&api, "lists", &text).await.expect("applied");
    let stop = CancellationToken::new();
    let forget = async {
        let mut number = 0;
        while !stop.is_cancelled() {
            number += 1;
            let text =
                format!("{{apiVersion: v1, kind: Secret, metadata: {{name: other}}, stringData: {{a: '{number}'}}}}");
            crate::server::applied(&api, "lists-other", &text).await.expect("applied");
            own.compact().await;
        }
        number
    };
    let apply = async {
        for _ in 0..5 {
            let again = crate::server::applied(&api, "lists", &text).await.expect("applied");
            assert!(again.is_unchanged() && again.unchanged.len() == 1200, "{again}");
        }
        stop.cancel();
    };
    let (forgotten, ()) = tokio::join!(forget, apply);
    assert!(forgotten > 5, "it was compacted {forgotten} times");
}
