//! Bundles served beside the cluster, instead of the lab's registry: a container that runs this very
//! program over the files where they are. Nothing is copied and nothing is unpacked.
//!
//! The program and the shared libraries that it runs with are mounted from this machine, so any image
//! that the engine has will do, whatever C library is in it. The container can write nowhere.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, RestartPolicy, RestartPolicyNameEnum};
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use tokio_util::sync::CancellationToken;

use super::registry_container::{Handle, PORT, configured_port, inspect, make, owned, published, running, start};
use super::{Error, labels, network, removal};
use crate::images::digest::Hasher;

/// The label with what is served, so that other files are noticed.
const SERVES_LABEL: &str = "istiolab.dev/serves";
/// Where the program is in the container.
const PROGRAM: &str = "/istiolab";
/// The folder of bundles in the container.
const BUNDLES: &str = "/bundles";
/// Where programs for Linux on x86-64 name their loader.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// What is to run.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The lab's name.
    pub lab: &'a str,
    /// Any image that the engine has; nothing in it is used.
    pub image: &'a str,
    /// This program's file.
    pub program: &'a Utf8Path,
    /// The bundles, the newest first.
    pub bundles: &'a [Utf8PathBuf],
    /// The port of 127.0.0.1; any free one if `None`.
    pub port: Option<u16>,
}

/// The name of the container that serves a lab's bundles.
#[must_use]
pub fn name(lab: &str) -> String {
    format!("istiolab-{lab}-bundle")
}

/// Serves the bundles in the lab's network, or finds that done, and waits until it answers. One that
/// serves other files, or at another port, is replaced. Images are under the same names as in the
/// lab's registry; `docker logs` shows the access log.
///
/// # Errors
/// [`Error::Serve`] for files that are not there, else as [`super::registry_container::ensure`].
pub async fn ensure(
    docker: &Docker,
    wanted: &Wanted<'_>,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Handle, Error> {
    let name = name(wanted.lab);
    let mounts = mounts(wanted).map_err(|source| Error::Serve { source })?;
    let serves = fingerprint(&mounts).map_err(|source| Error::Serve { source })?;
    let network = network::ensure(docker, wanted.lab).await?;
    let mut created = false;
    if let Some(old) = inspect(docker, &name).await? {
        owned(&name, &old, wanted.lab)?;
        let label = old.config.as_ref().and_then(|config| config.labels.as_ref()?.get(SERVES_LABEL));
        let joined = old.host_config.as_ref().and_then(|config| config.network_mode.as_deref()) == Some(&network);
        let same = joined && label == Some(&serves);
        if !same || wanted.port.is_some_and(|port| configured_port(&old) != Some(port)) {
            removal::container(docker, &name, &name).await?;
        } else if !old.state.is_some_and(|state| state.running.unwrap_or_default()) {
            start(docker, &name, wanted.port).await?;
            created = true;
        }
    }
    if inspect(docker, &name).await?.is_none() {
        make(docker, &name, wanted.port, |port| body(wanted, &network, &mounts, &serves, port)).await?;
        created = true;
    }
    running(docker, name, created, limit, cancel).await
}

/// Removes the container that serves a lab's bundles; `false` if there was none. The bundles stay.
///
/// # Errors
/// [`Error::ForeignContainer`], [`Error::Engine`].
pub async fn remove(docker: &Docker, lab: &str) -> Result<bool, Error> {
    let name = name(lab);
    let Some(container) = inspect(docker, &name).await? else { return Ok(false) };
    owned(&name, &container, lab)?;
    removal::container(docker, &name, &name).await?;
    Ok(true)
}

fn body(
    wanted: &Wanted<'_>,
    network: &str,
    mounts: &[(Utf8PathBuf, String)],
    serves: &str,
    port: u16,
) -> ContainerCreateBody {
    let mut labels = labels(wanted.lab);
    labels.insert(SERVES_LABEL.to_owned(), serves.to_owned());
    let command = ["images", "serve", "--listen", "0.0.0.0:5000"].map(str::to_owned).into_iter();
    let files = (0..wanted.bundles.len()).map(inside);
    let read_only = |(file, target): &(Utf8PathBuf, String)| Mount {
        source: Some(file.to_string()),
        target: Some(target.clone()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        ..Mount::default()
    };
    ContainerCreateBody {
        image: Some(wanted.image.to_owned()),
        labels: Some(labels),
        user: Some("0".to_owned()),
        entrypoint: Some(vec![PROGRAM.to_owned()]),
        cmd: Some(command.chain(files).collect()),
        // The program asks where the user's folders would be; it writes nothing there.
        env: Some(vec!["HOME=/".to_owned()]),
        exposed_ports: Some(vec![PORT.to_owned()]),
        host_config: Some(HostConfig {
            mounts: Some(mounts.iter().map(read_only).collect()),
            network_mode: Some(network.to_owned()),
            port_bindings: Some(published(port)),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".to_owned()]),
            // Bundles may be readable by their owner only.
            cap_add: Some(vec!["DAC_READ_SEARCH".to_owned()]),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Where a bundle is in the container.
fn inside(number: usize) -> String {
    format!("{BUNDLES}/{number}.tar")
}

/// Files of this machine and where they are in the container.
fn mounts(wanted: &Wanted<'_>) -> std::io::Result<Vec<(Utf8PathBuf, String)>> {
    let real = |path: &Utf8Path| {
        let real = Utf8PathBuf::from_path_buf(fs::canonicalize(path)?);
        real.map_err(|real| std::io::Error::other(format!("{} is not UTF-8", real.display())))
    };
    let mut mounts = vec![(real(wanted.program)?, PROGRAM.to_owned())];
    for (number, bundle) in wanted.bundles.iter().enumerate() {
        mounts.push((real(bundle)?, inside(number)));
    }
    for library in libraries(&fs::read_to_string("/proc/self/maps")?) {
        // The loader has a fixed place; it looks for the others where they are on this machine.
        let loader = library.file_name().is_some_and(|name| name.starts_with("ld-"));
        let target = if loader { LOADER.to_owned() } else { library.to_string() };
        mounts.push((library, target));
    }
    Ok(mounts)
}

/// The shared libraries in a process' memory map.
fn libraries(maps: &str) -> BTreeSet<Utf8PathBuf> {
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    paths.filter(|path| path.contains(".so") && !path.ends_with(" (deleted)")).map(Utf8PathBuf::from).collect()
}

/// Changes when a file is another one than before.
fn fingerprint(mounts: &[(Utf8PathBuf, String)]) -> std::io::Result<String> {
    let mut hasher = Hasher::new();
    for (file, target) in mounts {
        let about = fs::metadata(file)?;
        hasher.field(file.as_str());
        hasher.field(target);
        hasher.field(format!("{} {} {} {}", about.ino(), about.len(), about.mtime(), about.mtime_nsec()));
    }
    Ok(hasher.finish().hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_that_are_in_memory() {
        let maps = "55f 55f r--p 0 08:01 1  /usr/bin/istiolab\n\
            7f0 7f1 r--p 0 08:01 2  /usr/lib/x86_64-linux-gnu/libc.so.6\n\
            7f1 7f2 r-xp 0 08:01 2  /usr/lib/x86_64-linux-gnu/libc.so.6\n\
            7f3 7f4 rw-p 0 00:00 0  [stack]\n\
            7f5 7f6 r--p 0 08:01 3  /usr/lib64/ld-linux-x86-64.so.2\n";
        let found: Vec<String> = libraries(maps).into_iter().map(Utf8PathBuf::into_string).collect();
        assert_eq!(found, ["/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib64/ld-linux-x86-64.so.2"]);
    }
}
