//! The only place that starts other programs: the command line is kept for messages, output is
//! captured, every run has a deadline and can be cancelled, and a child never outlives its caller.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use camino::Utf8Path;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, Kind};

/// How many of the last lines of output an error keeps.
const KEPT_LINES: usize = 40;

/// Why a program did not do its work.
#[derive(Debug, Error)]
pub enum Error {
    /// The program could not be started.
    #[error("can't start `{program}`")]
    Start {
        /// The program's name or path.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended with a status other than 0.
    #[error("`{command}` ended with {status}{}", tail(output))]
    Status {
        /// The command line, ready for a shell.
        command: String,
        /// The exit status.
        status: ExitStatus,
        /// The last lines of its output, both streams as they came.
        output: Vec<String>,
    },
    /// The deadline passed; the program was killed.
    #[error("`{command}` did not end within {}{}", humantime::format_duration(*limit), tail(output))]
    Deadline {
        /// The command line, ready for a shell.
        command: String,
        /// The limit.
        limit: Duration,
        /// The last lines of its output.
        output: Vec<String>,
    },
    /// The run was cancelled; the program was killed.
    #[error("`{command}` was stopped")]
    Cancelled {
        /// The command line, ready for a shell.
        command: String,
    },
    /// Its pipes failed.
    #[error("lost the pipes of `{command}`")]
    Pipe {
        /// The command line, ready for a shell.
        command: String,
        /// Why.
        source: std::io::Error,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Start { .. } => Kind::Unavailable,
            Error::Deadline { .. } => Kind::TimedOut,
            Error::Cancelled { .. } => return crate::plan::graph::interrupted(),
            Error::Status { .. } | Error::Pipe { .. } => Kind::Unexpected,
        };
        Self::new(kind, error)
    }
}

fn tail(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        // Writing to a string can't fail.
        let _ = write!(text, "\n  | {line}");
    }
    text
}

/// What a program left behind.
#[derive(Debug)]
pub struct Output {
    /// Standard output, whole.
    pub stdout: String,
    /// Standard error, whole.
    pub stderr: String,
}

/// A program to run.
#[derive(Debug)]
pub struct Command {
    inner: tokio::process::Command,
    words: Vec<String>,
    stdin: Option<Vec<u8>>,
    limit: Duration,
}

impl Command {
    /// A run of `program`, looked up in `PATH` unless it is a path, with a limit of ten minutes.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        #[expect(clippy::disallowed_methods, reason = "this is where all others are led to")]
        let mut inner = tokio::process::Command::new(program);
        // A group of its own: Ctrl-C at the terminal reaches us alone, and we decide what ends.
        inner.kill_on_drop(true).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { inner, words: vec![program.to_string_lossy().into_owned()], stdin: None, limit: Duration::from_mins(10) }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.words.push(arg.as_ref().to_string_lossy().into_owned());
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    /// Removes a variable from the environment.
    #[must_use]
    pub fn env_remove(mut self, name: &str) -> Self {
        self.inner.env_remove(name);
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn dir(mut self, dir: &Utf8Path) -> Self {
        self.inner.current_dir(dir);
        self
    }

    /// Gives the program this standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.inner.stdin(Stdio::piped());
        self.stdin = Some(bytes.into());
        self
    }

    /// Sets how long it may take.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The command line as one would type it.
    #[must_use]
    pub fn line(&self) -> String {
        self.words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// Each variant of [`enum@Error`].
    pub async fn run(self, cancel: &CancellationToken) -> Result<Output, Error> {
        self.run_with(cancel, |_| ()).await
    }

    /// As [`Command::run`], and shows every line of output, of both streams, to `on_line` as it comes.
    ///
    /// # Errors
    /// Each variant of [`enum@Error`].
    pub async fn run_with(self, cancel: &CancellationToken, on_line: impl FnMut(&str) + Send) -> Result<Output, Error> {
        let command = self.line();
        let (status, output, kept) = self.followed(cancel, on_line).await?;
        if status.success() { Ok(output) } else { Err(Error::Status { command, status, output: kept }) }
    }

    /// Runs it to its end, whatever the status that it ends with.
    ///
    /// # Errors
    /// Each variant of [`enum@Error`] but [`Error::Status`].
    pub async fn ended(self, cancel: &CancellationToken) -> Result<(ExitStatus, Output), Error> {
        let (status, output, _) = self.followed(cancel, |_| ()).await?;
        Ok((status, output))
    }

    /// Follows it to its end. Gives back its status, its output, and the last lines of both streams as
    /// they came.
    async fn followed(
        mut self,
        cancel: &CancellationToken,
        mut on_line: impl FnMut(&str) + Send,
    ) -> Result<(ExitStatus, Output, Vec<String>), Error> {
        let command = self.line();
        let mut child = self.inner.spawn().map_err(|source| Error::Start { program: self.words[0].clone(), source })?;
        let pipe = |source| Error::Pipe { command: command.clone(), source };
        let input = child.stdin.take().zip(self.stdin.take());
        let mut stdout = lines(child.stdout.take());
        let mut stderr = lines(child.stderr.take());
        let mut output = Output { stdout: String::new(), stderr: String::new() };
        let mut kept: Vec<String> = Vec::new();
        let work = async {
            let feed = async {
                if let Some((mut pipe, bytes)) = input {
                    // A program that does not read its input says so by its status.
                    let _ = pipe.write_all(&bytes).await;
                }
            };
            let read = async {
                let (mut out_open, mut err_open) = (true, true);
                while out_open || err_open {
                    let (line, whole, open) = tokio::select! {
                        line = stdout.next(), if out_open => (line?, &mut output.stdout, &mut out_open),
                        line = stderr.next(), if err_open => (line?, &mut output.stderr, &mut err_open),
                    };
                    match line {
                        None => *open = false,
                        Some(line) => {
                            on_line(&line);
                            whole.push_str(&line);
                            whole.push('\n');
                            if kept.len() == KEPT_LINES {
                                kept.remove(0);
                            }
                            kept.push(line);
                        }
                    }
                }
                std::io::Result::Ok(())
            };
            let ((), result) = tokio::join!(feed, read);
            result?;
            child.wait().await
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(self.limit, work) => Some(ended),
            () = cancel.cancelled() => None,
        };
        match ended {
            Some(Ok(Ok(status))) => Ok((status, output, kept)),
            Some(Ok(Err(source))) => Err(pipe(source)),
            Some(Err(_)) => {
                stop(&mut child).await;
                Err(Error::Deadline { command, limit: self.limit, output: kept })
            }
            None => {
                stop(&mut child).await;
                Err(Error::Cancelled { command })
            }
        }
    }
}

/// Kills a child with all that it started, and waits, so that nothing it held stays held.
async fn stop(child: &mut tokio::process::Child) {
    // It leads a group of its own: a shell's children, or a compiler's, would go on without it.
    // `id` is there until the child was waited for, so that the group is surely its own.
    let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(leader) = leader {
        // It may have ended by itself meanwhile.
        let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
    }
    let _ = child.kill().await;
}

/// Lines of a stream that need not be UTF-8. Reading on after an abandoned read loses nothing.
struct Lines<R>(Option<tokio::io::Split<BufReader<R>>>);

fn lines<R: AsyncRead + Unpin>(stream: Option<R>) -> Lines<R> {
    Lines(stream.map(|stream| BufReader::new(stream).split(b'\n')))
}

impl<R: AsyncRead + Unpin> Lines<R> {
    async fn next(&mut self) -> std::io::Result<Option<String>> {
        let Some(segments) = &mut self.0 else { return Ok(None) };
        let segment = segments.next_segment().await?;
        Ok(segment.map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned()))
    }
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        Command::new("sh").args(["-c", script])
    }

    #[tokio::test]
    async fn output_of_both_streams_is_kept_apart() {
        let output = shell("echo out; echo err >&2").run(&CancellationToken::new()).await.expect("it ends with 0");
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    }

    #[tokio::test]
    async fn a_failure_shows_the_command_and_its_last_lines() {
        let error = shell("echo why >&2; exit 3").run(&CancellationToken::new()).await.expect_err("it ends with 3");
        assert_eq!(error.to_string(), "`sh -c 'echo why >&2; exit 3'` ended with exit status: 3\n  | why");
    }

    #[tokio::test]
    async fn any_status_can_be_asked_for() {
        let (status, output) =
            shell("echo out; echo why >&2; exit 3").ended(&CancellationToken::new()).await.expect("it ends");
        assert_eq!((status.code(), output.stdout.as_str(), output.stderr.as_str()), (Some(3), "out\n", "why\n"));
    }

    #[tokio::test]
    async fn a_deadline_kills() {
        let error = shell("sleep 60")
            .limit(Duration::from_millis(50))
            .run(&CancellationToken::new())
            .await
            .expect_err("too slow");
        assert!(matches!(error, Error::Deadline { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_a_program_started_ends_with_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("pid");
        let script = format!("sleep 60 & echo $! >{}; wait", file.display());
        let error = shell(&script).limit(Duration::from_millis(300)).run(&CancellationToken::new()).await;
        assert!(matches!(error, Err(Error::Deadline { .. })), "{error:?}");
        let pid = fs_err::read_to_string(&file).expect("it was written");
        // Killed, it is gone or waits for init to look at it, as soon as the kernel gave it its last turn.
        let state = || fs_err::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_else(|_| ") Z".into());
        let gone = async {
            while !state().contains(") Z") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), gone).await.is_ok(), "{}", state());
    }

    #[tokio::test]
    async fn cancelling_kills() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let error = shell("sleep 60").run(&cancel).await.expect_err("it was cancelled");
        assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    }

    #[tokio::test]
    async fn input_is_given() {
        let output = Command::new("cat").stdin("abc").run(&CancellationToken::new()).await.expect("cat ends with 0");
        assert_eq!(output.stdout, "abc\n");
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = Command::new("no-such-program").run(&CancellationToken::new()).await.expect_err("it is not there");
        assert_eq!(error.to_string(), "can't start `no-such-program`");
    }
}
