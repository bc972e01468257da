//! The network that kind puts its nodes into. The lab's registry must be in it from its start: a
//! container that joins another network later may get its published port moved by the engine, and
//! what goes through the port at that moment breaks off. So the network is made here, as kind would
//! make it, if it is not there; kind takes what it finds. It is shared by all of kind's clusters and
//! stays, as kind's does.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::InspectNetworkOptions;

use super::Error;
use crate::images::engine;

/// kind's name for it.
const KINDS: &str = "kind";
/// kind derives this range from the name `kind`.
const KINDS_IPV6: &str = "fc00:f853:ccd:e793::/64";
/// The engine's option for the largest packet.
const MTU: &str = "com.docker.network.driver.mtu";

/// The network's name: kind's own, or the one that kind is told to use.
#[must_use]
pub fn name() -> String {
    std::env::var("KIND_EXPERIMENTAL_DOCKER_NETWORK")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| KINDS.to_owned())
}

/// Makes the network if it is not there, and returns its name.
///
/// # Errors
/// [`Error::Engine`].
pub async fn ensure(docker: &Docker) -> Result<String, Error> {
    let name = name();
    if exists(docker, &name).await? {
        return Ok(name);
    }
    let bridge = docker.inspect_network("bridge", None::<InspectNetworkOptions>).await.ok();
    let mtu = bridge.and_then(|bridge| bridge.options).and_then(|mut options| options.remove(MTU));
    let with_ipv6 = create(docker, &name, mtu.clone(), (name == KINDS).then_some(KINDS_IPV6)).await;
    // IPv6 fails where the kernel or the engine has none; kind goes on without, too.
    let made = match with_ipv6 {
        Err(_) if !exists(docker, &name).await? => create(docker, &name, mtu, None).await,
        other => other,
    };
    match made {
        Err(_) if exists(docker, &name).await? => Ok(name),
        made => Ok(made.map(|()| name).map_err(engine::Error::request("making the network of kind's nodes"))?),
    }
}

async fn exists(docker: &Docker, name: &str) -> Result<bool, Error> {
    match docker.inspect_network(name, None::<InspectNetworkOptions>).await {
        Ok(_) => Ok(true),
        Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
        Err(source) => Err(engine::Error::request(format!("looking for the network {name}"))(source).into()),
    }
}

async fn create(docker: &Docker, name: &str, mtu: Option<String>, ipv6: Option<&str>) -> Result<(), EngineError> {
    let mut options = HashMap::from([("com.docker.network.bridge.enable_ip_masquerade".to_owned(), "true".to_owned())]);
    options.extend(mtu.map(|mtu| (MTU.to_owned(), mtu)));
    let range = |subnet: &str| IpamConfig { subnet: Some(subnet.to_owned()), ..IpamConfig::default() };
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        enable_ipv6: Some(ipv6.is_some()),
        ipam: ipv6.map(|subnet| Ipam { config: Some(vec![range(subnet)]), ..Ipam::default() }),
        options: Some(options),
        ..NetworkCreateRequest::default()
    };
    docker.create_network(request).await.map(drop)
}
