//! A lab's lock: made from what the lab refers to, and compared with it.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use futures::{StreamExt as _, stream};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::references;
use super::site::Site;
use crate::error::{Failure, Kind};
use crate::images::content::Content;
use crate::images::digest::Digest;
use crate::images::layout::{self, Descriptor, Layout};
use crate::images::lock::check::{self, Fault, Finding};
use crate::images::lock::describe::{describe, descriptor};
use crate::images::lock::imgpkg::Imported;
use crate::images::lock::resolve::{Resolved, Wish, resolve};
use crate::images::lock::{self, Entry, Error, Lock, Part, References, Upstream, file};
use crate::images::reference::Reference;
use crate::parts::{self, Recipe, Recipes};
use crate::plan::event::Progress;
use crate::plan::graph::interrupted;

/// How many images are resolved at once.
const AT_ONCE: usize = 4;

/// How a lock is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Asks every tag again.
    pub update: bool,
    /// Images whose alternates may say what they are; complete.
    pub trust: BTreeSet<Reference>,
    /// The platforms that are kept of images from registries; all if empty.
    pub platforms: Vec<String>,
    /// Digests from another tool's lock.
    pub imported: Vec<Imported>,
}

/// One image of a lock that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The image.
    pub image: Reference,
    /// Its digest, if it is known.
    pub digest: Option<Digest>,
    /// Its platforms.
    pub platforms: Vec<String>,
    /// The length in bytes of all that belongs to it.
    pub size: u64,
    /// The part that it is built by; none for images from registries.
    pub part: Option<String>,
    /// Its digest was taken from an alternate, though nobody had recorded it.
    pub trusted_on_first_use: bool,
    /// What became of it.
    pub state: State,
}

/// What became of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The lock said the same before.
    Kept,
    /// The lock did not know what it is.
    New,
    /// The lock said something else.
    Changed,
    /// It is not known what it is: its part is not built, or nobody has it.
    Unresolved,
}

/// A lock that was made.
#[derive(Debug)]
pub struct Locked {
    /// Where it is.
    pub file: Utf8PathBuf,
    /// Whether the file is another one than before.
    pub changed: bool,
    /// The lab's images.
    pub images: Vec<Row>,
    /// Images inside the node image, which nobody pulls, with the name of that image.
    pub inside: BTreeMap<Reference, Reference>,
    /// Why images could not be resolved.
    pub failures: Vec<Failure>,
}

/// What a lab says of its images, and what was built of them.
struct Subject<'a> {
    site: &'a Site,
    recipes: Recipes,
    references: References,
}

/// Makes the lab's lock at `path`. What could be resolved is written, also if something could not, or if the
/// run is cancelled.
///
/// # Errors
/// The lock, or what the lab refers to, can't be read; [`Kind::Usage`] for options about images that the
/// lab does not refer to. Images that can't be resolved are in [`Locked::failures`].
pub async fn make(
    site: &Site,
    path: &Utf8Path,
    options: &Options,
    upstream: &dyn Upstream,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Locked, Failure> {
    // First, so that a lock that can't be read costs no work.
    let before = file::load(path)?.unwrap_or_default();
    let subject = Subject::read(site, progress, cancel).await?;
    subject.agrees(options, progress)?;
    let mut made = subject.built(&before, cancel).await?;
    let mut failures = Vec::new();
    let rest: Vec<&Reference> = subject.references.wanted.keys().filter(|image| !made.contains_key(image)).collect();
    let wishes = rest.into_iter().map(|image| (image, subject.wish(image, &before, options)));
    let wishes: Vec<(&Reference, Wish)> = wishes.collect();
    // What nothing new is found out about stays as it is.
    made.extend(wishes.iter().map(|(image, wish)| ((*image).clone(), wish.known.clone())));
    let asked = wishes.iter().map(|(image, wish)| async move { (*image, one(upstream, image, wish).await) });
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    let in_time = loop {
        let next = tokio::select! {
            () = cancel.cancelled() => break false,
            next = answers.next() => next,
        };
        let Some((image, answer)) = next else { break true };
        progress.status(format!("resolved {image}"));
        match answer {
            Ok(resolved) => {
                resolved.warnings.into_iter().for_each(|warning| progress.warn(warning));
                made.insert(image.clone(), resolved.entry);
            }
            Err(failure) => failures.push(failure),
        }
    };
    let images = made.iter().map(|(image, entry)| row(image, entry, before.images.get(image))).collect();
    let changed = file::update(path, |lock| lock.adopt(&site.lab.name, made))?;
    if !in_time {
        return Err(interrupted());
    }
    Ok(Locked { file: path.to_owned(), changed, images, inside: subject.references.inside, failures })
}

/// Compares the lock at `path` with the lab: what it refers to, what was built, and, with `upstream`, what
/// tags name now. Images whose registries could not be asked are told as warnings.
///
/// # Errors
/// The lock, or what the lab refers to, can't be read.
pub async fn compare(
    site: &Site,
    path: &Utf8Path,
    upstream: Option<&dyn Upstream>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Vec<Finding>, Failure> {
    let lock = file::load(path)?.unwrap_or_default();
    let subject = Subject::read(site, progress, cancel).await?;
    let mut findings = check::check(&lock, &subject.references, &site.lab.name);
    findings.extend(subject.rebuilt(&lock, cancel).await?);
    if let Some(upstream) = upstream {
        progress.status("asking registries what tags name now");
        let (moved, unasked) = tokio::select! {
            () = cancel.cancelled() => return Err(interrupted()),
            answers = check::moved(upstream, &lock, &subject.references) => answers,
        };
        findings.extend(moved);
        for (image, why) in unasked {
            progress.warn(format!("Whether {image} moved is not known: {why}."));
        }
    }
    Ok(findings)
}

/// Makes sure that the lock at `path` says what each image of the lab is, and that what was built here is
/// that; no image's registry is asked.
///
/// # Errors
/// [`Error::Frozen`], [`Error::Built`]; the lock, or what the lab refers to, can't be read.
pub async fn frozen(
    site: &Site,
    path: &Utf8Path,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Lock, Failure> {
    let lock = file::load(path)?.unwrap_or_default();
    let subject = Subject::read(site, progress, cancel).await?;
    lock::frozen(&lock, &subject.references)?;
    let rebuilt = subject.rebuilt(&lock, cancel).await?;
    if rebuilt.is_empty() { Ok(lock) } else { Err(Error::Built(rebuilt).into()) }
}

async fn one(upstream: &dyn Upstream, image: &Reference, wish: &Wish) -> Result<Resolved, Failure> {
    if image.registry() != parts::REGISTRY {
        return resolve(upstream, image, wish).await;
    }
    // No registry has it: asking would say something about the network, not about the image.
    let message = format!("no recipe makes {image}");
    Err(Failure::new(Kind::BadInput, message)
        .hint("`istiolab images list` shows the names and versions that are made."))
}

impl<'a> Subject<'a> {
    async fn read(site: &'a Site, progress: &Progress, cancel: &CancellationToken) -> Result<Self, Failure> {
        let recipes = site.recipes()?;
        let references = references::read(site, &recipes, progress, cancel).await?;
        Ok(Self { site, recipes, references })
    }

    /// The recipe that makes `image`.
    fn recipe(&self, image: &Reference) -> Option<&Recipe> {
        let name = image.to_string();
        self.recipes.iter().find(|recipe| recipe.images.iter().any(|made| made.full_name(recipe) == name))
    }

    /// What options and lab file say must be about images that the lab refers to.
    fn agrees(&self, options: &Options, progress: &Progress) -> Result<(), Failure> {
        let known = |image: &Reference| self.references.wanted.contains_key(image);
        if let Some(image) = options.trust.iter().find(|image| !known(image)) {
            return Err(Failure::new(Kind::Usage, format!("the lab does not refer to {image}"))
                .hint("`--trust-first-use` names an image as the lab's objects do."));
        }
        for image in self.site.lab.images.alternates.keys().filter(|image| !known(image)) {
            progress.warn(format!("`images.alternates` names {image}, which the lab does not refer to."));
        }
        let unknown = options.imported.iter().filter(|imported| !known(&imported.name) && !known(&imported.at));
        for imported in unknown {
            progress.warn(format!("{} is left out: the lab does not refer to it.", imported.name));
        }
        Ok(())
    }

    fn wish(&self, image: &Reference, before: &Lock, options: &Options) -> Wish {
        let known = before.images.get(image).cloned().unwrap_or_default();
        // What was built by a recipe that is no more is nothing that a registry has.
        let mut known = if known.part.is_some() { Entry { labs: known.labs, ..Entry::default() } } else { known };
        let imported = options.imported.iter().find(|imported| imported.name == *image || imported.at == *image);
        if let Some(imported) = imported
            && known.digest() != Some(&imported.digest)
        {
            known = Entry { pinned: Some(imported.digest), labs: known.labs, ..Entry::default() };
        }
        Wish {
            update: options.update && imported.is_none(),
            alternates: self.site.lab.images.alternates.get(image).cloned().unwrap_or_default(),
            trust_first_use: options.trust.contains(image),
            platforms: options.platforms.clone(),
            known,
        }
    }

    /// Images that are not what the lock says since their parts were built.
    async fn rebuilt(&self, lock: &Lock, cancel: &CancellationToken) -> Result<Vec<Finding>, Failure> {
        let built = self.built(&Lock::default(), cancel).await?.into_iter();
        let found = built.filter_map(|(image, entry)| {
            let (locked, now) = (*lock.images.get(&image)?.digest()?, *entry.digest()?);
            let places = self.references.wanted.get(&image).cloned().unwrap_or_default();
            let fault = Fault::Moved { locked, now: Some(now) };
            (locked != now).then_some(Finding { image, fault, places })
        });
        Ok(found.collect())
    }

    /// The entries of the images that are built here. One that is not built keeps what the lock says
    /// of this version.
    async fn built(&self, before: &Lock, cancel: &CancellationToken) -> Result<BTreeMap<Reference, Entry>, Failure> {
        let wanted = self.references.wanted.keys().filter_map(|image| Some((image, self.recipe(image)?)));
        let wanted: Vec<(&Reference, &Recipe)> = wanted.collect();
        let mut names: Vec<String> = wanted.iter().map(|(_, recipe)| recipe.name.clone()).collect();
        names.sort();
        names.dedup();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let fetched_first = self.site.fetches();
        let found = parts::found(&self.recipes, &names, fetched_first, &self.site.paths, cancel).await?;
        let store = Layout::open(self.site.paths.cache.join("images")).map_err(Failure::from)?;
        let mut entries = BTreeMap::new();
        for (image, recipe) in wanted {
            let part = Part { name: recipe.name.clone(), version: recipe.version.clone(), made_of: Vec::new() };
            let entry =
                match found.get(&recipe.name).and_then(|found| Some((found, found.images.get(&image.to_string())?))) {
                    Some((found, root)) => {
                        let part = Part { made_of: found.made_of.clone(), ..part };
                        Entry { part: Some(part), ..stored(&store, image, root).await? }
                    }
                    None => match before.images.get(image) {
                        Some(entry) if entry.part.as_ref().is_some_and(|known| known.version == part.version) => {
                            entry.clone()
                        }
                        _ => Entry { part: Some(part), ..Entry::default() },
                    },
                };
            entries.insert(image.clone(), entry);
        }
        Ok(entries)
    }
}

/// An image of the store.
async fn stored(store: &Layout, image: &Reference, root: &Descriptor) -> Result<Entry, Failure> {
    let raw = Content::manifest(store, image, Some(&root.digest)).await?;
    let raw = raw.ok_or_else(|| layout::Error::Missing { dir: store.dir().to_owned(), digest: root.digest })?;
    let platforms = describe(store, image, &raw, &[]).await?;
    Ok(Entry { root: Some(descriptor(&raw)), platforms, ..Entry::default() })
}

fn row(image: &Reference, entry: &Entry, before: Option<&Entry>) -> Row {
    let state = match (before.and_then(Entry::digest), entry.digest()) {
        _ if !entry.is_resolved() => State::Unresolved,
        (Some(before), Some(now)) if before == now => State::Kept,
        (Some(_), _) => State::Changed,
        (None, _) => State::New,
    };
    Row {
        image: image.clone(),
        digest: entry.digest().copied(),
        platforms: entry.platforms.keys().cloned().collect(),
        size: entry.size(),
        part: entry.part.as_ref().map(|part| part.name.clone()),
        trusted_on_first_use: entry.trusted_on_first_use,
        state,
    }
}

/// What is to be said of images that could not be resolved.
#[must_use]
pub fn unresolved(mut failures: Vec<Failure>) -> Option<Failure> {
    if failures.len() <= 1 {
        return failures.pop();
    }
    let kind = failures.iter().map(|failure| failure.kind).max_by_key(|kind| kind.code())?;
    let one = |failure: &Failure| failure.lines().join(": ").replace('\n', "\n  ");
    let lines: Vec<String> = failures.iter().map(one).collect();
    let lines = lines.join("\n  ");
    let message = format!("{} images can't be resolved; the others are in the lock\n  {lines}", failures.len());
    let mut hints: Vec<String> = failures.into_iter().flat_map(|failure| failure.hints).collect();
    hints.sort();
    hints.dedup();
    Some(hints.into_iter().fold(Failure::new(kind, message), Failure::hint))
}

/// The lock that lies beside the lab file.
#[must_use]
pub fn beside(site: &Site) -> Utf8PathBuf {
    site.lab.dir.join(lock::FILE)
}
