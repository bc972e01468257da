//! The control plane.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use super::step;
use crate::observe::istiod::{self, Connected, Istiod};
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::{SYSTEM, Scene};

/// istiod's monitoring port.
const MONITORING: u16 = 15014;

pub(super) const STEPS: [Entry; 5] = [
    step!(
        "istiod",
        Check,
        "at least {int} proxy/proxies is/are connected to istiod",
        connected,
        "istiod counts so many proxies that hold a stream of configuration (its metric pilot_xds)."
    ),
    step!(
        "istiod",
        Check,
        "no proxy has rejected its configuration",
        accepted,
        "Since istiod started, no proxy has refused what it was sent (its metric pilot_total_xds_rejects)."
    ),
    step!(
        "istiod",
        Check,
        "istiod's metric {string} is at least {float}",
        metric,
        "The sum of this metric of istiod over all its labels is this number or more; one that istiod has not used yet \
         is 0."
    ),
    step!(
        "istiod",
        Check,
        "every proxy is in sync with istiod",
        all_synced,
        "Each proxy that is connected has accepted the newest of everything that istiod sent to it."
    ),
    step!(
        "istiod",
        Check,
        "the proxy of {string} in namespace {string} is in sync with istiod",
        synced,
        "The proxies of all pods of the Deployment are connected, and have accepted the newest of everything that \
         istiod sent to them."
    ),
];

fn metrics(scene: &Scene) -> Istiod {
    Istiod::new(scene.service(SYSTEM, "istiod", MONITORING))
}

async fn connected(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: f64 = arguments.number(0)?;
    let found = metrics(scene).metric("pilot_xds").await?;
    if found >= wanted { Ok(()) } else { Err(Unmet::not_yet(format!("{found} proxies are connected"))) }
}

async fn accepted(scene: &mut Scene, _: Arguments) -> Result<(), Unmet> {
    let rejected = metrics(scene).metric("pilot_total_xds_rejects").await?;
    if rejected > 0.0 {
        return Err(Unmet::Never(format!(
            "configuration was rejected {rejected} times; istiod's log says which and why"
        )));
    }
    Ok(())
}

async fn metric(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: f64 = arguments.number(1)?;
    let found = metrics(scene).metric(arguments.text(0)).await?;
    if found >= wanted { Ok(()) } else { Err(Unmet::not_yet(format!("{} is {found}", arguments.text(0)))) }
}

/// The proxies that are connected to any of istiod's pods.
async fn proxies(scene: &Scene) -> Result<Vec<Connected>, Unmet> {
    let client = scene.shared.api.client().clone();
    let listed = Api::<Pod>::namespaced(client, SYSTEM)
        .list(&ListParams::default().labels("app=istiod").fields("status.phase=Running"))
        .await
        .map_err(Unmet::kube("listing the pods of istiod"))?;
    let mut proxies = Vec::new();
    for name in listed.items.iter().filter_map(|pod| pod.metadata.name.as_deref()) {
        proxies.extend(istiod::connected(&scene.inside(SYSTEM, name, MONITORING)).await?);
    }
    if proxies.is_empty() { Err(Unmet::not_yet("no proxy is connected to istiod")) } else { Ok(proxies) }
}

async fn all_synced(scene: &mut Scene, _: Arguments) -> Result<(), Unmet> {
    judged(proxies(scene).await?.iter())
}

async fn synced(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let namespace = arguments.text(1);
    let pods = scene.pods_of(arguments.text(0), namespace).await?;
    let names = pods.iter().filter_map(|pod| Some(format!("{}.{namespace}", pod.metadata.name.as_ref()?)));
    of(&proxies(scene).await?, &names.collect())
}

/// Judges these proxies, by their names.
fn of(proxies: &[Connected], names: &BTreeSet<String>) -> Result<(), Unmet> {
    let connected: BTreeSet<&String> = proxies.iter().map(|proxy| &proxy.proxy).collect();
    let missing: Vec<&str> = names.iter().filter(|name| !connected.contains(name)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(Unmet::not_yet(format!("not connected to istiod: {}", missing.join(", "))));
    }
    judged(proxies.iter().filter(|proxy| names.contains(&proxy.proxy)))
}

fn judged<'proxies>(proxies: impl Iterator<Item = &'proxies Connected>) -> Result<(), Unmet> {
    let behind: Vec<String> = proxies
        .map(|proxy| (&proxy.proxy, proxy.behind()))
        .filter(|(_, behind)| !behind.is_empty())
        .map(|(name, behind)| format!("{name}: {}", behind.join(", ")))
        .collect();
    if behind.is_empty() { Ok(()) } else { Err(Unmet::not_yet(behind.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_in_sync_when_it_is_connected_and_has_everything() {
        let json = r#"[{"proxy":"a-1.demo","resources":{"x/v3.Cluster":{"sent":"1","acked":"1"}}},
            {"proxy":"b-1.demo","resources":{"x/v3.Cluster":{"sent":"2","acked":"1"}}}]"#;
        let proxies: Vec<Connected> = serde_json::from_str(json).expect("an answer of istiod");
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert!(of(&proxies, &names(&["a-1.demo"])).is_ok());
        let text = of(&proxies, &names(&["a-1.demo", "b-1.demo"])).expect_err("b lags").to_string();
        assert_eq!(text, "b-1.demo: Cluster is not accepted yet");
        let text = of(&proxies, &names(&["c-1.demo"])).expect_err("c is away").to_string();
        assert_eq!(text, "not connected to istiod: c-1.demo");
    }
}
