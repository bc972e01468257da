//! The operator files that istioctl renders: ours below the user's, what the proxy needs above it.

use serde_json::{Value, json};

/// Where the mesh's images come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Images {
    /// Built from parts: a stock Envoy that lacks Istio's own filters.
    Parts {
        /// The prefix of the images' names, `istiolab.local/istio`.
        hub: String,
        /// Their tag.
        tag: String,
    },
    /// Istio's own images from a registry.
    Registry {
        /// The prefix of the images' names, `docker.io/istio`.
        hub: String,
        /// Their tag, the release's version.
        tag: String,
    },
}

impl Images {
    /// The images that are built from parts, of this version.
    pub fn parts(version: impl Into<String>) -> Self {
        Self::Parts { hub: "istiolab.local/istio".to_owned(), tag: version.into() }
    }
}

/// The file below the user's: profile, images, and what makes the mesh fit a small node. Istio
/// requests 500m of CPU and 2 GiB for istiod, 100m for each gateway and each sidecar; with a handful
/// of pods that fills a node of two cores, and the scheduler refuses the rest, although the whole
/// mesh idles at some 20m. Autoscalers would need a metrics server to do anything.
pub(super) fn base(profile: &str, images: &Images) -> Value {
    let (Images::Parts { hub, tag } | Images::Registry { hub, tag }) = images;
    let requests = |cpu: &str, memory: &str| json!({"requests": {"cpu": cpu, "memory": memory}});
    let gateway = json!({"autoscaleEnabled": false, "resources": requests("10m", "40Mi")});
    operator(&json!({
        "profile": profile,
        "hub": hub,
        "tag": tag,
        "values": {
            "pilot": {"autoscaleEnabled": false, "resources": requests("20m", "128Mi")},
            "global": {
                "proxy": {"resources": requests("10m", "40Mi")},
                "proxy_init": {"resources": requests("10m", "16Mi")},
            },
            "gateways": {"istio-ingressgateway": gateway.clone(), "istio-egressgateway": gateway},
        },
    }))
}

/// The file above the user's where the proxy is a stock Envoy: it must not be told to use filters
/// that it does not have. Metrics then come from an `EnvoyFilter` of the lab's own.
pub(super) fn stock_envoy() -> Value {
    operator(&json!({
        "meshConfig": {"defaultProviders": {"metrics": []}},
        "values": {
            "telemetry": {"enabled": false},
            "pilot": {
                "env": {
                    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
                    "PILOT_ENABLE_ALPN_FILTER": "false",
                    "PILOT_ENABLE_TELEMETRY_LABEL": "true",
                },
            },
        },
    }))
}

fn operator(spec: &Value) -> Value {
    json!({"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": spec})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_profile_are_in_the_base() {
        let images = Images::parts("1.31-dev");
        let spec = &base("demo", &images)["spec"];
        assert_eq!(spec["profile"], "demo");
        assert_eq!(spec["hub"], "istiolab.local/istio");
        assert_eq!(spec["tag"], "1.31-dev");
    }
}
