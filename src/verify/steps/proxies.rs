//! What proxies work by: clusters, listeners, routes, as Envoy itself tells.

use std::collections::BTreeSet;

use super::step;
use crate::observe::envoy::{self, ADMINISTRATION, Configuration};
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 7] = [
    step!(
        "proxies",
        Check,
        "the proxy of {string} in namespace {string} has the cluster {string}",
        cluster,
        "In each pod of the Deployment, Envoy has a cluster of this name, such as \
         outbound|8080|v1|echo.demo.svc.cluster.local: port, subset and host that requests can go to."
    ),
    step!(
        "proxies",
        Check,
        "the proxy of {string} in namespace {string} has no cluster {string}",
        no_cluster,
        "In no pod of the Deployment Envoy has a cluster of this name."
    ),
    step!(
        "proxies",
        Check,
        "the proxy of {string} in namespace {string} has the listener {string}",
        listener,
        "In each pod of the Deployment, Envoy listens under this name, such as virtualInbound."
    ),
    step!(
        "proxies",
        Check,
        "the proxy of {string} in namespace {string} has the route table {string}",
        route,
        "In each pod of the Deployment, Envoy has a table of routes of this name, such as 8080, the port whose \
         requests it is for."
    ),
    step!(
        "proxies",
        Check,
        "the proxy of {string} in namespace {string} has the virtual host {string}",
        virtual_host,
        "In each pod of the Deployment, one of Envoy's tables of routes has a host of this name or domain."
    ),
    step!(
        "proxies",
        Check,
        "the configuration of the proxy of {string} in namespace {string} contains {string}",
        contains,
        "In each pod of the Deployment, Envoy's dump of its configuration has this text; a name with ${unique} shows \
         that what the scenario applied has arrived."
    ),
    step!(
        "proxies",
        Check,
        "the configuration of the proxy of {string} in namespace {string} does not contain {string}",
        contains_not,
        "In no pod of the Deployment Envoy's dump of its configuration has this text."
    ),
];

/// The configurations of the proxies of a Deployment's pods, by pod.
async fn configurations(scene: &mut Scene, arguments: &Arguments) -> Result<Vec<(String, Configuration)>, Unmet> {
    let namespace = arguments.text(1);
    let mut configurations = Vec::new();
    for pod in scene.pods_of(arguments.text(0), namespace).await? {
        let name = pod.metadata.name.unwrap_or_default();
        let configuration = envoy::configuration(&scene.inside(namespace, &name, ADMINISTRATION)).await?;
        configurations.push((name, configuration));
    }
    Ok(configurations)
}

/// Passes if each proxy has the name; else shows the names that are most like it.
async fn has(
    scene: &mut Scene,
    arguments: &Arguments,
    what: &str,
    of: fn(&Configuration) -> &BTreeSet<String>,
) -> Result<(), Unmet> {
    let wanted = arguments.text(2);
    for (pod, configuration) in configurations(scene, arguments).await? {
        named(of(&configuration), wanted)
            .map_err(|like| Unmet::not_yet(format!("{pod} has no {what} {wanted:?}{like}")))?;
    }
    Ok(())
}

/// How many names a failed step shows.
const SHOWN: usize = 5;

/// Passes if the name is there; else tells those that are most like it.
fn named(names: &BTreeSet<String>, wanted: &str) -> Result<(), String> {
    if names.contains(wanted) {
        return Ok(());
    }
    let alike = |name: &str| strsim::jaro_winkler(name, wanted);
    let mut nearest: Vec<&str> = names.iter().map(String::as_str).collect();
    nearest.sort_by(|one, other| alike(other).total_cmp(&alike(one)));
    nearest.truncate(SHOWN);
    if nearest.is_empty() {
        Err("; it has none".to_owned())
    } else {
        Err(format!("; of {} there are {}", names.len(), nearest.join(", ")))
    }
}

async fn cluster(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    has(scene, &arguments, "cluster", |configuration| &configuration.clusters).await
}

async fn no_cluster(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let unwanted = arguments.text(2);
    let configurations = configurations(scene, &arguments).await?;
    match configurations.iter().find(|(_, configuration)| configuration.clusters.contains(unwanted)) {
        None => Ok(()),
        Some((pod, _)) => Err(Unmet::not_yet(format!("{pod} has the cluster {unwanted:?}"))),
    }
}

async fn listener(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    has(scene, &arguments, "listener", |configuration| &configuration.listeners).await
}

async fn route(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    has(scene, &arguments, "route table", |configuration| &configuration.routes).await
}

async fn virtual_host(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    has(scene, &arguments, "virtual host", |configuration| &configuration.virtual_hosts).await
}

async fn contains(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted = arguments.text(2);
    let configurations = configurations(scene, &arguments).await?;
    match configurations.iter().find(|(_, configuration)| !configuration.text.contains(wanted)) {
        None => Ok(()),
        Some((pod, configuration)) => Err(Unmet::not_yet(format!(
            "the configuration of {pod} ({} bytes) does not contain {wanted:?}",
            configuration.text.len()
        ))),
    }
}

async fn contains_not(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let unwanted = arguments.text(2);
    let configurations = configurations(scene, &arguments).await?;
    let place = configurations.iter().find_map(|(pod, configuration)| {
        let line = configuration.text.lines().find(|line| line.contains(unwanted))?;
        Some(format!("the configuration of {pod} contains {unwanted:?}: {}", line.trim()))
    });
    place.map_or(Ok(()), |place| Err(Unmet::not_yet(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_name_shows_those_that_are_like_it() {
        let names: BTreeSet<String> =
            ["outbound|8080||echo.demo", "outbound|8080|v2|echo.demo", "xds-grpc", "a", "b", "c", "d"]
                .map(str::to_owned)
                .into();
        assert_eq!(named(&names, "xds-grpc"), Ok(()));
        let text = named(&names, "outbound|8080|v1|echo.demo").expect_err("there is no v1");
        assert!(text.starts_with("; of 7 there are outbound|8080|v2|echo.demo, outbound|8080||echo.demo, "), "{text}");
        assert_eq!(named(&BTreeSet::new(), "x"), Err("; it has none".to_owned()));
    }
}
