//! Applying the mesh.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::NAMESPACE;
use crate::objects::{self, Api, Applied, Object, Options, SetName};
use crate::plan::event::Progress;

/// Applies the rendered mesh and the lab's own objects beside it (`extras`: telemetry, policies,
/// gateways) as one set, together with the namespace that istioctl leaves out. Objects without a
/// namespace go there too. Does not wait: [`super::ready`] does.
///
/// # Errors
/// As [`objects::apply`].
pub async fn deploy(
    api: &Api,
    rendered: &[Object],
    extras: &[Object],
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Applied, objects::Error> {
    let mut all: Vec<_> = rendered.iter().chain(extras).cloned().collect();
    if !all.iter().any(|object| object.kind() == "Namespace" && object.name() == NAMESPACE) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        all.push(Object { document: namespace, source: "the mesh".to_owned(), line: 1 });
    }
    let options = Options { default_namespace: Some(NAMESPACE.to_owned()), deadline, ..Options::default() };
    objects::apply(api, &SetName::own("mesh"), &all, &options, progress, cancel).await
}
