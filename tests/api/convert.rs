//! Objects of past years on the API server of today: real manifests, whole, and every field that
//! Kubernetes' own old versions have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use istiolab::error::{Failure, Kind};
use istiolab::objects::convert::{Conversion, Release, Target, convert, convert_all, table};
use istiolab::objects::{Api, Object, Options, SetName, apply, delete_set, load_with_repeats, parse};
use istiolab::plan::event::Progress;
use kube::api::{Patch, PatchParams};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::packages::{self, KUBERNETES_1_12, SERVING_0_5, SERVING_0_8, SERVING_0_14, folder};
use crate::server::{api, applied, config, get};

/// The row of the table in the documentation.
fn documented(kind: &str, version: &str) -> Option<&'static str> {
    let begin = format!("| {kind} | {version} | ");
    include_str!("../../docs/objects/convert.md").lines().find(|line| line.starts_with(&begin))
}

fn today() -> Target {
    Target::Release(Release::NEWEST)
}

/// Sends an object, so that the server checks it and keeps nothing. The error is the server's message.
async fn taken(api: &Api, object: &Object) -> Result<Value, String> {
    let mut document = object.document.clone();
    // As when it is applied.
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "selfLink"] {
        document["metadata"].as_object_mut().expect("metadata").remove(field);
    }
    let served = api.served(object.group(), object.version(), object.kind()).await.expect("discovery");
    let served = served.ok_or_else(|| format!("{} is not served", object.api_version()))?;
    let requests: kube::Api<kube::api::DynamicObject> = if served.namespaced {
        document["metadata"]["namespace"] = Value::from("default");
        kube::Api::namespaced_with(api.client().clone(), "default", &served.resource)
    } else {
        kube::Api::all_with(api.client().clone(), &served.resource)
    };
    let params = PatchParams { dry_run: true, ..PatchParams::apply("convert-test").force() };
    let sent = requests.patch(object.name(), &params, &Patch::Apply(&document)).await;
    sent.map(|object| serde_json::to_value(object).expect("JSON")).map_err(|error| error.to_string())
}

/// Every file below a folder that is YAML or JSON, has nothing of a template's, and is read as objects.
fn manifests(folder: &Utf8Path) -> Vec<Object> {
    let mut objects = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder).expect("a folder") {
            let path = Utf8PathBuf::from_path_buf(entry.expect("an entry").path()).expect("UTF-8");
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"))
                && let Ok(text) = fs_err::read_to_string(&path)
                && let Ok(more) = parse(&text, path.as_str())
            {
                objects.extend(more);
            }
        }
    }
    objects
}

/// Where Istio goes: other tests use the namespace that it names.
const NAMESPACE: &str = "convert-istio";

/// The objects of Istio as a package has them, each once: several files bring the same definitions, some
/// of them in a configuration map that a job would have applied.
fn istio(folder: &Utf8Path) -> Vec<Object> {
    let files = ["istio-crds.yaml", "istio.yaml", "istio-ci-mesh.yaml"].map(|file| folder.join(file));
    let files: Vec<_> = files.into_iter().filter(|file| file.is_file()).collect();
    let (mut objects, _) = load_with_repeats(&files).expect("objects");
    let inner = objects.iter().filter(|object| object.name().starts_with("istio-crd-"));
    let texts = inner.filter_map(|object| object.document["data"].as_object()).flat_map(serde_json::Map::values);
    let inner: Vec<_> = texts.flat_map(|text| parse(text.as_str().expect("text"), "data").expect("objects")).collect();
    objects.extend(inner);
    let mut seen = BTreeSet::new();
    // There is no controller that could take the namespace away again.
    objects.retain(|object| object.kind() != "Namespace" && seen.insert(object.reference().to_string()));
    for object in objects.iter_mut().filter(|object| object.namespace().is_some()) {
        object.document["metadata"]["namespace"] = Value::from(NAMESPACE);
    }
    objects
}

#[tokio::test]
async fn istio_of_past_years_is_taken_whole_and_stays_unchanged() {
    let test = "istio of past years";
    let Some(api) = api(test).await else { return };
    let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}");
    applied(&api, "convert-namespace", &namespace).await.expect("applied");
    let (progress, cancel) = (Progress::silent(), CancellationToken::new());
    let options = Options {
        deadline: Duration::from_mins(2),
        default_namespace: Some(NAMESPACE.to_owned()),
        ..Options::default()
    };
    for (package, version, expected) in [
        (SERVING_0_5, "istio-1.0.6", (135, 86)),
        (SERVING_0_8, "istio-1.1.7", (133, 74)),
        (SERVING_0_8, "istio-1.2.0", (102, 37)),
        (SERVING_0_14, "istio-1.4.7", (99, 36)),
        (SERVING_0_14, "istio-1.5.1", (64, 31)),
    ] {
        let Some(folder) = folder(test, package).await else { return };
        // Definitions that the one before had are gone: what the server serves is asked anew.
        let api = Api::new(api.client().clone());
        let objects = istio(&folder.join("third_party").join(version));
        // Nobody is there to answer the webhooks: they come last.
        let (hooks, objects): (Vec<_>, Vec<_>) =
            objects.into_iter().partition(|object| object.kind().ends_with("WebhookConfiguration"));
        let mut counts = (0, 0);
        let sets =
            [(SetName::new(version, "default"), objects), (SetName::new(format!("{version}-hooks"), "default"), hooks)];
        for (set, objects) in &sets {
            let done = apply(&api, set, objects, &options, &progress, &cancel).await;
            let done = done.unwrap_or_else(|error| panic!("{version}: {error}"));
            assert_eq!(done.created.len(), objects.len(), "{version}");
            let again = apply(&api, set, objects, &options, &progress, &cancel).await.expect("applied again");
            assert!(again.is_unchanged(), "{version}: {again}: {:?}", again.changed);
            assert_eq!(again.converted, done.converted);
            counts = (counts.0 + objects.len(), counts.1 + done.converted.len());
        }
        assert_eq!(counts, expected, "{version}");
        for (set, _) in sets.iter().rev() {
            delete_set(&api, set, Duration::from_mins(2), &progress, &cancel).await.expect("deleted");
        }
    }
}

/// Files that are refused, and rightly so, with a part of what is said.
const REFUSED: [(&str, &str); 14] = [
    ("config/build/release.yaml", "no PodSecurityPolicy since 1.25"),
    ("podsecuritypolicies/privileged.yaml", "no PodSecurityPolicy since 1.25"),
    ("podsecuritypolicies/persistent-volume-binder.yaml", "no PodSecurityPolicy since 1.25"),
    ("podsecuritypolicies/unprivileged-addon.yaml", "no PodSecurityPolicy since 1.25"),
    ("podsecuritypolicies/event-exporter-psp.yaml", "no PodSecurityPolicy since 1.25"),
    ("podsecuritypolicies/fluentd-gcp-psp.yaml", "no PodSecurityPolicy since 1.25"),
    ("hack/testdata/initializer-deployments.yaml", "`metadata.initializers`"),
    ("hack/testdata/initializer-clusterrolebinding.yaml", "`metadata.initializers`"),
    ("hack/testdata/csr.yml", "it names no signer"),
    ("convert/appsdeployment.yaml", "it has no selector"),
    ("hack/apiservice-template.yaml", "it has no `groupPriorityMinimum`"),
    ("example/apiservice.yaml", "it has no `groupPriorityMinimum`"),
    ("customresource-01/noxu-apiservice.yaml", "it has no `groupPriorityMinimum`"),
    // It was not valid when it was written, and is there to show that.
    ("hack/testdata/deployment-label-change3.yaml", "`selector` does not match template `labels`"),
];

#[tokio::test]
async fn manifests_of_past_years_are_taken() {
    let test = "manifests of past years";
    let Some(api) = api(test).await else { return };
    let target = api.target().await.expect("discovery");
    let mut counts: BTreeMap<(String, String), (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for package in [SERVING_0_5, SERVING_0_8, SERVING_0_14, KUBERNETES_1_12] {
        let Some(folder) = folder(test, package).await else { return };
        for object in manifests(&folder) {
            let key = (object.kind().to_owned(), object.api_version().to_owned());
            match convert(&object, &target) {
                Ok(None) => {}
                Ok(Some((converted, _))) => {
                    let count = counts.entry(key).or_default();
                    match taken(&api, &converted).await {
                        Ok(_) => count.0 += 1,
                        Err(message) => {
                            count.1 += 1;
                            wrong.push(format!("{}: {}: {message}", object.origin(), object.reference()));
                        }
                    }
                }
                Err(error) => {
                    counts.entry(key).or_default().1 += 1;
                    wrong.push(error.to_string());
                }
            }
        }
    }
    for ((kind, version), count) in &counts {
        let Some(row) = documented(kind, version) else { continue };
        let manifests = if count.0 == 1 { "1 manifest".to_owned() } else { format!("{} manifests", count.0) };
        if count.0 > 0 && !row.contains(&format!("| {manifests}")) {
            wrong.push(format!("docs/objects/convert.md does not say {manifests} of {kind} of {version}"));
        }
    }
    for (file, text) in REFUSED {
        let before = wrong.len();
        wrong.retain(|message| !(message.contains(&format!("{file}:")) && message.contains(text)));
        assert!(wrong.len() < before, "{file} is not refused");
    }
    assert!(wrong.is_empty(), "{} are not taken:\n{}", wrong.len(), wrong.join("\n"));
}

/// Gives an object whose every field is made up those values without which it can't be understood.
fn sensible(object: &mut Object) {
    let kind = object.kind().to_owned();
    let spec = &mut object.document["spec"];
    match kind.as_str() {
        "Deployment" => drop(spec.as_object_mut().and_then(|spec| spec.remove("rollbackTo"))),
        "CertificateSigningRequest" => spec["signerName"] = Value::from("test.istiolab.dev/signer"),
        "EndpointSlice" => object.document["addressType"] = Value::from("IPv4"),
        "HorizontalPodAutoscaler" => {
            // One metric of each type, instead of one that is of all of them.
            let Some(metric) = spec.get("metrics").map(|metrics| metrics[0].clone()) else { return };
            let types = [
                ("resource", "Resource"),
                ("containerResource", "ContainerResource"),
                ("pods", "Pods"),
                ("object", "Object"),
                ("external", "External"),
            ];
            let metrics = types.iter().filter_map(|(field, kind)| {
                let source = metric.get(*field).filter(|source| !source.is_null())?;
                Some(serde_json::json!({"type": kind, *field: source}))
            });
            spec["metrics"] = metrics.collect();
        }
        _ => {}
    }
}

/// No field gets lost or is misnamed: the server would not know it.
#[tokio::test]
async fn every_field_of_an_old_version_has_its_place() {
    let test = "fields of old versions";
    let Some(api) = api(test).await else { return };
    let target = api.target().await.expect("discovery");
    let (mut tried, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    for package in packages::API {
        let Some(folder) = folder(test, package).await else { return };
        for mut object in manifests(&folder.join("testdata/HEAD")) {
            // Each is there as YAML and as JSON, and most of them in several packages.
            if !seen.insert(object.document.to_string()) {
                continue;
            }
            sensible(&mut object);
            let row = (object.kind().to_owned(), object.api_version().to_owned());
            match convert(&object, &target) {
                Ok(None) => {}
                Ok(Some((converted, _))) => {
                    tried.insert(row);
                    // Its values are made up, and refused as such, after the fields were read.
                    if let Err(message) = taken(&api, &converted).await
                        && message.contains("not declared in schema")
                    {
                        wrong.push(format!("{} {}: {message}", object.reference(), object.origin()));
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    if !error.contains("and nothing that does the same") {
                        wrong.push(error);
                    }
                }
            }
        }
    }
    for (kind, version) in &tried {
        if !documented(kind, version).is_some_and(|row| row.contains("every field")) {
            wrong.push(format!("docs/objects/convert.md does not say `every field` of {kind} of {version}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The releases in the table are those that Kubernetes' own types name.
#[tokio::test]
async fn the_table_is_kubernetes_own() {
    let mut known: BTreeMap<(String, String), (u16, Option<u16>)> = BTreeMap::new();
    for package in packages::API {
        let Some(folder) = folder("life cycles", package).await else { return };
        for (version, kind, since, until) in life_cycles(&folder) {
            // The newer of them has the last word.
            known.insert((kind, version), (since, until));
        }
    }
    let rows = table();
    let mut wrong = Vec::new();
    for row in &rows {
        let Some((since, until)) = known.get(&(row.kind.to_owned(), row.version.to_owned())) else { continue };
        let expected = match until {
            Some(until) => format!("1.{since} to 1.{}", until - 1),
            None => format!("since 1.{since}"),
        };
        if row.served != expected && row.served != "only where switched on" {
            wrong.push(format!("{row}: Kubernetes says {expected}"));
        }
    }
    let newest = Release::NEWEST.minor();
    for ((kind, version), (_, until)) in &known {
        let is_gone = until.is_some_and(|until| until <= newest);
        let has_row = rows.iter().any(|row| row.kind == kind && row.version == version);
        if is_gone && !has_row && !NOT_APPLIED.contains(&kind.as_str()) {
            let object = Object::new(
                serde_json::json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}}),
                "x",
                1,
            );
            if convert(&object.expect("an object"), &today()).is_ok() {
                wrong.push(format!("{kind} of {version} is missing"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Questions to the API server and what others write, which no manifest holds.
const NOT_APPLIED: [&str; 17] = [
    "APIGroupDiscovery",
    "AdmissionReview",
    "ConversionReview",
    "DeploymentRollback",
    "Event",
    "Eviction",
    "JobTemplate",
    "LeaseCandidate",
    "LocalSubjectAccessReview",
    "PodPresetSpec",
    "Scale",
    "SelfSubjectAccessReview",
    "SelfSubjectReview",
    "SelfSubjectRulesReview",
    "StorageVersionMigration",
    "SubjectAccessReview",
    "TokenReview",
];

/// API version, kind, first release and first release without it, from the generated Go files.
fn life_cycles(folder: &Utf8Path) -> Vec<(String, String, u16, Option<u16>)> {
    let function = regex::Regex::new(
        r"func \(in \*(\w+)\) APILifecycle(Introduced|Removed)\(\) \(major, minor int\) \{\s*return 1, (\d+)",
    )
    .expect("a pattern");
    let group = regex::Regex::new(r#"GroupName = "([^"]*)""#).expect("a pattern");
    let mut found: BTreeMap<(String, String), (u16, Option<u16>)> = BTreeMap::new();
    for groups in fs_err::read_dir(folder).expect("a folder") {
        let groups = Utf8PathBuf::from_path_buf(groups.expect("an entry").path()).expect("UTF-8");
        for version in groups.read_dir_utf8().into_iter().flatten().flatten() {
            let Ok(text) = fs_err::read_to_string(version.path().join("zz_generated.prerelease-lifecycle.go")) else {
                continue;
            };
            let register = fs_err::read_to_string(version.path().join("register.go")).expect("a group");
            let group = &group.captures(&register).expect("its name")[1];
            let version = if group.is_empty() {
                version.file_name().to_owned()
            } else {
                format!("{group}/{}", version.file_name())
            };
            for part in function.captures_iter(&text) {
                let minor = part[3].parse().expect("a number");
                let entry = found.entry((version.clone(), part[1].to_owned())).or_default();
                if &part[2] == "Introduced" { entry.0 = minor } else { entry.1 = Some(minor) }
            }
        }
    }
    found
        .into_iter()
        .filter(|((_, kind), _)| !kind.ends_with("List"))
        .map(|((version, kind), (since, until))| (version, kind, since, until))
        .collect()
}

#[tokio::test]
async fn a_conversion_is_told_and_a_refusal_says_what_to_do() {
    let Some(api) = api("conversion").await else { return };
    let text = "
apiVersion: apps/v1beta1
kind: Deployment
metadata: {name: convert-old}
spec:
  template:
    metadata: {labels: {app: convert-old}}
    spec: {containers: [{name: c, image: none}]}
";
    let done = applied(&api, "convert-told", text).await.expect("applied");
    assert_eq!(
        done.converted.iter().map(Conversion::to_string).collect::<Vec<_>>(),
        ["Deployment default/convert-old apps/v1beta1 -> apps/v1 (test.yaml:2)"]
    );
    assert_eq!(done.created[0].api_version, "apps/v1");
    let object = get(&api, "apps/v1", "Deployment", "default", "convert-old").await.expect("it is there");
    assert_eq!(object["spec"]["revisionHistoryLimit"], 2);
    // The same object, written for today, is the same member.
    let done = applied(
        &api,
        "convert-told",
        &text
            .replace("v1beta1", "v1")
            .replace("spec:\n  template", "spec:\n  selector: {matchLabels: {app: convert-old}}\n  template"),
    )
    .await
    .expect("applied");
    assert!(done.converted.is_empty() && done.created.is_empty() && done.pruned.is_empty(), "{done}");

    let text = "{apiVersion: policy/v1beta1, kind: PodSecurityPolicy, metadata: {name: convert-gone}}";
    let error = applied(&api, "convert-gone", text).await.expect_err("there are none any more");
    assert_eq!(
        error.to_string(),
        "test.yaml:1: PodSecurityPolicy convert-gone of policy/v1beta1 can't be converted for the cluster: Kubernetes has no \
         PodSecurityPolicy since 1.25, and nothing that does the same; leave it out together with the roles that `use` it; \
         label the namespace with pod-security.kubernetes.io/enforce (privileged, baseline or restricted) instead"
    );
    assert_eq!(Failure::from(error).kind, Kind::BadInput);
}

/// What goes to an older release comes back the same.
#[tokio::test]
async fn todays_objects_go_to_old_releases_and_come_back() {
    let Some(folder) = folder("there and back", SERVING_0_14).await else { return };
    let objects = istio(&folder.join("third_party/istio-1.5.1"));
    let new: Vec<Object> = convert_all(&objects, &today())
        .expect("converted")
        .into_iter()
        .map(|(object, _)| object.into_owned())
        .collect();
    for release in ["1.25", "1.22", "1.21", "1.18"] {
        let target = Target::Release(release.parse().expect("a release"));
        for object in &new {
            let Ok(Some((old, _))) = convert(object, &target) else { continue };
            let (back, _) = convert(&old, &today()).expect("converted").expect("it was old");
            assert_eq!(back.document, object.document, "{} by way of {release}", object.reference());
        }
    }
}

#[tokio::test]
async fn the_verb_asks_the_cluster_what_it_serves() {
    let Some(config) = config("the verb").await else { return };
    let Some(_) = api("the verb").await else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let kubeconfig = dir.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: none\n\
         clusters: [{{name: c, cluster: {{server: '{}', insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: u, user: {{token: test-token}}}}]\n\
         contexts: [{{name: here, context: {{cluster: c, user: u}}}}]\n",
        config.cluster_url
    );
    fs_err::write(&kubeconfig, text).expect("written");
    let old = "{apiVersion: autoscaling/v2beta1, kind: HorizontalPodAutoscaler, metadata: {name: a}}";
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_istiolab"));
    command.env("ISTIOLAB_STATE", dir.path()).env("ISTIOLAB_CACHE", dir.path()).env("KUBECONFIG", &kubeconfig);
    let output =
        command.args(["convert", "-f", "-", "--context", "here"]).write_stdin(old).output().expect("an answer");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.starts_with("apiVersion: autoscaling/v2\n"), "{stdout}");
    assert!(
        stderr.contains("converted: HorizontalPodAutoscaler a autoscaling/v2beta1 -> autoscaling/v2 (<stdin>:1)"),
        "{stderr}"
    );
}
