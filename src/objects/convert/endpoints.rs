//! Slices of endpoints: where an endpoint runs was a map, and is fields now.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::Refusal;
use super::draft::{self, Draft, fill, forbid, items, take};
use super::kinds::Step;

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// To `discovery.k8s.io/v1`.
pub(super) fn up(draft: &mut Draft, _: &Step<'_>) -> Result<(), Refusal> {
    let mut dropped = Vec::new();
    let root = draft.root()?;
    for endpoint in items(root, "endpoints")? {
        let Some(Value::Object(mut topology)) = take(endpoint, "topology") else { continue };
        if let Some(node) = take(&mut topology, HOSTNAME) {
            fill(endpoint, "nodeName", || node);
        }
        if let Some(zone) = take(&mut topology, ZONE) {
            fill(endpoint, "zone", || zone);
        }
        dropped.extend(topology.keys().cloned());
    }
    if root.get("addressType").is_some_and(|kind| kind == "IP") {
        let kind = family(root)?;
        root.insert("addressType".to_owned(), json!(kind));
    }
    dropped.sort();
    dropped.dedup();
    if !dropped.is_empty() {
        draft.note(format!("the topology {} is left out, which v1 can't hold", dropped.join(", ")));
    }
    Ok(())
}

/// The one family of all addresses: the alpha version did not tell them apart.
fn family(root: &mut draft::Fields) -> Result<&'static str, Refusal> {
    let mut found = None;
    for endpoint in items(root, "endpoints")? {
        for address in endpoint.get("addresses").and_then(Value::as_array).into_iter().flatten() {
            let kind = match address.as_str().and_then(|text| text.parse::<IpAddr>().ok()) {
                Some(IpAddr::V4(_)) => "IPv4",
                Some(IpAddr::V6(_)) => "IPv6",
                None => return Err(Refusal::new(format!("{address} is no address"), "correct the file")),
            };
            if found.is_some_and(|found| found != kind) {
                return Err(Refusal::new("it mixes IPv4 and IPv6", "make a slice for each of them"));
            }
            found = Some(kind);
        }
    }
    Ok(found.unwrap_or("IPv4"))
}

/// From `discovery.k8s.io/v1`.
pub(super) fn down(draft: &mut Draft, step: &Step<'_>) -> Result<(), Refusal> {
    for endpoint in items(draft.root()?, "endpoints")? {
        forbid(endpoint, &["hints"], step.old)?;
        draft::rename(endpoint, "deprecatedTopology", "topology");
        let (node, zone) = (endpoint.get("nodeName").cloned(), take(endpoint, "zone"));
        if node.is_none() && zone.is_none() {
            continue;
        }
        let topology = draft::at(endpoint, &["topology"])?;
        if let Some(node) = node {
            fill(topology, HOSTNAME, || node);
        }
        if let Some(zone) = zone {
            fill(topology, ZONE, || zone);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::objects::convert::tests::{converted, refused};

    fn slice(version: &str, kind: &str, addresses: &str) -> String {
        format!(
            "{{apiVersion: discovery.k8s.io/{version}, kind: EndpointSlice, metadata: {{name: a}}, addressType: {kind}, \
             endpoints: [{{addresses: {addresses}, topology: {{kubernetes.io/hostname: node, topology.kubernetes.io/zone: z, \
             topology.kubernetes.io/region: r}}}}]}}"
        )
    }

    #[test]
    fn a_place_is_fields_now() {
        let (document, notes) = converted(&slice("v1beta1", "IPv4", "[10.0.0.1]"), "1.34");
        assert_eq!(document["endpoints"], json!([{"addresses": ["10.0.0.1"], "nodeName": "node", "zone": "z"}]));
        assert_eq!(notes, ["the topology topology.kubernetes.io/region is left out, which v1 can't hold"]);
        let (back, _) = converted(&document.to_string(), "1.20");
        assert_eq!(
            back["endpoints"][0]["topology"],
            json!({"kubernetes.io/hostname": "node", "topology.kubernetes.io/zone": "z"})
        );
    }

    #[test]
    fn the_family_of_addresses_is_found() {
        assert_eq!(converted(&slice("v1alpha1", "IP", "['::1']"), "1.34").0["addressType"], "IPv6");
        assert!(refused(&slice("v1alpha1", "IP", "['::1', 10.0.0.1]"), "1.34").contains("it mixes IPv4 and IPv6"));
    }
}
