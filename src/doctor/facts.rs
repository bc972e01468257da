//! What is so on this machine: read, never judged, never changed.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use bollard::models::SystemInfoCgroupVersionEnum;
use camino::{Utf8Path, Utf8PathBuf};
use tokio_util::sync::CancellationToken;

use super::{Options, probe};
use crate::apt;
use crate::images::engine;
use crate::process::Command;

/// All that the checks need to know.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The operating system and who we are on it.
    pub system: System,
    /// The engine, if it answers.
    pub engine: Option<Engine>,
    /// Why it does not.
    pub engine_trouble: String,
    /// Where the engine listens, or would.
    pub engine_host: String,
    /// The version line of each program that was found; `None` for those that were not.
    pub tools: BTreeMap<&'static str, Option<String>>,
    /// Whether the keys are there that Debian's packages are checked with.
    pub debian_keys: bool,
    /// `fs.inotify.max_user_instances`.
    pub inotify_instances: Option<u64>,
    /// `fs.inotify.max_user_watches`.
    pub inotify_watches: Option<u64>,
    /// Memory that programs can still take, in bytes.
    pub memory: Option<u64>,
    /// Processors.
    pub processors: usize,
    /// Room, by what it is for.
    pub disks: Vec<Disk>,
    /// The ports asked for, and why they can't be had.
    pub ports: Vec<(u16, Option<String>)>,
    /// Capabilities that no program on this machine can get, by name.
    pub missing_capabilities: Vec<&'static str>,
}

/// The operating system.
#[derive(Clone, Debug, Default)]
pub struct System {
    /// Its name for people.
    pub name: String,
    /// Whether we run as root.
    pub root: bool,
    /// Whether systemd runs the machine.
    pub systemd: bool,
    /// Debian's packages, if it is Debian.
    pub apt: Option<Apt>,
}

/// What Debian's package manager knows.
#[derive(Clone, Debug, Default)]
pub struct Apt {
    /// The version of docker.io that it would install by itself. Not derived from the release's
    /// name: packages of a newer release beside an older one change that, too.
    pub docker_candidate: Option<String>,
    /// Whether it knows Debian's release 13.
    pub trixie_known: bool,
    /// Debian's archive as it is set up to use it.
    pub archive: String,
}

/// A container engine that answers.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    /// As `26.1.5`.
    pub version: String,
    /// As `overlay2`.
    pub storage: String,
    /// `1` or `2`.
    pub cgroup: String,
    /// Containers that run now.
    pub running: i64,
    /// Why a privileged container did not start, in the engine's words; `None` if it did.
    pub privileged_trouble: Option<String>,
}

/// Room on a disk.
#[derive(Clone, Debug)]
pub struct Disk {
    /// What will be put there.
    pub purpose: &'static str,
    /// The folder.
    pub path: Utf8PathBuf,
    /// Free bytes; `None` if they can't be learned.
    pub free: Option<u64>,
}

/// The programs that are looked for, and how each says its version. Some are not asked: Java's take a
/// second to say it.
const TOOLS: [(&str, &[&str]); 15] = [
    ("docker", &["docker", "--version"]),
    ("dockerd", &["dockerd", "--version"]),
    ("iptables", &["iptables", "--version"]),
    ("go", &["go", "version"]),
    ("java", &["java", "--version"]),
    ("jlink", &[]),
    ("mvn", &[]),
    ("python3", &["python3", "--version"]),
    ("pip", &["python3", "-m", "pip", "--version"]),
    ("npm", &["npm", "--version"]),
    ("apt-get", &[]),
    ("dpkg-deb", &[]),
    ("cargo", &["cargo", "--version"]),
    ("gcc", &["gcc", "--version"]),
    ("kind", &["kind", "--version"]),
];

/// Reads everything. Nothing here fails: what can't be learned is told as not known.
pub async fn gather(options: &Options, cancel: &CancellationToken) -> Facts {
    let (engine, tools, system) = tokio::join!(engine(cancel), tools(cancel), system(cancel));
    let (engine, engine_trouble) = match engine {
        Ok((engine, root)) => (Some((engine, root)), String::new()),
        Err(trouble) => (None, trouble),
    };
    let mut disks = vec![disk("built images and downloads", options.cache.clone(), cancel).await];
    // An engine elsewhere has its folders elsewhere.
    if let Some((_, root)) = &engine
        && root.exists()
    {
        disks.push(disk("the engine", root.clone(), cancel).await);
    }
    Facts {
        system,
        engine: engine.map(|(engine, _)| engine),
        engine_trouble,
        engine_host: engine::host(),
        tools,
        debian_keys: Utf8Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists(),
        inotify_instances: number("/proc/sys/fs/inotify/max_user_instances"),
        inotify_watches: number("/proc/sys/fs/inotify/max_user_watches"),
        memory: available_memory(&text("/proc/meminfo")),
        processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        disks,
        ports: options.ports.iter().map(|&port| (port, port_trouble(port))).collect(),
        missing_capabilities: missing_capabilities(&text("/proc/self/status")),
    }
}

async fn engine(cancel: &CancellationToken) -> Result<(Engine, Utf8PathBuf), String> {
    let asked = async {
        let docker = engine::connect().await.map_err(|error| because(&error))?;
        let info = docker.info().await.map_err(|error| because(&error))?;
        let architecture = info.architecture.unwrap_or_default();
        let engine = Engine {
            version: info.server_version.unwrap_or_default(),
            storage: info.driver.unwrap_or_default(),
            cgroup: if info.cgroup_version == Some(SystemInfoCgroupVersionEnum::_2) { "2" } else { "1" }.to_owned(),
            running: info.containers_running.unwrap_or_default(),
            privileged_trouble: probe::privileged(&docker, &architecture).await.err(),
        };
        Ok((engine, info.docker_root_dir.unwrap_or_default().into()))
    };
    tokio::select! {
        () = cancel.cancelled() => Err("interrupted".to_owned()),
        () = tokio::time::sleep(Duration::from_mins(1)) => Err("it did not answer within a minute".to_owned()),
        result = asked => result,
    }
}

/// The innermost cause: "No such file or directory", "Permission denied".
fn because(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

async fn tools(cancel: &CancellationToken) -> BTreeMap<&'static str, Option<String>> {
    let asked = TOOLS.into_iter().map(async |(name, argv)| (name, tool(name, argv, cancel).await));
    futures::future::join_all(asked).await.into_iter().collect()
}

async fn tool(name: &str, argv: &[&str], cancel: &CancellationToken) -> Option<String> {
    let Some((program, rest)) = argv.split_first() else {
        return on_path(name).map(|path| path.to_string());
    };
    let output = Command::new(program).args(rest).limit(Duration::from_secs(20)).run(cancel).await.ok()?;
    let line = output.stdout.lines().chain(output.stderr.lines()).find(|line| !line.trim().is_empty());
    Some(line.unwrap_or_default().trim().to_owned())
}

fn on_path(name: &str) -> Option<Utf8PathBuf> {
    let path = std::env::var("PATH").ok()?;
    path.split(':').map(|folder| Utf8Path::new(folder).join(name)).find(|file| file.is_file())
}

async fn system(cancel: &CancellationToken) -> System {
    let release = text("/etc/os-release");
    let debian = field(&release, "ID").as_deref() == Some("debian") && on_path("apt-get").is_some();
    let apt = if debian { Some(apt(cancel).await) } else { None };
    System {
        name: field(&release, "PRETTY_NAME").unwrap_or_else(|| std::env::consts::OS.to_owned()),
        root: is_root(&text("/proc/self/status")),
        systemd: Utf8Path::new("/run/systemd/system").is_dir(),
        apt,
    }
}

async fn apt(cancel: &CancellationToken) -> Apt {
    let asked = Command::new("apt-cache").args(["policy", "docker.io"]).limit(Duration::from_secs(20));
    let policy = asked.run(cancel).await.map(|output| output.stdout).unwrap_or_default();
    let sources = apt::sources();
    Apt {
        docker_candidate: candidate(&policy),
        trixie_known: sources.split_whitespace().any(|word| word == "trixie"),
        archive: apt::archive().unwrap_or_else(|| "http://MIRROR/debian".to_owned()),
    }
}

fn text(path: &str) -> String {
    fs_err::read_to_string(path).unwrap_or_default()
}

fn number(path: &str) -> Option<u64> {
    text(path).trim().parse().ok()
}

/// A value of os-release(5).
fn field(release: &str, name: &str) -> Option<String> {
    let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(line.trim_matches('"').to_owned())
}

fn is_root(status: &str) -> bool {
    // Real, effective, saved, file system.
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

fn candidate(policy: &str) -> Option<String> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

async fn disk(purpose: &'static str, path: Utf8PathBuf, cancel: &CancellationToken) -> Disk {
    let there = path.ancestors().find(|folder| folder.exists()).unwrap_or(Utf8Path::new("/"));
    let asked = Command::new("df").args(["-Pk", there.as_str()]).limit(Duration::from_secs(10)).run(cancel).await;
    Disk { purpose, free: asked.ok().and_then(|output| free_bytes(&output.stdout)), path }
}

/// The fourth column of `df -Pk`.
fn free_bytes(df: &str) -> Option<u64> {
    df.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn port_trouble(port: u16) -> Option<String> {
    TcpListener::bind(("127.0.0.1", port)).err().map(|error| error.to_string())
}

/// In the order of their bits, linux/capability.h.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What is not in the bounding set, which nothing started from here can get back.
fn missing_capabilities(status: &str) -> Vec<&'static str> {
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let Some(set) = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()) else { return Vec::new() };
    CAPABILITIES.into_iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 0).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_by_name() {
        assert_eq!(missing_capabilities("Name:\tx\nCapBnd:\t000001fffeffffff\n"), ["SYS_RESOURCE"]);
        assert!(missing_capabilities("CapBnd:\t000001ffffffffff\n").is_empty());
        assert!(missing_capabilities("").is_empty());
    }

    #[test]
    fn small_texts_of_the_system() {
        assert_eq!(field("ID=debian\nPRETTY_NAME=\"Debian 12\"\n", "PRETTY_NAME").as_deref(), Some("Debian 12"));
        assert!(is_root("Uid:\t1000\t0\t0\t0\n"));
        assert!(!is_root("Uid:\t1000\t1000\t1000\t1000\n"));
        assert_eq!(available_memory("MemTotal: 9 kB\nMemAvailable:  2048 kB\n"), Some(2 << 20));
        assert_eq!(free_bytes("Filesystem 1024-blocks Used Available\n/dev/vda 10 5 4 55% /\n"), Some(4096));
    }

    #[test]
    fn what_apt_would_do() {
        let policy = "docker.io:\n  Installed: (none)\n  Candidate: 20.10.24+dfsg1-1+b3\n";
        assert_eq!(candidate(policy).as_deref(), Some("20.10.24+dfsg1-1+b3"));
        assert_eq!(candidate("docker.io:\n  Candidate: (none)\n"), None);
    }

    #[test]
    fn a_taken_port_is_noticed() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("an address").port();
        assert!(port_trouble(port).is_some());
        drop(taken);
        assert_eq!(port_trouble(port), None);
    }
}
