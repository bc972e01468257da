//! The doctor on this machine.

use istiolab::doctor::{Options, Status, examine};
use istiolab::plan::event::Progress;
use tokio_util::sync::CancellationToken;

use crate::fixture::{docker, folder, needed};

#[tokio::test(flavor = "multi_thread")]
async fn a_privileged_container_is_really_tried_and_nothing_of_it_stays() {
    let Some(docker) = needed("doctor", docker().await) else { return };
    let (_dir, cache) = folder();
    let options = Options { cache, ports: vec![], build: false };
    let report = examine(&options, &Progress::silent(), &CancellationToken::new()).await;
    let check = report.checks.iter().find(|check| check.name == "privileged container").expect("it was tried");
    assert_eq!(check.status, Status::Ok, "{}", check.found);
    assert!(docker.inspect_image("istiolab.local/doctor-probe:1").await.is_err(), "the image is gone");
}
