//! The object engine in a process of its own, killed in the middle: run again, it converges.
//!
//! The process is this very program, called for one test with `ISTIOLAB_TEST_CHILD` set.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use istiolab::objects::{Api, Applied, Options, PART_OF, SetName, apply, delete_set};
use istiolab::plan::event::Progress;
use kube::api::{DynamicObject, ListParams, PostParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::own::{Own, api_of};
use crate::programs::command;
use crate::server::{applied, get, objects};

/// What the process is to do: `apply PORT` or `delete PORT`.
const CHILD: &str = "ISTIOLAB_TEST_CHILD";
/// How many kills there are, half of them while applying, half while deleting.
const KILLS: &str = "ISTIOLAB_TEST_KILLS";
const LIMIT: Duration = Duration::from_mins(2);

fn set() -> SetName {
    SetName::new("kills", "default")
}

/// The set in its first state, or in its second: with objects that are changed, new, and gone.
fn text(second: bool) -> String {
    let mut text = String::from(
        "
apiVersion: v1
kind: Namespace
metadata: {name: kills}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: cats.kills.test}
spec:
  group: kills.test
  scope: Namespaced
  names: {kind: Cat, plural: cats}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
",
    );
    let mut add = |version: &str, kind: &str, name: &str, more: &str| {
        let _ = write!(
            text,
            "---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: kills}}\n{more}\n"
        );
    };
    let value = if second { "2" } else { "1" };
    for number in 0..24 {
        add("v1", "ConfigMap", &format!("stays-{number}"), "data: {a: b}");
        add("v1", "ConfigMap", &format!("changes-{number}"), &format!("data: {{a: '{value}'}}"));
    }
    for number in 0..12 {
        let only = if second { "new" } else { "old" };
        add("v1", "Secret", &format!("{only}-{number}"), "stringData: {a: b}");
        add("kills.test/v1", "Cat", &format!("{only}-{number}"), &format!("lives: {value}"));
        add("v1", "Service", &format!("service-{number}"), "spec: {ports: [{port: 80}], clusterIP: None}");
    }
    if !second {
        add("v1", "ServiceAccount", "a-kind-that-goes", "");
    }
    text
}

async fn run(api: &Api, second: bool) -> Applied {
    let options = Options { deadline: LIMIT, ..Options::default() };
    let (objects, progress, cancel) = (objects(&text(second)), Progress::silent(), CancellationToken::new());
    apply(api, &set(), &objects, &options, &progress, &cancel).await.expect("applied")
}

async fn delete(api: &Api) {
    delete_set(api, &set(), LIMIT, &Progress::silent(), &CancellationToken::new()).await.expect("deleted");
}

/// What the killed process does. Called as a usual test, it does both with nobody to kill it.
#[tokio::test]
async fn a_process_applies_and_deletes() {
    let Some(order) = std::env::var_os(CHILD) else {
        let Some(own) = Own::start("a process", &[]) else { return };
        own.start_controllers("namespace-controller");
        let api = own.api().await;
        assert_eq!(run(&api, true).await.created.len(), objects(&text(true)).len());
        return delete(&api).await;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let order = order.into_string().expect("text");
    let (verb, port) = order.split_once(' ').expect("verb and port");
    let api = api_of("test-token", port.parse().expect("a port")).await;
    if verb == "apply" { drop(run(&api, true).await) } else { delete(&api).await }
}

/// Runs the process; with a time, kills it then. Gives back how long it ran, and whether it came to its end.
async fn process(own: &Own, verb: &str, kill: Option<Duration>) -> (Duration, bool) {
    let program = std::env::current_exe().expect("this program");
    let mut run = command(program.to_str().expect("UTF-8"));
    run.args(["--exact", "kills::a_process_applies_and_deletes"]).env(CHILD, format!("{verb} {}", own.port()));
    let begin = Instant::now();
    let mut child = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    loop {
        if let Some(status) = child.try_wait().expect("a state") {
            assert!(status.success(), "{verb} on its own: {status}");
            return (begin.elapsed(), true);
        }
        if kill.is_some_and(|kill| begin.elapsed() >= kill) {
            child.kill().expect("killed");
            child.wait().expect("it ends");
            return (begin.elapsed(), false);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Members of the set by kind and name, with identifier and content, and everything else of these
/// kinds in its namespace and the parent's.
struct Seen {
    members: BTreeMap<String, (String, Value)>,
    foreign: BTreeMap<String, Value>,
}

async fn look(api: &Api) -> Seen {
    let mut seen = Seen { members: BTreeMap::new(), foreign: BTreeMap::new() };
    let api = Api::new(api.client().clone());
    let kinds = [
        ("", "ConfigMap"),
        ("", "Secret"),
        ("", "Service"),
        ("", "ServiceAccount"),
        ("kills.test", "Cat"),
        ("", "Namespace"),
    ];
    for (group, kind) in kinds {
        let Some(served) = api.served(group, "v1", kind).await.expect("discovery") else { continue };
        let requests: kube::Api<DynamicObject> = kube::Api::all_with(api.client().clone(), &served.resource);
        let Ok(list) = requests.list(&ListParams::default()).await else { continue };
        for object in list {
            let object = serde_json::to_value(object).expect("JSON");
            let (meta, id) = (&object["metadata"], set().id());
            let key = format!("{kind} {}/{}", meta["namespace"].as_str().unwrap_or_default(), meta["name"]);
            if meta["labels"][PART_OF] == id.as_str() {
                let content = json!([object["data"], object["spec"]["ports"], object["lives"]]);
                let uid = meta["uid"].as_str().expect("an identifier").to_owned();
                assert!(seen.members.insert(key, (uid, content)).is_none(), "there are no two of a name");
            } else if meta["name"].as_str().is_some_and(|name| name.starts_with("foreign")) {
                seen.foreign.insert(key, object.clone());
            }
        }
    }
    seen
}

/// Objects that the set has nothing to do with: of the same kinds, in the same namespace.
async fn make_foreign(api: &Api) {
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: foreign-other-set, namespace: default}}";
    applied(api, "foreign-set", text).await.expect("applied");
    let requests: kube::Api<k8s_openapi::api::core::v1::Secret> =
        kube::Api::namespaced(api.client().clone(), "default");
    let secret = serde_json::from_value(json!({"metadata": {"name": "foreign-secret"}, "stringData": {"a": "b"}}));
    requests.create(&PostParams::default(), &secret.expect("a secret")).await.expect("made");
}

/// The parent knows every kind and namespace that has a member, at every moment.
async fn parent_knows(api: &Api, seen: &Seen) {
    if seen.members.is_empty() {
        return;
    }
    let parent = get(api, "v1", "ConfigMap", "default", "kills").await.expect("members without a parent");
    let annotation = |name: &str| parent["metadata"]["annotations"][name].as_str().expect("text").to_owned();
    let kinds = annotation("applyset.kubernetes.io/contains-group-kinds");
    for key in seen.members.keys() {
        let kind = key.split(' ').next().expect("a kind");
        let kind = if kind == "Cat" { "Cat.kills.test" } else { kind };
        assert!(kinds.split(',').any(|known| known == kind), "{key} is a member, the parent knows only {kinds}");
    }
    assert_eq!(annotation("applyset.kubernetes.io/additional-namespaces"), "kills");
}

/// Kills at a point of time; then the same command must bring what an undisturbed one brings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_and_run_again_it_converges() {
    let Some(own) = Own::start("kills", &[]) else { return };
    own.start_controllers("namespace-controller");
    let api = own.api().await;
    make_foreign(&api).await;
    let kills: u32 = std::env::var(KILLS).ok().map_or(30, |kills| kills.parse().expect("a number"));
    let points = (kills / 2).max(1);

    // Undisturbed, for the times and the states.
    run(&api, false).await;
    let (apply_takes, _) = process(&own, "apply", None).await;
    let wanted = look(&api).await;
    let (delete_takes, _) = process(&own, "delete", None).await;
    let mut table = format!("apply takes {apply_takes:?}, delete {delete_takes:?}\n");

    for point in 1..=points {
        // Closer at the beginning: the end of a deletion is a wait for the namespace.
        let part = f64::from(point) / f64::from(points + 1);
        let fresh = Api::new(api.client().clone());
        run(&fresh, false).await;
        let (after, ended) = process(&own, "apply", Some(apply_takes.mul_f64(part))).await;
        let killed = look(&api).await;
        parent_knows(&api, &killed).await;
        let again = run(&Api::new(api.client().clone()), true).await;
        let seen = look(&api).await;
        let content = |seen: &Seen| -> BTreeMap<String, Value> {
            seen.members.iter().map(|(key, (_, content))| (key.clone(), content.clone())).collect()
        };
        assert_eq!(content(&seen), content(&wanted), "nothing is lost, nothing doubled");
        for (key, (uid, _)) in seen.members.iter().filter(|(key, _)| killed.members.contains_key(*key)) {
            assert_eq!(*uid, killed.members[key].0, "{key} was made anew");
        }
        assert_eq!(seen.foreign, wanted.foreign, "nothing foreign is touched");
        let _ = writeln!(table, "apply  {after:>8.0?} {} then {again}", if ended { "ended " } else { "killed" });

        let (after, ended) = process(&own, "delete", Some(delete_takes.mul_f64(part.powi(3)))).await;
        let killed = look(&api).await;
        parent_knows(&api, &killed).await;
        delete(&Api::new(api.client().clone())).await;
        let seen = look(&api).await;
        assert!(seen.members.is_empty(), "{:?}", seen.members.keys());
        assert!(get(&api, "v1", "ConfigMap", "default", "kills").await.is_none(), "the set itself is gone");
        assert_eq!(seen.foreign, wanted.foreign, "nothing foreign is touched");
        let ended = if ended { "ended " } else { "killed" };
        let _ = writeln!(table, "delete {after:>8.0?} {ended} with {} members left, then none", killed.members.len());
    }
    if let Ok(path) = std::env::var("ISTIOLAB_TEST_TABLE") {
        fs_err::write(path, table).expect("written");
    }
}
