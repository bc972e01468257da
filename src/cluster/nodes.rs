//! What is done inside a node's container: running programs and writing files, through the engine.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::query_parameters::UploadToContainerOptionsBuilder;
use bollard::{Docker, body_full};
use camino::Utf8Path;
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use super::Error;
use crate::images::engine;

/// What a program in a node left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its exit code.
    pub code: i64,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// What it said last, on standard error if it said something there.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text =
            String::from_utf8_lossy(if self.stderr.is_empty() { &self.stdout } else { &self.stderr }).into_owned();
        let lines: Vec<&str> = text.trim().lines().collect();
        // containerd's programs mix log lines of their own into what they say.
        let lines: Vec<&str> = lines.iter().copied().filter(|line| !line.starts_with("time=")).collect();
        lines[lines.len().saturating_sub(3)..].join(" / ")
    }
}

/// Runs a program in a node, whatever its exit code. A program that takes longer than `limit` goes on
/// in the node: give those that may hang a limit of their own.
///
/// # Errors
/// [`Error::Engine`], [`Error::Deadline`].
pub async fn try_exec(docker: &Docker, node: &str, argv: &[&str], limit: Duration) -> Result<Output, Error> {
    let doing = || format!("running `{}` in the node {node}", argv.join(" "));
    let run = async {
        let options = CreateExecOptions {
            cmd: Some(argv.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let id = docker.create_exec(node, options).await?.id;
        let mut result = Output::default();
        if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&id, None).await? {
            while let Some(piece) = output.next().await {
                match piece? {
                    LogOutput::StdErr { message } => result.stderr.extend_from_slice(&message),
                    other => result.stdout.extend_from_slice(&other.into_bytes()),
                }
            }
        }
        result.code = docker.inspect_exec(&id).await?.exit_code.unwrap_or(-1);
        Ok(result)
    };
    match tokio::time::timeout(limit, run).await {
        Ok(result) => Ok(result.map_err(engine::Error::request(doing()))?),
        Err(_) => {
            Err(Error::Deadline { what: format!("{} did not end", doing()), limit, last: "it still runs".to_owned() })
        }
    }
}

/// How long a program in a node may take to read a file to its end.
const FEED_LIMIT: Duration = Duration::from_mins(10);

/// Runs a program in a node with a file of this machine as its standard input, whatever its exit code.
///
/// # Errors
/// [`Error::Engine`], [`Error::Deadline`]; [`Error::State`] if the file can't be read.
pub async fn feed(docker: &Docker, node: &str, argv: &[&str], file: &Utf8Path) -> Result<Output, Error> {
    let doing = || format!("running `{}` in the node {node}", argv.join(" "));
    let unreadable = |source| Error::State { path: file.to_owned(), source };
    let mut content = fs_err::tokio::File::open(file).await.map_err(unreadable)?;
    let run = async {
        let options = CreateExecOptions {
            cmd: Some(argv.to_vec()),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let failed = |source| Error::from(engine::Error::request(doing())(source));
        let id = docker.create_exec(node, options).await.map_err(failed)?.id;
        let mut result = Output::default();
        if let StartExecResults::Attached { mut output, mut input } =
            docker.start_exec(&id, None).await.map_err(failed)?
        {
            let send = async {
                // A program that stops reading says so by its exit code.
                let sent = tokio::io::copy(&mut content, &mut input).await;
                drop(input.shutdown().await);
                drop(input);
                drop(sent);
            };
            let receive = async {
                while let Some(piece) = output.next().await {
                    match piece.map_err(failed)? {
                        LogOutput::StdErr { message } => result.stderr.extend_from_slice(&message),
                        other => result.stdout.extend_from_slice(&other.into_bytes()),
                    }
                }
                Ok::<(), Error>(())
            };
            let ((), received) = tokio::join!(send, receive);
            received?;
        }
        result.code = docker.inspect_exec(&id).await.map_err(failed)?.exit_code.unwrap_or(-1);
        Ok(result)
    };
    tokio::time::timeout(FEED_LIMIT, run).await.unwrap_or_else(|_| {
        let what = format!("{} did not end", doing());
        Err(Error::Deadline { what, limit: FEED_LIMIT, last: "it still reads".to_owned() })
    })
}

/// Runs a program in a node; anything but exit code 0 is an error.
///
/// # Errors
/// [`Error::Exec`], and as [`try_exec`].
pub async fn exec(docker: &Docker, node: &str, argv: &[&str], limit: Duration) -> Result<Output, Error> {
    let output = try_exec(docker, node, argv, limit).await?;
    if output.code == 0 {
        return Ok(output);
    }
    Err(Error::Exec { node: node.to_owned(), command: argv.join(" "), code: output.code, output: output.last_words() })
}

/// A file to write into a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its absolute path; folders on the way are made.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// Writes files into a node, all in one request, with mode 0644 and owner root. Not for folders that
/// are mounted over while the container runs, such as `/tmp` and `/run`.
///
/// # Errors
/// [`Error::Engine`].
pub async fn write_files(docker: &Docker, node: &str, files: &[File]) -> Result<(), Error> {
    let failed = || format!("writing files into the node {node}");
    let tar = archive(files).map_err(|source| engine::Error::request(failed())(source.into()))?;
    let options = UploadToContainerOptionsBuilder::default().path("/").build();
    let sent = docker.upload_to_container(node, Some(options), body_full(tar.into())).await;
    Ok(sent.map_err(engine::Error::request(failed()))?)
}

fn archive(files: &[File]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut folders = std::collections::BTreeSet::new();
    for file in files {
        let path = Utf8Path::new(file.path.trim_start_matches('/'));
        folders.extend(path.ancestors().skip(1).filter(|folder| !folder.as_str().is_empty()).map(Utf8Path::to_owned));
    }
    for folder in folders {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        archive.append_data(&mut header, format!("{folder}/"), std::io::empty())?;
    }
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(file.content.len() as u64);
        archive.append_data(&mut header, file.path.trim_start_matches('/'), &file.content[..])?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_the_files_in_them() {
        let file = |path: &str| File { path: path.to_owned(), content: b"x".to_vec() };
        let tar = archive(&[file("/etc/a/b/c"), file("/etc/a/d")]).expect("memory takes it");
        let paths: Vec<String> = tar::Archive::new(&tar[..])
            .entries()
            .expect("a tar")
            .map(|entry| entry.expect("an entry").path().expect("a path").display().to_string())
            .collect();
        assert_eq!(paths, ["etc/", "etc/a/", "etc/a/b/", "etc/a/b/c", "etc/a/d"]);
    }

    #[test]
    fn last_words_are_short() {
        let output = Output { code: 1, stdout: b"out".to_vec(), stderr: b"1\n2\n3\n4\n".to_vec() };
        assert_eq!(output.last_words(), "2 / 3 / 4");
        assert_eq!(Output { stdout: b"out\n".to_vec(), ..Output::default() }.last_words(), "out");
        assert_eq!(Output::default().last_words(), "");
        let logged = Output { stderr: b"time=\"now\" level=info\nctr: not found\n".to_vec(), ..Output::default() };
        assert_eq!(logged.last_words(), "ctr: not found");
    }
}
