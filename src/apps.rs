//! Applications: their namespace, their objects, and their proxies in the way that the lab asks for.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, Kind};
use crate::mesh::inject;
use crate::objects::convert::convert;
use crate::objects::{self, Api, Applied, Object, Options, SetName};
use crate::plan::event::Progress;
use crate::spec::{Application, Injection};

/// The label of namespaces by which the webhook injects.
const INJECTION: &str = "istio-injection";

/// The set that an application's objects belong to.
#[must_use]
pub fn set(application: &Application) -> SetName {
    SetName::new(format!("istiolab-application-{}", application.name), "default")
}

/// Applies an application: its namespace, labelled for injection where that is automatic, and its
/// `objects`, which istiod's webhook has changed where they are injected by hand. Does not wait for
/// them: [`objects::ready::wait`] does. The mesh must be ready, or pods come up without a proxy.
///
/// # Errors
/// What injecting and applying tell; [`Kind::Refused`] if another application has the
/// namespace with another kind of injection.
pub async fn deploy(
    api: &Api,
    application: &Application,
    objects: &[Object],
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Applied, Failure> {
    let set = set(application);
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
    all.extend(namespace(api, application, &set).await?);
    let options = Options { default_namespace: Some(application.namespace.clone()), deadline, ..Options::default() };
    let applied = objects::apply(api, &set, &all, &options, progress, cancel).await?;
    Ok(applied.with_converted(converted, progress))
}

/// The namespace, unless it belongs to another application already.
async fn namespace(api: &Api, application: &Application, set: &SetName) -> Result<Option<Object>, Failure> {
    let name = &application.namespace;
    let wanted = (application.injection == Injection::Auto).then_some("enabled");
    let requests: kube::Api<Namespace> = kube::Api::all(api.client().clone());
    let existing = requests.get_opt(name).await.map_err(|source| {
        Failure::from(objects::Error::Api { doing: format!("reading the namespace {name}"), source: Box::new(source) })
    })?;
    if let Some(labels) = existing.and_then(|namespace| namespace.metadata.labels) {
        let owner = labels.get(objects::PART_OF);
        if owner.is_some_and(|owner| *owner != set.id()) {
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
    let mut document = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    if let Some(value) = wanted {
        document["metadata"]["labels"] = json!({INJECTION: value});
    }
    Ok(Some(Object { document, source: format!("application {}", application.name), line: 1 }))
}
