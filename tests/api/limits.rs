//! What the API server has too much of: requests, bytes, events.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use istiolab::error::{Failure, Kind};
use istiolab::objects::{Api, Error, Options, SetName, apply, ready};
use istiolab::plan::event::Progress;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::hook::Answer;
use crate::own::api_of;
use crate::readiness::{deployment, reference, set_status};
use crate::server::{api, applied, config_maps, objects, shared};
use crate::webhooks::hooked;

/// The user gets this share of the server, and no place to queue.
fn tiny(user: &str, shares: u32) -> String {
    format!(
        "
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {{name: {user}}}
spec: {{type: Limited, limited: {{nominalConcurrencyShares: {shares}, lendablePercent: 0, borrowingLimitPercent: 0, limitResponse: {{type: Reject}}}}}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {{name: {user}}}
spec:
  priorityLevelConfiguration: {{name: {user}}}
  matchingPrecedence: 2
  rules:
  - subjects: [{{kind: User, user: {{name: {user}}}}}]
    resourceRules: [{{verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'], clusterScope: true}}]
"
    )
}

/// How many requests of `tiny` the server has turned away.
async fn rejected(api: &Api) -> f64 {
    let request = http::Request::get("/metrics").body(Vec::new()).expect("a request");
    let metrics = api.client().request_text(request).await.expect("metrics");
    metrics
        .lines()
        .filter(|line| line.starts_with("apiserver_flowcontrol_rejected_requests_total") && line.contains("\"tiny\""))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_turned_away_are_sent_again() {
    let Some(own) = shared("429").await else { return };
    let admin = own.api().await;
    applied(&admin, "tiny", &tiny("tiny", 1)).await.expect("applied");
    let api = api_of("tiny-token", own.port()).await;
    let text = config_maps("tiny", 200);
    let set = SetName::new("tiny-objects", "default");
    let options = Options { deadline: Duration::from_mins(2), ..Options::default() };
    let (objects, cancel) = (objects(&text), CancellationToken::new());
    let mut created = 0;
    // Until the server has taken note of the flow schema nothing is turned away.
    for _ in 0..20 {
        let progress = Progress::silent();
        let done = apply(&api, &set, &objects, &options, &progress, &cancel).await.expect("applied, however slowly");
        created += done.created.len();
        if rejected(&admin).await > 0.0 {
            break;
        }
        istiolab::objects::delete_set(&admin, &set, Duration::from_mins(1), &progress, &cancel).await.expect("deleted");
    }
    assert!(rejected(&admin).await > 0.0, "nothing was turned away");
    assert_eq!(created % 200, 0);
}

/// One request of `tiny` lasts long, and it gets no second one meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_turned_away_until_the_end_is_told_so() {
    let Some((admin, hook)) = hooked("429 for ever", "jam", 15).await else { return };
    let own = shared("429 for ever").await.expect("it is there");
    applied(&admin, "tiny-jam", &tiny("tiny-jam", 0)).await.expect("applied");
    let api = api_of("tiny-jam-token", own.port()).await;
    hook.answers(Answer::Hang);
    let requests: kube::Api<ConfigMap> = kube::Api::namespaced(api.client().clone(), "jam");
    let long = serde_json::from_value(json!({"metadata": {"name": "long"}})).expect("an object");
    let jam = tokio::spawn(async move { requests.create(&kube::api::PostParams::default(), &long).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let options = Options { deadline: Duration::from_secs(4), ..Options::default() };
    let mut message = String::new();
    // Until the server has taken note of the flow schema nothing is turned away.
    for number in 0..20 {
        let text = format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: jam-{number}}}}}");
        let set = SetName::new(format!("jam-{number}"), "default");
        let (objects, cancel) = (objects(&text), CancellationToken::new());
        if let Err(error) = apply(&api, &set, &objects, &options, &Progress::silent(), &cancel).await {
            message = error.to_string();
            assert_eq!(Failure::from(error).kind, Kind::TimedOut, "{message}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    jam.abort();
    assert!(message.to_lowercase().contains("too many requests"), "{message}");
}

fn large(name: &str, bytes: usize) -> String {
    format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{a: '{}'}}}}", "x".repeat(bytes))
}

#[tokio::test]
async fn an_object_of_a_megabyte_is_applied_and_a_larger_one_refused_at_once() {
    let Some(api) = api("a megabyte").await else { return };
    let text = large("large", (1 << 20) - 1);
    applied(&api, "large", &text).await.expect("applied");
    assert!(applied(&api, "large", &text).await.expect("applied").is_unchanged());

    let kind = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: whales.limits.test}
spec:
  group: limits.test
  scope: Namespaced
  names: {kind: Whale, plural: whales}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: string}}}}
";
    applied(&api, "whales", kind).await.expect("applied");
    let whale = |bytes: usize| {
        format!("{{apiVersion: limits.test/v1, kind: Whale, metadata: {{name: w}}, spec: '{}'}}", "x".repeat(bytes))
    };
    // Refused by validation, by the line to etcd, by etcd, and before it is read.
    let refused = [
        ("ConfigMap default/larger", large("larger", (1 << 20) + 1), "may not be more than 1048576 bytes"),
        ("Whale default/w", whale(2 << 20), "it is too large for the cluster's store"),
        ("Whale default/w", whale(1800 << 10), "it is too large for the cluster's store"),
        ("Whale default/w", whale(4 << 20), "too large"),
    ];
    for (object, text, why) in refused {
        let begin = Instant::now();
        let error = applied(&api, "too-large", &text).await.expect_err("it is too large");
        assert!(begin.elapsed() < Duration::from_secs(28), "it took {:?}", begin.elapsed());
        let message = error.to_string();
        assert!(message.starts_with(&format!("test.yaml:1: {object} is refused: ")), "{message}");
        assert!(message.contains(why), "{message}");
        assert!(message.len() < 1000, "the object is not repeated");
        assert_eq!(Failure::from(error).kind, Kind::BadInput);
    }
}

/// What is written of times lies partly ahead of any clock here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_thousands_of_events_the_newest_is_told_whatever_the_clocks_say() {
    let Some(api) = api("events").await else { return };
    applied(&api, "eventful", &deployment("eventful")).await.expect("applied");
    let object = reference("Deployment", "apps/v1", "eventful");
    set_status(&api, &object, json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1})).await;
    let requests: kube::Api<Event> = kube::Api::namespaced(api.client().clone(), "default");
    let event = |number: u32| {
        let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
        // Next century, by a clock that is wrong.
        let time = format!("2101-01-01T{hour:02}:{minute:02}:{second:02}Z");
        serde_json::from_value::<Event>(json!({
            "metadata": {"name": format!("eventful.{number}")},
            "involvedObject": {"kind": "Deployment", "namespace": "default", "name": "eventful"},
            "type": "Warning", "reason": "Trouble", "message": format!("trouble {number}"),
            "firstTimestamp": time, "lastTimestamp": time,
        }))
        .expect("an event")
    };
    stream::iter(0..5000)
        .map(|number| {
            let (requests, event) = (requests.clone(), event(number));
            async move { requests.create(&kube::api::PostParams::default(), &event).await }
        })
        .buffer_unordered(32)
        .try_for_each(|_| async { Ok(()) })
        .await
        .expect("events");
    let begin = Instant::now();
    let (progress, cancel) = (Progress::silent(), CancellationToken::new());
    let error =
        ready::wait(&api, &[object], Duration::from_secs(1), &progress, &cancel).await.expect_err("never ready");
    assert!(begin.elapsed() < Duration::from_mins(1), "it took {:?}", begin.elapsed());
    let Error::NotReady { waiting, .. } = &error else { panic!("{error}") };
    assert_eq!(waiting[0].1, "0 of 1 replicas ready; last event: Trouble: trouble 4999");
}
