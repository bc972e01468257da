//! What a scenario works with: the cluster, its own names, and what its steps left for later ones.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::authority::Authority;
use super::look::Look;
use super::programs::{Ended, Programs};
use super::traffic::Sent;
use super::trail::Trail;
use super::undo::Change;
use super::unmet::Unmet;
use super::vocabulary::Vocabulary;
use crate::objects::ready::Policy;
use crate::objects::{Api, Object, ObjectRef};
use crate::observe::grafana::Grafana;
use crate::observe::jaeger::Jaeger;
use crate::observe::prometheus::Prometheus;
use crate::observe::tracing::Tracing;
use crate::observe::zipkin::Zipkin;
use crate::observe::{Inside, Proxy, Service};

/// The namespace of the mesh and its add-ons.
pub(super) const SYSTEM: &str = "istio-system";

/// Why there is nobody to ask for traces, and what to do.
const NO_TRACING: &str = "the lab has neither Zipkin nor Jaeger to ask for traces; name one of them in its `addons`, or \
                          let the scenario require it with @requires(tracing)";

/// What all scenarios of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) api: Api,
    pub(super) proxy: Proxy,
    pub(super) vocabulary: Arc<Vocabulary>,
    /// How readiness is judged.
    pub(super) readiness: Policy,
    pub(super) programs: Programs,
    /// What the lab has, see [`super::Options`].
    pub(super) capabilities: BTreeSet<String>,
    pub(super) cancel: CancellationToken,
}

/// Cucumber's world: empty until the scenario begins.
#[derive(Debug, Default)]
pub(super) struct World(pub(super) Option<Scene>);

impl cucumber::World for World {
    type Error = Infallible;

    async fn new() -> Result<Self, Infallible> {
        Ok(Self::default())
    }
}

/// One running scenario.
#[derive(Debug)]
pub struct Scene {
    pub(super) shared: Arc<Shared>,
    pub(super) trail: Trail,
    proxy: Proxy,
    /// When it began.
    pub(super) began: SystemTime,
    /// A short name that no other scenario has, in letters that Kubernetes allows in names.
    pub(super) unique: String,
    /// Traffic that was sent, oldest first.
    pub(super) sent: Vec<Sent>,
    /// Values of queries that were remembered.
    pub(super) remembered: BTreeMap<String, f64>,
    /// Texts that were remembered, which `${name}` stands for in later steps.
    pub(super) named: BTreeMap<String, String>,
    /// Objects that the scenario brought, as they are now.
    pub(super) brought: Vec<Object>,
    /// Objects that the scenario made and that must be gone at its end.
    pub(super) made: Vec<ObjectRef>,
    /// What it changed on others' objects, oldest first.
    pub(super) changes: Vec<Change>,
    /// What the newest try of a check has read.
    pub(super) looks: Vec<Look>,
    /// Whom its clients trust, once a certificate was made.
    pub(super) authority: Option<Authority>,
    /// The program that ended last.
    pub(super) ended: Option<Ended>,
    /// Whether it did something that may leave objects.
    pub(super) touched: bool,
    /// How long it may take, and when that time is over.
    pub(super) limit: (Duration, Instant),
}

impl Scene {
    pub(super) fn new(shared: Arc<Shared>, trail: Trail, limit: Duration) -> Self {
        let kept = trail.clone();
        let proxy = shared.proxy.recorded(move |exchange| kept.exchange(exchange));
        Self {
            shared,
            trail,
            proxy,
            began: SystemTime::now(),
            unique: format!("s{:08x}", random() >> 32),
            sent: Vec::new(),
            remembered: BTreeMap::new(),
            named: BTreeMap::new(),
            brought: Vec::new(),
            made: Vec::new(),
            changes: Vec::new(),
            looks: Vec::new(),
            authority: None,
            ended: None,
            touched: false,
            limit: (limit, Instant::now() + limit),
        }
    }

    /// Whether it has made or changed no object.
    pub(super) fn is_clean(&self) -> bool {
        self.made.is_empty() && self.changes.is_empty()
    }

    /// Replaces `${unique}` by the scenario's own name, and other names by what was remembered.
    pub(super) fn fill(&self, text: &str) -> String {
        let text = text.replace("${unique}", &self.unique);
        self.named.iter().fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }

    /// A service of the cluster; what it is asked becomes evidence.
    pub(super) fn service(&self, namespace: &str, name: &str, port: u16) -> Service {
        self.proxy.service(namespace, name, port)
    }

    /// What listens on a pod's loopback address; what it is asked becomes evidence.
    pub(super) fn inside(&self, namespace: &str, pod: &str, port: u16) -> Inside {
        self.proxy.inside(namespace, pod, port)
    }

    pub(super) fn prometheus(&self) -> Prometheus {
        Prometheus::of_lab(&self.proxy)
    }

    pub(super) fn grafana(&self) -> Grafana {
        Grafana::new(self.service(SYSTEM, "grafana", 3000))
    }

    /// Whoever keeps the lab's traces.
    pub(super) fn tracing(&self) -> Result<Tracing, Unmet> {
        let has = |addon: &str| self.shared.capabilities.contains(addon);
        if has("jaeger") {
            Ok(Tracing::Jaeger(Jaeger::new(self.service(SYSTEM, "jaeger", 16686))))
        } else if has("zipkin") {
            Ok(Tracing::Zipkin(Zipkin::new(self.service(SYSTEM, "zipkin", 9411))))
        } else {
            Err(Unmet::Misused(NO_TRACING.to_owned()))
        }
    }

    /// The newest traffic, or that which `from` sent.
    pub(super) fn traffic(&self, from: Option<&str>) -> Result<&Sent, Unmet> {
        let found = self.sent.iter().rev().find(|sent| from.is_none_or(|from| sent.from == from));
        found.ok_or_else(|| match from {
            Some(from) => Unmet::Misused(format!("\"{from}\" has not sent any request in this scenario")),
            None => Unmet::Misused("no request was sent in this scenario".to_owned()),
        })
    }
}

/// A random number: the standard library seeds every hasher anew.
pub(super) fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// A random UUID, version 4.
pub(super) fn request_id() -> String {
    let (one, two) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        one >> 32,
        one >> 16 & 0xffff,
        one & 0xfff,
        two >> 48 & 0x3fff | 0x8000,
        two & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_version_4() {
        let id = request_id();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
        assert_ne!(id, request_id());
    }
}
