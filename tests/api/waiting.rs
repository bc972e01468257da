//! Waiting by a lab's own rules, what is told meanwhile, and what waiting for many costs.

use std::io::Write as _;
use std::time::Duration;

use futures::StreamExt as _;
use istiolab::objects::ready::{Policy, wait_with};
use istiolab::objects::{Api, Error, ObjectRef};
use istiolab::plan::event::{Progress, What};
use istiolab::process::Command;
use istiolab::spec::{self, Lab};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api as KubeApi, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::server::{api, applied, config};

/// A lab file that says nothing but this of readiness.
fn lab(rest: &str) -> Lab {
    let text = format!("apiVersion: istiolab.dev/v1alpha1\nkind: Lab\nname: waiting\n{rest}");
    spec::parse(&text, "lab.yaml".into(), "/lab.yaml".into()).expect("a lab file")
}

fn map(name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        namespace: Some("default".to_owned()),
        name: name.to_owned(),
    }
}

async fn set(api: &Api, name: &str, data: Value) {
    let requests: KubeApi<ConfigMap> = KubeApi::namespaced(api.client().clone(), "default");
    let patch = json!({"data": data});
    requests.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("patched");
}

async fn waited(
    api: &Api,
    objects: &[ObjectRef],
    policy: Policy,
    limit: Duration,
    progress: &Progress,
) -> Result<(), Error> {
    wait_with(api, objects, policy, limit, progress, &CancellationToken::new()).await
}

#[tokio::test]
async fn a_labs_own_rule_makes_a_config_map_something_to_wait_for() {
    let Some(api) = api("own rule").await else { return };
    let policy = Policy::of(&lab(
        "readiness:\n- kind: ConfigMap\n  expression: object.data.state == 'warm'\n  message: it is still cold\n",
    ))
    .expect("a policy");
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: oven}\ndata: {state: cold}\n";
    applied(&api, "oven", text).await.expect("applied");
    let (progress, mut events) = Progress::channel();
    let warm_up = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        set(&api, "oven", json!({"state": "warm"})).await;
    };
    let objects = [map("oven")];
    let (result, ()) =
        tokio::join!(waited(&api, &objects, policy.clone(), Duration::from_secs(10), &progress), warm_up);
    result.expect("it gets warm");
    drop(progress);
    let mut told = Vec::new();
    while let Some(event) = events.recv().await {
        if let What::Object { object, state, ready, elapsed } = event.what {
            told.push((format!("{object}: {state}"), ready, elapsed));
        }
    }
    let last = told.pop().expect("it was told");
    assert_eq!((last.0.as_str(), last.1), ("ConfigMap default/oven: it is still cold", true));
    assert!(last.2 >= Duration::from_millis(500), "{:?}", last.2);
    assert!(told.iter().any(|(text, ready, _)| text == "ConfigMap default/oven: it is still cold" && !ready));

    set(&api, "oven", json!({"state": null})).await;
    let error = waited(&api, &objects, policy, Duration::from_millis(500), &Progress::silent()).await;
    let Err(Error::NotReady { waiting, .. }) = error else { panic!("{error:?}") };
    assert_eq!(waiting[0].1, "it is still cold: there is no `data`");
}

#[tokio::test]
async fn a_rule_that_says_that_waiting_is_in_vain_ends_it_at_once() {
    let Some(api) = api("in vain").await else { return };
    let policy = Policy::of(&lab(
        "readiness:\n- kind: ConfigMap\n  expression: object.data.state == 'warm'\n  failed: object.data.state.startsWith('burnt')\n",
    ))
    .expect("a policy");
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: toast}\ndata: {state: burnt black}\n";
    applied(&api, "toast", text).await.expect("applied");
    let error = waited(&api, &[map("toast")], policy, Duration::from_mins(1), &Progress::silent()).await;
    let text = error.expect_err("it is burnt").to_string();
    let (first, rest) = text.split_once(" failed after ").expect("a failure");
    assert_eq!(first, "ConfigMap default/toast");
    assert!(rest.ends_with("s: `object.data.state.startsWith('burnt')` holds (limit 1m)"), "{rest}");
}

#[tokio::test]
async fn objects_of_the_same_name_in_many_namespaces_are_told_apart() {
    let Some(api) = api("many namespaces").await else { return };
    let policy = Policy::of(&lab("readiness: [{kind: ConfigMap, expression: object.data.state == 'warm'}]\n"))
        .expect("a policy");
    let namespaced = |index: usize| {
        let state = if index == 7 { "cold" } else { "warm" };
        format!(
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: many-{index}}}\n---\napiVersion: v1\nkind: ConfigMap\n\
             metadata: {{name: oven, namespace: many-{index}}}\ndata: {{state: {state}}}\n"
        )
    };
    let text: String = (0..12).map(namespaced).collect();
    applied(&api, "many-namespaces", &text).await.expect("applied");
    let oven = |index: usize| ObjectRef { namespace: Some(format!("many-{index}")), ..map("oven") };
    let objects: Vec<_> = (0..12).map(oven).collect();
    let error = waited(&api, &objects, policy, Duration::from_secs(2), &Progress::silent()).await;
    let Err(Error::NotReady { waiting, .. }) = error else { panic!("{error:?}") };
    let names: Vec<String> = waiting.iter().map(|(object, _)| object.to_string()).collect();
    assert_eq!(names, ["ConfigMap many-7/oven"]);
}

#[tokio::test]
async fn the_lab_file_says_how_long_troubles_may_last() {
    let Some(api) = api("grace").await else { return };
    let policy = Policy::of(&lab("grace: {scheduling: 300ms}\n")).expect("a policy");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: homeless}\nspec: {containers: [{name: c, image: nobody.test/none:1}]}\n";
    applied(&api, "homeless", pod).await.expect("applied");
    let requests: KubeApi<k8s_openapi::api::core::v1::Pod> = KubeApi::namespaced(api.client().clone(), "default");
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"});
    let status = json!({"status": {"phase": "Pending", "conditions": [condition]}});
    requests.patch_status("homeless", &PatchParams::default(), &Patch::Merge(&status)).await.expect("written");
    let event = json!({
        "metadata": {"name": "homeless.1", "namespace": "default"}, "type": "Warning", "reason": "FailedScheduling",
        "message": "untolerated taint", "lastTimestamp": "2026-01-01T00:00:00Z",
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "homeless"},
    });
    let events: KubeApi<k8s_openapi::api::core::v1::Event> = KubeApi::namespaced(api.client().clone(), "default");
    let event = serde_json::from_value(event).expect("an event");
    events.create(&PostParams::default(), &event).await.expect("made");
    let object = ObjectRef { kind: "Pod".to_owned(), ..map("homeless") };
    let error = waited(&api, &[object], policy, Duration::from_mins(1), &Progress::silent()).await;
    let text = error.expect_err("no node takes it").to_string();
    assert!(
        text.ends_with(
            "pod homeless: Unschedulable: 0/1 nodes are available; last event: FailedScheduling: untolerated taint; \
             not better within 0.3s, the grace for scheduling (limit 1m)"
        ),
        "{text}"
    );
}

/// How many objects this program is to wait for, and the server's address, when it is called by itself.
const COUNT: &str = "ISTIOLAB_TEST_WAIT_FOR";
const SERVER: &str = "ISTIOLAB_TEST_SERVER";

/// Waits for as many objects as the environment says, in this process alone, and prints what it took.
#[tokio::test]
async fn waiting_in_a_process_of_its_own() {
    let (Ok(count), Ok(server)) = (std::env::var(COUNT), std::env::var(SERVER)) else { return };
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut config = kube::Config::new(server.parse().expect("an address"));
    config.accept_invalid_certs = true;
    config.auth_info.token = Some("test-token".to_owned().into());
    let api = Api::new(kube::Client::try_from(config).expect("a client"));
    let count: usize = count.parse().expect("a number");
    let objects: Vec<_> = (0..count).map(|index| map(&format!("many-{index}"))).collect();
    let policy = Policy::of(&lab("readiness: [{kind: ConfigMap, expression: 'object.data.size() > 1'}]\n"));
    // Everything that is used once is used before it is counted.
    let quick = Duration::from_millis(500);
    drop(waited(&api, &objects[..1], policy.as_ref().expect("a policy").clone(), quick, &Progress::silent()).await);
    let before = resident("VmHWM");
    let begin = std::time::Instant::now();
    waited(&api, &objects, policy.expect("a policy"), Duration::from_mins(1), &Progress::silent())
        .await
        .expect("ready");
    let (took, within) = (resident("VmHWM") - before, begin.elapsed().as_millis());
    writeln!(std::io::stdout(), "took {took} kB and {within} ms").expect("told");
}

fn resident(field: &str) -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// What is held of an object in full is held for a page of a list at most.
#[tokio::test]
async fn memory_does_not_grow_with_what_is_waited_for() {
    const ALL: usize = 5000;
    let Some(api) = api("memory").await else { return };
    // 5 kB each: all of them would be 25 MB as text, and a multiple of that when they are read.
    let requests: KubeApi<ConfigMap> = KubeApi::namespaced(api.client().clone(), "default");
    let make = |index: usize| {
        let requests = requests.clone();
        async move {
            let map = json!({"metadata": {"name": format!("many-{index}"), "labels": {"many": "yes"}}, "data": {"a": "x".repeat(5000), "b": "y"}});
            let map = serde_json::from_value(map).expect("a map");
            requests.create(&PostParams::default(), &map).await.expect("made");
        }
    };
    futures::stream::iter((0..ALL).map(make)).buffer_unordered(32).collect::<Vec<()>>().await;
    let server = config("memory").await.expect("it runs").cluster_url.to_string();
    let took = async |count: usize| {
        let command = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "waiting::waiting_in_a_process_of_its_own", "--nocapture"])
            .env(COUNT, count.to_string())
            .env(SERVER, &server);
        let output = command.run(&CancellationToken::new()).await.expect("it succeeds").stdout;
        let line = output.lines().find_map(|line| line.split_once("took "));
        let (_, line) = line.unwrap_or_else(|| panic!("{output}"));
        line.split(' ').next().and_then(|number| number.parse::<u64>().ok()).expect("a number")
    };
    let (few, all) = (took(50).await, took(ALL).await);
    // A few hundred bytes of state for each, and no more.
    assert!(all < few + 20_000, "{few} kB for 50 objects, {all} kB for {ALL}");
    let (all, params) = (ListParams::default().labels("many=yes"), DeleteParams::background());
    requests.delete_collection(&params, &all).await.expect("deleted");
}
