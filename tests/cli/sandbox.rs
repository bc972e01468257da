//! A machine of its own for each test.

use std::fmt::Write as _;

use assert_cmd::Command;
use camino::{Utf8Path, Utf8PathBuf};

/// A home, a working folder and a `PATH`, all empty and gone after the test.
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let sandbox = Self { dir: tempfile::tempdir().expect("a temporary folder") };
        for folder in ["home", "bin", "work"] {
            fs_err::create_dir_all(sandbox.root().join(folder)).expect("the folder can be made");
        }
        sandbox
    }

    fn root(&self) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.dir.path().to_owned()).expect("its path is UTF-8")
    }

    /// The working folder.
    pub(crate) fn work(&self) -> Utf8PathBuf {
        self.root().join("work")
    }

    /// Writes a file below the working folder.
    pub(crate) fn write(&self, path: impl AsRef<Utf8Path>, text: &str) {
        let path = self.work().join(path);
        fs_err::create_dir_all(path.parent().expect("it has one")).expect("the folder can be made");
        fs_err::write(path, text).expect("the file can be written");
    }

    /// A run of istiolab in this sandbox.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let root = self.root();
        let mut command = Command::new(env!("CARGO_BIN_EXE_istiolab"));
        command
            .env_clear()
            .env("HOME", root.join("home"))
            .env("PATH", root.join("bin"))
            .env("ISTIOLAB_CACHE", root.join("cache"))
            .env("ISTIOLAB_STATE", root.join("state"))
            .env("DOCKER_HOST", format!("unix://{root}/no-engine.sock"))
            .env("KUBECONFIG", root.join("no-kubeconfig"))
            .env("COLUMNS", "100")
            .timeout(std::time::Duration::from_mins(1))
            .current_dir(self.work())
            .args(args);
        command
    }

    /// Runs istiolab and shows all that came of it, with what differs from machine to machine replaced.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        self.run_with(args, "")
    }

    /// As [`Sandbox::run`], with text on standard input.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &str) -> String {
        let output = self.command(args).write_stdin(stdin).output().expect("istiolab can be started");
        let mut shown = String::new();
        let code = output.status.code().map_or_else(|| "killed".to_owned(), |code| code.to_string());
        write!(shown, "exit: {code}").expect("writing to text");
        for (name, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            let text = String::from_utf8(bytes).expect("it is text");
            if !text.is_empty() {
                write!(shown, "\n--- {name}\n{}", text.trim_end()).expect("writing to text");
            }
        }
        let shown = shown.replace(self.root().as_str(), "[ROOT]");
        let times = regex::Regex::new(r"\d+\.\d+ s\b").expect("a pattern");
        times.replace_all(&shown, "[TIME]").replace(env!("CARGO_PKG_VERSION"), "[VERSION]")
    }
}
