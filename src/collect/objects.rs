//! Every object of the cluster, and what happened to them.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use kube::Client;
use kube::api::{Api as KubeApi, ApiResource, DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use serde_json::Value;

use super::bundle::Bundle;
use crate::objects::request::told;

/// How many kinds are listed at once.
const CONCURRENCY: usize = 6;
/// How many objects one answer brings.
const PAGE: u32 = 250;
/// The most objects of one kind.
const MOST: usize = 5000;

/// The objects of all kinds, without what only the API server needs.
pub(super) async fn all(bundle: &Bundle<'_>, client: &Client) -> Vec<Value> {
    let kinds = bundle.attempt("asking which kinds the cluster serves", kinds(client)).await.unwrap_or_default();
    let lists = kinds.into_iter().map(async |kind| {
        let what = format!("listing {}", kind.plural);
        bundle.attempt(what, list(bundle, client, &kind)).await.unwrap_or_default()
    });
    stream::iter(lists).buffered(CONCURRENCY).concat().await
}

/// The kinds that can be listed, each in the version that the server recommends. Events have a file
/// of their own.
async fn kinds(client: &Client) -> Result<Vec<ApiResource>, String> {
    let discovery = Discovery::new(client.clone());
    let discovery = match discovery.run_aggregated().await {
        Ok(discovery) => discovery,
        Err(_) => Discovery::new(client.clone()).run().await.map_err(|error| told(&error))?,
    };
    let listable =
        discovery.groups().flat_map(kube::discovery::ApiGroup::recommended_resources).filter(|(kind, can)| {
            can.supports_operation(verbs::LIST) && !matches!(kind.kind.as_str(), "Event" | "ComponentStatus")
        });
    Ok(listable.map(|(kind, _)| kind).collect())
}

async fn list(bundle: &Bundle<'_>, client: &Client, kind: &ApiResource) -> Result<Vec<Value>, String> {
    let requests: KubeApi<DynamicObject> = KubeApi::all_with(client.clone(), kind);
    let mut params = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let page = requests.list(&params).await.map_err(|error| told(&error))?;
        for mut object in page.items {
            object.metadata.managed_fields = None;
            let mut object = serde_json::to_value(object).map_err(|error| error.to_string())?;
            object["kind"] = Value::from(kind.kind.as_str());
            object["apiVersion"] = Value::from(kind.api_version.as_str());
            without_schemas(&mut object);
            objects.push(object);
        }
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(_) if objects.len() >= MOST => {
                bundle.missing(format!("more {}", kind.plural), format!("there are more than {MOST}"));
                return Ok(objects);
            }
            Some(next) => params = params.continue_token(&next),
            None => return Ok(objects),
        }
    }
}

/// The schemas of definitions are long, and nobody reads them.
fn without_schemas(object: &mut Value) {
    if object["kind"] != "CustomResourceDefinition" {
        return;
    }
    for version in object["spec"]["versions"].as_array_mut().into_iter().flatten() {
        if let Some(version) = version.as_object_mut() {
            version.remove("schema");
        }
    }
}

/// Writes objects, a file for each kind in each namespace.
pub(super) fn write(bundle: &Bundle<'_>, objects: Vec<Value>) {
    let mut files: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in objects {
        files.entry(file(&object)).or_default().push(object);
    }
    for (path, objects) in files {
        bundle.objects(&path, objects);
    }
}

/// The file that an object is in.
pub(super) fn file(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let group = version.split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("_cluster");
    format!("objects/{namespace}/{}{group}.yaml", object["kind"].as_str().unwrap_or_default().to_lowercase())
}

/// `Deployment demo/frontend`.
pub(super) fn name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    let namespace = metadata["namespace"].as_str().map(|name| format!("{name}/")).unwrap_or_default();
    format!("{} {namespace}{}", text(&object["kind"]), text(&metadata["name"]))
}
