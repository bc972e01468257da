//! What a proxy works by: Envoy's own dump of its configuration, asked of its administration, which
//! answers only on the pod's loopback address.
//! <https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--config_dump>

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde_json::Value;

use super::{Error, Inside};

/// The port of Envoy's administration in Istio's proxies.
pub const ADMINISTRATION: u16 = 15000;

/// What a proxy works by: names, and the dump as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Where requests can go, such as `outbound|8080|v1|echo.demo.svc.cluster.local`.
    pub clusters: BTreeSet<String>,
    /// Where connections come in, such as `virtualInbound`.
    pub listeners: BTreeSet<String>,
    /// Tables of routes, such as `8080`, the port whose requests they are for.
    pub routes: BTreeSet<String>,
    /// Names and domains of the hosts in those tables.
    pub virtual_hosts: BTreeSet<String>,
    /// The whole dump, as Envoy wrote it.
    pub text: String,
}

/// Asks a proxy what it works by.
///
/// # Errors
/// Those of [`Inside::get`], [`Error::Status`], [`Error::Shape`].
pub async fn configuration(administration: &Inside) -> Result<Configuration, Error> {
    let answer = administration.get("/config_dump").await?.ok()?;
    let dump: Value = answer.json()?;
    Ok(Configuration { text: answer.text().into_owned(), ..read(&dump) })
}

/// A certificate that a proxy shows to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The URIs that it proves, such as `spiffe://cluster.local/ns/demo/sa/client`.
    pub names: Vec<String>,
    /// When it ends to be valid; `None` if Envoy does not tell.
    pub expires: Option<SystemTime>,
}

/// Asks a proxy for its certificates, without those that others signed them with.
///
/// # Errors
/// Those of [`Inside::get`], [`Error::Status`], [`Error::Shape`].
pub async fn certificates(administration: &Inside) -> Result<Vec<Certificate>, Error> {
    Ok(chains(&administration.get("/certs").await?.ok()?.json()?))
}

fn chains(certs: &Value) -> Vec<Certificate> {
    let chains = list(&certs["certificates"]).flat_map(|entry| list(&entry["cert_chain"]));
    let names = |certificate: &Value| {
        let names = list(&certificate["subject_alt_names"]);
        names.filter_map(|name| name["uri"].as_str().map(str::to_owned)).collect()
    };
    chains
        .map(|certificate| Certificate {
            names: names(certificate),
            expires: certificate["expiration_time"].as_str().and_then(|time| humantime::parse_rfc3339(time).ok()),
        })
        .collect()
}

fn read(dump: &Value) -> Configuration {
    let mut configuration = Configuration::default();
    let into = |names: &mut BTreeSet<String>, name: &Value| {
        names.extend(name.as_str().map(str::to_owned));
    };
    for section in list(&dump["configs"]) {
        for key in ["static_clusters", "dynamic_active_clusters"] {
            list(&section[key]).for_each(|entry| into(&mut configuration.clusters, &entry["cluster"]["name"]));
        }
        list(&section["static_listeners"])
            .for_each(|entry| into(&mut configuration.listeners, &entry["listener"]["name"]));
        // One that is still warming up, or only ends its connections, is listed too.
        list(&section["dynamic_listeners"])
            .filter(|entry| entry["active_state"].is_object())
            .for_each(|entry| into(&mut configuration.listeners, &entry["name"]));
        for key in ["static_route_configs", "dynamic_route_configs"] {
            for table in list(&section[key]).map(|entry| &entry["route_config"]) {
                into(&mut configuration.routes, &table["name"]);
                for host in list(&table["virtual_hosts"]) {
                    into(&mut configuration.virtual_hosts, &host["name"]);
                    list(&host["domains"]).for_each(|domain| into(&mut configuration.virtual_hosts, domain));
                }
            }
        }
    }
    configuration
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_every_section() {
        let dump = serde_json::json!({"configs": [
            {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": {}},
            {"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
             "static_clusters": [{"cluster": {"name": "xds-grpc"}}],
             "dynamic_active_clusters": [{"cluster": {"name": "outbound|8080||echo.demo.svc.cluster.local"}}],
             "dynamic_warming_clusters": [{"cluster": {"name": "not yet"}}]},
            {"static_listeners": [{"listener": {"name": "stats"}}],
             "dynamic_listeners": [
                {"name": "virtualInbound", "active_state": {"listener": {"name": "virtualInbound"}}},
                {"name": "draining", "draining_state": {}}]},
            {"dynamic_route_configs": [{"route_config": {"name": "8080", "virtual_hosts": [
                {"name": "echo.demo.svc.cluster.local:8080", "domains": ["echo", "echo.demo"]}]}}],
             "static_route_configs": [{"route_config": {"name": "inbound"}}]}]});
        let configuration = read(&dump);
        let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        assert_eq!(names(&configuration.clusters), ["outbound|8080||echo.demo.svc.cluster.local", "xds-grpc"]);
        assert_eq!(names(&configuration.listeners), ["stats", "virtualInbound"]);
        assert_eq!(names(&configuration.routes), ["8080", "inbound"]);
        let hosts = ["echo", "echo.demo", "echo.demo.svc.cluster.local:8080"];
        assert_eq!(names(&configuration.virtual_hosts), hosts);
    }

    #[test]
    fn certificates_have_names_and_an_end() {
        let certs = serde_json::json!({"certificates": [
            {"ca_cert": [{"subject_alt_names": [], "expiration_time": "2036-11-18T10:00:00Z"}],
             "cert_chain": [{"subject_alt_names": [{"uri": "spiffe://cluster.local/ns/demo/sa/client"}],
                "days_until_expiration": "0", "expiration_time": "2026-11-22T10:00:00Z"}]},
            {"ca_cert": [], "cert_chain": []}]});
        let found = chains(&certs);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].names, ["spiffe://cluster.local/ns/demo/sa/client"]);
        let expires = humantime::format_rfc3339(found[0].expires.expect("a time")).to_string();
        assert_eq!(expires, "2026-11-22T10:00:00Z");
    }

    #[test]
    fn an_empty_dump_has_no_names() {
        assert_eq!(read(&Value::Null), Configuration::default());
    }
}
