//! The lab file as it is written. The JSON Schema is made from these types, and files are checked
//! against that schema, so that what is published is what is enforced. The comments are the
//! descriptions that the schema carries.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A service-mesh lab: a cluster, a mesh on it, add-ons, applications, and the scenarios that prove that it works.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "sections are read one by one, so that a fault in one hides none in another")]
pub(super) struct Lab {
    /// The version of this format.
    pub(super) api_version: ApiVersion,
    /// The kind of this file.
    pub(super) kind: KindName,
    /// The lab's name, a DNS label; also the name of its cluster.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub(super) name: String,
    /// The Kubernetes cluster.
    #[serde(default)]
    pub(super) cluster: Cluster,
    /// Where container images come from.
    #[serde(default)]
    pub(super) images: Images,
    /// The registry container beside the cluster.
    #[serde(default)]
    pub(super) registry: Registry,
    /// The mesh; without this section the lab has none.
    #[serde(default)]
    #[schemars(with = "Mesh")]
    pub(super) mesh: Option<Mesh>,
    /// Software beside the mesh, in the order in which it is applied.
    #[serde(default)]
    pub(super) addons: Vec<Addon>,
    /// Applications, in the order in which they are applied.
    #[serde(default)]
    pub(super) applications: Vec<Application>,
    /// Rules of readiness for kinds of objects: on top of the rules of kinds that istiolab knows, alone for others.
    #[serde(default)]
    pub(super) readiness: Vec<Readiness>,
    /// How long a trouble may last before it is taken for a failure.
    #[serde(default)]
    pub(super) grace: Grace,
    /// The scenarios.
    #[serde(default)]
    pub(super) features: Features,
}

/// The version of this format.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) enum ApiVersion {
    #[serde(rename = "istiolab.dev/v1alpha1")]
    V1alpha1,
}

/// The kind of this file.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) enum KindName {
    Lab,
}

/// The Kubernetes cluster.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Cluster {
    /// What makes the cluster.
    pub(super) provider: Provider,
    /// Kubernetes' version in quotes, such as "1.34" or "1.34.4".
    #[schemars(with = "String", regex(pattern = r"^1\.[0-9]{1,2}(\.[0-9]{1,2})?$"))]
    pub(super) kubernetes: Option<String>,
    /// How many nodes.
    pub(super) nodes: Nodes,
    /// The provider's own configuration (for kind, the fields of its `Cluster`), merged over what istiolab writes.
    pub(super) config: Map<String, Value>,
}

/// What makes the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// kind: nodes are containers.
    #[default]
    Kind,
}

/// How many nodes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Nodes {
    /// Nodes with the control plane.
    #[schemars(range(min = 1, max = 7))]
    pub(super) control_planes: u32,
    /// Nodes without it; with none, workloads run on the control plane.
    #[schemars(range(max = 50))]
    pub(super) workers: u32,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { control_planes: 1, workers: 0 }
    }
}

/// Where container images come from.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Images {
    /// The source.
    pub(super) source: Source,
    /// A registry that `istiolab images mirror` has filled, as `registry.example.com/istiolab`; with `http://`
    /// before it where it speaks plain HTTP.
    #[schemars(with = "String")]
    pub(super) registry: Option<String>,
    /// Other places that have an image with the very same digest, by the reference that objects use; asked in this order when its own registry does not answer.
    pub(super) alternates: BTreeMap<String, Vec<String>>,
}

/// Where container images come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// From the registry if one is named, answers and has all of them; else built from packages.
    #[default]
    Auto,
    /// From the registry alone.
    Registry,
    /// Built from packages.
    Parts,
}

/// The registry container beside the cluster.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Registry {
    /// Its port on 127.0.0.1; any free one if left out.
    #[schemars(with = "u16", range(min = 1))]
    pub(super) port: Option<u16>,
}

/// The mesh.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mesh {
    /// Istio's version in quotes, such as "1.31" or "1.31.2".
    #[schemars(regex(pattern = r"^1\.[0-9]{1,2}(\.[0-9]{1,2})?$"))]
    pub(super) version: String,
    /// Istio's installation profile.
    #[serde(default = "default_profile")]
    #[schemars(length(min = 1), regex(pattern = "^[a-z][-a-z0-9]*$"))]
    pub(super) profile: String,
    /// A file with an `IstioOperator` that goes over the profile.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1))]
    pub(super) operator: Option<String>,
    /// Single values over the profile and the operator file, as `istioctl --set` takes them.
    #[serde(default)]
    pub(super) set: BTreeMap<String, Setting>,
    /// Files and folders of objects that are applied after the control plane.
    #[serde(default)]
    pub(super) objects: Vec<String>,
}

fn default_profile() -> String {
    "default".to_owned()
}

/// A value of `set`; a number with a point must be in quotes, or its zeros at the end are lost.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(transform = flat_type)]
pub(super) enum Setting {
    Text(String),
    Flag(bool),
    Whole(i64),
}

/// `anyOf` three types, said as one list of types.
fn flat_type(schema: &mut schemars::Schema) {
    schema.remove("anyOf");
    schema.insert("type".to_owned(), Value::from(vec!["string", "boolean", "integer"]));
}

/// Software beside the mesh.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Addon {
    /// prometheus, grafana, zipkin or jaeger, servicegraph, or a name of your own with `objects`.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub(super) name: String,
    /// Files and folders of objects; known add-ons bring their own.
    #[serde(default)]
    pub(super) objects: Vec<String>,
}

/// An application.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Application {
    /// Its name, a DNS label.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub(super) name: String,
    /// The namespace that its objects go to unless they name one; the application's name if left out.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub(super) namespace: Option<String>,
    /// How its pods get a proxy; `auto` if left out in a lab with a mesh.
    #[serde(default)]
    #[schemars(with = "Injection")]
    pub(super) injection: Option<Injection>,
    /// Files and folders of objects.
    #[schemars(length(min = 1))]
    pub(super) objects: Vec<String>,
}

/// How pods get a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Injection {
    /// They get none.
    None,
    /// The objects are injected before they are applied.
    Manual,
    /// By the namespace's label, when pods are made.
    Auto,
}

/// When objects of a kind are ready.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Readiness {
    /// The kind, such as `Certificate`.
    #[schemars(length(min = 1))]
    pub(super) kind: String,
    /// Its API group without a version; left out for the core group.
    #[serde(default)]
    pub(super) group: String,
    /// A CEL expression on `object` that is true when it is ready.
    #[schemars(length(min = 1))]
    pub(super) expression: String,
    /// A CEL expression on `object` that is true when waiting on is in vain.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1))]
    pub(super) failed: Option<String>,
    /// What to tell while it is not ready, instead of the expression.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1))]
    pub(super) message: Option<String>,
}

/// How long a trouble may last before it is taken for a failure; times with a unit, such as 30s or 2m.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Grace {
    /// An image can't be had; 15s if left out.
    #[schemars(with = "String", regex(pattern = "^[0-9]+(ms|s|m|h)$"))]
    pub(super) image: Option<String>,
    /// A container can't be made, or pods can't be made at all; 15s if left out.
    #[schemars(with = "String", regex(pattern = "^[0-9]+(ms|s|m|h)$"))]
    pub(super) container: Option<String>,
    /// A container ends again and again; 1m if left out.
    #[schemars(with = "String", regex(pattern = "^[0-9]+(ms|s|m|h)$"))]
    pub(super) crash: Option<String>,
    /// No node takes a pod; 1m if left out.
    #[schemars(with = "String", regex(pattern = "^[0-9]+(ms|s|m|h)$"))]
    pub(super) scheduling: Option<String>,
}

/// The scenarios.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Features {
    /// Feature files and folders of them.
    pub(super) paths: Vec<String>,
    /// A cucumber tag expression that chooses scenarios, such as "not @slow".
    #[schemars(with = "String")]
    pub(super) tags: Option<String>,
    /// Tags that features may use, for `istiolab lint`; without any, all may be used.
    pub(super) known_tags: Vec<String>,
    /// How many scenarios run at once.
    #[schemars(range(min = 1, max = 64))]
    pub(super) parallel: usize,
    /// How long a scenario may take, as 90s or 5m; 5m if left out. A tag such as `@deadline(10m)` says it for one.
    #[schemars(with = "String", regex(pattern = "^[1-9][0-9]*(ms|s|m|h)$"))]
    pub(super) deadline: Option<String>,
    /// Programs of this machine that scenarios may run, by the name that steps give them; no others.
    pub(super) programs: BTreeMap<String, Program>,
}

/// A program of this machine that scenarios may run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Program {
    /// Where it is: a path, or a name that is looked for in PATH; the name that steps give it if left out.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1))]
    pub(super) path: Option<String>,
    /// A text that it must print when it is asked for its version.
    #[schemars(length(min = 1))]
    pub(super) version: String,
    /// The arguments that make it print its version.
    #[serde(default = "default_version_arguments")]
    pub(super) version_arguments: Vec<String>,
}

fn default_version_arguments() -> Vec<String> {
    vec!["--version".to_owned()]
}

impl Default for Features {
    fn default() -> Self {
        let programs = BTreeMap::new();
        Self { paths: Vec::new(), tags: None, known_tags: Vec::new(), parallel: 3, deadline: None, programs }
    }
}
