//! The lab's registry as a container: made once, found again, refused where it is somebody else's.

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptions, RemoveContainerOptions, StopContainerOptions,
};
use istiolab::cluster::{Error, network, registry_container};
use istiolab::error::{Failure, Kind};

use crate::fixture::{REGISTRY_IMAGE, lab};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_made_once_and_found_again() {
    let Some(lab) = lab("found").await else { return };
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
    let Some(lab) = lab("stopped").await else { return };
    let first = lab.registry().await;
    let store = crate::fixture::store();
    let image = store.image("kept", &[store.layer("kept", 1000)]);
    let target = istiolab::images::push::Target { digest: image, repository: "a".to_owned(), tag: "1".to_owned() };
    let session = istiolab::images::push::Session::new(store.layout.clone(), lab.client().await);
    session.push(&target, &lab.cancel).await.expect("it is pushed");
    lab.docker.stop_container(&first.container, None::<StopContainerOptions>).await.expect("it stops");
    let second = lab.registry().await;
    assert_eq!((second.created, second.host_port), (true, first.host_port));
    let there = lab.client().await.head_manifest("a", "1").await.expect("it answers");
    assert_eq!(there, Some(image));
    lab.docker.kill_container(&first.container, None::<KillContainerOptions>).await.expect("it dies");
    assert_eq!(lab.registry().await.host_port, first.host_port);
    lab.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() {
    let Some(lab) = lab("port").await else { return };
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
    let Some(lab) = lab("foreign").await else { return };
    let name = registry_container::name(&lab.name);
    let body = ContainerCreateBody { image: Some(REGISTRY_IMAGE.to_owned()), ..Default::default() };
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
