//! When a change to the lab has come to rest: until then, scenarios would see some of what was and some of what is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, Kind};
use crate::mesh;
use crate::objects::{self, Api, ObjectRef};
use crate::observe::prometheus::{Prometheus, Value};
use crate::plan::event::Progress;
use crate::plan::graph::interrupted;

/// How long workloads may take to become what they are told to be.
const ROLLOUT: Duration = Duration::from_mins(2);
/// How long proxies may take to take their configuration, and Prometheus to forget pods that are gone. That it takes
/// longer is no failure: what is broken may be the very thing.
pub(super) const SOON: Duration = Duration::from_secs(15);
/// Proxies let go of connections by the old configuration a second after they got the new one; kube-proxy needs
/// about as long for a service.
const DRAIN: Duration = Duration::from_secs(2);
/// The pause between looks.
const PAUSE: Duration = Duration::from_millis(200);

/// How long Prometheus may remember what was broken: a rate over a minute, and a scrape.
pub(super) const REMEMBERED: Duration = Duration::from_secs(90);

/// Who waits, and for whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settling<'a> {
    pub(super) api: &'a Api,
    pub(super) prometheus: &'a Prometheus,
    pub(super) progress: &'a Progress,
    pub(super) cancel: &'a CancellationToken,
}

impl Settling<'_> {
    /// Waits until the objects that were written are what they are to be: workloads have the pods that they want and
    /// no others, proxies have their configuration and use it, and Prometheus knows no pod that is gone. A pod
    /// `is_stuck` if it is not to become ready; of what is to be `gone` Prometheus has no sample then,
    /// unless that takes too long.
    ///
    /// # Errors
    /// A workload that does not come to rest; what the API server fails with; an interruption.
    pub(super) async fn settle(
        &self,
        written: &[ObjectRef],
        is_stuck: bool,
        gone: Option<(&str, Duration)>,
    ) -> Result<(), Failure> {
        let workloads: Vec<ObjectRef> = written.iter().filter(|object| object.kind == "Deployment").cloned().collect();
        if !is_stuck {
            let (progress, cancel) = (self.progress, self.cancel);
            objects::ready::wait(self.api, &workloads, ROLLOUT, progress, cancel).await?;
        }
        for workload in &workloads {
            self.rolled(workload).await?;
        }
        if self.deployment(mesh::NAMESPACE, "istiod").await?.is_some_and(|istiod| wanted(&istiod) > 0) {
            match mesh::ready::synced(self.api, SOON, self.progress, self.cancel).await {
                Err(objects::Error::Cancelled) => return Err(interrupted()),
                Err(error) => self.progress.detail(error.to_string()),
                Ok(()) => {}
            }
        }
        if !workloads.is_empty() {
            self.forgotten().await?;
        }
        self.pause(DRAIN).await?;
        let Some((gone, limit)) = gone else { return Ok(()) };
        let begin = Instant::now();
        while begin.elapsed() < limit && self.prometheus.query(gone).await.is_ok_and(|value| !value.is_empty()) {
            self.progress.status(format!("waiting until Prometheus has no {gone}"));
            self.pause(PAUSE).await?;
        }
        Ok(())
    }

    /// Waits until a deployment's newest pods are there and none is ending.
    async fn rolled(&self, workload: &ObjectRef) -> Result<(), Failure> {
        let namespace = workload.namespace.as_deref().unwrap_or_default();
        let begin = Instant::now();
        loop {
            let Some(deployment) = self.deployment(namespace, &workload.name).await? else { return Ok(()) };
            let labels = deployment.spec.selector.match_labels.iter().flatten();
            let selector: Vec<String> = labels.map(|(label, value)| format!("{label}={value}")).collect();
            let params = ListParams::default().labels(&selector.join(","));
            let pods: kube::Api<Pod> = kube::Api::namespaced(self.api.client().clone(), namespace);
            let pods = pods.list(&params).await.map_err(|error| unavailable(error, "listing pods"))?;
            let ending = pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some()).count();
            if ending == 0 && is_rolled(&deployment) {
                return Ok(());
            }
            if begin.elapsed() > ROLLOUT {
                let text = format!("{workload} is not rolled out within {}", humantime::format_duration(ROLLOUT));
                return Err(Failure::new(Kind::TimedOut, text));
            }
            self.progress.status(format!("waiting until {workload} is rolled out: {ending} pods are ending"));
            self.pause(PAUSE).await?;
        }
    }

    /// Waits until Prometheus, if it answers, has no series of a pod that is gone: a sum over them would fall during
    /// a scenario.
    async fn forgotten(&self) -> Result<(), Failure> {
        let begin = Instant::now();
        while begin.elapsed() < SOON {
            let Ok(Value::Vector(samples)) = self.prometheus.query("up").await else { return Ok(()) };
            let pods: kube::Api<Pod> = kube::Api::all(self.api.client().clone());
            let pods =
                pods.list(&ListParams::default()).await.map_err(|error| unavailable(error, "listing pods"))?.items;
            let names: BTreeSet<String> = pods.into_iter().filter_map(|pod| pod.metadata.name).collect();
            let gone = samples.iter().filter_map(|sample| sample.labels.get("pod")).find(|pod| !names.contains(*pod));
            let Some(gone) = gone else { return Ok(()) };
            self.progress.status(format!("waiting until Prometheus has forgotten {gone}"));
            self.pause(PAUSE).await?;
        }
        Ok(())
    }

    async fn deployment(&self, namespace: &str, name: &str) -> Result<Option<Deployment>, Failure> {
        let requests: kube::Api<Deployment> = kube::Api::namespaced(self.api.client().clone(), namespace);
        let found = requests.get_opt(name).await;
        found.map_err(|error| unavailable(error, &format!("reading Deployment {namespace}/{name}")))
    }

    async fn pause(&self, time: Duration) -> Result<(), Failure> {
        tokio::select! {
            () = self.cancel.cancelled() => Err(interrupted()),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}

fn unavailable(error: kube::Error, doing: &str) -> Failure {
    Failure::new(Kind::Unavailable, error).context(doing)
}

fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.replicas.unwrap_or(1)
}

/// Whether the controller has seen the newest template and made its pods.
fn is_rolled(deployment: &Deployment) -> bool {
    let status = deployment.status.clone().unwrap_or_default();
    let is_seen = status.observed_generation >= deployment.metadata.generation;
    is_seen && status.updated_replicas.unwrap_or(0) >= wanted(deployment)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(spec: &Value, status: &Value) -> Deployment {
        let template = json!({"metadata": {}, "spec": {"containers": []}});
        let mut whole = json!({"metadata": {"generation": 3}, "spec": {"selector": {}, "template": template}});
        whole["spec"]["replicas"] = spec.clone();
        whole["status"] = status.clone();
        serde_json::from_value(whole).expect("a deployment")
    }

    #[test]
    fn a_rollout_is_over_when_the_newest_pods_are_there() {
        let rolled = |replicas: Value, status: Value| is_rolled(&deployment(&replicas, &status));
        assert!(rolled(json!(1), json!({"observedGeneration": 3, "updatedReplicas": 1})));
        assert!(!rolled(json!(1), json!({"observedGeneration": 2, "updatedReplicas": 1})));
        assert!(!rolled(json!(null), json!({"observedGeneration": 3})));
        assert!(rolled(json!(0), json!({"observedGeneration": 3})));
    }
}
