//! The versions in which Kubernetes ever served each kind, and the rules between them.
//!
//! Releases are those of the API's own life cycle (`APILifecycleIntroduced` and `APILifecycleRemoved` of
//! `k8s.io/api`); a test compares them.

use std::fmt;

use super::draft::Draft;
use super::target::{Release, Target};
use super::{
    Refusal, aggregation, certificate, definition, disruption, endpoints, flow, ingress, jobs, policy, rbac, runtime,
    scaling, webhooks, workloads,
};

/// One version of a kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    /// Group and version, `apps/v1`.
    pub(super) api: &'static str,
    /// The minor release that served it first; `None` if none ever does by default.
    pub(super) since: Option<u16>,
    /// The minor release that did not serve it any more.
    pub(super) until: Option<u16>,
}

impl Version {
    fn is_served(&self, release: Release) -> bool {
        self.since.is_some_and(|since| since <= release.minor())
            && self.until.is_none_or(|until| release.minor() < until)
    }
}

/// What a rule is told.
pub(super) struct Step<'a> {
    pub(super) kind: &'a str,
    /// The older of the two versions; the other one is the newest.
    pub(super) old: &'a str,
    pub(super) target: &'a Target,
}

/// Rewrites everything but the version.
type Rule = fn(&mut Draft, &Step<'_>) -> Result<(), Refusal>;

/// Kinds that share their versions and rules.
pub(super) struct Family {
    pub(super) kinds: &'static [&'static str],
    /// From the oldest to the newest, which rules convert from and to.
    pub(super) versions: &'static [Version],
    up: Rule,
    down: Rule,
}

const fn from(api: &'static str, since: u16) -> Version {
    Version { api, since: Some(since), until: None }
}

const fn between(api: &'static str, since: u16, until: u16) -> Version {
    Version { api, since: Some(since), until: Some(until) }
}

/// A version that has to be switched on.
const fn off(api: &'static str) -> Version {
    Version { api, since: None, until: None }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands where rules that can refuse stand")]
fn same(_: &mut Draft, _: &Step<'_>) -> Result<(), Refusal> {
    Ok(())
}

/// Every kind that ever changed its version and can be applied.
pub(super) static FAMILIES: &[Family] = &[
    Family {
        kinds: &["Deployment"],
        versions: &[
            between("extensions/v1beta1", 1, 16),
            between("apps/v1beta1", 6, 16),
            between("apps/v1beta2", 8, 16),
            from("apps/v1", 9),
        ],
        up: workloads::up,
        down: workloads::down,
    },
    Family {
        kinds: &["DaemonSet"],
        versions: &[between("extensions/v1beta1", 1, 16), between("apps/v1beta2", 8, 16), from("apps/v1", 9)],
        up: workloads::up,
        down: workloads::down,
    },
    Family {
        kinds: &["ReplicaSet"],
        versions: &[between("extensions/v1beta1", 2, 16), between("apps/v1beta2", 8, 16), from("apps/v1", 9)],
        up: workloads::up,
        down: workloads::down,
    },
    Family {
        kinds: &["StatefulSet"],
        versions: &[between("apps/v1beta1", 5, 16), between("apps/v1beta2", 8, 16), from("apps/v1", 9)],
        up: workloads::up,
        down: workloads::down,
    },
    Family {
        kinds: &["ControllerRevision"],
        versions: &[between("apps/v1beta1", 7, 16), between("apps/v1beta2", 8, 16), from("apps/v1", 9)],
        up: same,
        down: same,
    },
    Family {
        kinds: &["Ingress"],
        versions: &[
            between("extensions/v1beta1", 1, 22),
            between("networking.k8s.io/v1beta1", 14, 22),
            from("networking.k8s.io/v1", 19),
        ],
        up: ingress::up,
        down: ingress::down,
    },
    Family {
        kinds: &["IngressClass"],
        versions: &[between("networking.k8s.io/v1beta1", 18, 22), from("networking.k8s.io/v1", 19)],
        up: same,
        down: same,
    },
    Family {
        kinds: &["NetworkPolicy"],
        versions: &[between("extensions/v1beta1", 3, 16), from("networking.k8s.io/v1", 7)],
        up: same,
        down: same,
    },
    Family {
        kinds: &["IPAddress", "ServiceCIDR"],
        versions: &[
            off("networking.k8s.io/v1alpha1"),
            off("networking.k8s.io/v1beta1"),
            from("networking.k8s.io/v1", 33),
        ],
        up: same,
        down: same,
    },
    Family {
        kinds: &["CustomResourceDefinition"],
        versions: &[between("apiextensions.k8s.io/v1beta1", 7, 22), from("apiextensions.k8s.io/v1", 16)],
        up: definition::up,
        down: definition::down,
    },
    Family {
        kinds: &["APIService"],
        versions: &[between("apiregistration.k8s.io/v1beta1", 7, 22), from("apiregistration.k8s.io/v1", 10)],
        up: aggregation::up,
        down: same,
    },
    Family {
        kinds: &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
        versions: &[
            between("admissionregistration.k8s.io/v1beta1", 9, 22),
            from("admissionregistration.k8s.io/v1", 16),
        ],
        up: webhooks::up,
        down: webhooks::down,
    },
    Family {
        kinds: &["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"],
        versions: &[
            off("admissionregistration.k8s.io/v1alpha1"),
            off("admissionregistration.k8s.io/v1beta1"),
            from("admissionregistration.k8s.io/v1", 30),
        ],
        up: policy::up,
        down: same,
    },
    Family {
        kinds: &["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"],
        versions: &[
            off("admissionregistration.k8s.io/v1alpha1"),
            off("admissionregistration.k8s.io/v1beta1"),
            from("admissionregistration.k8s.io/v1", 36),
        ],
        up: same,
        down: same,
    },
    Family {
        kinds: &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"],
        versions: &[
            off("rbac.authorization.k8s.io/v1alpha1"),
            between("rbac.authorization.k8s.io/v1beta1", 6, 22),
            from("rbac.authorization.k8s.io/v1", 8),
        ],
        up: rbac::up,
        down: rbac::down,
    },
    Family {
        kinds: &["PodDisruptionBudget"],
        versions: &[between("policy/v1beta1", 5, 25), from("policy/v1", 21)],
        up: disruption::up,
        down: disruption::down,
    },
    Family {
        kinds: &["PodSecurityPolicy"],
        versions: &[between("extensions/v1beta1", 2, 16), between("policy/v1beta1", 10, 25)],
        up: same,
        down: same,
    },
    Family {
        kinds: &["HorizontalPodAutoscaler"],
        versions: &[
            from("autoscaling/v1", 2),
            off("autoscaling/v2alpha1"),
            between("autoscaling/v2beta1", 8, 25),
            between("autoscaling/v2beta2", 12, 26),
            from("autoscaling/v2", 23),
        ],
        up: scaling::up,
        down: scaling::down,
    },
    Family {
        kinds: &["CronJob"],
        versions: &[off("batch/v2alpha1"), between("batch/v1beta1", 8, 25), from("batch/v1", 21)],
        up: jobs::up,
        down: jobs::down,
    },
    Family {
        kinds: &["PriorityClass"],
        versions: &[
            off("scheduling.k8s.io/v1alpha1"),
            between("scheduling.k8s.io/v1beta1", 11, 22),
            from("scheduling.k8s.io/v1", 14),
        ],
        up: same,
        down: same,
    },
    Family {
        kinds: &["Lease"],
        versions: &[between("coordination.k8s.io/v1beta1", 12, 22), from("coordination.k8s.io/v1", 14)],
        up: same,
        down: same,
    },
    Family {
        kinds: &["EndpointSlice"],
        versions: &[
            off("discovery.k8s.io/v1alpha1"),
            between("discovery.k8s.io/v1beta1", 16, 25),
            from("discovery.k8s.io/v1", 21),
        ],
        up: endpoints::up,
        down: endpoints::down,
    },
    Family {
        kinds: &["CertificateSigningRequest"],
        versions: &[between("certificates.k8s.io/v1beta1", 12, 22), from("certificates.k8s.io/v1", 19)],
        up: certificate::up,
        down: same,
    },
    Family {
        kinds: &["RuntimeClass"],
        versions: &[off("node.k8s.io/v1alpha1"), between("node.k8s.io/v1beta1", 13, 25), from("node.k8s.io/v1", 20)],
        up: runtime::up,
        down: runtime::down,
    },
    Family {
        kinds: &["StorageClass"],
        versions: &[between("storage.k8s.io/v1beta1", 4, 22), from("storage.k8s.io/v1", 6)],
        up: same,
        down: same,
    },
    Family {
        kinds: &["VolumeAttachment"],
        versions: &[
            off("storage.k8s.io/v1alpha1"),
            between("storage.k8s.io/v1beta1", 10, 22),
            from("storage.k8s.io/v1", 13),
        ],
        up: same,
        down: same,
    },
    Family {
        kinds: &["CSIDriver"],
        versions: &[between("storage.k8s.io/v1beta1", 14, 22), from("storage.k8s.io/v1", 18)],
        up: same,
        down: same,
    },
    Family {
        kinds: &["CSINode"],
        versions: &[between("storage.k8s.io/v1beta1", 14, 22), from("storage.k8s.io/v1", 17)],
        up: same,
        down: same,
    },
    Family {
        kinds: &["CSIStorageCapacity"],
        versions: &[
            off("storage.k8s.io/v1alpha1"),
            between("storage.k8s.io/v1beta1", 21, 27),
            from("storage.k8s.io/v1", 24),
        ],
        up: same,
        down: same,
    },
    Family {
        kinds: &["VolumeAttributesClass"],
        versions: &[off("storage.k8s.io/v1alpha1"), off("storage.k8s.io/v1beta1"), from("storage.k8s.io/v1", 34)],
        up: same,
        down: same,
    },
    Family {
        kinds: &["FlowSchema", "PriorityLevelConfiguration"],
        versions: &[
            off("flowcontrol.apiserver.k8s.io/v1alpha1"),
            between("flowcontrol.apiserver.k8s.io/v1beta1", 20, 26),
            between("flowcontrol.apiserver.k8s.io/v1beta2", 23, 29),
            between("flowcontrol.apiserver.k8s.io/v1beta3", 26, 32),
            from("flowcontrol.apiserver.k8s.io/v1", 29),
        ],
        up: flow::up,
        down: flow::down,
    },
];

impl Family {
    /// The newest version.
    pub(super) fn newest(&self) -> &'static str {
        self.versions.last().map_or("", |version| version.api)
    }

    /// The newest version that the target serves.
    pub(super) fn best(&self, kind: &str, target: &Target) -> Option<&'static str> {
        self.versions.iter().rev().map(|version| version.api).find(|api| target.serves(api, kind))
    }

    /// Whether a version has to be switched on.
    pub(super) fn is_optional(&self, api_version: &str) -> bool {
        self.versions.iter().any(|version| version.api == api_version && version.since.is_none())
    }

    /// Converts from one version into another, by way of the newest.
    pub(super) fn convert(&self, draft: &mut Draft, from: &str, to: &str, target: &Target) -> Result<(), Refusal> {
        let kind = draft.get(&["kind"]).as_str().unwrap_or_default().to_owned();
        let step = |old| Step { kind: &kind, old, target };
        if from != self.newest() {
            (self.up)(draft, &step(from))?;
        }
        if to != self.newest() {
            (self.down)(draft, &step(to))?;
        }
        Ok(())
    }
}

/// The family of a kind in a version; `None` if that was never one of Kubernetes.
pub(super) fn family(api_version: &str, kind: &str) -> Option<&'static Family> {
    FAMILIES
        .iter()
        .find(|family| family.kinds.contains(&kind) && family.versions.iter().any(|version| version.api == api_version))
}

/// Whether a release serves a kind in a version by default. What is not in the table is taken for served.
pub(super) fn is_served(api_version: &str, kind: &str, release: Release) -> bool {
    let Some(family) = family(api_version, kind) else { return true };
    family.versions.iter().any(|version| version.api == api_version && version.is_served(release))
}

/// One line of the table of conversions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `Deployment`.
    pub kind: &'static str,
    /// `extensions/v1beta1`.
    pub version: &'static str,
    /// The releases that served it, `1.1 to 1.15`.
    pub served: String,
    /// The newest version, which it is converted to where that is served.
    pub newest: &'static str,
}

impl fmt::Display for Row {
    /// A row of a Markdown table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {} | {} | {} |", self.kind, self.version, self.served, self.newest)
    }
}

/// The versions that can be converted, in the order of the table.
#[must_use]
pub fn table() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in FAMILIES {
        for kind in family.kinds {
            for version in family.versions.iter().filter(|version| version.api != family.newest()) {
                let served = match (version.since, version.until) {
                    (Some(since), Some(until)) => format!("1.{since} to 1.{}", until - 1),
                    (Some(since), None) => format!("since 1.{since}"),
                    (None, _) => "only where switched on".to_owned(),
                };
                rows.push(Row { kind, version: version.api, served, newest: family.newest() });
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::gone;
    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/objects/convert.md");

    #[test]
    fn the_documented_table_is_this_one() {
        let rows: Vec<_> = table().iter().map(ToString::to_string).chain(gone::rows()).collect();
        let missing: Vec<_> =
            rows.iter().filter(|row| !DOCUMENT.lines().any(|line| line.starts_with(row.as_str()))).collect();
        assert!(missing.is_empty(), "docs/objects/convert.md lacks:\n{missing:#?}");
        let is_row = |line: &&str| {
            line.split('|').nth(2).is_some_and(|version| version.contains("/v") && !version.contains('`'))
        };
        let documented = DOCUMENT.lines().filter(is_row).count();
        assert_eq!(documented, rows.len(), "docs/objects/convert.md has rows that are not in the tables");
    }

    #[test]
    fn every_release_knows_each_kind_in_one_version_at_least() {
        for family in FAMILIES.iter().filter(|family| family.newest().ends_with("/v1")) {
            let newest = family.versions.last().expect("a version");
            let first = family.versions.iter().filter_map(|version| version.since).min().expect("a release");
            assert!(newest.until.is_none(), "{:?}", family.kinds);
            for minor in first.max(Release::OLDEST.minor())..=Release::NEWEST.minor() {
                let release = format!("1.{minor}").parse().expect("a release");
                assert!(
                    family.versions.iter().any(|version| version.is_served(release)),
                    "{:?} in {release}",
                    family.kinds
                );
            }
        }
    }
}
