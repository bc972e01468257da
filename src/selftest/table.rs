//! The mutations: what is broken, and which scenarios are to notice, by their tags.
//!
//! A scenario's tags say what it depends on; a mutation names the scenarios that depend on what it breaks, and no
//! others may fail.

use super::edit::{At, Edit};

/// One thing to break.
#[derive(Clone, Copy, Debug)]
pub struct Mutation {
    /// Its name.
    pub name: &'static str,
    /// What is broken, in words.
    pub breaks: &'static str,
    /// A tag expression: the scenarios that fail.
    pub noticed_by: &'static str,
    /// Whether it is made when nothing is said.
    pub is_default: bool,
    /// Whether a pod of what is altered never becomes ready, so that nobody waits for it.
    pub is_stuck: bool,
    /// A query that gives nothing any more as soon as what is broken is broken everywhere.
    pub gone: Option<&'static str>,
    /// A query that gives nothing any more as soon as nothing tells of it after it was mended.
    pub over: Option<&'static str>,
    /// How the lab's objects are altered.
    pub edits: &'static [Edit],
}

/// A mutation that is made when it is asked for.
const fn mutation(
    name: &'static str,
    breaks: &'static str,
    noticed_by: &'static str,
    edits: &'static [Edit],
) -> Mutation {
    Mutation { name, breaks, noticed_by, is_default: false, is_stuck: false, gone: None, over: None, edits }
}

/// A mutation that is made when nothing is said: one of each subject, so that all of them take a few minutes.
const fn usual(name: &'static str, breaks: &'static str, noticed_by: &'static str, edits: &'static [Edit]) -> Mutation {
    Mutation { is_default: true, ..mutation(name, breaks, noticed_by, edits) }
}

const SYSTEM: &str = "istio-system";
const WEBHOOK: At = At("MutatingWebhookConfiguration", "", "istio-sidecar-injector");
const ISTIOD: At = At("Deployment", SYSTEM, "istiod");
const STRICT: At = At("PeerAuthentication", SYSTEM, "default");
const METRICS: At = At("EnvoyFilter", SYSTEM, "istiolab-standard-metrics");
const PROMETHEUS: At = At("Deployment", SYSTEM, "prometheus");
const SCRAPING: At = At("ConfigMap", SYSTEM, "prometheus");
const ZIPKIN: At = At("Deployment", SYSTEM, "zipkin");
const GRAFANA: At = At("Deployment", SYSTEM, "grafana");
const PROVISIONING: At = At("ConfigMap", SYSTEM, "grafana-provisioning");
const DASHBOARDS: At = At("ConfigMap", SYSTEM, "grafana-dashboards");
const GRAPH: At = At("Deployment", SYSTEM, "servicegraph");
const ROUTE: At = At("VirtualService", "demo", "demo");
const PLAIN: At = At("Deployment", "plain", "first-istio");
const BY_HAND: At = At("Deployment", "manual", "first-istio");

const REPLICAS: &str = "/spec/replicas";

const NO_SAMPLING: &str = "apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: no-sampling, namespace: istio-system}
spec: {tracing: [{randomSamplingPercentage: 0}]}
";

/// All mutations, by subject.
pub static MUTATIONS: [Mutation; 27] = [
    usual(
        "webhook",
        "the API server does not ask istiod for new pods: injection is off",
        "@webhook",
        &[Edit::Remove(WEBHOOK)],
    ),
    mutation(
        "namespace-label",
        "the namespace demo has no label that asks for injection",
        "@webhook",
        &[Edit::Unset(At("Namespace", "", "demo"), "/metadata/labels/istio-injection")],
    ),
    mutation(
        "not-injected",
        "the workload that is injected by hand has no proxy",
        "@manual",
        &[Edit::Uninject(BY_HAND)],
    ),
    mutation(
        "stray-proxy",
        "the container of the workload without a mesh is called istio-proxy",
        "@bare",
        &[Edit::Set(PLAIN, "/spec/template/spec/containers/0/name", r#""istio-proxy""#)],
    ),
    Mutation {
        is_stuck: true,
        ..mutation(
            "not-ready",
            "a pod of the workload without a mesh is never ready",
            // A pod of before goes on answering.
            "@settled",
            &[Edit::Set(PLAIN, "/spec/template/spec/containers/0/readinessProbe/httpGet/port", "9")],
        )
    },
    mutation(
        "istiod",
        "istiod is down",
        "@istiod or @webhook or @by-hand or @scraping or @alert",
        &[Edit::Set(ISTIOD, REPLICAS, "0")],
    ),
    usual(
        "strictness",
        "servers take requests without mutual TLS, too",
        "@strict",
        &[Edit::Set(STRICT, "/spec/mtls/mode", r#""PERMISSIVE""#)],
    ),
    mutation(
        "mutual-tls",
        "mutual TLS is off",
        "(@mtls and not @plain) or @identity or @strict",
        &[Edit::Set(STRICT, "/spec/mtls/mode", r#""DISABLE""#)],
    ),
    mutation(
        "identity",
        "the client has the identity of another",
        "@identity",
        &[Edit::Set(At("Deployment", "demo", "client"), "/spec/template/spec/serviceAccountName", r#""default""#)],
    ),
    mutation(
        "network",
        "a service leads to a port on which nobody listens",
        "@network",
        // The workload itself is the one that asks, over connections that it keeps.
        &[Edit::Set(At("Service", "plain", "first-istio"), "/spec/ports/0/targetPort", "9"), Edit::Anew(PLAIN)],
    ),
    mutation(
        "sender",
        "the workload that sends requests without traces is not there",
        "@sampling",
        &[Edit::Set(At("Deployment", "untraced", "first-istio"), REPLICAS, "0")],
    ),
    usual("gateway-route", "the ingress gateway has no route to the front end", "@gateway", &[Edit::Remove(ROUTE)]),
    mutation(
        "route-share",
        "the ingress gateway gives the front end's share of requests to the back end",
        "@route",
        &[Edit::Set(
            ROUTE,
            "/spec/http/0/route",
            r#"[{"destination": {"host": "frontend", "port": {"number": 8080}}, "weight": 0},
                {"destination": {"host": "backend", "port": {"number": 8080}}, "weight": 100}]"#,
        )],
    ),
    Mutation {
        // The graph tells of the last minute.
        over: Some(r#"rate(istio_requests_total{source_workload="backend",destination_workload="client"}[1m]) > 0"#),
        ..mutation(
            "stray-call",
            "the back end calls the client",
            "@calls",
            &[Edit::Set(
                At("Deployment", "demo", "backend"),
                "/spec/template/spec/containers/0/env",
                r#"[{"name": "NAME", "value": "backend"}, {"name": "BACKEND_URL", "value": "http://client:8080"}]"#,
            )],
        )
    },
    Mutation {
        // A proxy forgets its counters only when the last connection by the old configuration is closed.
        gone: Some("istio_requests_total"),
        ..usual("telemetry", "proxies count no requests", "@telemetry", &[Edit::Remove(METRICS)])
    },
    mutation("prometheus", "Prometheus is down", "@prometheus or @telemetry", &[Edit::Set(PROMETHEUS, REPLICAS, "0")]),
    mutation(
        "scraped-pods",
        "Prometheus scrapes no pods",
        "@telemetry or @scraping",
        &[
            Edit::Replace(SCRAPING, "/data/prometheus.yml", r#"regex: "true""#, r#"regex: "never""#),
            Edit::Anew(PROMETHEUS),
        ],
    ),
    mutation(
        "scraped-istiod",
        "Prometheus does not scrape istiod",
        "@scraping or @alert",
        &[
            Edit::Replace(SCRAPING, "/data/prometheus.yml", "istiod;http-monitoring", "istiod;nothing"),
            Edit::Anew(PROMETHEUS),
        ],
    ),
    usual("sampling", "no request is traced", "@tracing", &[Edit::Beside(STRICT, NO_SAMPLING)]),
    mutation(
        "sampling-everywhere",
        "requests are traced also where sampling is off",
        "@sampling",
        &[Edit::Set(At("Telemetry", "untraced", "untraced"), "/spec/tracing/0/randomSamplingPercentage", "100")],
    ),
    mutation("zipkin", "Zipkin is down", "@zipkin", &[Edit::Set(ZIPKIN, REPLICAS, "0")]),
    mutation("grafana", "Grafana is down", "@grafana", &[Edit::Set(GRAFANA, REPLICAS, "0")]),
    mutation(
        "data-source",
        "Grafana has no data source",
        "@datasource",
        &[
            Edit::Set(PROVISIONING, "/data/datasources.yaml", r#""apiVersion: 1\ndatasources: []\n""#),
            Edit::Anew(GRAFANA),
        ],
    ),
    mutation(
        "data-source-url",
        "Grafana's data source leads nowhere",
        "@panels",
        &[
            Edit::Replace(PROVISIONING, "/data/datasources.yaml", "istio-system:9090", "istio-system:9"),
            Edit::Anew(GRAFANA),
        ],
    ),
    mutation(
        "dashboard",
        "Grafana has no dashboard",
        "@dashboard",
        &[Edit::Set(DASHBOARDS, "/data", "{}"), Edit::Anew(GRAFANA)],
    ),
    mutation(
        "panels",
        "the dashboard's panels ask for what is not there",
        "@panels",
        &[
            Edit::Replace(DASHBOARDS, "/data/mesh-overview.json", "istio_requests_total", "istio_nothing_total"),
            Edit::Anew(GRAFANA),
        ],
    ),
    mutation("service-graph", "the service graph's server is down", "@pages", &[Edit::Set(GRAPH, REPLICAS, "0")]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use camino::Utf8Path;

    use super::*;
    use crate::images::registry::Access;
    use crate::lab::altered;
    use crate::lab::site::Site;
    use crate::paths::Paths;
    use crate::selftest::edit::Misfit;
    use crate::spec::Lab;
    use crate::verify::{self, Options};

    fn quick_start() -> Lab {
        let file = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/quickstart.yaml");
        crate::spec::load(&file).expect("the quick start is a lab")
    }

    #[test]
    fn names_are_told_apart() {
        let names: BTreeSet<&str> = MUTATIONS.iter().map(|mutation| mutation.name).collect();
        assert_eq!(names.len(), MUTATIONS.len());
        assert!(MUTATIONS.iter().any(|mutation| mutation.is_default));
    }

    #[test]
    fn every_mutation_fits_the_quick_start() {
        let folders = Paths { cache: "/nowhere".into(), state: "/nowhere".into() };
        let site = Site::open(quick_start(), &folders, Access::default()).expect("its objects can be read");
        let lots = altered::without_cluster(&site);
        let mut known_by_istioctl = BTreeSet::new();
        for mutation in &MUTATIONS {
            let mut lots = lots.clone();
            for edit in mutation.edits {
                match edit.make(&mut lots) {
                    Ok(()) => {}
                    // Without a cluster, neither the mesh's own objects are there nor an injection.
                    Err(Misfit::Missing(object)) => {
                        known_by_istioctl.insert(object);
                    }
                    Err(_) if mutation.name == "not-injected" => {}
                    Err(misfit) => panic!("{}: {misfit}", mutation.name),
                }
            }
        }
        let rendered = [WEBHOOK, ISTIOD].map(|at| at.to_string());
        assert!(known_by_istioctl.iter().all(|object| rendered.contains(object)), "{known_by_istioctl:?}");
    }

    #[test]
    fn every_mutation_has_scenarios_that_are_to_notice_and_others() {
        let options = Options::of(&quick_start());
        let all = verify::selected(&options).expect("the features can be read").len();
        for mutation in &MUTATIONS {
            let tags = Some(mutation.noticed_by.to_owned());
            let noticing = verify::selected(&Options { tags, ..options.clone() });
            let noticing = noticing.expect("it is a tag expression").len();
            assert!(noticing > 0 && noticing < all, "{}: {noticing} of {all}", mutation.name);
        }
    }
}
