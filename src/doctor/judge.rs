//! From facts to checks: pure, so that every case is tested without the machine that has it.

use super::facts::{Disk, Engine, Facts};
use super::remedy::{self, Wanted};
use super::{Check, Options, Report, Status};

const GIB: u64 = 1 << 30;

/// All checks in the order in which they are shown.
pub(super) fn all(facts: &Facts, options: &Options) -> Report {
    let mut checks = vec![engine(facts)];
    if let Some(engine) = &facts.engine {
        checks.extend([privileged(facts, engine), storage(engine), cgroup(engine)]);
    }
    checks.push(docker_cli(facts));
    checks.push(inotify(facts));
    checks.push(processors(facts));
    checks.push(memory(facts));
    checks.extend(facts.disks.iter().map(disk));
    checks.extend(facts.ports.iter().map(|(port, trouble)| {
        match trouble {
            None => good("port", format!("{port} is free")),
            Some(trouble) => check("port", Status::Fail, format!("{port}: {trouble}"))
                .with(remedy::by_hand("see what listens there", [format!("ss -ltnp 'sport = :{port}'")])),
        }
    }));
    if options.build {
        checks.extend(toolchains(facts));
    }
    checks.push(match tool(facts, "kind") {
        Some(version) => good("kind", version),
        None => good("kind", "not installed; it is built with the other parts"),
    });
    Report { checks }
}

fn check(name: &str, status: Status, found: impl Into<String>) -> Check {
    Check { name: name.to_owned(), status, found: found.into(), remedy: None }
}

fn good(name: &str, found: impl Into<String>) -> Check {
    check(name, Status::Ok, found)
}

impl Check {
    fn with(self, remedy: super::Remedy) -> Self {
        Self { remedy: Some(remedy), ..self }
    }
}

fn tool<'a>(facts: &'a Facts, name: &str) -> Option<&'a str> {
    facts.tools.get(name)?.as_deref()
}

fn engine(facts: &Facts) -> Check {
    let Some(engine) = &facts.engine else {
        let installed = tool(facts, "dockerd").is_some();
        let what = if installed { "Docker is installed, but does not answer" } else { "no container engine" };
        let found = format!("{what} at {} ({})", facts.engine_host, facts.engine_trouble);
        let local = facts.engine_host.starts_with("unix://");
        let denied = facts.engine_trouble.to_lowercase().contains("permission denied");
        return check("engine", Status::Fail, found).with(match (denied, local) {
            (true, _) => remedy::by_hand(
                "let yourself use Docker",
                ["sudo usermod -aG docker \"$USER\" && newgrp docker".to_owned()],
            ),
            (false, false) => {
                remedy::by_hand("see that DOCKER_HOST is right", ["docker -H \"$DOCKER_HOST\" version".to_owned()])
            }
            (false, true) if installed => remedy::start_engine(&facts.system),
            (false, true) => remedy::install_engine(&facts.system),
        });
    };
    let major: u32 = engine.version.split('.').next().and_then(|text| text.parse().ok()).unwrap_or_default();
    if major >= 23 {
        return good("engine", format!("Docker {} at {}", engine.version, facts.engine_host));
    }
    let found = format!(
        "Docker {} is old: versions before 23 can't start privileged containers where a capability is missing, and know no private cgroup for a container by default",
        engine.version
    );
    check("engine", Status::Warn, found)
}

/// Why the engine's words are what they are.
fn privileged(facts: &Facts, engine: &Engine) -> Check {
    let Some(trouble) = &engine.privileged_trouble else {
        return good("privileged container", "started and ended");
    };
    let lower = trouble.to_lowercase();
    let missing = facts.missing_capabilities.iter().map(|name| format!("CAP_{name}")).collect::<Vec<_>>().join(", ");
    let why = if lower.contains("not tried") {
        return check("privileged container", Status::Warn, trouble);
    } else if lower.contains("caps") && !missing.is_empty() {
        format!(
            "the engine gives a privileged container every capability, and this machine lacks {missing}; Docker 26 leaves out what is not there"
        )
    } else if lower.contains("privileged mode is incompatible with user namespaces") {
        "the engine remaps users (userns-remap), which excludes privileged containers".to_owned()
    } else if lower.contains("cgroup") {
        "the engine can't use this machine's cgroups".to_owned()
    } else if lower.contains("operation not permitted") {
        "the system forbids it, as in a container without the right to make containers".to_owned()
    } else {
        "the engine says so".to_owned()
    };
    let broken = check("privileged container", Status::Fail, format!("does not start: {why} ({})", trouble.trim()));
    let old =
        engine.version.split('.').next().and_then(|text| text.parse::<u32>().ok()).is_some_and(|major| major < 23);
    if old {
        return broken.with(remedy::replace_engine(&facts.system, engine));
    }
    broken
}

fn storage(engine: &Engine) -> Check {
    match engine.storage.as_str() {
        "vfs" => check(
            "storage driver",
            Status::Warn,
            "vfs copies every layer for every container: slow, and takes much room",
        ),
        driver => good("storage driver", driver),
    }
}

fn cgroup(engine: &Engine) -> Check {
    if engine.cgroup == "2" {
        good("cgroup", "version 2")
    } else {
        check(
            "cgroup",
            Status::Warn,
            "version 1: Kubernetes up to 1.34 runs; 1.35 and newer want version 2 (kernel parameter systemd.unified_cgroup_hierarchy=1)",
        )
    }
}

fn docker_cli(facts: &Facts) -> Check {
    match tool(facts, "docker") {
        Some(version) => good("docker program", version),
        None => check("docker program", Status::Fail, "not found, and kind calls it").with(remedy::packages(
            &facts.system,
            Wanted { what: "install the docker program", packages: &["docker-cli"], from_trixie: true },
        )),
    }
}

fn inotify(facts: &Facts) -> Check {
    let (Some(instances), Some(watches)) = (facts.inotify_instances, facts.inotify_watches) else {
        return check("inotify", Status::Warn, "the limits can't be read");
    };
    let found = format!("{instances} instances, {watches} watches");
    if instances >= 256 && watches >= 65_536 {
        good("inotify", found)
    } else {
        let found = format!("{found}: enough for one small cluster, too few for more (256 and 65536 are recommended)");
        check("inotify", Status::Warn, found).with(remedy::inotify(&facts.system))
    }
}

fn processors(facts: &Facts) -> Check {
    match facts.processors {
        0 | 1 => check("processors", Status::Warn, "1: a lab with a mesh wants 2"),
        count => good("processors", count.to_string()),
    }
}

fn memory(facts: &Facts) -> Check {
    match facts.memory {
        None => check("memory", Status::Warn, "can't be learned"),
        Some(free) if free < 3 * GIB => {
            check("memory", Status::Fail, format!("{} available; a lab with a mesh takes 4 GiB", size(free)))
        }
        Some(free) if free < 6 * GIB => {
            check("memory", Status::Warn, format!("{} available; 6 GiB let a lab breathe", size(free)))
        }
        Some(free) => good("memory", format!("{} available", size(free))),
    }
}

fn disk(disk: &Disk) -> Check {
    let name = format!("disk for {}", disk.purpose);
    let Some(free) = disk.free else {
        return check(&name, Status::Warn, format!("room in {} can't be learned", disk.path));
    };
    let found = format!("{} free in {}", size(free), disk.path);
    if free < 5 * GIB {
        let commands = match disk.purpose {
            "the engine" => ["docker system df".to_owned()],
            _ => [format!("du -xh --max-depth=2 {} | sort -h | tail", disk.path)],
        };
        check(&name, Status::Fail, format!("{found}; 15 GiB are wanted"))
            .with(remedy::by_hand("see what takes the room", commands))
    } else if free < 15 * GIB {
        check(&name, Status::Warn, format!("{found}; 15 GiB are wanted"))
    } else {
        good(&name, found)
    }
}

fn toolchains(facts: &Facts) -> Vec<Check> {
    let need = |name: &str, least: u32, what: &'static str, packages: &'static [&'static str]| {
        let missing = |found: String| {
            check(name, Status::Fail, found)
                .with(remedy::packages(&facts.system, Wanted { what, packages, from_trixie: false }))
        };
        match tool(facts, name) {
            None => missing("not found".to_owned()),
            Some(version) if least > 0 && first_number(version) < least => {
                missing(format!("{version} is too old: {least} is the least"))
            }
            Some(version) => good(name, version),
        }
    };
    vec![
        go(facts),
        need("java", 17, "install a Java development kit", &["default-jdk-headless"]),
        need("jlink", 0, "install a Java development kit", &["default-jdk-headless"]),
        need("mvn", 0, "install Maven", &["maven"]),
        need("python3", 3, "install Python with pip", &["python3", "python3-pip"]),
        need("pip", 0, "install Python with pip", &["python3", "python3-pip"]),
        npm(facts),
        debian_packages(facts),
        need("gcc", 0, "install a C compiler", &["gcc", "libc6-dev"]),
        cargo(facts),
    ]
}

/// Only Bookinfo is built with it, which most labs do without.
fn npm(facts: &Facts) -> Check {
    match tool(facts, "npm") {
        Some(version) => good("npm", version),
        None => check("npm", Status::Warn, "not found; only the part `bookinfo` is built with it").with(
            remedy::packages(&facts.system, Wanted { what: "install npm", packages: &["npm"], from_trixie: false }),
        ),
    }
}

/// Images stand on Debian's packages, which are fetched and unpacked by Debian's own programs.
fn debian_packages(facts: &Facts) -> Check {
    let name = "debian packages";
    let mut missing: Vec<&str> =
        ["apt-get", "dpkg-deb"].into_iter().filter(|program| tool(facts, program).is_none()).collect();
    if !facts.debian_keys {
        missing.push("debian-archive-keyring.gpg");
    }
    if missing.is_empty() {
        return good(name, "apt, dpkg and Debian's keys are there");
    }
    let packages = &["apt", "dpkg", "debian-archive-keyring"];
    let wanted = Wanted { what: "install what reads Debian's packages", packages, from_trixie: false };
    check(name, Status::Fail, format!("{} not found", missing.join(", "))).with(remedy::packages(&facts.system, wanted))
}

fn go(facts: &Facts) -> Check {
    let how = || remedy::by_hand("install Go 1.26 or newer as https://go.dev/doc/install says", []);
    let Some(version) = tool(facts, "go") else { return check("go", Status::Fail, "not found").with(how()) };
    match go_version(version) {
        Some(found) if found >= (1, 26) => good("go", version),
        _ => check("go", Status::Fail, format!("{version} is too old: 1.26 is the least")).with(how()),
    }
}

fn cargo(facts: &Facts) -> Check {
    match tool(facts, "cargo") {
        Some(version) => good("cargo", version),
        None => check("cargo", Status::Fail, "not found")
            .with(remedy::by_hand("install Rust as https://rustup.rs says", [])),
    }
}

/// `go version go1.26.8 linux/amd64` → (1, 26)
fn go_version(line: &str) -> Option<(u32, u32)> {
    let version = line.split_whitespace().find_map(|word| word.strip_prefix("go1"))?;
    let minor = version.trim_start_matches('.').split(|c: char| !c.is_ascii_digit()).next()?;
    Some((1, minor.parse().ok()?))
}

/// `openjdk 17.0.15 2025-04-15` → 17
fn first_number(line: &str) -> u32 {
    let digits: String = line.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

fn size(bytes: u64) -> String {
    let tenths = bytes * 10 / GIB;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests;
