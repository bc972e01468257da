//! The commands that mend things: run by `--fix` on Debian as root, shown elsewhere.

use super::Remedy;
use super::facts::{Apt, Engine, System};

/// Where an engine that is started by hand writes its log.
pub(super) const ENGINE_LOG: &str = "/var/log/istiolab-dockerd.log";

/// Packages to install.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Why.
    pub(super) what: &'static str,
    /// Their names in Debian.
    pub(super) packages: &'static [&'static str],
    /// Whether an older release has no such package, or an unfit one.
    pub(super) from_trixie: bool,
}

/// Something that nobody can do for the user.
pub(super) fn by_hand<const N: usize>(what: &str, commands: [String; N]) -> Remedy {
    Remedy { what: what.to_owned(), commands: commands.into(), automatic: false }
}

/// Installs packages.
pub(super) fn packages(system: &System, wanted: Wanted) -> Remedy {
    let Some(apt) = &system.apt else {
        let names = wanted.packages.join(" ");
        return by_hand(&format!("{} by your system's package manager (in Debian: {names})", wanted.what), []);
    };
    let mut commands = Vec::new();
    let release = if wanted.from_trixie && needs_trixie(apt) {
        commands.extend(add_trixie(apt));
        "-t trixie "
    } else {
        ""
    };
    commands.push("apt-get update -qq".to_owned());
    commands.push(format!(
        "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {release}{}",
        wanted.packages.join(" ")
    ));
    as_root(system, Remedy { what: wanted.what.to_owned(), commands, automatic: true })
}

/// Installs the engine and starts it.
pub(super) fn install_engine(system: &System) -> Remedy {
    let wanted = Wanted {
        what: "install Docker and start it",
        packages: &["docker.io", "docker-cli", "iptables"],
        from_trixie: true,
    };
    let mut remedy = packages(system, wanted);
    if system.apt.is_none() {
        return by_hand("install Docker 23 or newer as https://docs.docker.com/engine/install/ says", []);
    }
    remedy.commands.extend(start_engine(system).commands);
    remedy
}

/// Starts an engine that is installed.
pub(super) fn start_engine(system: &System) -> Remedy {
    let command = if system.systemd { "systemctl enable --now docker".to_owned() } else { by_setsid() };
    as_root(system, Remedy { what: "start Docker".to_owned(), commands: vec![command], automatic: true })
}

/// Replaces an engine that is too old. It must end for that, and its containers with it.
pub(super) fn replace_engine(system: &System, engine: &Engine) -> Remedy {
    let mut remedy = install_engine(system);
    if system.apt.is_none() {
        return remedy;
    }
    "replace Docker by a newer one".clone_into(&mut remedy.what);
    if !system.systemd {
        let start = remedy.commands.pop();
        remedy.commands.push("kill \"$(cat /var/run/docker.pid)\" && timeout 30 sh -c 'while test -e /var/run/docker.pid; do sleep 0.2; done'".to_owned());
        remedy.commands.extend(start);
    } else if let Some(last) = remedy.commands.last_mut() {
        "systemctl restart docker".clone_into(last);
    }
    if engine.running > 0 {
        remedy.automatic = false;
        remedy.what =
            format!("{} (this stops {} running containers, so it is left to you)", remedy.what, engine.running);
    }
    remedy
}

/// Raises the limits now and for the next start of the machine.
pub(super) fn inotify(system: &System) -> Remedy {
    let settings = ["fs.inotify.max_user_instances=512", "fs.inotify.max_user_watches=524288"];
    let commands = vec![
        format!("sysctl -q -w {}", settings.join(" ")),
        format!("printf '%s\\n' {} > /etc/sysctl.d/60-istiolab.conf", settings.join(" ")),
    ];
    as_root(system, Remedy { what: "raise the inotify limits".to_owned(), commands, automatic: system.apt.is_some() })
}

fn needs_trixie(apt: &Apt) -> bool {
    let candidate = apt.docker_candidate.as_deref().unwrap_or("0");
    candidate.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or_default() < 23
}

/// Debian 13 beside an older release, for packages that are asked for by name only.
fn add_trixie(apt: &Apt) -> Vec<String> {
    if apt.trixie_known {
        return Vec::new();
    }
    let source = format!(
        "'Types: deb' 'URIs: {}' 'Suites: trixie' 'Components: main' 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg'",
        apt.archive
    );
    vec![
        // The pin first: between the two, an upgrade must not take everything from trixie.
        "printf '%s\\n' 'Package: *' 'Pin: release n=trixie' 'Pin-Priority: 100' > /etc/apt/preferences.d/istiolab-trixie".to_owned(),
        format!("printf '%s\\n' {source} > /etc/apt/sources.list.d/istiolab-trixie.sources"),
    ]
}

/// A process of its own session, which ends with nothing of ours and keeps none of our files open.
fn by_setsid() -> String {
    format!("setsid --fork dockerd < /dev/null >> {ENGINE_LOG} 2>&1")
}

/// Without the rights, the commands are shown as an administrator would run them.
fn as_root(system: &System, remedy: Remedy) -> Remedy {
    if system.root {
        return remedy;
    }
    let with_sudo = |line: String| {
        let plain = !line.contains(['>', '<', '\'', '"', '$', '&', '=']);
        if plain { format!("sudo {line}") } else { format!("sudo sh -c {}", quoted(&line)) }
    };
    Remedy { commands: remedy.commands.into_iter().map(with_sudo).collect(), automatic: false, ..remedy }
}

fn quoted(line: &str) -> String {
    format!("'{}'", line.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apt(candidate: &str) -> Apt {
        Apt {
            docker_candidate: Some(candidate.to_owned()),
            trixie_known: false,
            archive: "http://mirror.lan/debian".to_owned(),
        }
    }

    fn bookworm() -> System {
        System {
            name: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            root: true,
            systemd: false,
            apt: Some(apt("20.10.24+dfsg1-1+b3")),
        }
    }

    #[test]
    fn bookworm_gets_trixies_engine_beside_it() {
        let remedy = install_engine(&bookworm());
        assert!(remedy.automatic);
        insta::assert_snapshot!(remedy.commands.join("\n"), @r"
        printf '%s\n' 'Package: *' 'Pin: release n=trixie' 'Pin-Priority: 100' > /etc/apt/preferences.d/istiolab-trixie
        printf '%s\n' 'Types: deb' 'URIs: http://mirror.lan/debian' 'Suites: trixie' 'Components: main' 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' > /etc/apt/sources.list.d/istiolab-trixie.sources
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -t trixie docker.io docker-cli iptables
        setsid --fork dockerd < /dev/null >> /var/log/istiolab-dockerd.log 2>&1
        ");
    }

    #[test]
    fn a_release_with_a_fit_engine_needs_no_other_source() {
        let trixie = System { apt: Some(apt("26.1.5+dfsg1-9")), systemd: true, ..bookworm() };
        insta::assert_snapshot!(install_engine(&trixie).commands.join("\n"), @r"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io docker-cli iptables
        systemctl enable --now docker
        ");
        let known = System { apt: Some(Apt { trixie_known: true, ..apt("20.10") }), ..bookworm() };
        assert!(install_engine(&known).commands[1].contains("-t trixie"));
        assert_eq!(install_engine(&known).commands.len(), 3);
    }

    #[test]
    fn without_the_rights_or_elsewhere_nothing_is_automatic() {
        let user = System { root: false, ..bookworm() };
        let remedy = install_engine(&user);
        assert!(!remedy.automatic);
        assert!(remedy.commands.iter().all(|line| line.starts_with("sudo ")));
        let elsewhere = System { apt: None, ..bookworm() };
        assert!(!install_engine(&elsewhere).automatic);
        assert!(!inotify(&elsewhere).automatic);
        assert!(
            packages(&elsewhere, Wanted { what: "install Maven", packages: &["maven"], from_trixie: false })
                .what
                .contains("maven")
        );
    }

    #[test]
    fn an_engine_with_running_containers_is_left_alone() {
        let engine = Engine { running: 2, ..Engine::default() };
        assert!(!replace_engine(&bookworm(), &engine).automatic);
        let idle = replace_engine(&bookworm(), &Engine::default());
        assert!(idle.automatic);
        let lines = idle.commands;
        assert!(lines[lines.len() - 2].starts_with("kill"), "it ends before it starts anew");
        assert!(lines[lines.len() - 1].starts_with("setsid"));
    }
}
