//! The offline gate: nodes that ask nobody but the lab's registry for images, and what they asked for all the
//! same. containerd's settings for hosts that have none of their own lead to the registry, which has nothing for
//! them: a pull from elsewhere is a clean "not found", and no packet leaves.

use std::collections::BTreeSet;
use std::time::Duration;

use bollard::Docker;

use super::mirror::{CERTS_DIR, hosts_file};
use super::nodes::{self, File};
use super::{Error, Node};
use crate::images::reference::Reference;

/// What containerd takes for a host that has no folder of its own.
const ANY: &str = "_default";
/// How long a node may take to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// An image that a node asked others for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Escape {
    /// The node.
    pub node: String,
    /// The image, by the name that was asked for.
    pub image: String,
}

/// Closes the gate of a node: what is not from `registry` (`http://name:port`, as nodes reach it) is not found.
///
/// # Errors
/// [`Error::Engine`].
pub async fn close(docker: &Docker, node: &str, registry: &str) -> Result<(), Error> {
    let file = File { path: format!("{CERTS_DIR}/{ANY}/hosts.toml"), content: hosts_file(registry, ANY).into_bytes() };
    nodes::write_files(docker, node, &[file]).await
}

/// Opens the gate of a node again.
///
/// # Errors
/// [`Error::Engine`], [`Error::Exec`].
pub async fn open(docker: &Docker, node: &str) -> Result<(), Error> {
    let folder = format!("{CERTS_DIR}/{ANY}");
    nodes::exec(docker, node, &["rm", "-rf", &folder], LIMIT).await.map(drop)
}

/// The settings of a node that lead elsewhere than to `registry`, one line each: addresses in hosts files, and
/// hosts files without `server`, which fall back to the images' own registries.
///
/// # Errors
/// [`Error::Engine`], [`Error::Exec`].
pub async fn leaks(docker: &Docker, node: &str, registry: &str) -> Result<Vec<String>, Error> {
    // A file that is named first tells which one the lines after it are of.
    let script = format!(
        "cd {CERTS_DIR} && for f in */hosts.toml; do [ -e \"$f\" ] && echo \"= $f\" && cat \"$f\"; done; \
         grep -n 'registry.mirrors' /etc/containerd/config.toml || true"
    );
    let output = nodes::exec(docker, node, &["sh", "-c", &script], LIMIT).await?;
    let found = judge(&String::from_utf8_lossy(&output.stdout), registry);
    Ok(found.into_iter().map(|leak| format!("{node}: {leak}")).collect())
}

fn judge(text: &str, registry: &str) -> Vec<String> {
    let (mut leaks, mut file, mut has_server) = (Vec::new(), None::<String>, true);
    let no_server = |file: &str| format!("{CERTS_DIR}/{file} has no `server`: what it lacks is asked upstream");
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("= ") {
            if let Some(last) = file.replace(name.to_owned()).filter(|_| !has_server) {
                leaks.push(no_server(&last));
            }
            has_server = false;
            continue;
        }
        if line.contains("registry.mirrors") {
            leaks.push(format!("/etc/containerd/config.toml:{line}: mirrors there fall back to the upstream"));
            continue;
        }
        has_server |= line.starts_with("server");
        for address in line.split('"').filter(|word| word.contains("://")) {
            let ours = address.strip_prefix(registry.trim_end_matches('/'));
            if !ours.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                leaks.push(format!("{CERTS_DIR}/{} leads to {address}", file.as_deref().unwrap_or_default()));
            }
        }
    }
    if let Some(last) = file.filter(|_| !has_server) {
        leaks.push(no_server(&last));
    }
    leaks
}

/// The images that the nodes asked others than `registries` for since `since` (seconds since 1970), as
/// containerd's own journal has it.
///
/// # Errors
/// [`Error::Engine`], [`Error::Exec`].
pub async fn escapes(
    docker: &Docker,
    all: &[Node],
    registries: &BTreeSet<String>,
    since: u64,
) -> Result<Vec<Escape>, Error> {
    let mut escapes = BTreeSet::new();
    let since = format!("--since=@{since}");
    for node in all {
        let argv = ["journalctl", "--no-pager", "--output=cat", "--unit=containerd", &since];
        let output = nodes::exec(docker, &node.name, &argv, LIMIT).await?;
        let asked = asked(&String::from_utf8_lossy(&output.stdout));
        let strange = asked.into_iter().filter(|image| {
            image.parse::<Reference>().map_or(true, |reference| !registries.contains(reference.registry()))
        });
        escapes.extend(strange.map(|image| Escape { node: node.name.clone(), image }));
    }
    Ok(escapes.into_iter().collect())
}

/// The images that the kubelet asked containerd to pull.
fn asked(journal: &str) -> BTreeSet<String> {
    let begin = r#"msg="PullImage \""#;
    let image = |line: &str| Some(line.split_once(begin)?.1.split_once(r#"\""#)?.0.to_owned());
    journal.lines().filter_map(image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "http://lab-registry:5000";

    #[test]
    fn our_own_files_leak_nothing() {
        let text = format!(
            "= a.b/hosts.toml\n{}= _default/hosts.toml\n{}",
            hosts_file(REGISTRY, "a.b"),
            hosts_file(REGISTRY, ANY)
        );
        assert_eq!(judge(&text, REGISTRY), [""; 0]);
        assert_eq!(judge("", REGISTRY), [""; 0]);
    }

    #[test]
    fn ways_around_the_registry_are_told_with_their_places() {
        let text = "= quay.io/hosts.toml\n[host.\"http://lab-registry:5000/v2/quay.io\"]\n= a.b/hosts.toml\n\
                    server = \"https://a.b\"\n12:[plugins.\"x\".registry.mirrors.\"docker.io\"]\n= c.d/hosts.toml\n\
                    server = \"http://lab-registry:50001/v2\"\n";
        insta::assert_snapshot!(judge(text, REGISTRY).join("\n"), @r#"
        /etc/containerd/certs.d/quay.io/hosts.toml has no `server`: what it lacks is asked upstream
        /etc/containerd/certs.d/a.b/hosts.toml leads to https://a.b
        /etc/containerd/config.toml:12:[plugins."x".registry.mirrors."docker.io"]: mirrors there fall back to the upstream
        /etc/containerd/certs.d/c.d/hosts.toml leads to http://lab-registry:50001/v2
        "#);
    }

    #[test]
    fn what_was_asked_for_is_read_from_the_journal() {
        let journal = r#"time="2026-01-01T00:00:00Z" level=info msg="PullImage \"nginx:1.27\""
time="2026-01-01T00:00:01Z" level=error msg="PullImage \"nginx:1.27\" failed" error="not found"
time="2026-01-01T00:00:02Z" level=info msg="PullImage \"quay.io/a/b@sha256:12\" returns image reference"
time="2026-01-01T00:00:03Z" level=info msg="starting""#;
        assert_eq!(asked(journal).into_iter().collect::<Vec<_>>(), ["nginx:1.27", "quay.io/a/b@sha256:12"]);
    }
}
