use serde_json::json;

use super::*;

fn verdict(version: &str, kind: &str, spec: Value, status: Value) -> Verdict {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x", "generation": 2}});
    object["spec"] = spec;
    object["status"] = status;
    judge(&object, &Facts::default())
}

fn waiting(text: &str) -> Verdict {
    Waiting(text.to_owned())
}

#[test]
fn a_deployment_waits_for_its_controller_then_for_its_replicas() {
    let judged = |status: Value| verdict("apps/v1", "Deployment", json!({"replicas": 2}), status);
    assert_eq!(judged(json!({})), waiting("its controller has not seen it"));
    assert_eq!(judged(json!({"observedGeneration": 1})), waiting("its controller has seen generation 1 of 2"));
    let seen = |mut status: Value| {
        status["observedGeneration"] = json!(2);
        judged(status)
    };
    assert_eq!(seen(json!({"replicas": 2, "updatedReplicas": 1})), waiting("1 of 2 replicas updated"));
    assert_eq!(seen(json!({"replicas": 3, "updatedReplicas": 2})), waiting("1 old replicas are still there"));
    assert_eq!(
        seen(json!({"replicas": 2, "updatedReplicas": 2, "readyReplicas": 1, "availableReplicas": 1})),
        waiting("1 of 2 replicas ready")
    );
    assert_eq!(
        seen(json!({"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 1})),
        waiting("1 of 2 replicas available")
    );
    assert_eq!(seen(json!({"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2})), Ready);
}

#[test]
fn a_deployment_fails_when_its_own_deadline_has_passed_and_ails_when_it_can_make_no_pods() {
    let conditions = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}]);
    assert_eq!(
        verdict("apps/v1", "Deployment", json!({}), json!({"observedGeneration": 2, "conditions": conditions})),
        Failed("ProgressDeadlineExceeded: too slow".to_owned())
    );
    let conditions =
        json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}]);
    assert_eq!(
        verdict("apps/v1", "Deployment", json!({}), json!({"observedGeneration": 2, "conditions": conditions})),
        Verdict::Ailing("FailedCreate: quota".to_owned())
    );
}

#[test]
fn a_deployment_without_replicas_is_ready() {
    assert_eq!(verdict("apps/v1", "Deployment", json!({"replicas": 0}), json!({"observedGeneration": 2})), Ready);
}

#[test]
fn a_stateful_set_is_rolled_out_to_its_partition() {
    let judged = |spec: Value, status: Value| verdict("apps/v1", "StatefulSet", spec, status);
    let revisions = json!({"observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"});
    assert_eq!(judged(json!({"replicas": 3}), revisions.clone()), waiting("1 of 3 replicas updated"));
    let partition = |number: u32| json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": number}}});
    assert_eq!(judged(partition(2), revisions.clone()), Ready);
    assert_eq!(judged(partition(1), revisions), waiting("1 of 2 replicas updated"));
    assert_eq!(
        judged(json!({"replicas": 2}), json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": 1})),
        waiting("1 of 2 replicas ready")
    );
    assert_eq!(judged(json!({"updateStrategy": {"type": "OnDelete"}}), json!({})), Ready);
}

#[test]
fn a_daemon_set_that_nobody_has_seen_is_not_ready() {
    let judged = |status: Value| verdict("apps/v1", "DaemonSet", json!({}), status);
    assert_eq!(judged(json!({"desiredNumberScheduled": 0})), waiting("its controller has not seen it"));
    assert_eq!(
        judged(
            json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 1})
        ),
        waiting("1 of 3 pods available")
    );
    assert_eq!(judged(json!({"observedGeneration": 2, "desiredNumberScheduled": 0})), Ready);
}

#[test]
fn a_job_is_ready_when_it_is_complete() {
    let judged = |status: Value| verdict("batch/v1", "Job", json!({"completions": 2}), status);
    assert_eq!(judged(json!({"succeeded": 1, "failed": 1})), waiting("1 of 2 runs succeeded, 1 failed"));
    assert_eq!(judged(json!({"conditions": [{"type": "Complete", "status": "True"}]})), Ready);
    let failed = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]});
    assert_eq!(judged(failed), Failed("BackoffLimitExceeded".to_owned()));
}

#[test]
fn a_failed_pod_is_a_failure() {
    let judged = |status: Value| verdict("v1", "Pod", json!({}), status);
    assert_eq!(
        judged(json!({"phase": "Failed", "reason": "Evicted", "message": "no room"})),
        Failed("Evicted: no room".to_owned())
    );
    assert_eq!(judged(json!({"phase": "Succeeded"})), Ready);
    assert_eq!(judged(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})), Ready);
    assert_eq!(
        judged(json!({"phase": "Running", "containerStatuses": [{"ready": true}, {"ready": false}]})),
        waiting("1 of 2 containers ready")
    );
    assert_eq!(judged(json!({"phase": "Pending"})), waiting("it is not scheduled"));
}

#[test]
fn a_load_balancer_is_waited_for_only_where_there_is_one() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "LoadBalancer"}, "status": {}});
    assert_eq!(judge(&service, &Facts::default()), Ready);
    let facts = Facts { load_balancers: true, ..Facts::default() };
    assert_eq!(judge(&service, &facts), waiting("its load balancer has no address"));
    let mut given = service;
    given["status"] = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}});
    assert_eq!(judge(&given, &facts), Ready);
}

#[test]
fn a_claim_that_waits_for_its_first_pod_is_ready() {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {"storageClassName": "standard"}, "status": {"phase": "Pending"},
    });
    assert_eq!(judge(&claim, &Facts::default()), waiting("it is not bound to a volume"));
    let facts = Facts { late_binding: ["standard".to_owned()].into(), ..Facts::default() };
    assert_eq!(judge(&claim, &facts), Ready);
    assert_eq!(
        verdict("v1", "PersistentVolumeClaim", json!({}), json!({"phase": "Lost"})),
        Failed("its volume is lost".to_owned())
    );
}

#[test]
fn a_definition_must_be_established_and_its_names_accepted() {
    let judged = |conditions: Value| {
        verdict("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({}), json!({"conditions": conditions}))
    };
    assert_eq!(judged(json!([])), waiting("it is not established"));
    assert_eq!(judged(json!([{"type": "Established", "status": "True"}])), Ready);
    assert_eq!(
        judged(json!([{"type": "NamesAccepted", "status": "False", "reason": "PluralConflict"}])),
        Failed("its names are not accepted: PluralConflict".to_owned())
    );
}

#[test]
fn a_webhook_needs_its_certificate_authority() {
    let configuration = |client: Value| {
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "webhooks": [{"name": "a.b.c", "clientConfig": client}],
        });
        judge(&object, &Facts::default())
    };
    assert_eq!(
        configuration(json!({"service": {"name": "x"}})),
        waiting("webhook a.b.c has no certificate authority yet")
    );
    assert_eq!(configuration(json!({"service": {"name": "x"}, "caBundle": "eA=="})), Ready);
    // What is served elsewhere may have a certificate that everyone trusts.
    assert_eq!(configuration(json!({"url": "https://elsewhere.test"})), Ready);
}

#[test]
fn other_kinds_are_judged_by_their_conditions() {
    let judged = |conditions: Value| verdict("x.test/v1", "Thing", json!({}), json!({"conditions": conditions}));
    assert_eq!(judged(json!([])), Ready);
    assert_eq!(judged(json!([{"type": "Ready", "status": "False", "reason": "Building"}])), waiting("Building"));
    assert_eq!(judged(json!([{"type": "Reconciling", "status": "True"}])), waiting("it is being reconciled"));
    assert_eq!(judged(json!([{"type": "Stalled", "status": "True", "message": "bad"}])), Failed("bad".to_owned()));
    assert_eq!(verdict("x.test/v1", "Thing", json!({}), Value::Null), Ready);
}

#[test]
fn what_is_being_deleted_is_not_ready() {
    let object =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    assert_eq!(judge(&object, &Facts::default()), waiting("it is being deleted"));
    assert_eq!(
        verdict("v1", "Namespace", json!({}), json!({"phase": "Terminating"})),
        waiting("its phase is Terminating")
    );
}
