//! The network of a lab: its nodes and its registry are in it, and nothing else. The registry must
//! be in it from its start: a container that joins another network later may get its published port
//! moved by the engine, and what goes through the port at that moment breaks off.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{NetworkCreateRequest, NetworkInspect};
use bollard::query_parameters::InspectNetworkOptions;

use super::removal::is_gone;
use super::{Error, is_labelled, labels};
use crate::images::engine;

/// The variable by which kind is told the network of its nodes.
pub const VARIABLE: &str = "KIND_EXPERIMENTAL_DOCKER_NETWORK";
/// The engine's option for the largest packet.
const MTU: &str = "com.docker.network.driver.mtu";

/// The name of a lab's network.
#[must_use]
pub fn name(lab: &str) -> String {
    format!("istiolab-{lab}")
}

/// Makes the lab's network if it is not there, and returns its name.
///
/// # Errors
/// [`Error::ForeignNetwork`], [`Error::Engine`].
pub async fn ensure(docker: &Docker, lab: &str) -> Result<String, Error> {
    let name = name(lab);
    if let Some(found) = inspect(docker, &name).await? {
        return owned(name, &found, lab);
    }
    // Packets are to be as large as on the engine's own bridge, which knows of tunnels below it.
    let bridge = docker.inspect_network("bridge", None::<InspectNetworkOptions>).await.ok();
    let mtu = bridge.and_then(|bridge| bridge.options).and_then(|mut options| options.remove(MTU));
    let mut options = HashMap::from([("com.docker.network.bridge.enable_ip_masquerade".to_owned(), "true".to_owned())]);
    options.extend(mtu.map(|mtu| (MTU.to_owned(), mtu)));
    let request = NetworkCreateRequest {
        name: name.clone(),
        driver: Some("bridge".to_owned()),
        labels: Some(labels(lab)),
        options: Some(options),
        ..NetworkCreateRequest::default()
    };
    match docker.create_network(request).await {
        Ok(_) => Ok(name),
        Err(source) => match inspect(docker, &name).await? {
            // Another run was quicker.
            Some(found) => owned(name, &found, lab),
            None => Err(engine::Error::request("making the lab's network")(source).into()),
        },
    }
}

/// Removes the lab's network, which must be empty; `false` if there is none.
///
/// # Errors
/// [`Error::ForeignNetwork`], [`Error::Engine`].
pub async fn remove(docker: &Docker, lab: &str) -> Result<bool, Error> {
    let name = name(lab);
    let Some(found) = inspect(docker, &name).await? else { return Ok(false) };
    let name = owned(name, &found, lab)?;
    match docker.remove_network(&name).await {
        Err(error) if is_gone(&error) => {}
        removed => removed.map_err(engine::Error::request("removing the lab's network"))?,
    }
    Ok(true)
}

fn owned(name: String, found: &NetworkInspect, lab: &str) -> Result<String, Error> {
    if found.labels.as_ref().is_some_and(|found| is_labelled(found, lab)) {
        Ok(name)
    } else {
        Err(Error::ForeignNetwork { name })
    }
}

async fn inspect(docker: &Docker, name: &str) -> Result<Option<NetworkInspect>, Error> {
    match docker.inspect_network(name, None::<InspectNetworkOptions>).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(source) => Err(engine::Error::request(format!("looking for the network {name}"))(source).into()),
    }
}
