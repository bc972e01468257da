//! Programs of this machine that scenarios run: those that the lab file names, in the versions that it
//! pins, against the lab's cluster and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::unmet::Unmet;
use crate::error::causes;
use crate::observe::proxy::cut;
use crate::process::{self, Command};
use crate::spec::{Lab, Program};

/// How long a program may take: less than a step, so that it is killed with all that it started.
const LIMIT: Duration = Duration::from_secs(45);
/// How much of a program's output a message shows.
const SHOWN: usize = 1000;

/// The programs that scenarios may run. Clones know of each other which versions were looked at.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// By the name that steps give them.
    allowed: BTreeMap<String, Program>,
    /// The folder that they run in.
    folder: Option<Utf8PathBuf>,
    /// What they find in `KUBECONFIG`.
    kubeconfig: Option<Utf8PathBuf>,
    /// Those that have the version that is asked for.
    proven: Arc<Mutex<BTreeSet<String>>>,
}

/// A program that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its command line.
    pub(super) line: String,
    /// Its exit code; nothing if a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ended {
    /// What became of it, in words.
    pub(super) fn told(&self) -> String {
        let how =
            self.code.map_or_else(|| "was ended by a signal".to_owned(), |code| format!("ended with exit code {code}"));
        let part = |name: &str, text: &str| match text.trim_end() {
            "" => format!("\n{name}: empty"),
            text => format!("\n{name}:\n  {}", cut(text, SHOWN).replace('\n', "\n  ")),
        };
        format!("`{}` {how}{}{}", self.line, part("output", &self.stdout), part("error output", &self.stderr))
    }
}

impl Programs {
    /// Programs by the name that steps give them. They run in `folder`, and know of no cluster.
    #[must_use]
    pub fn new(allowed: BTreeMap<String, Program>, folder: impl Into<Utf8PathBuf>) -> Self {
        Self { allowed, folder: Some(folder.into()), ..Self::default() }
    }

    /// What the lab file says; the way to the cluster is not in it.
    #[must_use]
    pub fn of(lab: &Lab) -> Self {
        Self::new(lab.features.programs.clone(), lab.dir.clone())
    }

    /// Lets them find the way to a cluster in `KUBECONFIG`.
    #[must_use]
    pub fn against(self, kubeconfig: impl Into<Utf8PathBuf>) -> Self {
        Self { kubeconfig: Some(kubeconfig.into()), ..self }
    }

    /// Runs a program to its end, whatever its exit code.
    ///
    /// # Errors
    /// [`Unmet::Misused`] for a program that the lab file does not name or that has not the version;
    /// [`Unmet::Never`] for one that can't be started or does not end in time.
    pub(super) async fn run(
        &self,
        name: &str,
        arguments: &[String],
        input: Option<&str>,
        cancel: &CancellationToken,
    ) -> Result<Ended, Unmet> {
        let program = self.allowed.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.allowed.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Unmet::Misused(format!("the lab file allows no program `{name}` in features.programs; it allows: {known}"))
        })?;
        self.prove(name, program, cancel).await?;
        self.start(program, arguments, input, cancel).await
    }

    /// Looks once whether the program has the version that the lab file asks for.
    async fn prove(&self, name: &str, program: &Program, cancel: &CancellationToken) -> Result<(), Unmet> {
        // Those who come at the same time wait instead of asking too.
        let mut proven = self.proven.lock().await;
        if proven.contains(name) {
            return Ok(());
        }
        let ended = self.start(program, &program.version_arguments, None, cancel).await?;
        if !ended.stdout.contains(&program.version) && !ended.stderr.contains(&program.version) {
            return Err(Unmet::Misused(format!(
                "program `{name}` has not the version \"{}\" that the lab file's features.programs asks for: {}",
                program.version,
                ended.told()
            )));
        }
        proven.insert(name.to_owned());
        Ok(())
    }

    async fn start(
        &self,
        program: &Program,
        arguments: &[String],
        input: Option<&str>,
        cancel: &CancellationToken,
    ) -> Result<Ended, Unmet> {
        let mut command = Command::new(&program.path).args(arguments).limit(LIMIT);
        command = match &self.kubeconfig {
            Some(file) => command.env("KUBECONFIG", file),
            // Never the user's own cluster.
            None => command.env("KUBECONFIG", "/dev/null"),
        };
        if let Some(folder) = &self.folder {
            command = command.dir(folder);
        }
        if let Some(input) = input {
            command = command.stdin(input);
        }
        let line = command.line();
        match command.ended(cancel).await {
            Ok((status, output)) => {
                Ok(Ended { line, code: status.code(), stdout: output.stdout, stderr: output.stderr })
            }
            Err(process::Error::Cancelled { .. }) => Err(Unmet::Interrupted),
            Err(error) => Err(Unmet::Never(causes(&error).join(": "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(version: &str) -> Programs {
        let cat = Program {
            path: "cat".to_owned(),
            version: version.to_owned(),
            version_arguments: vec!["--version".to_owned()],
        };
        Programs::new([("cat".to_owned(), cat)].into(), "/")
    }

    async fn run(programs: &Programs, name: &str, arguments: &[&str], input: Option<&str>) -> Result<Ended, Unmet> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        programs.run(name, &arguments, input, &CancellationToken::new()).await
    }

    #[tokio::test]
    async fn output_and_exit_code_are_kept_apart() {
        let programs = programs("coreutils");
        let ended = run(&programs, "cat", &["-"], Some("a\nb\n")).await.expect("it runs");
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "a\nb\n", ""));
        let ended = run(&programs, "cat", &["/no/such/file"], None).await.expect("it runs");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        assert!(
            ended
                .told()
                .starts_with("`cat /no/such/file` ended with exit code 1\noutput: empty\nerror output:\n  cat: /no"),
            "{}",
            ended.told()
        );
    }

    #[tokio::test]
    async fn another_version_is_refused() {
        let error = run(&programs("version 99"), "cat", &[], None).await.expect_err("it is not that version");
        assert!(
            error.text().starts_with("program `cat` has not the version \"version 99\" that the lab file's features.programs asks for: `cat --version` ended with exit code 0"),
            "{}",
            error.text()
        );
    }

    #[tokio::test]
    async fn what_the_lab_file_does_not_name_is_not_run() {
        let error = run(&programs("coreutils"), "rm", &["-rf", "x"], None).await.expect_err("it is not allowed");
        assert_eq!(error.text(), "the lab file allows no program `rm` in features.programs; it allows: cat");
    }
}
