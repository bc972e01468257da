//! Kinds that were taken out of Kubernetes and have no successor that an object could be converted to.

use super::Refusal;
use super::target::Target;

/// A kind that is gone.
struct Gone {
    api: &'static str,
    kind: &'static str,
    /// The first minor release without it.
    until: u16,
    remedy: &'static str,
}

const POD_SECURITY: &str = "leave it out together with the roles that `use` it; label the namespace with \
    pod-security.kubernetes.io/enforce (privileged, baseline or restricted) instead";
const WEBHOOK: &str = "write a MutatingWebhookConfiguration of admissionregistration.k8s.io/v1";
const JOB: &str = "write it for batch/v1";

const fn gone(api: &'static str, kind: &'static str, until: u16, remedy: &'static str) -> Gone {
    Gone { api, kind, until, remedy }
}

static GONE: &[Gone] = &[
    gone("extensions/v1beta1", "PodSecurityPolicy", 25, POD_SECURITY),
    gone("policy/v1beta1", "PodSecurityPolicy", 25, POD_SECURITY),
    gone("extensions/v1beta1", "ThirdPartyResource", 8, "write a CustomResourceDefinition of apiextensions.k8s.io/v1"),
    gone("extensions/v1beta1", "Job", 8, JOB),
    gone("batch/v2alpha1", "ScheduledJob", 8, "write a CronJob of batch/v1"),
    gone("extensions/v1beta1", "HorizontalPodAutoscaler", 8, "write it for autoscaling/v1"),
    gone("admissionregistration.k8s.io/v1alpha1", "ExternalAdmissionHookConfiguration", 9, WEBHOOK),
    gone("admissionregistration.k8s.io/v1alpha1", "InitializerConfiguration", 16, WEBHOOK),
    gone(
        "auditregistration.k8s.io/v1alpha1",
        "AuditSink",
        19,
        "give the API server a file with --audit-webhook-config-file",
    ),
    gone(
        "settings.k8s.io/v1alpha1",
        "PodPreset",
        20,
        "write what it adds into the pod templates, or use a mutating webhook",
    ),
    gone("networking.k8s.io/v1alpha1", "ClusterCIDR", 29, "let the network plugin give out the nodes' ranges"),
];

/// Why an object of such a kind can't be brought to the target; `None` if the target has it, or the kind
/// is not one of these.
pub(super) fn refusal(api_version: &str, kind: &str, target: &Target) -> Option<Refusal> {
    let gone = GONE.iter().find(|gone| gone.api == api_version && gone.kind == kind)?;
    let there = match target {
        Target::Cluster(_) => target.serves(api_version, kind),
        Target::Release(release) => release.minor() < gone.until,
    };
    (!there).then(|| {
        Refusal::new(
            format!("Kubernetes has no {kind} since 1.{}, and nothing that does the same", gone.until),
            gone.remedy,
        )
    })
}

/// The kinds that are gone, as rows of a Markdown table.
#[cfg(test)]
pub(super) fn rows() -> Vec<String> {
    GONE.iter().map(|gone| format!("| {} | {} | 1.{} | {} |", gone.kind, gone.api, gone.until, gone.remedy)).collect()
}

#[cfg(test)]
mod tests {
    use crate::objects::convert::tests::{converted, refused};

    #[test]
    fn pod_security_policies_move_while_there_are_any_and_are_refused_then() {
        let text = "{apiVersion: extensions/v1beta1, kind: PodSecurityPolicy, metadata: {name: a}}";
        assert_eq!(converted(text, "1.10").0["apiVersion"], "extensions/v1beta1");
        assert_eq!(converted(text, "1.20").0["apiVersion"], "policy/v1beta1");
        let message = refused(text, "1.25");
        assert!(message.contains("no PodSecurityPolicy since 1.25"), "{message}");
        assert!(message.contains("pod-security.kubernetes.io/enforce"), "{message}");
    }
}
