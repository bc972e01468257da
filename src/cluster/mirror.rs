//! Nodes that pull from the lab's registry: containerd's hosts files
//! ([hosts.md](https://github.com/containerd/containerd/blob/main/docs/hosts.md)), and images brought
//! in before the kubelet asks for them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::nodes::{self, File};
use super::{Error, pause};
use crate::images::reference::{Reference, mirror_prefix};
use crate::plan::event::Progress;

/// Where containerd looks for a host's settings; it reads them at each pull.
pub(super) const CERTS_DIR: &str = "/etc/containerd/certs.d";
/// How many images one node pulls at once.
const AT_ONCE: usize = 3;
/// How long a single try to pull may take.
const ONE_PULL: Duration = Duration::from_mins(3);

/// The hosts file that sends every pull from `upstream` to the registry at `registry`
/// (`http://name:port`, as the nodes reach it) and nowhere else.
///
/// Both `server` and the `[host]` table point there: with the table alone containerd falls back to
/// the upstream, with `server` alone versions 1.6 and older ignore the file.
#[must_use]
pub fn hosts_file(registry: &str, upstream: &str) -> String {
    let base = format!("{}/v2/{}", registry.trim_end_matches('/'), mirror_prefix(upstream));
    let mut text = String::from("# Written by istiolab: images of this host come from the lab's registry only.\n");
    // Writing to a string can't fail.
    let _ = write!(
        text,
        "server = \"{base}\"\noverride_path = true\n\n[host.\"{base}\"]\n  capabilities = [\"pull\", \"resolve\"]\n  override_path = true\n"
    );
    text
}

/// Makes a node pull the images of each of `upstreams` from the registry. May be done while the node
/// boots, and again: the same files are written.
///
/// # Errors
/// [`Error::Engine`].
pub async fn configure(docker: &Docker, node: &str, registry: &str, upstreams: &BTreeSet<String>) -> Result<(), Error> {
    let file = |upstream: &String| File {
        path: format!("{CERTS_DIR}/{upstream}/hosts.toml"),
        content: hosts_file(registry, upstream).into_bytes(),
    };
    let files: Vec<File> = upstreams.iter().map(file).collect();
    nodes::write_files(docker, node, &files).await
}

/// The registries that these images come from, for [`configure`].
#[must_use]
pub fn upstreams<'a>(images: impl IntoIterator<Item = &'a Reference>) -> BTreeSet<String> {
    images.into_iter().map(|image| image.registry().to_owned()).collect()
}

/// How long one question to containerd may take. While a node boots, a disk that is busy makes programs hang.
const QUESTION_LIMIT: Duration = Duration::from_secs(5);

/// Waits until containerd in the node answers.
///
/// # Errors
/// [`Error::Deadline`], [`Error::Engine`], [`Error::Interrupted`].
pub async fn containerd(docker: &Docker, node: &str, limit: Duration, cancel: &CancellationToken) -> Result<(), Error> {
    let begin = Instant::now();
    loop {
        let last = match nodes::try_exec(docker, node, &["ctr", "--timeout", "2s", "version"], QUESTION_LIMIT).await {
            Ok(answer) if answer.code == 0 => return Ok(()),
            Ok(answer) => answer.last_words(),
            Err(hung @ Error::Deadline { .. }) => hung.to_string(),
            Err(other) => return Err(other),
        };
        if begin.elapsed() > limit {
            let what = format!("containerd in the node {node} did not answer");
            return Err(Error::Deadline { what, limit, last });
        }
        pause(Duration::from_millis(300), cancel).await?;
    }
}

/// Brings images, which must be in the registry, into a node's containerd under the names that the
/// kubelet looks for, as soon as containerd is there. Each is tried until `limit` has passed, since
/// containerd may restart while the node boots; an image that the registry does not have is an error
/// at once.
///
/// # Errors
/// [`Error::Pull`], [`Error::Deadline`] with the last reason, [`Error::Engine`],
/// [`Error::Interrupted`].
pub async fn pull(
    docker: &Docker,
    node: &str,
    images: &[Reference],
    limit: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    containerd(docker, node, limit, cancel).await?;
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for image in images {
        let (docker, node, image) = (docker.clone(), node.to_owned(), full_name(image));
        let (permits, cancel) = (Arc::clone(&permits), cancel.clone());
        running.spawn(async move {
            let _permit = permits.acquire_owned().await;
            pull_one(&docker, &node, &image, deadline, limit, &cancel).await
        });
    }
    let mut done = 0;
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
        done += 1;
        progress.status(format!("{node} has {done} of {} images", images.len()));
    }
    Ok(())
}

async fn pull_one(
    docker: &Docker,
    node: &str,
    image: &str,
    deadline: Instant,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let argv = ["ctr", "-n", "k8s.io", "images", "pull", "--hosts-dir", CERTS_DIR, image];
    loop {
        let pulled = tokio::select! {
            () = cancel.cancelled() => return Err(Error::Interrupted),
            pulled = nodes::try_exec(docker, node, &argv, ONE_PULL) => pulled?,
        };
        if pulled.code == 0 {
            return Ok(());
        }
        let reason = pulled.last_words();
        if reason.ends_with("not found") {
            return Err(Error::Pull { node: node.to_owned(), image: image.to_owned(), reason });
        }
        if Instant::now() > deadline {
            let what = format!("the node {node} could not pull {image}");
            return Err(Error::Deadline { what, limit, last: reason });
        }
        pause(Duration::from_millis(500), cancel).await?;
    }
}

/// The name under which the kubelet looks for the image: everything filled in.
fn full_name(image: &Reference) -> String {
    if image.tag().is_none() && image.digest().is_none() {
        format!("{image}:{}", image.tag_or_default())
    } else {
        image.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_names_the_mirror_twice() {
        insta::assert_snapshot!(hosts_file("http://istiolab-quickstart-registry:5000", "docker.io"), @r#"
        # Written by istiolab: images of this host come from the lab's registry only.
        server = "http://istiolab-quickstart-registry:5000/v2/docker.io"
        override_path = true

        [host."http://istiolab-quickstart-registry:5000/v2/docker.io"]
          capabilities = ["pull", "resolve"]
          override_path = true
        "#);
    }

    #[test]
    fn names_are_the_kubelets() {
        let name = |text: &str| full_name(&text.parse().expect(text));
        assert_eq!(name("nginx"), "docker.io/library/nginx:latest");
        assert_eq!(name("istiolab.local/istio/pilot:1.31"), "istiolab.local/istio/pilot:1.31");
    }
}
