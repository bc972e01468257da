//! The ranks of kinds: what others need comes first. How they make an order is told in `graph`.

use std::fmt;

use serde::Serialize;

/// The rank of a kind, by which objects are applied and, backwards, deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Namespaces.
    Namespaces,
    /// Custom resource definitions, waited for until they are served.
    Definitions,
    /// Accounts, roles, configuration, secrets, volumes, quotas, network policies.
    Configuration,
    /// Services and what they point to.
    Services,
    /// What runs.
    Workloads,
    /// What takes part in requests: admission webhooks, aggregated APIs.
    Webhooks,
    /// Everything whose kind the API server does not bring itself.
    Resources,
}

impl Phase {
    /// All phases, in the order in which they are applied.
    pub const ALL: [Self; 7] = [
        Self::Namespaces,
        Self::Definitions,
        Self::Configuration,
        Self::Services,
        Self::Workloads,
        Self::Webhooks,
        Self::Resources,
    ];

    /// The phase of a kind. Kinds that are not known here are taken for custom resources, because
    /// those come last and need nothing but their definition.
    #[must_use]
    pub fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Namespace") => Self::Namespaces,
            ("apiextensions.k8s.io", "CustomResourceDefinition") => Self::Definitions,
            // Before what they protect and bound.
            ("networking.k8s.io", "NetworkPolicy" | "IngressClass") | ("policy", "PodDisruptionBudget") => {
                Self::Configuration
            }
            ("", "Service" | "Endpoints") | ("discovery.k8s.io", _) => Self::Services,
            ("", "Pod" | "ReplicationController")
            | ("apps" | "batch" | "autoscaling" | "policy" | "networking.k8s.io" | "extensions", _) => Self::Workloads,
            ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => Self::Webhooks,
            (
                ""
                | "rbac.authorization.k8s.io"
                | "storage.k8s.io"
                | "scheduling.k8s.io"
                | "node.k8s.io"
                | "coordination.k8s.io"
                | "certificates.k8s.io"
                | "flowcontrol.apiserver.k8s.io"
                | "resource.k8s.io",
                _,
            ) => Self::Configuration,
            _ => Self::Resources,
        }
    }

    /// Whether the API server itself brings the groups of this phase.
    #[must_use]
    pub fn is_built_in(self) -> bool {
        self != Self::Resources
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespaces => "namespaces",
            Self::Definitions => "definitions",
            Self::Configuration => "configuration",
            Self::Services => "services",
            Self::Workloads => "workloads",
            Self::Webhooks => "webhooks",
            Self::Resources => "custom resources",
        })
    }
}

/// Whether objects of one of Kubernetes' own kinds live in no namespace. Discovery knows better where
/// there is a cluster to ask.
pub(super) fn is_cluster_wide(kind: &str) -> bool {
    matches!(
        kind,
        "Namespace"
            | "Node"
            | "PersistentVolume"
            | "CustomResourceDefinition"
            | "APIService"
            | "ClusterRole"
            | "ClusterRoleBinding"
            | "MutatingWebhookConfiguration"
            | "ValidatingWebhookConfiguration"
            | "MutatingAdmissionPolicy"
            | "MutatingAdmissionPolicyBinding"
            | "ValidatingAdmissionPolicy"
            | "ValidatingAdmissionPolicyBinding"
            | "StorageClass"
            | "CSIDriver"
            | "CSINode"
            | "VolumeAttachment"
            | "VolumeAttributesClass"
            | "PriorityClass"
            | "RuntimeClass"
            | "IngressClass"
            | "IPAddress"
            | "ServiceCIDR"
            | "FlowSchema"
            | "PriorityLevelConfiguration"
            | "CertificateSigningRequest"
            | "ClusterTrustBundle"
            | "DeviceClass"
            | "ResourceSlice"
            | "PodSecurityPolicy"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first() {
        let order = [
            Phase::of("", "Namespace"),
            Phase::of("apiextensions.k8s.io", "CustomResourceDefinition"),
            Phase::of("rbac.authorization.k8s.io", "ClusterRole"),
            Phase::of("", "Service"),
            Phase::of("apps", "Deployment"),
            Phase::of("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
            Phase::of("networking.istio.io", "EnvoyFilter"),
        ];
        assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "{order:?}");
        assert_eq!(order, Phase::ALL);
    }

    #[test]
    fn the_gateway_api_is_not_built_in() {
        assert_eq!(Phase::of("gateway.networking.k8s.io", "Gateway"), Phase::Resources);
        assert_eq!(Phase::of("networking.k8s.io", "Ingress"), Phase::Workloads);
        assert_eq!(Phase::of("", "Secret"), Phase::Configuration);
    }
}
