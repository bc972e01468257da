//! The debug bundle: everything that explains how a lab stands, in one file that may be given away.
//!
//! Nothing that fails to be collected is fatal: it is noted. The engine's part is there also when no
//! API server answers, and the lab's own files also when there is no cluster.

mod bundle;
mod error;
mod events;
mod findings;
mod logs;
mod nodes;
mod objects;
mod page;
mod proxies;
mod redact;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use bollard::Docker;
use camino::{Utf8Path, Utf8PathBuf};
use kube::Client;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::cluster;
use crate::error::causes;
use crate::objects::ready::Policy;
use crate::plan::event::Progress;
use crate::spec::Lab;
use bundle::Bundle;
use summary::{SCHEMA, Summary};

pub use error::Error;
pub use summary::{Finding, Grade, Missing};

/// How many warnings the front shows.
const WARNINGS: usize = 50;
/// How long the API server may take to say its version.
const ANSWER: Duration = Duration::from_secs(5);

/// What is to be collected, and where to.
pub struct Request<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// Its state folder.
    pub folder: &'a Utf8Path,
    /// The engine, or why it can't be reached.
    pub engine: Result<&'a Docker, String>,
    /// The nodes that are the lab's.
    pub nodes: Vec<cluster::Node>,
    /// The way to the cluster, or why there is none.
    pub cluster: Result<Client, String>,
    /// The file of logins for registries, whose secrets are looked for.
    pub logins: Option<&'a Utf8Path>,
    /// What `up` would do, or why that is not known.
    pub plan: Result<Value, String>,
    /// What the command failed with that asks for the bundle.
    pub cause: Option<String>,
    /// The file to write; its folder is made.
    pub to: &'a Utf8Path,
    /// How long it may take. What is not collected by then is noted.
    pub limit: Duration,
}

/// A bundle that was written.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// The file.
    pub file: Utf8PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// How many files are in it.
    pub files: usize,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// What could not be collected.
    pub missing: Vec<Missing>,
    /// How much was removed because it is secret, by its kind.
    pub removed: BTreeMap<String, usize>,
}

/// The name of a bundle of a lab, collected at a time.
#[must_use]
pub fn file_name(lab: &str, at: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(at).to_string().replace(['-', ':'], "");
    format!("istiolab-debug-{lab}-{time}.tar.gz")
}

/// Collects what explains how a lab stands into one file.
///
/// # Errors
/// [`Error::Write`], [`Error::Lab`], [`Error::Interrupted`]. What can't be collected is no error.
pub async fn collect(
    request: Request<'_>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Collected, Error> {
    let (begin, at) = (Instant::now(), SystemTime::now());
    let policy = Policy::of(request.lab).map_err(|failure| Error::Lab(failure.error))?;
    let root = request.to.file_name().unwrap_or_default().trim_end_matches(".tar.gz").to_owned();
    let mut bundle = Bundle::new(request.to, &root, request.limit, progress, cancel)?;
    let api = reached(&request).await;

    let containers = match request.engine {
        Ok(docker) => nodes::find(&bundle, docker, &request.lab.name, request.nodes.clone()).await,
        Err(ref why) => {
            bundle.missing("the lab's containers", why.clone());
            Vec::new()
        }
    };
    // First all secrets are learnt, then anything is written.
    let (objects, secrets) = match (&api, &request.engine) {
        (Ok((client, _)), _) => (objects::all(&bundle, client).await, Vec::new()),
        (Err(_), Ok(docker)) => (Vec::new(), nodes::secrets(&bundle, docker, &containers).await),
        (Err(_), Err(_)) => (Vec::new(), Vec::new()),
    };
    learn(&mut bundle, &request, objects.iter().chain(&secrets));
    let bundle = bundle;

    let mut versions = BTreeMap::from([("istiolab".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    lab(&bundle, &request);
    let pods: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "Pod").collect();
    let names: BTreeSet<String> =
        containers.iter().filter(|container| container.is_node).map(|container| container.name.clone()).collect();
    let from_cluster = async {
        let Ok((client, _)) = &api else { return (Vec::new(), logs::Tails::new()) };
        let events = events::all(&bundle, client).await;
        events::write(&bundle, &events);
        let tails = logs::collect(&bundle, client, &pods).await;
        (events, tails)
    };
    let from_engine = async {
        let Ok(docker) = request.engine else { return };
        let node_part = nodes::collect(&bundle, docker, &containers, api.is_err());
        futures::join!(node_part, proxies::collect(&bundle, docker, &names, &pods));
        if let Some(version) = bundle.attempt("asking the engine's version", engine_version(docker)).await {
            versions.insert("engine".to_owned(), version);
        }
    };
    let ((events, tails), ()) = futures::join!(from_cluster, from_engine);
    let cluster = match &api {
        Ok((_, version)) => {
            versions.insert("Kubernetes".to_owned(), version.clone());
            format!("the API server answers ({version})")
        }
        Err(why) => {
            bundle.missing("objects, events and logs of the cluster", why.clone());
            format!("the API server does not answer: {why}")
        }
    };
    if let Some(mesh) = &request.lab.mesh {
        versions.insert("Istio, as the lab file asks".to_owned(), mesh.version.clone());
    }
    let warnings = events.iter().filter(|event| event.is_warning).take(WARNINGS).map(|event| event.warning.clone());
    let mut summary = Summary {
        schema: SCHEMA.to_owned(),
        lab: request.lab.name.clone(),
        time: humantime::format_rfc3339_seconds(at).to_string(),
        cause: request.cause.clone(),
        versions,
        cluster,
        findings: findings::find(&objects, &events, &tails, &policy),
        warnings: warnings.collect(),
        nodes: containers.iter().map(Into::into).collect(),
        images: findings::images(&objects),
        ..Summary::default()
    };
    objects::write(&bundle, objects);
    (summary.files, summary.missing) = bundle.contents();
    summary.seconds = begin.elapsed().as_secs_f64();
    let summary = front(&bundle, summary);
    let bytes = bundle.finish()?;
    Ok(Collected {
        file: request.to.to_owned(),
        bytes,
        files: summary.files.len() + 2,
        findings: summary.findings,
        missing: summary.missing,
        removed: summary.removed,
    })
}

/// The client, if the API server answers, and its version.
async fn reached(request: &Request<'_>) -> Result<(Client, String), String> {
    let client = request.cluster.clone()?;
    match tokio::time::timeout(ANSWER, client.apiserver_version()).await {
        Ok(Ok(version)) => Ok((client, version.git_version)),
        Ok(Err(error)) => Err(causes(&error).join(": ")),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

/// Learns what is secret: what the cluster keeps as such, logins for registries, the lab's own key.
fn learn<'v>(bundle: &mut Bundle<'_>, request: &Request<'_>, objects: impl Iterator<Item = &'v Value>) {
    let redactor = bundle.redactor();
    for object in objects {
        redactor.learn(object);
    }
    if let Some(text) = request.logins.and_then(|file| fs_err::read_to_string(file).ok())
        && let Ok(logins) = serde_json::from_str::<Value>(&text)
    {
        redactor.learn(&logins);
        for auth in logins["auths"].as_object().into_iter().flatten().filter_map(|(_, login)| login["auth"].as_str()) {
            redactor.remember_login(auth);
        }
    }
    if let Ok(text) = fs_err::read_to_string(request.folder.join("kubeconfig"))
        && let Ok(documents) = crate::yaml::documents(&text, "kubeconfig")
    {
        for document in &documents {
            redactor.learn(&document.value);
        }
    }
    redactor.seal();
}

/// The lab file, what became of it, what was done for the lab, and what would be done. Not the kubeconfig.
fn lab(bundle: &Bundle<'_>, request: &Request<'_>) {
    match fs_err::read_to_string(&request.lab.file) {
        Ok(text) => drop(bundle.text("lab/lab.yaml", &text)),
        Err(error) => bundle.missing("lab/lab.yaml", error.to_string()),
    }
    match serde_json::to_value(request.lab) {
        Ok(lab) => bundle.document("lab/resolved.json", lab),
        Err(error) => bundle.missing("lab/resolved.json", error.to_string()),
    }
    match request.plan.clone() {
        Ok(plan) => bundle.document("lab/plan.json", plan),
        Err(why) => bundle.missing("lab/plan.json", why),
    }
    let files = request.folder.read_dir_utf8().into_iter().flatten().flatten();
    for entry in files.filter(|entry| entry.path().extension() == Some("json")) {
        match fs_err::read_to_string(entry.path()) {
            Ok(text) => bundle.answer(&format!("lab/{}", entry.file_name()), &text),
            Err(error) => bundle.missing(format!("lab/{}", entry.file_name()), error.to_string()),
        }
    }
}

async fn engine_version(docker: &Docker) -> Result<String, String> {
    let version = docker.version().await.map_err(|error| error.to_string())?;
    let parts = [version.version, version.os, version.arch, version.kernel_version];
    Ok(parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// Writes the two files that stand before all others, clean as these. Gives back what they say.
fn front(bundle: &Bundle<'_>, mut summary: Summary) -> Summary {
    summary.removed = bundle.removed();
    // What is a failure of ours alone is no reason to leave out the page.
    let clean = serde_json::to_value(&summary).map(|mut document| {
        bundle.clean(&mut document);
        document
    });
    match clean.and_then(serde_json::from_value::<Summary>) {
        Ok(clean) => {
            if let Ok(text) = serde_json::to_string_pretty(&clean) {
                bundle.put("summary.json", text.as_bytes());
            }
            bundle.put("index.html", page::render(&clean).as_bytes());
            clean
        }
        Err(error) => {
            bundle.missing("summary.json", error.to_string());
            Summary::default()
        }
    }
}
