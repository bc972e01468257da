//! Sets that are not wanted any more.

use std::time::Duration;

use istiolab::objects::{Api, Expected, Heirs, Intent, Options, PART_OF, Place, SetName};
use istiolab::objects::{Deleted, Error, Planned, plan, plan_retiring, retire_set, unwanted};
use istiolab::plan::event::Progress;
use tokio_util::sync::CancellationToken;

use crate::server::{api, applied, get, names, objects};

const LIMIT: Duration = Duration::from_secs(20);

fn set(name: &str) -> SetName {
    SetName::new(name, "default")
}

async fn retire(api: &Api, name: &str, heirs: &Heirs) -> Result<Deleted, Error> {
    retire_set(api, &set(name), heirs, LIMIT, &Progress::silent(), &CancellationToken::new()).await
}

const BEFORE: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: retiring}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: retiring}, data: {a: '1'}}
";

async fn planned(api: &Api, name: &str, expected: &mut Expected) -> Planned {
    let options = Options { deadline: LIMIT, ..Options::default() };
    let (progress, cancel) = (Progress::silent(), CancellationToken::new());
    plan(Place::Cluster(api), &set(name), &objects(BEFORE), expected, &options, &progress, &cancel)
        .await
        .expect("a plan")
}

#[tokio::test]
async fn only_sets_of_ours_that_nobody_wants_are_found() {
    let Some(api) = api("unwanted sets").await else { return };
    for name in ["unwanted-a", "unwanted-b", "another"] {
        applied(&api, name, &format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: of-{name}}}}}"))
            .await
            .expect("applied");
    }
    let (progress, cancel) = (Progress::silent(), CancellationToken::new());
    let found = unwanted(&api, "unwanted-", &[set("unwanted-b")], LIMIT, &progress, &cancel).await.expect("a list");
    assert_eq!(found, [set("unwanted-a")]);
}

#[tokio::test]
async fn an_application_that_got_another_name_keeps_its_namespace() {
    let Some(api) = api("retiring").await else { return };
    applied(&api, "retiring-old", BEFORE).await.expect("applied");
    let heirs = Heirs::from([("retiring".to_owned(), set("retiring-new"))]);

    let (progress, cancel, old) = (Progress::silent(), CancellationToken::new(), set("retiring-old"));
    let told = plan_retiring(&api, &old, &heirs, LIMIT, &progress, &cancel).await.expect("a plan");
    let told: Vec<_> = told.items.iter().map(|item| item.object.to_string()).collect();
    assert_eq!(told, ["ConfigMap retiring/settings"]);
    // As long as the old set is there, its objects are in the way.
    let refused = planned(&api, "retiring-new", &mut Expected::default()).await;
    assert!(refused.items.iter().all(|item| matches!(item.intent, Intent::Fail(Error::Owned { .. }))), "{refused:?}");
    let mut expected = Expected::default();
    expected.retires(&set("retiring-old"));
    let free = planned(&api, "retiring-new", &mut expected).await;
    assert_eq!(free.items.iter().filter(|item| matches!(item.intent, Intent::Create)).count(), 1, "{free:?}");
    assert!(!free.items.iter().any(|item| matches!(item.intent, Intent::Fail(_))), "{free:?}");

    let deleted = retire(&api, "retiring-old", &heirs).await.expect("retired");
    assert_eq!(names(&deleted.deleted), ["ConfigMap retiring/settings"]);
    assert!(get(&api, "v1", "ConfigMap", "default", "retiring-old").await.is_none(), "its parent is gone");
    let namespace = get(&api, "v1", "Namespace", "", "retiring").await.expect("it stays");
    assert_eq!(namespace["metadata"]["labels"][PART_OF], set("retiring-new").id());

    let again = applied(&api, "retiring-new", BEFORE).await.expect("applied");
    assert_eq!(names(&again.created), ["ConfigMap retiring/settings"]);
    assert!(retire(&api, "retiring-old", &heirs).await.expect("nothing to do").deleted.is_empty());
}

#[tokio::test]
async fn what_says_that_it_comes_after_another_goes_before_it() {
    let Some(api) = api("deleting by need").await else { return };
    let text = "
{apiVersion: v1, kind: Service, metadata: {name: needed}, spec: {ports: [{port: 80}]}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: needs-it
  annotations: {config.kubernetes.io/depends-on: /namespaces/default/Service/needed}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: needs-nothing}}
";
    applied(&api, "by-need", text).await.expect("applied");
    let deleted = retire(&api, "by-need", &Heirs::default()).await.expect("retired").deleted;
    let order: Vec<_> = deleted.iter().map(ToString::to_string).collect();
    assert_eq!(order, ["ConfigMap default/needs-it", "Service default/needed", "ConfigMap default/needs-nothing"]);
}
