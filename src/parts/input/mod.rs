//! Makes the inputs of a part: each kind in a file of its own.

mod cargo;
mod debian;
mod download;
mod go;
mod java;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use tokio_util::sync::CancellationToken;

use super::recipe::{Input, Shell};
use super::record::Record;
use super::{Error, Recipe};
use crate::plan::event::Progress;
use crate::process::{Command, Output};

/// The longest that one program of a build may take.
const LIMIT: Duration = Duration::from_hours(1);

/// An input that was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// A file or a folder.
    pub(super) path: Utf8PathBuf,
    /// Whether it is a tar whose content is meant.
    pub(super) archive: bool,
    /// What it is made of, each with its version and checksum.
    pub(super) sources: Vec<String>,
}

impl Made {
    fn new(path: Utf8PathBuf, sources: Vec<String>) -> Self {
        Self { path, archive: false, sources }
    }
}

/// Where the inputs of one part are made.
pub(super) struct Workshop<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) project: &'a Utf8Path,
    pub(super) cache: &'a Utf8Path,
    /// Emptied before and deleted after.
    pub(super) work: &'a Utf8Path,
    pub(super) needs: &'a [Record],
    pub(super) progress: &'a Progress,
    pub(super) cancel: &'a CancellationToken,
}

impl Workshop<'_> {
    /// Makes all inputs, each after those that it uses.
    pub(super) async fn make_all(&self) -> Result<BTreeMap<String, Made>, Error> {
        let mut made: BTreeMap<String, Made> = BTreeMap::new();
        while made.len() < self.recipe.inputs.len() {
            let ready = self.recipe.inputs.iter().find(|(name, input)| {
                !made.contains_key(*name) && input.uses().iter().all(|used| made.contains_key(used))
            });
            let (name, input) = ready.ok_or_else(|| self.recipe.wrong("inputs use each other in a circle"))?;
            let one = self.make(name, input, &made).await?;
            made.insert(name.clone(), one);
        }
        Ok(made)
    }

    async fn make(&self, name: &str, input: &Input, made: &BTreeMap<String, Made>) -> Result<Made, Error> {
        match input {
            Input::Go(program) => self.go(name, program, made).await,
            Input::GoModule(module) => self.go_module(module).await,
            Input::Wheel(wheel) => self.wheel(name, wheel).await,
            Input::Jar(jar) => self.jar(jar).await,
            Input::Jlink(jlink) => self.jlink(name, jlink).await,
            Input::Debian(debian) => self.debian(name, debian).await,
            Input::Cargo(program) => self.cargo(program).await,
            Input::Command(shell) => self.shell(name, shell, made).await,
        }
    }

    async fn shell(&self, name: &str, shell: &Shell, made: &BTreeMap<String, Made>) -> Result<Made, Error> {
        let out = self.folder(name)?;
        let sources = self.work.join(format!("{name}.sources"));
        fs::write(&sources, "").map_err(|source| Error::write(&sources, source))?;
        let mut command = Command::new("sh")
            .args(["-eu", "-c", &shell.run])
            .dir(&out)
            .env("PART", &self.recipe.dir)
            .env("MADE_OF", &sources);
        for used in &shell.uses {
            if let Some(input) = made.get(used) {
                command = command.env(&used.to_uppercase().replace('-', "_"), &input.path);
            }
        }
        self.run(name, command).await?;
        let told = fs::read_to_string(&sources).map_err(|source| Error::read(&sources, source))?;
        Ok(Made::new(out, told.lines().map(str::to_owned).collect()))
    }

    /// A new folder for the input `name`.
    fn folder(&self, name: &str) -> Result<Utf8PathBuf, Error> {
        let path = self.work.join(name);
        fs::create_dir_all(&path).map_err(|source| Error::write(&path, source))?;
        Ok(path)
    }

    /// Runs a program of the build, and tells how long it has been running and what it last said.
    async fn run(&self, what: &str, command: Command) -> Result<Output, Error> {
        let begin = Instant::now();
        let heard = Mutex::new((0_usize, String::new()));
        let line = command.line();
        self.progress.detail(line);
        let running = command.limit(LIMIT).run_with(self.cancel, |line| {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.0 += 1;
            if !line.trim().is_empty() {
                line.trim().clone_into(&mut heard.1);
            }
        });
        let mut running = std::pin::pin!(running);
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                ended = &mut running => return Ok(ended?),
                _ = tick.tick() => {
                    let (count, last) = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let seconds = begin.elapsed().as_secs();
                    let last: String = last.chars().take(60).collect();
                    let said = if count == 0 { String::new() } else { format!(" ({count}: {last})") };
                    self.progress.status(format!("{what}, {seconds} s{said}"));
                }
            }
        }
    }
}
