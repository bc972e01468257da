//! Steps that look at objects and change them.

use std::time::{Duration, Instant};

use istiolab::objects::Api;
use istiolab::spec::Program;
use istiolab::verify::record::{Scenario, Status};
use istiolab::verify::{Options, Programs};
use serde_json::{Value, json};

use crate::scenarios::{error, ran_with};
use crate::server::{api, applied, get, patch, shared};

/// A feature of one scenario.
fn feature(steps: &str) -> String {
    let steps: Vec<String> = steps.lines().map(|line| format!("    {line}")).collect();
    format!("Feature: F\n  Scenario: s\n{}\n", steps.join("\n"))
}

/// Runs one scenario.
async fn ran(test: &str, steps: &str) -> Option<Scenario> {
    ran_with(test, &feature(steps), Options::default()).await.map(|mut records| records.remove(0))
}

/// The API with a map of a lab's own in `default`.
async fn with_map(test: &str, name: &str) -> Option<Api> {
    let api = api(test).await?;
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{steps: {name}}}}}\ndata: {{a: '1', b: two}}\n"
    );
    applied(&api, name, &map).await.expect("applied");
    Some(api)
}

async fn map(api: &Api, name: &str) -> Option<Value> {
    get(api, "v1", "ConfigMap", "default", name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_looked_at_by_any_name_of_their_kind() {
    let test = "objects_are_looked_at_by_any_name_of_their_kind";
    let Some(_) = with_map(test, "steps-look").await else { return };
    let steps = "Then ConfigMap \"steps-look\" in namespace \"default\" exists
And configmaps 'steps-look' in namespace 'default' exists
And ConfigMap \"steps-none\" in namespace \"default\" does not exist
And Namespace \"default\" exists
And ClusterRole.rbac.authorization.k8s.io \"none\" does not exist
And Namespace \"default\" is ready
And field \"data.b\" of ConfigMap \"steps-look\" in namespace \"default\" is \"two\"
And field \"data.b\" of ConfigMap \"steps-look\" in namespace \"default\" matches \"^t.o$\"
And field \"data.a\" of ConfigMap \"steps-look\" in namespace \"default\" is at least 0.5
And field \"data.a\" of ConfigMap \"steps-look\" in namespace \"default\" is at most 1
And ConfigMap \"steps-look\" in namespace \"default\" has no field \"data.c\"
And ConfigMap \"steps-look\" in namespace \"default\" has these fields:
  | data.a | 1 |
  | metadata.labels.steps | steps-look |
And there is 1 ConfigMap in namespace \"default\" with label \"steps=steps-look\"
And there are at least 0 configmaps in namespace \"default\" with labels \"steps in (none), steps\"
And there is no event with reason \"X\" about ConfigMap \"steps-look\" in namespace \"default\"
And 3 times in a row, Namespace \"default\" exists";
    let record = ran(test, steps).await.expect("the server is there");
    assert_eq!(record.status, Status::Passed, "{}", error(&record));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_so_is_told_with_what_is() {
    let test = "what_is_not_so_is_told_with_what_is";
    let Some(_) = with_map(test, "steps-wrong").await else { return };
    let wrong = [
        ("ConfigMap \"x\" in namespace \"default\" exists", "ConfigMap default/x is not there"),
        ("Namespace \"default\" does not exist", "Namespace default is there"),
        (
            "Namespace \"default\" in namespace \"a\" exists",
            "Namespace lives in no namespace: write Namespace \"default\" alone",
        ),
        ("ConfigMap \"x\" exists", "ConfigMap lives in namespaces: write ConfigMap \"x\" in namespace \"…\""),
        ("Dragon \"x\" exists", "the cluster serves no kind `Dragon`"),
        (
            "field \"data.a\" of ConfigMap \"steps-wrong\" in namespace \"default\" is \"2\"",
            "field `data.a` of ConfigMap default/steps-wrong is \"1\", not \"2\"",
        ),
        (
            "field \"data.c\" of ConfigMap \"steps-wrong\" in namespace \"default\" is \"2\"",
            "ConfigMap default/steps-wrong: there is no `data.c`; `data` has: a, b",
        ),
        (
            "field \"data.a\" of ConfigMap \"steps-wrong\" in namespace \"default\" is at least 2",
            "field `data.a` of ConfigMap default/steps-wrong is \"1\", not at least 2",
        ),
        (
            "there are 2 ConfigMaps in namespace \"default\" with label \"steps=steps-wrong\"",
            "there are 1: steps-wrong",
        ),
        (
            "there is an event with reason \"X\" about ConfigMap \"steps-wrong\" in namespace \"default\"",
            "no event X about ConfigMap default/steps-wrong since the scenario began; there are none at all",
        ),
        (
            "2 times in a row ConfigMap \"x\" in namespace \"default\" exists",
            "not 2 times in a row: at time 1 ConfigMap default/x is not there",
        ),
    ];
    for (step, why) in wrong {
        let record = ran(test, &format!("Then {step}")).await.expect("the server is there");
        assert!(error(&record).contains(&format!("\n  {why}")), "{step}: {}", error(&record));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_others_objects_is_taken_back_with_its_owners() {
    let test = "a_change_of_others_objects_is_taken_back_with_its_owners";
    let Some(api) = with_map(test, "steps-patch").await else { return };
    let before = map(&api, "steps-patch").await.expect("it is there");
    let steps = "When ConfigMap \"steps-patch\" in namespace \"default\" is patched with:
  \"\"\"
  data: {a: '7', b: null, c: new}
  \"\"\"
And the label \"tier\" of ConfigMap \"steps-patch\" in namespace \"default\" is set to \"x\"
And the label \"steps\" of ConfigMap \"steps-patch\" in namespace \"default\" is set to \"\"
Then ConfigMap \"steps-patch\" in namespace \"default\" has these fields:
  | data.a | 7 |
  | data.c | new |
  | metadata.labels.tier | x |
And ConfigMap \"steps-patch\" in namespace \"default\" has no field \"data.b\"
And ConfigMap \"steps-patch\" in namespace \"default\" has no field \"metadata.labels.steps\"";
    let record = ran(test, steps).await.expect("the server is there");
    assert_eq!(record.status, Status::Passed, "{}", error(&record));
    let after = map(&api, "steps-patch").await.expect("it is there");
    assert_eq!(after["data"], before["data"]);
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    assert_eq!(after["metadata"]["managedFields"], before["metadata"]["managedFields"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misspelled_field_of_a_patch_is_refused() {
    let test = "a_misspelled_field_of_a_patch_is_refused";
    let Some(api) = with_map(test, "steps-typo").await else { return };
    let steps = "When ConfigMap \"steps-typo\" in namespace \"default\" is patched with:\n  \"\"\"\n  daten: {a: '7'}\n  \"\"\"";
    let record = ran(test, steps).await.expect("the server is there");
    assert!(error(&record).contains("changing ConfigMap default/steps-typo"), "{}", error(&record));
    assert!(error(&record).contains("unknown field \"daten\""), "{}", error(&record));
    assert_eq!(map(&api, "steps-typo").await.expect("it is there")["data"]["a"], "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_is_made_again() {
    let test = "what_was_deleted_is_made_again";
    let Some(api) = with_map(test, "steps-delete").await else { return };
    let before = map(&api, "steps-delete").await.expect("it is there");
    // No garbage collector runs here, which would let the object go.
    let collector = tokio::spawn({
        let api = api.clone();
        async move {
            loop {
                if let Some(found) = map(&api, "steps-delete").await
                    && found["metadata"]["deletionTimestamp"].is_string()
                {
                    patch(&api, "ConfigMap", "default", "steps-delete", &json!({"metadata": {"finalizers": null}}))
                        .await;
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let steps = "When ConfigMap \"steps-delete\" in namespace \"default\" is deleted
Then ConfigMap \"steps-delete\" in namespace \"default\" does not exist";
    let record = ran(test, steps).await.expect("the server is there");
    collector.await.expect("it played its part");
    assert_eq!(record.status, Status::Passed, "{}", error(&record));
    let after = map(&api, "steps-delete").await.expect("it is there again");
    assert_eq!(after["data"], before["data"]);
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["metadata"]["managedFields"][0]["manager"], "istiolab");
    let record = ran(test, "When Namespace \"kube-public\" is deleted").await.expect("the server is there");
    assert!(error(&record).contains("Namespace kube-public is not the scenario's own"), "{}", error(&record));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_goes_on_as_soon_as_the_object_changes() {
    let test = "a_wait_goes_on_as_soon_as_the_object_changes";
    let Some(api) = with_map(test, "steps-wait").await else { return };
    let mut late = Vec::new();
    for round in 0..5 {
        let changer = tokio::spawn({
            let api = api.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(1500)).await;
                let changed = Instant::now();
                patch(&api, "ConfigMap", "default", "steps-wait", &json!({"data": {"round": round.to_string()}})).await;
                changed
            }
        });
        let steps = format!(
            "Then eventually within 10 seconds field \"data.round\" of ConfigMap \"steps-wait\" in namespace \"default\" is \"{round}\""
        );
        let record = ran(test, &steps).await.expect("the server is there");
        let seen = Instant::now();
        assert_eq!(record.status, Status::Passed, "{}", error(&record));
        late.push(seen - changer.await.expect("it was changed"));
    }
    late.sort();
    // Of the middle: a machine that is busy with other tests may be late once.
    assert!(late[2] < Duration::from_millis(100), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_program_asks_the_cluster_of_the_scenario() {
    let test = "a_pinned_program_asks_the_cluster_of_the_scenario";
    let Some(_) = with_map(test, "steps-program").await else { return };
    let Some(own) = shared(test).await else { return };
    let program = |version: &str| Program {
        path: own.folder().join("kubectl").into_string(),
        version: version.to_owned(),
        version_arguments: vec!["version".to_owned(), "--client".to_owned()],
    };
    let options = |version: &str| Options {
        programs: Programs::new([("kubectl".to_owned(), program(version))].into(), own.folder())
            .against(own.kubeconfig_file()),
        ..Options::default()
    };
    let steps = "When program \"kubectl\" is run with \"get configmap steps-program -o json\"
Then the exit code is 0
And field \"data.b\" of the output is \"two\"
And there is no error output
And eventually within 5 seconds program \"kubectl\" with \"get configmap -l steps=steps-program -o name\" prints \"configmap/steps-program\"
When program \"kubectl\" is run with \"get configmap none\"
Then the exit code is 1
And the error output contains \"not found\"";
    let records = ran_with(test, &feature(steps), options("v1.")).await.expect("the server is there");
    assert_eq!(records[0].status, Status::Passed, "{}", error(&records[0]));
    let records = ran_with(test, &feature(steps), options("v0.1")).await.expect("the server is there");
    assert!(error(&records[0]).contains("has not the version \"v0.1\""), "{}", error(&records[0]));
}
