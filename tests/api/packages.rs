//! Go modules whose files tests read: real manifests of past years, and what Kubernetes says of its own
//! API versions. They are fetched by `go`, once, into its own cache, and are checked against their hashes.

use camino::Utf8PathBuf;
use istiolab::process::Command;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::skipped::skipped;

/// A version of a module, and the hash that `go.sum` would have for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    module: &'static str,
    sum: &'static str,
}

const fn package(module: &'static str, sum: &'static str) -> Package {
    Package { module, sum }
}

/// Has the rendered manifests of Istio 1.0.6.
pub(crate) const SERVING_0_5: Package =
    package("github.com/knative/serving@v0.5.0", "h1:2oUoId7kPH3OAqnQNEcrj0lI/KrFmjS5xOMk9kwPc4c=");
/// Has those of Istio 1.1 and 1.2, and of monitoring tools.
pub(crate) const SERVING_0_8: Package =
    package("knative.dev/serving@v0.8.0", "h1:4SHZgkUnABOnEfvU86TCgVNi/twvekTUNr76ObC4ovA=");
/// Has those of Istio 1.4 and 1.5, of cert-manager and Contour.
pub(crate) const SERVING_0_14: Package =
    package("knative.dev/serving@v0.14.0", "h1:9iDyOqTciNuAh2D5KJP0soOq23FDR4HQHdIQNBQ/rAE=");
/// Has the add-ons and examples that Kubernetes brought itself.
pub(crate) const KUBERNETES_1_12: Package =
    package("k8s.io/kubernetes@v1.12.10", "h1:Ev14jntgqMAlW1Dyk++0dU76+Wb2FJ9VwopYK1R78m4=");
/// Types, and objects in which every field is set, of Kubernetes 1.17, 1.21, 1.26 and 1.36.
pub(crate) const API: [Package; 4] = [
    package("k8s.io/api@v0.17.0", "h1:H9d/lw+VkZKEVIUc8F3wgiQ+FUXTTr21M87jXLU7yqM="),
    package("k8s.io/api@v0.21.14", "h1:5P/Yv95EhpU7rzgLqaDkoA1JeJmZ1Gv02GJTj9Nm7EM="),
    package("k8s.io/api@v0.26.2", "h1:dM3cinp3PGB6asOySalOZxEG4CZ0IAdJsrYZXE/ovGQ="),
    package("k8s.io/api@v0.36.1", "h1:XbL/EMj8K2aJpJtePmqUyQMsM0D4QI2pvl7YKJ20FTY="),
];

/// The folder with a module's files, or `None` where there is no Go or no way to fetch it: then the test is
/// skipped, which is said and is an error in CI.
pub(crate) async fn folder(test: &str, package: Package) -> Option<Utf8PathBuf> {
    let empty = tempfile::tempdir().expect("a folder");
    let here = Utf8PathBuf::from_path_buf(empty.path().to_owned()).expect("UTF-8");
    let download = Command::new("go").args(["mod", "download", "-json", package.module]).dir(&here);
    let answer = match download.env("GOFLAGS", "-mod=mod").run(&CancellationToken::new()).await {
        Ok(output) => serde_json::from_str::<Value>(&output.stdout).expect("go prints JSON"),
        Err(error) => {
            skipped(test, &format!("can't fetch {}: {error}", package.module));
            return None;
        }
    };
    assert_eq!(answer["Sum"], package.sum, "{} is not what it was", package.module);
    Some(Utf8PathBuf::from(answer["Dir"].as_str().expect("a folder")))
}
