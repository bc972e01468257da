//! kind's configuration: ours, with the user's own merged over it.

use serde_json::{Map, Value, json};

use super::{Error, Wanted};

/// Where in each node's container a file stands whose name is the id of the lab that made it.
pub const OWNER_DIR: &str = "/etc/istiolab/owner/";

/// Lists of patches add up; of all other lists, the user's replaces ours.
const ADDED_LISTS: [&str; 3] = ["containerdConfigPatches", "containerdConfigPatchesJSON6902", "kubeadmConfigPatches"];

/// The configuration for a cluster whose nodes carry the id `owner`.
///
/// # Errors
/// [`Error::Config`] if the user's is not an object, is of another kind or version, or has nodes
/// that are no list of objects.
pub fn merged(wanted: &Wanted, owner: &str) -> Result<Value, Error> {
    let mut config = ours(wanted);
    match &wanted.config {
        Value::Null => {}
        Value::Object(theirs) => {
            for (key, must) in [("kind", "Cluster"), ("apiVersion", "kind.x-k8s.io/v1alpha4")] {
                if theirs.get(key).is_some_and(|value| value != must) {
                    return Err(Error::Config(format!("`{key}` must be `{must}`")));
                }
            }
            if theirs.contains_key("name") {
                return Err(Error::Config("`name` is the lab's name and can't be set here".to_owned()));
            }
            merge(&mut config, theirs);
        }
        _ => return Err(Error::Config("it is not an object".to_owned())),
    }
    if wanted.own_network {
        fits_own_network(&config)?;
    }
    let nodes = config.get_mut("nodes").and_then(Value::as_array_mut);
    let nodes = nodes.ok_or_else(|| Error::Config("`nodes` is not a list".to_owned()))?;
    if nodes.is_empty() {
        return Err(Error::Config("`nodes` is empty".to_owned()));
    }
    for node in nodes {
        let node = node.as_object_mut().ok_or_else(|| Error::Config("a node is not an object".to_owned()))?;
        let mounts = node.entry("extraMounts").or_insert_with(|| json!([]));
        let mounts = mounts.as_array_mut().ok_or_else(|| Error::Config("`extraMounts` is not a list".to_owned()))?;
        // kind sets no labels of ours on containers, but a mount is seen from outside like one, from
        // the moment the container is there. /dev/null exists wherever the engine runs.
        mounts.push(json!({"hostPath": "/dev/null", "containerPath": format!("{OWNER_DIR}{owner}"), "readOnly": true}));
    }
    Ok(Value::Object(config))
}

/// Our own node image gives pods their addresses before it is told anything, and its DNS stands where
/// the services' usual addresses are.
fn fits_own_network(config: &Map<String, Value>) -> Result<(), Error> {
    let Some(networking) = config.get("networking").and_then(Value::as_object) else { return Ok(()) };
    for (field, only) in [
        ("podSubnet", json!("10.244.0.0/16")),
        ("serviceSubnet", json!("10.96.0.0/16")),
        ("ipFamily", json!("ipv4")),
        ("disableDefaultCNI", json!(true)),
    ] {
        if let Some(value) = networking.get(field).filter(|value| **value != only) {
            let why =
                format!("`networking.{field}` is {value}, but istiolab's own node image has {only}: leave it out");
            return Err(Error::Config(why));
        }
    }
    Ok(())
}

/// How many nodes there will be, those with a control plane first: the user's own list in `config` replaces
/// ours.
#[must_use]
pub fn counts(config: &Value, control_planes: u32, workers: u32) -> (u32, u32) {
    let Some(theirs) = config.get("nodes").and_then(Value::as_array) else {
        return (control_planes.max(1), workers);
    };
    let workers = theirs.iter().filter(|node| node.get("role").is_some_and(|role| role == "worker")).count();
    let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
    (count(theirs.len() - workers), count(workers))
}

fn ours(wanted: &Wanted) -> Map<String, Value> {
    let control_planes = std::iter::repeat_n("control-plane", wanted.control_planes.max(1) as usize);
    let workers = std::iter::repeat_n("worker", wanted.workers as usize);
    let nodes: Vec<Value> = control_planes.chain(workers).map(|role| json!({"role": role})).collect();
    let mut config = Map::new();
    config.insert("kind".to_owned(), json!("Cluster"));
    config.insert("apiVersion".to_owned(), json!("kind.x-k8s.io/v1alpha4"));
    config.insert("nodes".to_owned(), Value::Array(nodes));
    if wanted.own_network {
        config.insert("networking".to_owned(), json!({"disableDefaultCNI": true}));
        config.insert("kubeadmConfigPatches".to_owned(), Value::Array(quick(wanted)));
    }
    config
}

/// Patches for kubeadm that make our own node image boot in half the time. What each saves, on two
/// cores, is told in `docs/decisions/006-node-image.md`.
fn quick(wanted: &Wanted) -> Vec<Value> {
    let (control_planes, workers) = counts(&wanted.config, wanted.control_planes, wanted.workers);
    // The node image brings CoreDNS in the manifest that kind applies at the end.
    let mut skipped = vec!["preflight", "upload-certs", "kubelet-finalize", "addon/coredns", "show-join-command"];
    if control_planes + workers <= 1 {
        // Only nodes that join read these.
        skipped.extend(["upload-config", "bootstrap-token"]);
    }
    // Controllers start one after the other, each with requests of its own: the usual limit of
    // twenty a second makes the last ones wait for seconds.
    let mut client = json!({"kube-api-qps": "300", "kube-api-burst": "600"});
    if control_planes <= 1 {
        client["leader-elect"] = json!("false");
    }
    let etcd = if control_planes <= 1 {
        // A lab outlives a restart of its containers, not a crash of the machine. A single member
        // waits for one election before it leads.
        json!({"unsafe-no-fsync": "true", "heartbeat-interval": "10", "election-timeout": "100"})
    } else {
        json!({"unsafe-no-fsync": "true"})
    };
    let mut init = json!({"kind": "InitConfiguration", "skipPhases": skipped});
    let mut join = Vec::new();
    if control_planes > 1 && workers == 0 {
        // kind itself lets workloads onto a control plane only if it is alone.
        let registration = json!({"taints": []});
        init["nodeRegistration"] = registration.clone();
        join.push(json!({"kind": "JoinConfiguration", "nodeRegistration": registration}));
    }
    let patches = [
        json!({
            "kind": "ClusterConfiguration",
            "featureGates": {"PublicKeysECDSA": true},
            "controllerManager": {"extraArgs": client},
            "scheduler": {"extraArgs": client},
            "etcd": {"local": {"extraArgs": etcd}},
        }),
        init,
        json!({"kind": "KubeProxyConfiguration", "iptables": {"minSyncPeriod": "100ms"}}),
    ];
    patches.into_iter().chain(join).map(|patch| Value::String(patch.to_string())).collect()
}

fn merge(ours: &mut Map<String, Value>, theirs: &Map<String, Value>) {
    for (key, value) in theirs {
        match (ours.get_mut(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (Some(Value::Array(old)), Value::Array(new)) if ADDED_LISTS.contains(&key.as_str()) => {
                old.extend(new.iter().cloned());
            }
            _ => drop(ours.insert(key.clone(), value.clone())),
        }
    }
}

/// How many nodes of Kubernetes the configuration makes.
///
/// # Errors
/// As [`merged`].
pub fn node_count(wanted: &Wanted) -> Result<usize, Error> {
    Ok(merged(wanted, "")?.get("nodes").and_then(Value::as_array).map_or(0, Vec::len))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cluster) fn wanted() -> Wanted {
        Wanted {
            image: "istiolab.local/kind/node:v1.34.4".to_owned(),
            image_id: "sha256:0".to_owned(),
            control_planes: 1,
            workers: 0,
            own_network: true,
            config: Value::Null,
            limit: std::time::Duration::from_mins(5),
        }
    }

    fn with(config: Value) -> Wanted {
        Wanted { config, ..wanted() }
    }

    fn skipped(wanted: &Wanted) -> Vec<String> {
        let merged = merged(wanted, "abc").expect("valid");
        let patches = merged["kubeadmConfigPatches"].as_array().expect("a list").clone();
        let patches = patches.iter().map(|patch| serde_json::from_str(patch.as_str().expect("text")).expect("JSON"));
        let init = patches.into_iter().find(|patch: &Value| patch["kind"] == "InitConfiguration").expect("it is there");
        serde_json::from_value(init["skipPhases"].clone()).expect("a list of names")
    }

    #[test]
    fn what_joining_nodes_read_is_written_where_nodes_join() {
        assert!(skipped(&wanted()).contains(&"bootstrap-token".to_owned()));
        assert!(!skipped(&Wanted { workers: 1, ..wanted() }).contains(&"bootstrap-token".to_owned()));
        let theirs = json!({"nodes": [{"role": "control-plane"}, {"role": "worker"}]});
        assert!(!skipped(&with(theirs)).contains(&"bootstrap-token".to_owned()));
    }

    #[test]
    fn control_planes_without_workers_carry_workloads() {
        let patches = |wanted: &Wanted| merged(wanted, "abc").expect("valid")["kubeadmConfigPatches"].to_string();
        assert!(!patches(&wanted()).contains("taints"));
        assert!(!patches(&Wanted { control_planes: 3, workers: 1, ..wanted() }).contains("taints"));
        let three = patches(&Wanted { control_planes: 3, ..wanted() });
        assert_eq!(three.matches("taints").count(), 2, "{three}");
    }

    #[test]
    fn another_node_image_boots_as_kind_says() {
        let plain = merged(&Wanted { own_network: false, ..wanted() }, "abc").expect("valid");
        assert!(plain.get("kubeadmConfigPatches").is_none() && plain.get("networking").is_none());
    }

    #[test]
    fn ours_alone() {
        insta::assert_json_snapshot!(merged(&Wanted { workers: 1, own_network: false, ..wanted() }, "abc").expect("valid"), @r#"
        {
          "kind": "Cluster",
          "apiVersion": "kind.x-k8s.io/v1alpha4",
          "nodes": [
            {
              "role": "control-plane",
              "extraMounts": [
                {
                  "hostPath": "/dev/null",
                  "containerPath": "/etc/istiolab/owner/abc",
                  "readOnly": true
                }
              ]
            },
            {
              "role": "worker",
              "extraMounts": [
                {
                  "hostPath": "/dev/null",
                  "containerPath": "/etc/istiolab/owner/abc",
                  "readOnly": true
                }
              ]
            }
          ]
        }
        "#);
    }

    #[test]
    fn theirs_is_merged_deeply_and_their_nodes_are_marked_too() {
        let config = merged(
            &with(json!({
                "networking": {"apiServerPort": 6443},
                "nodes": [{"role": "control-plane", "extraMounts": [{"hostPath": "/a", "containerPath": "/b"}]}, {"role": "worker"}],
            })),
            "abc",
        )
        .expect("valid");
        assert_eq!(config["networking"], json!({"disableDefaultCNI": true, "apiServerPort": 6443}));
        assert_eq!(config["nodes"][0]["extraMounts"][0]["hostPath"], "/a");
        assert_eq!(config["nodes"][0]["extraMounts"][1]["containerPath"], "/etc/istiolab/owner/abc");
        assert_eq!(config["nodes"][1]["extraMounts"][0]["containerPath"], "/etc/istiolab/owner/abc");
    }

    #[test]
    fn theirs_wins_where_both_speak() {
        let config = merged(&with(json!({"networking": {"disableDefaultCNI": true}, "nodes": [{}]})), "abc");
        assert_eq!(config.expect("valid")["nodes"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        for (config, word) in [
            (json!([]), "object"),
            (json!({"kind": "Pod"}), "kind"),
            (json!({"apiVersion": "v1"}), "apiVersion"),
            (json!({"name": "x"}), "name"),
            (json!({"networking": {"podSubnet": "10.1.0.0/16"}}), "podSubnet"),
            (json!({"networking": {"serviceSubnet": "10.1.0.0/16"}}), "serviceSubnet"),
            (json!({"networking": {"ipFamily": "dual"}}), "ipFamily"),
            (json!({"networking": {"disableDefaultCNI": false}}), "disableDefaultCNI"),
            (json!({"nodes": {}}), "nodes"),
            (json!({"nodes": []}), "nodes"),
            (json!({"nodes": ["worker"]}), "node"),
            (json!({"nodes": [{"extraMounts": 1}]}), "extraMounts"),
        ] {
            let error = merged(&with(config), "abc").expect_err(word);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
