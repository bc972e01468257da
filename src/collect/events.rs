//! What the cluster says has happened.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Event as CoreEvent;
use kube::Client;
use kube::api::{Api as KubeApi, ListParams};
use serde_json::Value;

use super::bundle::Bundle;
use super::summary::Warning;
use crate::objects::request::told;

/// The most events that are asked for.
const MOST: u32 = 5000;

/// An event, with its parts in words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) namespace: String,
    /// `Pod demo/frontend-1`.
    pub(super) object: String,
    pub(super) is_warning: bool,
    pub(super) warning: Warning,
}

/// The cluster's events, the newest first.
pub(super) async fn all(bundle: &Bundle<'_>, client: &Client) -> Vec<Event> {
    let requests: KubeApi<CoreEvent> = KubeApi::all(client.clone());
    let list = async { requests.list(&ListParams::default().limit(MOST)).await.map_err(|error| told(&error)) };
    let Some(list) = bundle.attempt("listing events", list).await else { return Vec::new() };
    let items = list.items.into_iter().filter_map(|event| serde_json::to_value(event).ok());
    let mut events: Vec<Event> = items.map(|event| read(&event)).collect();
    events.sort_by(|a, b| b.warning.time.cmp(&a.warning.time));
    events
}

fn read(event: &Value) -> Event {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let about = &event["involvedObject"];
    let namespace = about["namespace"].as_str().map(|name| format!("{name}/")).unwrap_or_default();
    let object = format!("{} {namespace}{}", text(&about["kind"]), text(&about["name"]));
    let times = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["metadata"]["creationTimestamp"],
    ];
    Event {
        namespace: text(&event["metadata"]["namespace"]),
        is_warning: event["type"] == "Warning",
        warning: Warning {
            time: times.iter().find_map(|time| time.as_str()).unwrap_or_default().to_owned(),
            object: object.clone(),
            reason: text(&event["reason"]),
            message: text(&event["message"]).trim().to_owned(),
            count: event["series"]["count"].as_i64().or(event["count"].as_i64()).unwrap_or(1),
        },
        object,
    }
}

/// Writes events, a file for each namespace, in the order in which they happened.
pub(super) fn write(bundle: &Bundle<'_>, events: &[Event]) {
    let mut files = std::collections::BTreeMap::<&str, String>::new();
    for event in events.iter().rev() {
        let Warning { time, object, reason, message, count } = &event.warning;
        let kind = if event.is_warning { "Warning" } else { "Normal" };
        let file = files.entry(&event.namespace).or_default();
        // Writing to a string can't fail.
        let _ = writeln!(file, "{time}  {kind:<7}  {object}  {reason}  x{count}  {message}");
    }
    for (namespace, text) in files {
        bundle.text(&format!("events/{namespace}.txt"), &text);
    }
}
