//! The lab's registry as a container: made once, found again, refused where it is somebody else's.

use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptions, RemoveContainerOptions, RemoveContainerOptionsBuilder,
    StopContainerOptions,
};
use istiolab::cluster::{Error, network, registry_container};
use istiolab::error::{Failure, Kind};
use istiolab::images::copy::{Known, Target, Wanted};
use istiolab::images::layout::Layout;
use istiolab::images::registry::Client;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::copy::{copy, wanted};
use crate::fixture::{docker, folder, image, layer, loaded, needed};

/// The image of labs' registries.
const IMAGE: &str = "istiolab.local/registry:3.1.2";
/// How long a container may take to answer.
const LIMIT: Duration = Duration::from_mins(1);

/// A lab of a test's own.
struct Lab {
    docker: Docker,
    name: String,
    cancel: CancellationToken,
}

impl Lab {
    async fn needed(test: &str) -> Option<Self> {
        let docker = needed(test, docker().await)?;
        needed(test, loaded(&docker, IMAGE).await)?;
        let name = format!("test-{}-{}", std::process::id(), test.replace(' ', "-"));
        Some(Self { docker, name, cancel: CancellationToken::new() })
    }

    async fn ensure(&self, port: Option<u16>) -> Result<registry_container::Handle, Error> {
        registry_container::ensure(&self.docker, &self.name, IMAGE, port, LIMIT, &self.cancel).await
    }

    /// The lab's registry, on any free port.
    async fn registry(&self) -> registry_container::Handle {
        self.ensure(None).await.expect("it runs")
    }

    async fn client(&self) -> Client {
        Client::new(&self.registry().await.url()).expect("its address is one")
    }

    /// Takes everything of the lab away again. Async, so not a destructor: a test that fails leaves
    /// its containers for a look, labelled with its name.
    async fn clean(self) {
        registry_container::remove(&self.docker, &self.name).await.expect("it goes");
        network::remove(&self.docker, &self.name).await.expect("it goes");
    }
}

/// An image in a store, shown as `a:1`.
fn small(store: &Layout) -> Wanted {
    let (digest, _) = image(store, &json!({}), &[&layer("data", 0o644, b"small")]);
    Wanted { repository: "a".to_owned(), ..wanted(store, "x.test/a:1", digest) }
}

fn root(wanted: &Wanted) -> Option<istiolab::images::digest::Digest> {
    match &wanted.known {
        Known::Tree(tree) => Some(*tree.root()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_made_once_and_found_again() {
    let Some(lab) = Lab::needed("found").await else { return };
    let first = lab.registry().await;
    assert!(first.created);
    let second = lab.registry().await;
    assert!(!second.created);
    assert_eq!(second.host_port, first.host_port);
    let docker = lab.docker.clone();
    let name = lab.name.clone();
    assert!(registry_container::remove(&docker, &name).await.expect("it goes"));
    assert!(!registry_container::remove(&docker, &name).await.expect("there is none"));
    assert!(network::remove(&docker, &name).await.expect("it goes"));
    assert!(!network::remove(&docker, &name).await.expect("there is none"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_stopped_or_killed_is_started_with_its_images() {
    let Some(lab) = Lab::needed("stopped").await else { return };
    let first = lab.registry().await;
    let (_dir, path) = folder();
    let store = Layout::open(path).expect("a store");
    let target = small(&store);
    let client = lab.client().await;
    copy(store, Target::Registry(client), std::slice::from_ref(&target)).await.expect("it is copied");
    lab.docker.stop_container(&first.container, None::<StopContainerOptions>).await.expect("it stops");
    let second = lab.registry().await;
    assert_eq!((second.created, second.host_port), (true, first.host_port));
    let there = lab.client().await.head_manifest("a", "1").await.expect("it answers");
    assert_eq!(there, root(&target));
    lab.docker.kill_container(&first.container, None::<KillContainerOptions>).await.expect("it dies");
    assert_eq!(lab.registry().await.host_port, first.host_port);
    lab.clean().await;
}

/// The engine goes on with what a program that was killed had asked for.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_goes_already_is_waited_for() {
    let Some(lab) = Lab::needed("going").await else { return };
    for _ in 0..5 {
        let registry = lab.registry().await;
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        let others = lab.docker.remove_container(&registry.container, Some(options));
        let ours = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            registry_container::remove(&lab.docker, &lab.name).await
        };
        let (others, ours) = tokio::join!(others, ours);
        others.expect("it goes");
        assert!(ours.expect("it goes, and its volume"));
    }
    lab.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() {
    let Some(lab) = Lab::needed("port").await else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let error = lab.ensure(Some(port)).await.expect_err("somebody listens there");
    assert!(matches!(error, Error::PortTaken { .. }), "{error}");
    let failure = Failure::from(error);
    assert_eq!(failure.kind, Kind::Unavailable);
    assert!(failure.to_string().contains(&port.to_string()), "{failure}");
    // Nothing half made is in the way of the next try.
    drop(listener);
    assert_eq!(lab.ensure(Some(port)).await.expect("nobody listens there").host_port, port);
    lab.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_container_of_the_name_is_left_alone() {
    let Some(lab) = Lab::needed("foreign").await else { return };
    let name = registry_container::name(&lab.name);
    let body = ContainerCreateBody { image: Some(IMAGE.to_owned()), ..Default::default() };
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    lab.docker.create_container(Some(options), body).await.expect("it is made");
    for refused in [
        lab.ensure(None).await.map(drop).expect_err("it is not ours"),
        registry_container::remove(&lab.docker, &lab.name).await.map(drop).expect_err("it is not ours"),
    ] {
        assert!(matches!(refused, Error::ForeignContainer { .. }), "{refused}");
        assert_eq!(Failure::from(refused).kind, Kind::Refused);
    }
    lab.docker.remove_container(&name, None::<RemoveContainerOptions>).await.expect("it is there still, and goes");
    lab.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_gone_is_named_with_its_address() {
    let Some(lab) = Lab::needed("gone").await else { return };
    let (_dir, path) = folder();
    let store = Layout::open(path).expect("a store");
    let target = small(&store);
    let client = lab.client().await;
    let address = client.base().to_string();
    lab.clean().await;
    let failure = copy(store, Target::Registry(client), &[target]).await.expect_err("nobody is there");
    assert_eq!(failure.kind, Kind::Unavailable);
    assert!(failure.to_string().contains(&address), "{failure}");
}
