//! Applications: their namespace, their objects, and their proxies in the way that the lab asks for.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, Kind};
use crate::mesh::inject;
use crate::objects::convert::{Conversion, convert};
use crate::objects::request::Limit;
use crate::objects::{self, Api, Object, SetName};
use crate::plan::event::Progress;
use crate::spec::{Application, Injection};

/// The label of namespaces by which the webhook injects.
const INJECTION: &str = "istio-injection";

/// The set that an application's objects belong to.
#[must_use]
pub fn set(application: &Application) -> SetName {
    SetName::new(format!("istiolab-application-{}", application.name), "default")
}

/// Everything that an application consists of: its `objects`, which istiod's webhook has changed where
/// they are injected by hand, and its namespace, labelled for injection where that is automatic. The
/// mesh must be ready before they are applied, or pods come up without a proxy. Besides, what was
/// converted for the injection; all else is converted when it is applied.
///
/// # Errors
/// What injecting tells; [`Kind::Refused`] if another application has the namespace with another kind
/// of injection.
pub async fn objects(
    api: &Api,
    application: &Application,
    objects: &[Object],
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(Vec<Object>, Vec<Conversion>), Failure> {
    let mut all = objects.to_vec();
    let mut converted = Vec::new();
    if application.injection == Injection::Manual {
        // Before the proxies come in: old versions make selectors of the pods' labels.
        let target = api.target().await?;
        for object in &mut all {
            if let Some((new, conversion)) = convert(object, &target)? {
                *object = new;
                converted.push(conversion);
            }
        }
        let outcome = inject::inject(api, all, &application.namespace, deadline, progress, cancel).await?;
        for note in outcome.notes {
            progress.note(format!("{note}."));
        }
        all = outcome.objects;
    }
    all.extend(namespace(api, application, &Limit::new(deadline, progress, cancel)).await?);
    Ok((all, converted))
}

/// As [`objects()`], where there is no cluster yet: nothing is injected.
#[must_use]
pub fn objects_without_cluster(application: &Application, objects: &[Object]) -> Vec<Object> {
    objects.iter().cloned().chain([own_namespace(application)]).collect()
}

/// The namespace, unless it belongs to another application already.
async fn namespace(api: &Api, application: &Application, limit: &Limit<'_>) -> Result<Option<Object>, Failure> {
    let name = &application.namespace;
    let requests: kube::Api<Namespace> = kube::Api::all(api.client().clone());
    let doing = || format!("reading the namespace {name}");
    let existing = limit
        .tried(doing, || requests.get_opt(name))
        .await?
        .map_err(|source| objects::Error::Api { doing: doing(), source: Box::new(source) })?;
    if let Some(labels) = existing.and_then(|namespace| namespace.metadata.labels) {
        let owner = labels.get(objects::PART_OF);
        if owner.is_some_and(|owner| *owner != set(application).id()) {
            let wanted = (application.injection == Injection::Auto).then_some("enabled");
            let has = labels.get(INJECTION).map(String::as_str).filter(|value| *value == "enabled");
            if has != wanted {
                let message = format!(
                    "the namespace {name} of the application {} belongs to another one, whose injection differs",
                    application.name
                );
                return Err(Failure::new(Kind::Refused, message).hint("Give each of them a namespace of its own."));
            }
            return Ok(None);
        }
    }
    Ok(Some(own_namespace(application)))
}

/// The application's namespace as it is to be.
fn own_namespace(application: &Application) -> Object {
    let mut document = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": application.namespace}});
    if application.injection == Injection::Auto {
        document["metadata"]["labels"] = json!({INJECTION: "enabled"});
    }
    Object { document, source: format!("application {}", application.name), line: 1 }
}
