//! Programs of Kubernetes as child processes that end with this program, however it ends.

use std::net::TcpListener;
use std::process::{Child, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use crate::skipped::skipped;

/// The folder with `etcd` and `kube`.
const BINARIES: &str = "ISTIOLAB_TEST_BINARIES";

/// Ends the program when the shell's input does: when its handle is dropped, or this program has ended.
const GUARD: &str = r#"
log=$1 remove=$2
shift 2
"$@" < /dev/null >> "$log" 2>&1 &
program=$!
cat > /dev/null
kill -9 $program 2> /dev/null
wait
[ -z "$remove" ] || rm -rf "$remove"
"#;

/// A program that runs until it is dropped; then it ends as by `kill -9`.
pub(crate) struct Process {
    shell: Child,
}

impl Process {
    /// Starts it; `log` gets what it prints. `remove` is a folder that goes when the program has ended.
    pub(crate) fn start<S: AsRef<str>>(
        log: &Utf8Path,
        remove: Option<&Utf8Path>,
        program: &Utf8Path,
        arguments: &[S],
    ) -> Self {
        let mut shell = command("sh");
        shell.args(["-c", GUARD, "sh", log.as_str(), remove.map_or("", Utf8Path::as_str), program.as_str()]);
        shell.args(arguments.iter().map(AsRef::as_ref)).stdin(Stdio::piped());
        Self { shell: shell.spawn().expect("a shell") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// The folder with the programs, or `None` where they are not there: then the test is skipped, which
/// is said and is an error in CI.
pub(crate) fn binaries(test: &str) -> Option<Utf8PathBuf> {
    let folder = std::env::var(BINARIES).ok().map(Utf8PathBuf::from);
    let folder = folder.filter(|folder| folder.join("etcd").is_file() && folder.join("kube").is_file());
    if folder.is_none() {
        skipped(test, &format!("{BINARIES} does not name a folder with etcd and kube"));
    }
    folder
}

/// Makes `kube` callable by the names of its components.
pub(crate) fn link(binaries: &Utf8Path, folder: &Utf8Path) {
    for name in ["kube-apiserver", "kube-controller-manager", "kubeadm", "kubectl"] {
        std::os::unix::fs::symlink(binaries.join("kube"), folder.join(name)).expect("a link");
    }
}

/// Runs a program to its end, which must be good; gives back what it printed.
pub(crate) fn run(program: &Utf8Path, arguments: &[&str]) -> String {
    let done = command(program.as_str()).args(arguments).output().expect("it runs");
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[expect(clippy::disallowed_methods, reason = "the server outlives every runtime that the library's own spawner needs")]
pub(crate) fn command(program: &str) -> std::process::Command {
    std::process::Command::new(program)
}

/// Ports that are free now.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
