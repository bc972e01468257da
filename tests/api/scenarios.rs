//! Scenarios and the objects that they bring: made, taken away again, and missed if they stay.

use camino::Utf8PathBuf;
use istiolab::plan::event::{Progress, What};
use istiolab::verify::record::{Scenario, Status};
use istiolab::verify::{Options, run};
use tokio_util::sync::CancellationToken;

use crate::server::{api, applied, config};

/// Runs one feature against the shared server.
async fn ran(test: &str, feature: &str) -> Option<Vec<Scenario>> {
    ran_with(test, feature, Options::default()).await
}

/// The same with options.
pub(crate) async fn ran_with(test: &str, feature: &str, options: Options) -> Option<Vec<Scenario>> {
    api(test).await?;
    let config = config(test).await?;
    let folder = tempfile::tempdir().expect("a folder");
    let path = Utf8PathBuf::from_path_buf(folder.path().join("f.feature")).expect("a path in UTF-8");
    fs_err::write(&path, feature).expect("a file");
    let (progress, mut events) = Progress::channel();
    let options = Options { paths: vec![path], ..options };
    run(config, options, &progress, &CancellationToken::new()).await.expect("it ran");
    drop(progress);
    let mut records = Vec::new();
    while let Some(event) = events.recv().await {
        if let What::Scenario(record) = event.what {
            records.push(*record);
        }
    }
    Some(records)
}

/// Why a scenario did not pass; nothing if it did.
pub(crate) fn error(record: &Scenario) -> &str {
    record.error.as_deref().unwrap_or_default()
}

const MAP: &str = "apiVersion: v1\n      kind: ConfigMap\n      metadata:\n        name: NAME\n";

/// A scenario that brings a `ConfigMap` with this name and other metadata.
fn brings(name: &str, more: &str) -> String {
    let map = MAP.replace("NAME", name);
    format!(
        "Feature: F\n  Scenario: s\n    Given these objects in namespace \"default\":\n      \"\"\"\n      {map}{more}      \"\"\"\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_scenario_brings_is_gone_at_its_end() {
    // No garbage collector runs here, so that "foreground" deletion of the scenario's own kind stays
    // pending for ever: exactly what a leak looks like.
    let Some(records) = ran("what_a_scenario_brings_is_gone_at_its_end", &brings("leak-${unique}", "")).await else {
        return;
    };
    let record = &records[0];
    assert_eq!(record.status, Status::Failed, "{}", error(record));
    assert!(
        error(record).starts_with("After what the scenario made is deleted and gone\n  still there "),
        "{}",
        error(record)
    );
    assert!(error(record).contains("ConfigMap default/leak-s"), "{}", error(record));
    assert_eq!(record.steps.last().map(|step| step.status), Some(Status::Failed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_object_is_neither_changed_nor_deleted() {
    let test = "somebody_elses_object_is_neither_changed_nor_deleted";
    let Some(api) = api(test).await else { return };
    let foreign = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: not-the-scenarios}\ndata: {a: b}\n";
    applied(&api, "scenarios-foreign", foreign).await.expect("applied");
    let records = ran(test, &brings("not-the-scenarios", "")).await.expect("the server is there");
    assert!(
        error(&records[0]).contains("ConfigMap default/not-the-scenarios is there already"),
        "{}",
        error(&records[0])
    );
    let left = crate::server::get(&api, "v1", "ConfigMap", "default", "not-the-scenarios").await;
    let left = left.expect("it is still there");
    assert_eq!(left["data"]["a"], "b");
    assert!(left["metadata"]["deletionTimestamp"].is_null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_is_not_served_is_named() {
    let feature = brings("x-${unique}", "").replace("apiVersion: v1\n", "apiVersion: none.example/v1\n");
    let Some(records) = ran("a_kind_that_is_not_served_is_named", &feature).await else { return };
    assert!(
        error(&records[0]).contains("the cluster does not serve ConfigMap of none.example/v1"),
        "{}",
        error(&records[0])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_not_there_is_told_in_the_api_servers_words() {
    let test = "a_service_that_is_not_there_is_told_in_the_api_servers_words";
    let feature = "Feature: F\n  Scenario: s\n    Then eventually within 1 second the query \"up\" gives a value\n";
    let Some(records) = ran(test, feature).await else { return };
    let error = error(&records[0]);
    assert!(
        error.contains("not within 1s: GET prometheus.istio-system:9090/api/v1/query?query=up: status 404"),
        "{error}"
    );
    assert!(error.contains("services \\\"prometheus\\\" not found"), "{error}");
}

/// Plays the controllers that the test has not: waits for the scenario's config map, makes another
/// object of its name, and lets go of the first when it is to be deleted.
async fn controllers(api: istiolab::objects::Api, prefix: &'static str, owned: bool) {
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
    let maps: kube::Api<ConfigMap> = kube::Api::namespaced(api.client().clone(), "default");
    let secrets: kube::Api<Secret> = kube::Api::namespaced(api.client().clone(), "default");
    let mut made = None;
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let all = maps.list(&ListParams::default()).await.expect("a list").items;
        let ours =
            all.into_iter().find(|map| map.metadata.name.as_deref().is_some_and(|name| name.starts_with(prefix)));
        match (ours, &made) {
            (None, None) => {}
            (Some(map), None) => {
                let name = format!("made-for-{}", map.metadata.name.as_deref().expect("a name"));
                let mut secret = Secret::default();
                secret.metadata.name = Some(name.clone());
                if owned {
                    let reference = kube::Resource::owner_ref(&map, &());
                    secret.metadata.owner_references = Some(reference.into_iter().collect());
                }
                secrets.create(&PostParams::default(), &secret).await.expect("made");
                made = Some(name);
            }
            (Some(map), Some(_)) => {
                if map.metadata.deletion_timestamp.is_some() {
                    let name = map.metadata.name.expect("a name");
                    let free = Patch::Merge(serde_json::json!({"metadata": {"finalizers": null}}));
                    // It may be gone by now.
                    let _ = maps.patch(&name, &PatchParams::default(), &free).await;
                }
            }
            (None, Some(name)) => {
                // A collector of garbage takes a moment.
                tokio::time::sleep(std::time::Duration::from_millis(700)).await;
                if owned {
                    secrets.delete(name, &DeleteParams::default()).await.expect("deleted");
                }
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_scenario_leaves_besides_what_it_made_is_named() {
    let test = "what_a_scenario_leaves_besides_what_it_made_is_named";
    let Some(api) = api(test).await else { return };
    let controllers = tokio::spawn(controllers(api, "left-", false));
    let records = ran(test, &brings("left-${unique}", "")).await.expect("the server is there");
    controllers.await.expect("they did their work");
    let error = error(&records[0]);
    assert!(
        error.starts_with("After nothing of the scenario stayed\n  the scenario left Secret default/made-for-left-s"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_what_is_gone_may_take_a_moment() {
    let test = "what_belongs_to_what_is_gone_may_take_a_moment";
    let Some(api) = api(test).await else { return };
    let controllers = tokio::spawn(controllers(api, "owner-", true));
    let records = ran(test, &brings("owner-${unique}", "")).await.expect("the server is there");
    controllers.await.expect("they did their work");
    assert_eq!(records[0].status, Status::Passed, "{}", error(&records[0]));
    assert_eq!(records[0].steps.len(), 3, "{:?}", records[0].steps);
}
