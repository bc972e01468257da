//! Builds what is not there, side by side within the machine's cores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use tokio_util::sync::CancellationToken;

use super::assemble::Assembly;
use super::input::Workshop;
use super::recipe::{Input, Toolchain};
use super::record::{Built, Record};
use super::{Error, Recipe, Recipes, key, sweep, toolchain};
use crate::error::Failure;
use crate::images::digest::Digest;
use crate::images::layout::{self, Layout};
use crate::paths::Paths;
use crate::plan::event::{Outcome, Progress};
use crate::plan::graph::Graph;

/// How long another process may keep a part to itself.
const LOCK_LIMIT: Duration = Duration::from_hours(1);

/// Builds the parts called `wanted`, or all, with those that they need, unless they are there. The
/// result has all of them, those that others need first.
///
/// # Errors
/// What stopped the first part that failed, as [`enum@Error`] says; [`crate::error::Kind::Interrupted`] when cancelled.
/// Parts that were ready before stay, and the next call goes on from there.
pub async fn build(
    recipes: &Recipes,
    wanted: &[String],
    paths: &Paths,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Vec<Built>, Failure> {
    let parts = recipes.closure(wanted)?;
    let all: BTreeSet<Toolchain> = parts.iter().flat_map(|part| key::toolchains(part)).collect();
    let yard = Arc::new(Yard {
        project: recipes.project.clone(),
        cache: paths.cache.clone(),
        layout: Layout::open(paths.cache.join("images")).map_err(Failure::from)?,
        versions: toolchain::versions(&all, &paths.cache, cancel).await?,
        ready: Mutex::default(),
    });
    let named = yard.layout.images().map_err(Failure::from)?;
    let mut graph = Graph::new();
    for part in &parts {
        let stale = part.needs.iter().any(|need| graph.contains(need));
        if !stale {
            let needs = yard.needs(part);
            let key = key::of(part, &yard.project, &yard.versions, &needs)?;
            if let Some(record) = Record::find(&yard.cache, &part.name, &key, &yard.layout) {
                if !record.is_named(&named) {
                    record.name_images(&yard.layout)?;
                }
                yard.keep(record, true);
                continue;
            }
        }
        let after: Vec<&str> = part.needs.iter().map(String::as_str).filter(|need| graph.contains(need)).collect();
        let title = format!("building {} {}", part.name, part.version);
        let (yard, part) = (Arc::clone(&yard), (*part).clone());
        let id = part.name.clone();
        graph.add_weighted(&id, "parts", &title, &after, weight(&part), move |context| async move {
            yard.step(&part, &context.progress, &context.cancel).await.map_err(Failure::from)
        });
    }
    if !graph.names().is_empty() {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        graph.run(u32::try_from(cores).unwrap_or(u32::MAX), progress, cancel).await?;
        sweep::sweep(&yard.cache, &yard.layout)?;
    }
    let ready = yard.ready.lock().unwrap_or_else(PoisonError::into_inner);
    let built = |part: &&Recipe| ready.get(&part.name).map(|(record, cached)| record.built(&yard.layout, *cached));
    Ok(parts.iter().filter_map(built).collect())
}

/// Reads every blob of the parts that are in the cache and takes away those that are damaged, so
/// that the next [`build`] makes them again. Returns what was wrong, one line each.
///
/// # Errors
/// If the store can't be read.
pub fn verify(recipes: &Recipes, paths: &Paths, progress: &Progress) -> Result<Vec<String>, Failure> {
    let layout = Layout::open(paths.cache.join("images")).map_err(Failure::from)?;
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for record in recipes.iter().filter_map(|part| Record::last(&paths.cache, &part.name)) {
        progress.status(format!("reading {}", record.name));
        for digest in record.blobs.keys().filter(|digest| seen.insert(**digest)) {
            match layout.verify(digest) {
                Ok(()) => {}
                Err(error @ (layout::Error::Damaged { .. } | layout::Error::Missing { .. })) => {
                    layout.remove(digest).map_err(Failure::from)?;
                    wrong.push(format!("{}: {error}", record.name));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(wrong)
}

/// The share of the machine's cores that a part takes: compilers use two and more, the rest one,
/// mere downloads none.
fn weight(part: &Recipe) -> u32 {
    let one = |input: &Input| match input {
        Input::Go(_) | Input::Cargo(_) => 2,
        Input::Wheel(_) | Input::Jar(_) | Input::GoModule(_) | Input::Debian(_) => 0,
        Input::Jlink(_) | Input::Command(_) => 1,
    };
    part.inputs.values().map(one).max().unwrap_or(0)
}

/// Where parts are built.
struct Yard {
    project: Utf8PathBuf,
    cache: Utf8PathBuf,
    layout: Layout,
    versions: BTreeMap<Toolchain, String>,
    /// The parts that are there, and whether they were before.
    ready: Mutex<BTreeMap<String, (Record, bool)>>,
}

impl Yard {
    fn keep(&self, record: Record, cached: bool) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.insert(record.name.clone(), (record, cached));
    }

    fn needs(&self, part: &Recipe) -> Vec<Record> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        part.needs.iter().filter_map(|need| ready.get(need).map(|(record, _)| record.clone())).collect()
    }

    /// Builds one part, unless it turns out that nothing changed below it or that another process
    /// has built it meanwhile.
    async fn step(&self, part: &Recipe, progress: &Progress, cancel: &CancellationToken) -> Result<Outcome, Error> {
        let needs = self.needs(part);
        let key = key::of(part, &self.project, &self.versions, &needs)?;
        let _lock = self.lock(part, progress, cancel).await?;
        if let Some(record) = Record::find(&self.cache, &part.name, &key, &self.layout) {
            record.name_images(&self.layout)?;
            self.keep(record, true);
            return Ok(Outcome::Unchanged);
        }
        let begin = Instant::now();
        let work = self.cache.join("work").join(&part.name);
        clear(&work)?;
        fs::create_dir_all(&work).map_err(|source| Error::write(&work, source))?;
        let shop = Workshop {
            recipe: part,
            project: &self.project,
            cache: &self.cache,
            work: &work,
            needs: &needs,
            progress,
            cancel,
        };
        let record = self.make(part, &shop, key).await;
        // Whatever came of it: what is left there serves nobody, and takes room.
        let cleared = clear(&work);
        let mut record = record?;
        cleared?;
        record.seconds = begin.elapsed().as_secs_f64();
        record.name_images(&self.layout)?;
        record.save(&self.cache)?;
        let outcome = Outcome::done(what(&record));
        self.keep(record, false);
        Ok(outcome)
    }

    /// Makes everything that comes out of a part.
    async fn make(&self, part: &Recipe, shop: &Workshop<'_>, key: Digest) -> Result<Record, Error> {
        let inputs = shop.make_all().await?;
        if shop.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        shop.progress.status("composing layers");
        let (recipe, layout, cache) = (part.clone(), self.layout.clone(), self.cache.clone());
        let (needs, work) = (shop.needs.to_vec(), shop.work);
        let assembled = tokio::task::spawn_blocking(move || {
            Assembly { recipe: &recipe, layout: &layout, cache: &cache, inputs: &inputs, needs: &needs, key }.run()
        });
        assembled.await.map_err(|panic| Error::write(work, panic.into()))?
    }

    /// Holds the part, so that no two processes build it at once. Released when dropped, or when the
    /// process ends in whatever way.
    async fn lock(&self, part: &Recipe, progress: &Progress, cancel: &CancellationToken) -> Result<fs::File, Error> {
        let path = self.cache.join("built").join(&part.name).join("lock");
        fs::create_dir_all(self.cache.join("built").join(&part.name)).map_err(|source| Error::write(&path, source))?;
        let file = fs::File::create(&path).map_err(|source| Error::write(&path, source))?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(std::fs::TryLockError::Error(source)) => return Err(Error::write(&path, source)),
                Err(std::fs::TryLockError::WouldBlock) => {}
            }
            if begin.elapsed() > LOCK_LIMIT {
                return Err(Error::Locked { part: part.name.clone(), minutes: LOCK_LIMIT.as_secs() / 60 });
            }
            progress.status(format!("another istiolab builds it, {} s", begin.elapsed().as_secs()));
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
                () = cancel.cancelled() => return Err(Error::Cancelled),
            }
        }
    }
}

/// What came out, for the report: `2 images, 1 file, 373 MB`.
fn what(record: &Record) -> String {
    let count = |count: usize, name: &str| match count {
        0 => None,
        1 => Some(format!("1 {name}")),
        _ => Some(format!("{count} {name}s")),
    };
    let size = format!("{} MB", record.size() / 1_000_000);
    let all = [count(record.images.len(), "image"), count(record.files.len(), "file"), Some(size)];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Deletes a folder with what an interrupted build left in it.
fn clear(dir: &Utf8Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::write(dir, source)),
        _ => Ok(()),
    }
}
