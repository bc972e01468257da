//! How an object stands at this moment, for those who look again by themselves.

use std::cmp::Reverse;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::core::Selector;
use serde_json::Value;

use super::facts;
use super::pods::{lacking, trouble};
use super::policy::Policy;
use super::probe;
use super::rules::{self, Verdict};
use crate::objects::api::{Api, Served, api_error};
use crate::objects::error::Error;
use crate::objects::object::ObjectRef;

/// Judges an object by its whole JSON, as the waiting does: what is ready by its fields must have
/// webhooks that answer, and of what runs pods and is not ready, the first trouble of a pod is told.
/// Nothing is waited for, so that a trouble is never a failure for having lasted too long.
///
/// # Errors
/// [`Error::Api`] if the cluster can't be asked for what the judgement needs.
pub async fn stand(api: &Api, object: &Value, policy: &Policy) -> Result<Verdict, Error> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    let reference = ObjectRef {
        api_version: text(&object["apiVersion"]),
        kind: text(&object["kind"]),
        namespace: metadata["namespace"].as_str().map(str::to_owned),
        name: text(&metadata["name"]),
    };
    let facts = facts::gather(api, std::slice::from_ref(&reference)).await?;
    Ok(match policy.judge(object, &facts) {
        Verdict::Ready => match probe::answers(api.client().clone(), probe::webhooks(object)).await {
            Ok(()) => Verdict::Ready,
            Err(why) => Verdict::Waiting(why),
        },
        Verdict::Waiting(state) => Verdict::Waiting(explained(api, object, &reference, state).await?),
        Verdict::Ailing(state) => Verdict::Ailing(explained(api, object, &reference, state).await?),
        Verdict::Failed(state) => Verdict::Failed(explained(api, object, &reference, state).await?),
    })
}

/// Adds what keeps a pod of the object from being ready.
async fn explained(api: &Api, object: &Value, reference: &ObjectRef, state: String) -> Result<String, Error> {
    if reference.kind == "Pod" && reference.group().is_empty() {
        return Ok(trouble(object).map_or(state.clone(), |trouble| format!("{state}; {trouble}")));
    }
    if !rules::runs_pods(reference.group(), &reference.kind) {
        return Ok(state);
    }
    let selector = serde_json::from_value::<LabelSelector>(object["spec"]["selector"].clone()).ok();
    let Some(Ok(selector)) = selector.map(Selector::try_from) else { return Ok(state) };
    let served = Served::of("", "v1", "Pod");
    let params = ListParams::default().labels_from(&selector);
    let pods = api.requests(&served, reference.namespace.as_deref()).list(&params).await;
    let mut pods = pods.map_err(|source| api_error(format!("listing the pods of {reference}"), source))?.items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    // What older pods suffer may end with them.
    pods.sort_by_key(|pod| Reverse(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)));
    let told = pods.into_iter().find_map(|pod| {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let pod = served.document(pod);
        let why = trouble(&pod).map(|trouble| trouble.to_string()).or_else(|| lacking(&pod))?;
        Some(format!("{state}; pod {name}: {why}"))
    });
    Ok(told.unwrap_or(state))
}
