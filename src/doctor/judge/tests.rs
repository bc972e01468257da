use std::collections::BTreeMap;

use super::super::facts::{Apt, System};
use super::*;

/// A machine on which everything is as it should be.
fn healthy() -> Facts {
    let tool = |line: &str| Some(line.to_owned());
    Facts {
        system: System {
            root: true,
            apt: Some(Apt { docker_candidate: Some("20.10.24+dfsg1".to_owned()), ..Apt::default() }),
            ..System::default()
        },
        engine: Some(Engine {
            version: "26.1.5+dfsg1".to_owned(),
            storage: "overlay2".to_owned(),
            cgroup: "2".to_owned(),
            running: 0,
            privileged_trouble: None,
        }),
        engine_host: "unix:///var/run/docker.sock".to_owned(),
        tools: BTreeMap::from([
            ("docker", tool("Docker version 26.1.5")),
            ("dockerd", tool("Docker version 26.1.5")),
            ("go", tool("go version go1.26.8 linux/amd64")),
            ("java", tool("openjdk 17.0.15 2025-04-15")),
            ("jlink", tool("17.0.15")),
            ("mvn", tool("/usr/bin/mvn")),
            ("python3", tool("Python 3.11.7")),
            ("pip", tool("pip 23.2.1")),
            ("npm", tool("10.8.2")),
            ("apt-get", tool("/usr/bin/apt-get")),
            ("dpkg-deb", tool("/usr/bin/dpkg-deb")),
            ("gcc", tool("gcc 12.2.0")),
            ("cargo", tool("cargo 1.95.0")),
            ("kind", None),
        ]),
        debian_keys: true,
        inotify_instances: Some(512),
        inotify_watches: Some(524_288),
        memory: Some(16 * GIB),
        processors: 4,
        disks: vec![Disk { purpose: "the engine", path: "/var/lib/docker".into(), free: Some(50 * GIB) }],
        ports: vec![(5001, None)],
        ..Facts::default()
    }
}

fn judged(facts: &Facts) -> Report {
    all(facts, &Options { cache: "/cache".into(), ports: vec![], build: true })
}

fn found<'a>(report: &'a Report, name: &str) -> &'a Check {
    report.checks.iter().find(|check| check.name == name).expect(name)
}

#[test]
fn a_good_machine_is_good() {
    insta::assert_snapshot!(judged(&healthy()).table(), @"
    ok    engine                Docker 26.1.5+dfsg1 at unix:///var/run/docker.sock
    ok    privileged container  started and ended
    ok    storage driver        overlay2
    ok    cgroup                version 2
    ok    docker program        Docker version 26.1.5
    ok    inotify               512 instances, 524288 watches
    ok    processors            4
    ok    memory                16.0 GiB available
    ok    disk for the engine   50.0 GiB free in /var/lib/docker
    ok    port                  5001 is free
    ok    go                    go version go1.26.8 linux/amd64
    ok    java                  openjdk 17.0.15 2025-04-15
    ok    jlink                 17.0.15
    ok    mvn                   /usr/bin/mvn
    ok    python3               Python 3.11.7
    ok    pip                   pip 23.2.1
    ok    npm                   10.8.2
    ok    debian packages       apt, dpkg and Debian's keys are there
    ok    gcc                   gcc 12.2.0
    ok    cargo                 cargo 1.95.0
    ok    kind                  not installed; it is built with the other parts
    ");
}

#[test]
fn an_old_engine_without_a_capability_is_explained() {
    let mut facts = healthy();
    facts.missing_capabilities = vec!["SYS_RESOURCE"];
    facts.engine = facts.engine.map(|engine| Engine {
        version: "20.10.24+dfsg1".to_owned(),
        privileged_trouble: Some("OCI runtime create failed: unable to apply caps: operation not permitted".to_owned()),
        ..engine
    });
    let report = judged(&facts);
    let check = found(&report, "privileged container");
    assert_eq!(check.status, Status::Fail);
    assert!(check.found.contains("this machine lacks CAP_SYS_RESOURCE"), "{}", check.found);
    assert!(check.remedy.as_ref().expect("a remedy").automatic);
    assert_eq!(found(&report, "engine").status, Status::Warn);
}

#[test]
fn no_engine_a_stopped_one_and_a_forbidden_one_differ() {
    let mut facts =
        Facts { engine: None, engine_trouble: "No such file or directory (os error 2)".to_owned(), ..healthy() };
    let start = judged(&facts);
    assert_eq!(found(&start, "engine").remedy.as_ref().expect("a remedy").what, "start Docker");
    facts.tools.insert("dockerd", None);
    let install = judged(&facts);
    assert_eq!(found(&install, "engine").remedy.as_ref().expect("a remedy").what, "install Docker and start it");
    facts.engine_trouble = "Permission denied (os error 13)".to_owned();
    let forbidden = judged(&facts);
    assert!(!found(&forbidden, "engine").remedy.as_ref().expect("a remedy").automatic);
    facts.engine_trouble.clear();
    facts.engine_host = "tcp://10.0.0.1:2375".to_owned();
    assert!(found(&judged(&facts), "engine").remedy.as_ref().expect("a remedy").what.contains("DOCKER_HOST"));
    assert_eq!(forbidden.verdict().expect_err("no engine").kind.code(), 69);
}

#[test]
fn small_machines_are_told_what_is_wanted() {
    let mut facts = healthy();
    facts.memory = Some(2 * GIB);
    facts.processors = 1;
    facts.disks[0].free = Some(GIB);
    facts.ports = vec![(5001, Some("Address already in use".to_owned()))];
    facts.inotify_instances = Some(128);
    let report = judged(&facts);
    for (name, status) in [
        ("memory", Status::Fail),
        ("processors", Status::Warn),
        ("disk for the engine", Status::Fail),
        ("port", Status::Fail),
        ("inotify", Status::Warn),
    ] {
        assert_eq!(found(&report, name).status, status, "{name}");
    }
}

#[test]
fn old_and_missing_toolchains_fail_only_where_images_are_built() {
    let mut facts = healthy();
    facts.tools.insert("go", Some("go version go1.24.4 linux/amd64".to_owned()));
    facts.tools.insert("java", Some("openjdk 11.0.2".to_owned()));
    facts.tools.insert("mvn", None);
    let report = judged(&facts);
    facts.debian_keys = false;
    let keyless = judged(&facts);
    assert!(found(&keyless, "debian packages").found.contains("keyring"));
    for name in ["go", "java", "mvn"] {
        assert_eq!(found(&report, name).status, Status::Fail, "{name}");
    }
    let without = all(&facts, &Options { cache: "/cache".into(), ports: vec![], build: false });
    assert!(without.healthy());
}

#[test]
fn versions_are_read_from_what_programs_print() {
    assert_eq!(go_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
    assert_eq!(go_version("go version go1.27rc1 linux/amd64"), Some((1, 27)));
    assert_eq!(go_version("gccgo"), None);
    assert_eq!(first_number("openjdk 21 2023-09-19"), 21);
    assert_eq!(first_number("none"), 0);
    assert_eq!(size(3 * GIB / 2), "1.5 GiB");
}
