//! One API server for all tests of this program, started by the first that needs it and stopped
//! when the program ends, however it ends; and what tests do with any server.

use std::sync::OnceLock;
use std::time::Duration;

use istiolab::objects::{Api, Applied, Error, Object, Options, SetName, apply, parse};
use istiolab::plan::event::Progress;
use tokio_util::sync::CancellationToken;

use crate::own::Own;
use crate::programs::binaries;

static SERVER: OnceLock<Option<Own>> = OnceLock::new();

/// The shared server, ready, or `None` where its programs are not there: then the test is skipped,
/// which is said and is an error in CI.
pub(crate) async fn shared(test: &str) -> Option<&'static Own> {
    binaries(test)?;
    let own = tokio::task::spawn_blocking(|| SERVER.get_or_init(|| Own::start("the shared server", &[])));
    let own = own.await.expect("the server starts").as_ref()?;
    own.ready().await;
    Some(own)
}

/// The API of the shared server; `None` as with [`shared`].
pub(crate) async fn api(test: &str) -> Option<Api> {
    Some(shared(test).await?.api().await)
}

/// The way to the shared server; `None` as with [`shared`].
pub(crate) async fn config(test: &str) -> Option<kube::Config> {
    Some(shared(test).await?.config().await)
}

/// A document with a config map.
pub(crate) fn config_map(name: &str, value: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: '{value}'}}\n")
}

/// As many config maps, `NAME-0` and so on.
pub(crate) fn config_maps(name: &str, count: usize) -> String {
    (0..count).map(|number| config_map(&format!("{name}-{number}"), "b")).collect()
}

/// The objects of a text.
pub(crate) fn objects(text: &str) -> Vec<Object> {
    parse(text, "test.yaml").expect("objects")
}

/// Applies a text as a set in the namespace `default`.
pub(crate) async fn applied(api: &Api, set: &str, text: &str) -> Result<Applied, Error> {
    let options = Options { deadline: Duration::from_secs(30), ..Options::default() };
    apply(api, &SetName::new(set, "default"), &objects(text), &options, &Progress::silent(), &CancellationToken::new())
        .await
}

/// An object as the server has it.
pub(crate) async fn get(
    api: &Api,
    version: &str,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Option<serde_json::Value> {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let served = api.served(group, version, kind).await.expect("discovery").expect("a kind that is served");
    let requests: kube::Api<kube::api::DynamicObject> = if served.namespaced {
        kube::Api::namespaced_with(api.client().clone(), namespace, &served.resource)
    } else {
        kube::Api::all_with(api.client().clone(), &served.resource)
    };
    let object = requests.get_opt(name).await.expect("an answer")?;
    Some(serde_json::to_value(object).expect("JSON"))
}

/// Changes an object of the core group by a merge patch.
pub(crate) async fn patch(api: &Api, kind: &str, namespace: &str, name: &str, patch: &serde_json::Value) {
    let served = api.served("", "v1", kind).await.expect("discovery").expect("a kind that is served");
    let requests: kube::Api<kube::api::DynamicObject> =
        kube::Api::namespaced_with(api.client().clone(), namespace, &served.resource);
    let params =
        kube::api::PatchParams { field_manager: Some("a-test".to_owned()), ..kube::api::PatchParams::default() };
    requests.patch(name, &params, &kube::api::Patch::Merge(patch)).await.expect("patched");
}

/// Names of references, `Kind namespace/name`, sorted.
pub(crate) fn names(objects: &[istiolab::objects::ObjectRef]) -> Vec<String> {
    let mut names: Vec<_> = objects.iter().map(ToString::to_string).collect();
    names.sort();
    names
}
