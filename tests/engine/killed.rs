//! An engine that dies in the middle: one of the test's own, with its own folders and no network.

use std::time::Duration;

use istiolab::error::Kind;
use istiolab::images::engine;
use istiolab::images::layout::Layout;
use istiolab::plan::event::Progress;
use istiolab::process::Command;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fixture::{folder, image, layer, needed, program};

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_killed_while_it_loads_is_told_and_loading_goes_on_with_the_next_one() {
    let Some(dockerd) = needed("killed engine", program("ISTIOLAB_TEST_DOCKERD", &["dockerd"])) else { return };
    let (_dir, path) = folder();
    let socket = format!("unix://{path}/engine.sock");
    let start = || {
        let stop = CancellationToken::new();
        let command = Command::new(&dockerd)
            .args(["--host", &socket, "--data-root", path.join("data").as_str()])
            .args(["--exec-root", path.join("exec").as_str(), "--pidfile", path.join("pid").as_str()])
            // It starts no container, and must not touch the networks of the machine's engine.
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"])
            .args(["--storage-driver", "vfs"])
            .limit(Duration::from_mins(5));
        let child = stop.clone();
        (tokio::spawn(async move { command.run(&child).await }), stop)
    };
    let store = Layout::open(path.join("store")).expect("a store");
    // Bytes that can't be packed, enough to take a while.
    let bytes: Vec<u8> = (0_u32..6 << 20).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let (digest, _) = image(&store, &json!({"Cmd": ["/a"]}), &[&layer("a", 0o755, &bytes)]);
    let name = "istiolab.local/test-killed:1";
    let (progress, cancel) = (Progress::silent(), CancellationToken::new());

    let (running, stop) = start();
    let docker = connected(&socket).await;
    let load = engine::load(&docker, &store, &digest, name, &progress, &cancel);
    let kill = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        // The whole group, with SIGKILL.
        stop.cancel();
        running.await.expect("it was waited for")
    };
    let (loaded, _) = tokio::join!(load, kill);
    let failure = loaded.expect_err("the engine is gone");
    assert_eq!(failure.kind, Kind::Unavailable);
    assert!(failure.to_string().contains("went away"), "{failure}");

    let (running, stop) = start();
    let docker = connected(&socket).await;
    assert!(engine::load(&docker, &store, &digest, name, &progress, &cancel).await.expect("it is loaded"));
    stop.cancel();
    assert!(running.await.expect("it was waited for").is_err(), "it was cancelled");
}

async fn connected(socket: &str) -> bollard::Docker {
    for _ in 0..300 {
        if let Ok(docker) = engine::connect_to(socket).await {
            return docker;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the engine at {socket} did not answer within 30 s");
}
