//! A real cluster by kind: made, prepared while it boots, used, found again, refused to strangers,
//! recognised when cut off, and removed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions, StartContainerOptions,
};
use camino::{Utf8Path, Utf8PathBuf};
use istiolab::cluster::kind::Kind;
use istiolab::cluster::registry_container::{self, Handle};
use istiolab::cluster::{self, Ensured, Provider as _, State, Wanted, mirror, network, nodes, ready};
use istiolab::error::{Failure, Kind as FailureKind};
use istiolab::images::copy::{Target, Wanted as Image};
use istiolab::images::engine;
use istiolab::images::layout::Layout;
use istiolab::images::reference::Reference;
use istiolab::images::registry::Client;
use istiolab::plan::event::Progress;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::copy::{copy, wanted};
use crate::fixture::{docker, folder, image, layer, loaded, needed, program};

const LIMIT: Duration = Duration::from_mins(4);

/// What every test here needs, and a name of its own for what it makes.
struct Bench {
    docker: Docker,
    kind: Utf8PathBuf,
    node_image: String,
    name: String,
    _dir: tempfile::TempDir,
    dir: Utf8PathBuf,
    progress: Progress,
    cancel: CancellationToken,
}

impl Bench {
    async fn needed(test: &str) -> Option<Self> {
        let docker = needed(test, docker().await)?;
        let kind = needed(test, program("ISTIOLAB_TEST_KIND", &["kind"]))?;
        let node_image =
            std::env::var("ISTIOLAB_TEST_NODE_IMAGE").unwrap_or_else(|_| "istiolab.local/kind/node:v1.34.4".to_owned());
        needed(test, loaded(&docker, &node_image).await)?;
        let prefix = std::env::var("ISTIOLAB_TEST_PREFIX").unwrap_or_else(|_| "istiolab-test".to_owned());
        let (guard, dir) = folder();
        let name = format!("{prefix}-{}-{}", test.replace(' ', "-"), std::process::id());
        let (progress, cancel) = (Progress::silent(), CancellationToken::new());
        Some(Self { docker, kind, node_image, name, _dir: guard, dir, progress, cancel })
    }

    fn provider(&self, state: &str) -> Kind {
        Kind::new(&self.kind, self.docker.clone(), &self.name, &self.dir.join(state))
    }

    async fn wanted(&self) -> Wanted {
        Wanted {
            image: self.node_image.clone(),
            image_id: engine::id(&self.docker, &self.node_image).await.expect("it answers").expect("it is there"),
            control_planes: 1,
            workers: 0,
            own_network: true,
            config: serde_json::Value::Null,
            limit: LIMIT,
        }
    }

    /// The registry program as an image of its own, in the store and in the engine.
    async fn registry_image(&self, test: &str) -> Option<(Layout, Image, String)> {
        let path = needed(test, program("ISTIOLAB_TEST_REGISTRY", &["registry"]).and_then(static_program))?;
        let store = Layout::open(self.dir.join("images")).expect("a store");
        let program = layer("bin/registry", 0o755, &fs_err::read(path).expect("readable"));
        let settings =
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /var/lib/registry\nhttp:\n  addr: :5000\n";
        let config = json!({"Entrypoint": ["/bin/registry"], "Cmd": ["serve", "/etc/registry.yml"]});
        let (digest, _) = image(&store, &config, &[&program, &layer("etc/registry.yml", 0o644, settings.as_bytes())]);
        let tag = format!("{test}-{}", std::process::id());
        let name = format!("istiolab.local/test-registry:{tag}");
        engine::load(&self.docker, &store, &digest, &name, &self.progress, &self.cancel).await.expect("it is loaded");
        let image = wanted(&store, &name, digest);
        Some((store, image, name))
    }
}

fn static_program(path: Utf8PathBuf) -> Result<Utf8PathBuf, String> {
    let head = fs_err::read(&path).map_err(|error| error.to_string())?;
    let loader = b"/ld-linux";
    let dynamic = head[..head.len().min(4096)].windows(loader.len()).any(|window| window == loader);
    if dynamic { Err(format!("{path} needs shared libraries, so it can't be an image alone")) } else { Ok(path) }
}

/// Prints where time goes, for whoever runs the test with `--nocapture`.
fn mark(begin: Instant, what: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "  {:5.1} s {what}", begin.elapsed().as_secs_f64()).expect("standard error is open");
}

async fn prepare(bench: &Bench, provider: &Kind, registry: &Handle, images: &[Reference], begin: Instant) {
    let nodes = cluster::appeared(provider, 1, LIMIT, &bench.cancel).await.expect("it appears");
    mark(begin, "the node's container runs");
    let upstreams: BTreeSet<String> = mirror::upstreams(images);
    mirror::configure(&bench.docker, &nodes[0].name, &registry.url_for_nodes(), &upstreams).await.expect("written");
    mirror::pull(&bench.docker, &nodes[0].name, images, LIMIT, &bench.progress, &bench.cancel).await.expect("pulled");
    mark(begin, "the image is in the node");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_from_nothing_to_a_pod_of_the_labs_registry() {
    let test = "cluster";
    let Some(bench) = Bench::needed(test).await else { return };
    let Some((store, image, name)) = bench.registry_image(test).await else { return };
    let lab = bench.name.clone();
    let begin = Instant::now();
    let registry =
        registry_container::ensure(&bench.docker, &lab, &name, None, LIMIT, &bench.cancel).await.expect("it runs");
    mark(begin, "the registry answers");
    let again =
        registry_container::ensure(&bench.docker, &lab, &name, None, LIMIT, &bench.cancel).await.expect("it runs");
    assert_eq!(again, Handle { created: false, ..registry.clone() });
    let provider = bench.provider("state");
    assert_eq!(provider.state().await.expect("it answers"), State::Absent);
    let wanted = bench.wanted().await;

    let images: [Reference; 1] = [name.parse().expect("a reference")];
    let target = Target::Registry(Client::new(&registry.url()).expect("an address"));
    let (ensured, ()) =
        tokio::join!(cluster::ensure(&provider, &wanted, false, &bench.progress, &bench.cancel), async {
            copy(store, target, &[image]).await.expect("it is copied");
            mark(begin, "the image is in the registry");
            prepare(&bench, &provider, &registry, &images, begin).await;
        });
    assert_eq!(ensured.expect("it is made"), Ensured::Created);
    mark(begin, "kind returned");
    let client = cluster::client(&provider.kubeconfig()).await.expect("a kubeconfig");
    let nodes = provider.nodes().await.expect("it answers");
    ready::wait(&client, &bench.docker, &nodes, LIMIT, &bench.progress, &bench.cancel).await.expect("it gets ready");
    mark(begin, "the node is ready and DNS answers");
    private(&provider.kubeconfig());
    registry_container::advertise(&client, &registry).await.expect("written");
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-public");
    assert!(maps.get("local-registry-hosting").await.is_ok());

    pod_runs(&client, &name, "Never").await;
    mark(begin, "a pod of the image that was brought in ended well");
    pull_of_what_nobody_has(&bench, &nodes[0].name).await;

    // Once more: nothing to do, and quickly.
    let begin = Instant::now();
    let ensured =
        cluster::ensure(&provider, &wanted, false, &bench.progress, &bench.cancel).await.expect("it is there");
    assert_eq!(ensured, Ensured::Unchanged);
    ready::wait(&client, &bench.docker, &nodes, LIMIT, &bench.progress, &bench.cancel).await.expect("it is ready");
    mark(begin, "found ready again");

    others_are_refused(&bench, &wanted).await;
    after_a_restart(&bench, &provider, &wanted).await;
    assert!(provider.delete(&bench.progress).await.expect("removable"));
    assert!(!provider.delete(&bench.progress).await.expect("nothing to do"));
    assert_eq!(provider.state().await.expect("it answers"), State::Absent);
    assert!(!provider.kubeconfig().exists());
    assert!(registry_container::remove(&bench.docker, &lab).await.expect("removable"));
    assert!(!registry_container::remove(&bench.docker, &lab).await.expect("nothing to do"));
    assert!(network::remove(&bench.docker, &lab).await.expect("removable"));
    assert!(bench.docker.inspect_volume(&registry_container::name(&lab)).await.is_err());
    bench.docker.remove_image(&name, None::<RemoveImageOptions>, None).await.expect("removable");
}

/// The machine was restarted and somebody tidied up: the same call brings all of it back.
async fn after_a_restart(bench: &Bench, provider: &Kind, wanted: &Wanted) {
    let nodes = provider.nodes().await.expect("it answers");
    let options = bollard::query_parameters::KillContainerOptions::default();
    bench.docker.kill_container(&nodes[0].id, Some(options)).await.expect("killed");
    let begin = Instant::now();
    // The engine starts a killed node once by itself, which is as good.
    while provider.nodes().await.expect("it answers")[0].running {
        if begin.elapsed() > Duration::from_secs(3) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fs_err::remove_file(provider.kubeconfig()).expect("removable");
    let ensured = cluster::ensure(provider, wanted, false, &bench.progress, &bench.cancel).await.expect("it is there");
    mark(begin, &format!("after a restart: {ensured:?}"));
    private(&provider.kubeconfig());
    let client = cluster::client(&provider.kubeconfig()).await.expect("a kubeconfig");
    ready::wait(&client, &bench.docker, &nodes, LIMIT, &bench.progress, &bench.cancel).await.expect("it gets ready");
    mark(begin, "ready after a restart");
}

fn private(path: &Utf8Path) {
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs_err::metadata(path).expect("there").permissions().mode() & 0o777, 0o600);
}

/// The kubelet finds the image under the name in the pod.
async fn pod_runs(client: &kube::Client, image: &str, policy: &str) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "once"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "containers": [{"name": "a", "image": image, "imagePullPolicy": policy, "command": ["/bin/registry", "--version"]}],
        },
    }))
    .expect("a pod");
    let begin = Instant::now();
    // The namespace's service account is made by a controller, a moment after the namespace.
    while let Err(error) = pods.create(&kube::api::PostParams::default(), &pod).await {
        assert!(begin.elapsed() < LIMIT, "{error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    loop {
        let status = pods.get("once").await.expect("it answers").status.unwrap_or_default();
        if status.phase.as_deref() == Some("Succeeded") {
            return;
        }
        assert!(begin.elapsed() < Duration::from_mins(1), "{status:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The mirror's "not found" ends it; nothing is asked of anybody else.
async fn pull_of_what_nobody_has(bench: &Bench, node: &str) {
    let images = ["istiolab.local/nobody/has:1".parse().expect("a reference")];
    let result = mirror::pull(&bench.docker, node, &images, LIMIT, &bench.progress, &bench.cancel).await;
    let text = result.expect_err("nobody has it").to_string();
    assert!(text.contains("istiolab.local/nobody/has:1") && text.contains("not found"), "{text}");
}

/// The same name from another state folder is somebody else's cluster.
async fn others_are_refused(bench: &Bench, wanted: &Wanted) {
    let stranger = bench.provider("stranger");
    let made = cluster::ensure(&stranger, wanted, true, &bench.progress, &bench.cancel).await;
    for error in
        [made.expect_err("it is not theirs"), stranger.delete(&bench.progress).await.expect_err("nor to remove")]
    {
        let failure = Failure::from(error);
        assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
        assert!(failure.hints[0].contains("kind delete cluster"), "{failure}");
    }
    assert!(stranger.nodes().await.expect("it answers").is_empty());
}

/// A node's disk is busy while it boots: one question that hangs says nothing of the next.
#[tokio::test(flavor = "multi_thread")]
async fn containerd_is_asked_again_when_a_question_hangs() {
    let Some(bench) = Bench::needed("hangs").await else { return };
    let hangs_once = "#!/bin/sh\nmkdir /hung 2> /dev/null && exec sleep 60\nexit 0\n";
    let begin = format!("printf '{hangs_once}' > /usr/local/sbin/ctr && chmod +x /usr/local/sbin/ctr && sleep 60");
    let body = ContainerCreateBody {
        image: Some(bench.node_image.clone()),
        entrypoint: Some(["/bin/sh", "-c", &begin].map(str::to_owned).to_vec()),
        host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(&bench.name).build();
    bench.docker.create_container(Some(options), body).await.expect("it is made");
    bench.docker.start_container(&bench.name, None::<StartContainerOptions>).await.expect("it starts");
    let answers = mirror::containerd(&bench.docker, &bench.name, LIMIT, &bench.cancel).await;
    let hung = nodes::try_exec(&bench.docker, &bench.name, &["test", "-d", "/hung"], LIMIT).await;
    let force = RemoveContainerOptionsBuilder::default().force(true).build();
    bench.docker.remove_container(&bench.name, Some(force)).await.expect("removable");
    answers.expect("it answers in the end");
    assert_eq!(hung.expect("it can be looked at").code, 0, "no question hung");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_cut_off_is_known_and_made_anew() {
    let Some(bench) = Bench::needed("cut off").await else { return };
    let provider = bench.provider("state");
    let wanted = bench.wanted().await;
    let cancel = CancellationToken::new();
    let (made, ()) = tokio::join!(cluster::ensure(&provider, &wanted, false, &bench.progress, &cancel), async {
        cluster::appeared(&provider, 1, LIMIT, &bench.cancel).await.expect("it appears");
        cancel.cancel();
    });
    assert_eq!(Failure::from(made.expect_err("it was cut off")).kind, FailureKind::Interrupted);
    assert!(matches!(provider.state().await.expect("it answers"), State::HalfMade { .. }));
    let before = provider.nodes().await.expect("it answers");
    assert_eq!(before.len(), 1);
    // The next run replaces it; once its container is a new one, that is shown, and it is cut off too.
    let cancel = CancellationToken::new();
    let (made, ()) = tokio::join!(cluster::ensure(&provider, &wanted, false, &bench.progress, &cancel), async {
        loop {
            let nodes = provider.nodes().await.expect("it answers");
            if nodes.first().is_some_and(|node| node.running && node.id != before[0].id) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        cancel.cancel();
    });
    made.expect_err("it was cut off again");
    assert!(provider.delete(&bench.progress).await.expect("removable"));
    assert_eq!(provider.state().await.expect("it answers"), State::Absent);
    assert!(network::remove(&bench.docker, &bench.name).await.expect("removable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named() {
    let Some(bench) = Bench::needed("port").await else { return };
    let Some((_, _, name)) = bench.registry_image("port").await else { return };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let made = registry_container::ensure(&bench.docker, &bench.name, &name, Some(port), LIMIT, &bench.cancel).await;
    let failure = Failure::from(made.expect_err("the port is taken"));
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.to_string().contains(&format!("port {port} on 127.0.0.1 is taken")), "{failure}");
    // Freed, the same call works, and nothing stood in its way.
    drop(taken);
    let made = registry_container::ensure(&bench.docker, &bench.name, &name, Some(port), LIMIT, &bench.cancel).await;
    assert_eq!(made.expect("it runs").host_port, port);
    registry_container::remove(&bench.docker, &bench.name).await.expect("removable");
    assert!(network::remove(&bench.docker, &bench.name).await.expect("removable"));
    bench.docker.remove_image(&name, None::<RemoveImageOptions>, None).await.expect("removable");
}
