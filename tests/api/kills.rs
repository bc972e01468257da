//! The object engine in a process of its own, killed in the middle: run again, it converges.
//!
//! The process is this very program, called for one test with `ISTIOLAB_TEST_CHILD` set.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::Duration;

use istiolab::objects::{Api, Applied, Options, PART_OF, SetName, apply, delete_set};
use istiolab::plan::event::{Progress, What};
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
/// What the process's own lines begin with.
const STATE: &str = "state: ";
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

async fn run(api: &Api, second: bool, progress: &Progress) -> Applied {
    let options = Options { deadline: LIMIT, ..Options::default() };
    let (objects, cancel) = (objects(&text(second)), CancellationToken::new());
    apply(api, &set(), &objects, &options, progress, &cancel).await.expect("applied")
}

async fn delete(api: &Api, progress: &Progress) {
    delete_set(api, &set(), LIMIT, progress, &CancellationToken::new()).await.expect("deleted");
}

/// As a new process would find the cluster: with nothing known of it.
fn anew(api: &Api) -> Api {
    Api::new(api.client().clone())
}

/// What the killed process does, with a line for every state that it tells. Called as a usual test,
/// it does both with nobody to kill it.
#[tokio::test]
async fn a_process_applies_and_deletes() {
    let Some(order) = std::env::var_os(CHILD) else {
        let Some(own) = Own::start("a process", &[]) else { return };
        own.start_controllers("namespace-controller");
        let (api, progress) = (own.api().await, Progress::silent());
        assert_eq!(run(&api, true, &progress).await.created.len(), objects(&text(true)).len());
        return delete(&api, &progress).await;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let order = order.into_string().expect("text");
    let (verb, port) = order.split_once(' ').expect("verb and port");
    let api = api_of("test-token", port.parse().expect("a port")).await;
    let (progress, mut events) = Progress::channel();
    let tell = async {
        while let Some(event) = events.recv().await {
            if let What::Status { text } = event.what {
                writeln!(std::io::stdout(), "{STATE}{text}").expect("told");
            }
        }
    };
    let work = async {
        if verb == "apply" {
            drop(run(&api, true, &progress).await);
        } else {
            delete(&api, &progress).await;
        }
        drop(progress);
    };
    tokio::join!(work, tell);
}

/// Runs the process; with a number, kills it as soon as it has told so many states. Gives back the
/// states, and whether it came to its end.
fn process(own: &Own, verb: &str, kill: Option<usize>) -> (Vec<String>, bool) {
    let program = std::env::current_exe().expect("this program");
    let mut run = command(program.to_str().expect("UTF-8"));
    run.args(["--exact", "kills::a_process_applies_and_deletes", "--nocapture"]);
    run.env(CHILD, format!("{verb} {}", own.port()));
    let mut child = run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut states = Vec::new();
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().expect("its output")).lines() {
        let line = line.expect("text");
        // Those that were on their way when it was killed tell nothing.
        if let Some(state) = line.strip_prefix(STATE).filter(|_| !killed) {
            states.push(state.to_owned());
            if kill.is_some_and(|kill| states.len() >= kill) {
                child.kill().expect("killed");
                killed = true;
            }
        }
    }
    let end = child.wait().expect("it ends");
    assert!(killed || end.success(), "{verb} on its own: {end}");
    (states, !end.success())
}

/// Members of the set by kind and name, with identifier and content, and everything else of these
/// kinds in its namespace and the parent's.
struct Seen {
    members: BTreeMap<String, (String, Value)>,
    foreign: BTreeMap<String, Value>,
}

async fn look(api: &Api) -> Seen {
    let mut seen = Seen { members: BTreeMap::new(), foreign: BTreeMap::new() };
    let api = anew(api);
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
    let kills: usize = std::env::var(KILLS).ok().map_or(30, |kills| kills.parse().expect("a number"));
    let points = (kills / 2).max(1);

    // Undisturbed, for the number of states, and what is there then.
    let progress = Progress::silent();
    run(&api, false, &progress).await;
    let (applying, _) = process(&own, "apply", None);
    let wanted = look(&api).await;
    let (deleting, _) = process(&own, "delete", None);
    let mut table = format!("apply tells {} states, delete {}\n", applying.len(), deleting.len());

    for point in 1..=points {
        let at = |states: &[String]| (states.len() * point).div_ceil(points).max(1);
        run(&anew(&api), false, &progress).await;
        let (states, killed) = process(&own, "apply", Some(at(&applying)));
        let left = look(&api).await;
        parent_knows(&api, &left).await;
        let again = run(&anew(&api), true, &progress).await;
        let seen = look(&api).await;
        let content = |seen: &Seen| -> BTreeMap<String, Value> {
            seen.members.iter().map(|(key, (_, content))| (key.clone(), content.clone())).collect()
        };
        assert_eq!(content(&seen), content(&wanted), "nothing is lost, nothing doubled");
        for (key, (uid, _)) in seen.members.iter().filter(|(key, _)| left.members.contains_key(*key)) {
            assert_eq!(*uid, left.members[key].0, "{key} was made anew");
        }
        assert_eq!(seen.foreign, wanted.foreign, "nothing foreign is touched");
        row(&mut table, "apply", killed, &states, &again.to_string());

        let (states, killed) = process(&own, "delete", Some(at(&deleting)));
        let left = look(&api).await;
        parent_knows(&api, &left).await;
        delete(&anew(&api), &progress).await;
        let seen = look(&api).await;
        assert!(seen.members.is_empty(), "{:?}", seen.members.keys());
        assert!(get(&api, "v1", "ConfigMap", "default", "kills").await.is_none(), "the set itself is gone");
        assert_eq!(seen.foreign, wanted.foreign, "nothing foreign is touched");
        row(&mut table, "delete", killed, &states, &format!("{} members left, then none", left.members.len()));
    }
    if let Ok(path) = std::env::var("ISTIOLAB_TEST_TABLE") {
        fs_err::write(path, table).expect("written");
    }
}

fn row(table: &mut String, verb: &str, killed: bool, states: &[String], then: &str) {
    let how = if killed { "killed" } else { "ended" };
    let last = states.last().map_or("", String::as_str);
    let _ = writeln!(table, "{verb:<6} {how} at {:>3}: {last:<60}  {then}", states.len());
}
