//! The lab's registry: a container beside the nodes, reached from this machine by a port of loopback
//! and from the nodes by its name on their network. Its images are in a volume of its own.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
    VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, RemoveVolumeOptions, StartContainerOptions,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::removal::{self, is_gone};
use super::{Error, is_labelled, labels, network, pause};
use crate::images::engine;
use crate::images::registry::Client;

/// The port inside the container.
pub(super) const PORT: &str = "5000/tcp";
/// How many free ports are tried.
const PORT_TRIES: u32 = 5;

/// A running registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The container's name, which nodes on its network resolve.
    pub container: String,
    /// The port of 127.0.0.1 that leads to it.
    pub host_port: u16,
    /// Whether it was made or started now.
    pub created: bool,
}

impl Handle {
    /// The address for programs on this machine.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.host_port)
    }

    /// The address for nodes.
    #[must_use]
    pub fn url_for_nodes(&self) -> String {
        format!("http://{}:5000", self.container)
    }
}

/// The name of a lab's registry container and of its volume.
#[must_use]
pub fn name(lab: &str) -> String {
    format!("istiolab-{lab}-registry")
}

/// Makes the lab's registry of the engine's image `image`, or starts it, or finds it running, and
/// waits until it answers. It is in the lab's network. `port` is one of 127.0.0.1; `None`
/// takes any free one, and keeps it. A registry of the lab with another image, port or network is
/// replaced; its images stay.
///
/// # Errors
/// [`Error::ForeignContainer`], [`Error::PortTaken`], [`Error::Deadline`], [`Error::Engine`],
/// [`Error::Interrupted`].
pub async fn ensure(
    docker: &Docker,
    lab: &str,
    image: &str,
    port: Option<u16>,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Handle, Error> {
    let name = name(lab);
    let network = network::ensure(docker, lab).await?;
    let mut created = false;
    if let Some(old) = inspect(docker, &name).await? {
        owned(&name, &old, lab)?;
        let wanted = engine::id(docker, image).await?;
        let joined = old.host_config.as_ref().and_then(|config| config.network_mode.as_deref()) == Some(&network);
        let same = joined && (wanted.is_none() || wanted == old.image);
        if !same || port.is_some_and(|port| configured_port(&old) != Some(port)) {
            removal::container(docker, &name, &name).await?;
        } else if !old.state.is_some_and(|state| state.running.unwrap_or_default()) {
            start(docker, &name, port).await?;
            created = true;
        }
    }
    if inspect(docker, &name).await?.is_none() {
        let volume = VolumeCreateRequest { name: Some(name.clone()), labels: Some(labels(lab)), ..Default::default() };
        docker.create_volume(volume).await.map_err(engine::Error::request("making the registry's volume"))?;
        make(docker, &name, port, |port| body(lab, &name, image, &network, port)).await?;
        created = true;
    }
    running(docker, name, created, limit, cancel).await
}

/// The container that was started, as soon as it answers.
pub(super) async fn running(
    docker: &Docker,
    name: String,
    created: bool,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Handle, Error> {
    let host_port = inspect(docker, &name).await?.as_ref().and_then(bound_port).ok_or_else(|| {
        let gone =
            EngineError::DockerStreamError { error: format!("the container {name} has no port on this machine") };
        engine::Error::request("starting the registry")(gone)
    })?;
    let handle = Handle { container: name, host_port, created };
    answers(docker, &handle, limit, cancel).await?;
    Ok(handle)
}

/// Whether the lab has its registry, running or not.
///
/// # Errors
/// [`Error::Engine`].
pub async fn exists(docker: &Docker, lab: &str) -> Result<bool, Error> {
    let name = name(lab);
    let container = inspect(docker, &name).await?;
    Ok(container.is_some_and(|container| owned(&name, &container, lab).is_ok()))
}

/// The address of what the lab's nodes pull from, the registry or the container that serves a bundle, for programs
/// on this machine; `None` if there is none that runs.
///
/// # Errors
/// [`Error::Engine`].
pub async fn address(docker: &Docker, lab: &str) -> Result<Option<String>, Error> {
    for name in [super::bundle_container::name(lab), name(lab)] {
        let container = inspect(docker, &name).await?.filter(|container| owned(&name, container, lab).is_ok());
        if let Some(port) = container.as_ref().and_then(bound_port) {
            return Ok(Some(format!("http://127.0.0.1:{port}")));
        }
    }
    Ok(None)
}

/// Tells the cluster's users where the registry is
/// ([KEP-1755](https://github.com/kubernetes/enhancements/tree/master/keps/sig-cluster-lifecycle/generic/1755-communicating-a-local-registry)).
///
/// # Errors
/// [`Error::Api`].
pub async fn advertise(client: &kube::Client, handle: &Handle) -> Result<(), Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-public");
    let patch = Patch::Apply(config_map(handle));
    let params = PatchParams::apply("istiolab").force();
    let applied = api.patch("local-registry-hosting", &params, &patch).await;
    applied.map(drop).map_err(|source| Error::Api {
        doing: "writing the config map kube-public/local-registry-hosting".to_owned(),
        source: Box::new(source),
    })
}

/// Removes the lab's registry and its images; `false` if there was none.
///
/// # Errors
/// [`Error::ForeignContainer`], [`Error::Engine`].
pub async fn remove(docker: &Docker, lab: &str) -> Result<bool, Error> {
    let name = name(lab);
    let container = inspect(docker, &name).await?;
    if let Some(container) = &container {
        owned(&name, container, lab)?;
        removal::container(docker, &name, &name).await?;
    }
    let ours = match docker.inspect_volume(&name).await {
        Err(error) if is_gone(&error) => false,
        volume => {
            let volume = volume.map_err(engine::Error::request("looking for the registry's volume"))?;
            is_labelled(&volume.labels, lab)
        }
    };
    if ours {
        match docker.remove_volume(&name, None::<RemoveVolumeOptions>).await {
            Err(error) if is_gone(&error) => {}
            removed => removed.map_err(engine::Error::request("removing the registry's volume"))?,
        }
    }
    Ok(container.is_some() || ours)
}

pub(super) fn owned(name: &str, container: &ContainerInspectResponse, lab: &str) -> Result<(), Error> {
    let found = container.config.as_ref().and_then(|config| config.labels.as_ref());
    if found.is_some_and(|found| is_labelled(found, lab)) {
        Ok(())
    } else {
        Err(Error::ForeignContainer { name: name.to_owned() })
    }
}

pub(super) async fn inspect(docker: &Docker, name: &str) -> Result<Option<ContainerInspectResponse>, Error> {
    match docker.inspect_container(name, None::<InspectContainerOptions>).await {
        Err(error) if is_gone(&error) => Ok(None),
        found => Ok(Some(found.map_err(engine::Error::request(format!("looking for the container {name}")))?)),
    }
}

/// Makes a container by `body`, which gets the port to publish, and starts it. A port that we chose
/// ourselves may be taken before the engine gets to it: then another one is chosen.
pub(super) async fn make(
    docker: &Docker,
    name: &str,
    port: Option<u16>,
    body: impl Fn(u16) -> ContainerCreateBody + Send,
) -> Result<(), Error> {
    for tries_left in (0..PORT_TRIES).rev() {
        let chosen = port.unwrap_or_else(free_port);
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let made = docker.create_container(Some(options), body(chosen)).await;
        made.map_err(engine::Error::request(format!("making the container {name}")))?;
        match start(docker, name, Some(chosen)).await {
            Err(Error::PortTaken { .. }) if port.is_none() && tries_left > 0 => {}
            result => return result,
        }
    }
    Ok(())
}

/// A port that is free now. A fixed one rather than the engine's own choice, which would be another
/// one after each start.
fn free_port() -> u16 {
    let bound = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    // Without one the engine chooses.
    bound.map_or(0, |address| address.port())
}

/// The container's port as `port` of 127.0.0.1.
pub(super) fn published(port: u16) -> HashMap<String, Option<Vec<PortBinding>>> {
    let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(port.to_string()) };
    HashMap::from([(PORT.to_owned(), Some(vec![binding]))])
}

fn body(lab: &str, name: &str, image: &str, network: &str, port: u16) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.to_owned()),
        labels: Some(labels(lab)),
        exposed_ports: Some(vec![PORT.to_owned()]),
        // It would look for a collector of traces on this machine otherwise.
        env: Some(vec!["OTEL_TRACES_EXPORTER=none".to_owned()]),
        host_config: Some(HostConfig {
            binds: Some(vec![format!("{name}:/var/lib/registry")]),
            network_mode: Some(network.to_owned()),
            port_bindings: Some(published(port)),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) async fn start(docker: &Docker, name: &str, port: Option<u16>) -> Result<(), Error> {
    let taken = |source: &EngineError| {
        let EngineError::DockerResponseServerError { message, .. } = source else { return false };
        message.contains("port is already allocated") || message.contains("address already in use")
    };
    match (docker.start_container(name, None::<StartContainerOptions>).await, port) {
        (Ok(()), _) => Ok(()),
        (Err(source), Some(port)) if taken(&source) => {
            // It can't run; without it, the next try starts clean.
            removal::container(docker, name, name).await?;
            Err(Error::PortTaken { port, source })
        }
        (Err(source), _) => Err(engine::Error::request("starting the registry")(source).into()),
    }
}

pub(super) fn configured_port(container: &ContainerInspectResponse) -> Option<u16> {
    let bindings = container.host_config.as_ref()?.port_bindings.as_ref()?.get(PORT)?.as_ref()?;
    bindings.first()?.host_port.as_ref()?.parse().ok()
}

fn bound_port(container: &ContainerInspectResponse) -> Option<u16> {
    let ports = container.network_settings.as_ref()?.ports.as_ref()?.get(PORT)?.as_ref()?;
    ports.first()?.host_port.as_ref()?.parse().ok()
}

async fn answers(docker: &Docker, handle: &Handle, limit: Duration, cancel: &CancellationToken) -> Result<(), Error> {
    let begin = Instant::now();
    let deadline = |last| Error::Deadline { what: "the lab's registry did not answer".to_owned(), limit, last };
    let client = Client::new(&handle.url()).map_err(|error| deadline(error.to_string()))?;
    loop {
        let Err(error) = client.ping().await else { return Ok(()) };
        let state = inspect(docker, &handle.container).await?.and_then(|container| container.state);
        if let Some(code) = state.filter(|state| !state.running.unwrap_or_default()).and_then(|state| state.exit_code) {
            return Err(deadline(format!(
                "its container ended with {code}; `docker logs {}` says more",
                handle.container
            )));
        }
        if begin.elapsed() > limit {
            return Err(deadline(error.to_string()));
        }
        pause(Duration::from_millis(50), cancel).await?;
    }
}

fn config_map(handle: &Handle) -> serde_json::Value {
    let host = format!("127.0.0.1:{}", handle.host_port);
    let inside = format!("{}:5000", handle.container);
    let hosting = format!(
        "host: \"{host}\"\nhostFromContainerRuntime: \"{inside}\"\nhostFromClusterNetwork: \"{inside}\"\nhelp: \"https://istiolab.dev\"\n"
    );
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "local-registry-hosting", "namespace": "kube-public"},
        "data": {"localRegistryHosting.v1": hosting},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> Handle {
        Handle { container: name("quickstart"), host_port: 5001, created: true }
    }

    #[test]
    fn addresses() {
        assert_eq!(handle().url(), "http://127.0.0.1:5001");
        assert_eq!(handle().url_for_nodes(), "http://istiolab-quickstart-registry:5000");
    }

    #[test]
    fn the_config_map_is_the_enhancements() {
        let map = config_map(&handle());
        insta::assert_snapshot!(map["data"]["localRegistryHosting.v1"].as_str().expect("text"), @r#"
        host: "127.0.0.1:5001"
        hostFromContainerRuntime: "istiolab-quickstart-registry:5000"
        hostFromClusterNetwork: "istiolab-quickstart-registry:5000"
        help: "https://istiolab.dev"
        "#);
    }

    #[test]
    fn only_both_labels_make_it_ours() {
        assert!(is_labelled(&labels("a"), "a"));
        assert!(!is_labelled(&labels("b"), "a"));
        let mut one = labels("a");
        one.remove(super::super::OWNED_LABEL);
        assert!(!is_labelled(&one, "a"));
    }
}
