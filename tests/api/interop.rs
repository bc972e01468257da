//! Sets that kubectl keeps and sets that we keep: each reads what the other wrote, and takes a set over
//! when it is handed over.

use std::time::Duration;

use camino::Utf8Path;
use istiolab::error::{Failure, Kind};
use istiolab::objects::{Api, Applied, Error, Options, Parent, SetName, apply, delete_set};
use istiolab::plan::event::Progress;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::own::Own;
use crate::programs::command;
use crate::server::{config_map, get, names, objects, shared};

/// Runs kubectl. Gives back what it printed, and whether it ended well.
fn kubectl(own: &Own, arguments: &[&str], objects: &str) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = Utf8Path::from_path(folder.path()).expect("UTF-8").join("objects.yaml");
    fs_err::write(&file, objects).expect("written");
    let mut run = command(own.folder().join("kubectl").as_str());
    run.args(["--kubeconfig", own.kubeconfig_file().as_str(), "--cache-dir", folder.path().to_str().expect("UTF-8")]);
    run.args(arguments).env("KUBECTL_APPLYSET", "true");
    if !objects.is_empty() {
        run.args(["--filename", file.as_str()]);
    }
    let done = run.output().expect("kubectl runs");
    let told = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    (done.status.success(), told.into_owned())
}

fn prune(own: &Own, set: &str, objects: &str) -> (bool, String) {
    let set = format!("--applyset={set}");
    kubectl(own, &["apply", "--namespace", "default", "--prune", &set], objects)
}

/// Runs the command that a refusal names.
fn hand_over(own: &Own, failure: &Failure) {
    let hint = failure.hints.iter().find_map(|hint| hint.split_once("kubectl ")).expect("a command").1;
    let (done, told) = kubectl(own, &hint.split_whitespace().collect::<Vec<_>>(), "");
    assert!(done, "{told}");
}

async fn ours(api: &Api, set: &SetName, text: &str) -> Result<Applied, Error> {
    let options = Options { deadline: Duration::from_secs(30), ..Options::default() };
    apply(api, set, &objects(text), &options, &Progress::silent(), &CancellationToken::new()).await
}

fn secret(name: &str) -> String {
    format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{a: b}}\n")
}

fn annotations(parent: &Value) -> Vec<(String, String)> {
    let all = parent["metadata"]["annotations"].as_object().expect("annotations");
    let kept = all.iter().filter(|(name, _)| name.starts_with("applyset.") && !name.ends_with("/tooling"));
    kept.map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())).collect()
}

#[tokio::test]
async fn kubectl_prunes_a_set_of_ours_once_it_is_handed_over() {
    let Some(own) = shared("interop, ours").await else { return };
    let api = own.api().await;
    let set = SetName::new("handed", "default");
    ours(&api, &set, &(config_map("handed-a", "1") + &secret("handed-b"))).await.expect("applied");

    let (done, told) = prune(own, "configmaps/handed", &config_map("handed-a", "2"));
    assert!(!done && told.contains("is managed by tooling \"istiolab\" instead of \"kubectl\""), "{told}");
    assert!(get(&api, "v1", "Secret", "default", "handed-b").await.is_some());

    let tooling = "applyset.kubernetes.io/tooling=kubectl/v1.34.4";
    let (done, told) = kubectl(own, &["annotate", "--overwrite", "configmap", "handed", tooling], "");
    assert!(done, "{told}");
    let (done, told) = prune(own, "configmaps/handed", &config_map("handed-a", "2"));
    assert!(done && told.contains("secret/handed-b pruned"), "{told}");
    assert!(get(&api, "v1", "Secret", "default", "handed-b").await.is_none());
    let object = get(&api, "v1", "ConfigMap", "default", "handed-a").await.expect("it stays");
    assert_eq!(object["data"]["a"], "2");

    // Now it is kubectl's, until it is handed back.
    let error = ours(&api, &set, &config_map("handed-c", "1")).await.expect_err("it is kubectl's");
    assert_eq!(error.to_string(), "the set `default/handed` is kept by another tool: kubectl/v1.34.4");
    let failure = Failure::from(error);
    assert_eq!(failure.kind, Kind::Refused);
    hand_over(own, &failure);
    let done = ours(&api, &set, &config_map("handed-c", "1")).await.expect("applied");
    assert_eq!(names(&done.created), ["ConfigMap default/handed-c"]);
    assert_eq!(names(&done.pruned), ["ConfigMap default/handed-a"]);
}

#[tokio::test]
async fn a_set_of_kubectls_is_pruned_by_us_once_it_is_handed_over() {
    let Some(own) = shared("interop, kubectl's").await else { return };
    let api = own.api().await;
    // A name alone is a secret's, for kubectl.
    let (done, told) = prune(own, "theirs-set", &(config_map("theirs-a", "1") + &secret("theirs-b")));
    assert!(done, "{told}");

    let set = SetName::new("theirs-set", "default").kept_in(Parent::Secret);
    let error = ours(&api, &set, &config_map("theirs-a", "2")).await.expect_err("it is kubectl's");
    assert!(matches!(error, Error::Tooling { .. }), "{error}");
    hand_over(own, &error.into());

    let before = get(&api, "v1", "Secret", "default", "theirs-set").await.expect("the parent");
    let done = ours(&api, &set, &(config_map("theirs-a", "2") + &secret("theirs-d"))).await.expect("applied");
    assert_eq!(names(&done.changed), ["ConfigMap default/theirs-a"]);
    assert_eq!(names(&done.created), ["Secret default/theirs-d"]);
    assert_eq!(names(&done.pruned), ["Secret default/theirs-b"]);
    let after = get(&api, "v1", "Secret", "default", "theirs-set").await.expect("the parent");
    // The same kinds in the same namespaces: what we write of them is what kubectl wrote.
    assert_eq!(annotations(&before), annotations(&after));
    let again = ours(&api, &set, &(config_map("theirs-a", "2") + &secret("theirs-d"))).await.expect("applied");
    assert!(again.is_unchanged(), "{again}");

    let deleted = delete_set(&api, &set, Duration::from_secs(30), &Progress::silent(), &CancellationToken::new()).await;
    let deleted = names(&deleted.expect("deleted").deleted);
    assert_eq!(deleted, ["ConfigMap default/theirs-a", "Secret default/theirs-d"]);
    assert!(get(&api, "v1", "Secret", "default", "theirs-set").await.is_none());
}

/// Fields that kubectl applied and our files do not have are gone after the hand-over, whichever way
/// kubectl applied them.
#[tokio::test]
async fn fields_of_kubectls_do_not_stay() {
    let Some(own) = shared("fields of kubectl's").await else { return };
    let api = own.api().await;
    for (name, how) in [("fields-client", "--server-side=false"), ("fields-server", "--server-side=true")] {
        let theirs = config_map(name, "1").replace("\ndata: {", "\ndata: {b: gone, ");
        let applyset = format!("--applyset=configmaps/{name}-set");
        let apply = ["apply", "--namespace", "default", "--prune", &applyset, how];
        let (done, told) = kubectl(own, &apply, &theirs);
        assert!(done, "{told}");
        let set = SetName::new(format!("{name}-set"), "default");
        let error = ours(&api, &set, &config_map(name, "2")).await.expect_err("it is kubectl's");
        hand_over(own, &error.into());
        let done = ours(&api, &set, &config_map(name, "2")).await.expect("applied");
        assert_eq!(names(&done.changed), [format!("ConfigMap default/{name}")]);
        let object = get(&api, "v1", "ConfigMap", "default", name).await.expect("it is there");
        assert_eq!(object["data"], serde_json::json!({"a": "2"}));
        let last = &object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
        assert!(last.is_null(), "{last}");
        assert!(ours(&api, &set, &config_map(name, "2")).await.expect("applied").is_unchanged());
    }
}

/// What older kubectls wrote, and what a tool writes that leaves the kinds to be found.
#[tokio::test]
async fn parents_with_other_hints_are_read() {
    let Some(own) = shared("hints").await else { return };
    let api = own.api().await;
    for (name, change) in [
        ("hint-old", "applyset.kubernetes.io/contains-group-resources=configmaps,secrets"),
        ("hint-none", "other.test/none=x"),
    ] {
        let set = SetName::new(name, "default");
        let members = config_map(&format!("{name}-a"), "1") + &secret(&format!("{name}-b"));
        ours(&api, &set, &members).await.expect("applied");
        let without = "applyset.kubernetes.io/contains-group-kinds-";
        let (done, told) = kubectl(own, &["annotate", "--overwrite", "configmap", name, change, without], "");
        assert!(done, "{told}");
        let done = ours(&api, &set, &config_map(&format!("{name}-a"), "1")).await.expect("applied");
        assert_eq!(names(&done.pruned), [format!("Secret default/{name}-b")]);
    }
}

#[tokio::test]
async fn an_object_that_keeps_no_set_is_not_written() {
    let Some(own) = shared("no parent").await else { return };
    let api = own.api().await;
    let (done, told) = kubectl(own, &["create", "configmap", "nobodys", "--from-literal=a=b"], "");
    assert!(done, "{told}");
    let before = get(&api, "v1", "ConfigMap", "default", "nobodys").await;
    let set = SetName::new("nobodys", "default");
    let error = ours(&api, &set, &config_map("nobodys-a", "1")).await.expect_err("it is no set's");
    assert_eq!(
        error.to_string(),
        "the ConfigMap default/nobodys is there, and can't keep the set: it has no label `applyset.kubernetes.io/id`"
    );
    assert_eq!(Failure::from(error).kind, Kind::Refused);
    let deleting = delete_set(&api, &set, Duration::from_secs(5), &Progress::silent(), &CancellationToken::new()).await;
    assert!(matches!(deleting, Err(Error::NoParent { .. })), "{deleting:?}");
    assert_eq!(get(&api, "v1", "ConfigMap", "default", "nobodys").await, before);
    assert!(get(&api, "v1", "ConfigMap", "default", "nobodys-a").await.is_none());
}
