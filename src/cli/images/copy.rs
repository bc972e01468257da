//! `images mirror`, `images plan`, `images pull`: images from one place to another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::super::Context;
use super::reach::Reach;
use super::{bundle, megabytes};
use crate::error::{Failure, Kind};
use crate::images::bundle::{Bundle, Stack, Supply};
use crate::images::content::Content;
use crate::images::copy::select::{self, Naming};
use crate::images::copy::{Copied, Copier, Journal, Target, Wanted};
use crate::images::layout::Layout;
use crate::images::lock::Lock;
use crate::images::reference::Reference;
use crate::images::registry::{self, Access, Budget, Upstreams};
use crate::plan::event::{Outcome, Progress, What};
use crate::report::counted;

/// Bring a lab's images into a registry of your own; what is there already is left as it is.
#[derive(Debug, clap::Args)]
pub(super) struct Mirror {
    /// The registry, as registry.example/team or `http://10.0.0.1:5000`. Each image goes under the name of its
    /// own registry in it.
    #[arg(long, value_name = "HOST[/PREFIX]")]
    to: String,
    #[command(flatten)]
    what: Selection,
}

/// Show what `images mirror` or `images pull` would move, and move nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Plan {
    /// The registry that the images would go to [default: the store].
    #[arg(long, value_name = "HOST[/PREFIX]")]
    to: Option<String>,
    /// How fast bytes move, in megabytes a second, for an estimate of the time.
    #[arg(long, value_name = "MB/S", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    #[command(flatten)]
    what: Selection,
}

/// Bring a lab's images into the store.
#[derive(Debug, clap::Args)]
pub(super) struct Pull {
    #[command(flatten)]
    what: Selection,
}

/// Which images, and where they come from.
#[derive(Debug, clap::Args)]
struct Selection {
    /// Only these images, whatever their names mean now [default: all of the lock].
    #[arg(value_name = "IMAGE")]
    images: Vec<Reference>,
    /// What the images are [default: images.lock beside the lab file].
    #[arg(long, value_name = "FILE", conflicts_with = "images")]
    lock: Option<Utf8PathBuf>,
    /// Where they come from: a bundle, a folder with an OCI layout, or a mirror as HOST[/PREFIX] [default: the
    /// store for what parts make, the images' own registries for the rest].
    #[arg(long, value_name = "SOURCE")]
    from: Vec<String>,
    /// Show this platform's image under the tag, as linux/amd64, for registries that take no index of which
    /// platforms are missing. Its digest is another one than the lock's.
    #[arg(long, value_name = "PLATFORM", conflicts_with = "images")]
    flatten: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

/// The two ends.
struct Ends {
    source: Arc<dyn Content>,
    target: Target,
    wanted: Vec<Wanted>,
    /// The images' own registries, if they are asked.
    upstreams: Option<Arc<Upstreams>>,
}

#[derive(Serialize)]
struct Planned {
    #[serde(flatten)]
    plan: crate::images::copy::Plan,
    from: String,
    to: String,
    /// What registries that the images come from let one ask still.
    budgets: BTreeMap<String, Budget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
}

#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    copied: Copied,
    from: String,
    to: String,
    seconds: f64,
}

impl Mirror {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let ends = self.what.ends(context, Some(&self.to)).await?;
        copy(context, ends).await
    }
}

impl Pull {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let ends = self.what.ends(context, None).await?;
        copy(context, ends).await
    }
}

impl Plan {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Ends { source, target, wanted, upstreams } = self.what.ends(context, self.to.as_deref()).await?;
        let (from, to) = (source.describe(), target.describe());
        let copier = copier(context, source, target)?;
        let work = |progress: Progress| async move {
            let plan = copier.plan(&wanted, &progress, &context.cancel).await?;
            let images: Vec<&Reference> = plan.by_image.keys().collect();
            let budgets = match upstreams {
                Some(upstreams) => budgets(&upstreams, &images).await,
                None => BTreeMap::new(),
            };
            Ok((plan, budgets))
        };
        let (plan, budgets) = context.report(None, work).await?;
        let seconds = self.rate.map(|rate| plan.bytes.div_ceil(u64::from(rate) * 1_000_000));
        let planned = Planned { plan, from, to, budgets, seconds };
        context.print(&planned, plan_text(&planned))
    }
}

impl Selection {
    /// The bundles that the images come from, if it is bundles.
    fn bundles(&self) -> Result<Option<Stack>, Failure> {
        let files: Vec<Utf8PathBuf> = self.from.iter().map(Utf8PathBuf::from).collect();
        let one_other = files.len() == 1 && !files[0].is_file();
        if files.is_empty() || one_other { Ok(None) } else { Ok(Some(Stack::open(&files)?)) }
    }

    async fn ends(self, context: &Context, to: Option<&str>) -> Result<Ends, Failure> {
        let bundles = self.bundles()?;
        let access = self.reach.access(context);
        let store = Layout::open(context.paths.cache.join("images"))?;
        let mirror = to.map(|to| mirror(to, &access)).transpose()?;
        let naming = mirror.as_ref().map_or(Naming::Store, Naming::Mirror);
        let lock = match &bundles {
            _ if !self.images.is_empty() => Lock::default(),
            // A bundle says itself what is inside.
            Some(bundles) if self.lock.is_none() => inside(bundles),
            // What is made here is taken along; what comes from elsewhere need not be made.
            None if mirror.is_some() && self.from.is_empty() => bundle::whole(context, self.lock.as_deref()).await?,
            _ => bundle::locked(context, self.lock.as_deref())?,
        };
        let wanted = if self.images.is_empty() {
            select::locked(&lock, &naming, self.flatten.as_deref())?
        } else {
            let images: Vec<Reference> = self.images.into_iter().map(Reference::complete).collect();
            select::named(&images, &naming)
        };
        let (mut upstreams, source): (_, Arc<dyn Content>) = match self.from.as_slice() {
            [] => {
                let all = Arc::new(Upstreams::new(access));
                (Some(Arc::clone(&all)), Arc::new(Supply::new(&lock, store.clone(), all)))
            }
            [one] if !Utf8Path::new(one).exists() => (None, Arc::new(self::mirror(one, &access)?)),
            [one] if Utf8Path::new(one).join("oci-layout").is_file() => (None, Arc::new(Layout::open(one.as_str())?)),
            _ => (None, Arc::new(bundles.unwrap_or(Stack::open(&[])?))),
        };
        let target = match &mirror {
            Some(mirror) => Target::Registry(mirror.client().clone()),
            None => Target::Store(store),
        };
        if wanted.is_empty() {
            upstreams = None;
        }
        Ok(Ends { source, target, wanted, upstreams })
    }
}

/// The images of all the locks in bundles; where two have the same name, the first one's counts.
fn inside(bundles: &Stack) -> Lock {
    let mut lock = Lock::default();
    for bundle in bundles.bundles().iter().filter_map(Bundle::lock) {
        for (image, entry) in &bundle.images {
            lock.images.entry(image.clone()).or_insert_with(|| entry.clone());
        }
    }
    lock
}

fn mirror(text: &str, access: &Access) -> Result<registry::Mirror, Failure> {
    registry::Mirror::at(text, access)
        .map_err(|error| Failure::new(Kind::Usage, error).hint("Write it as registry.example.com/team/lab."))
}

fn copier(context: &Context, source: Arc<dyn Content>, target: Target) -> Result<Copier, Failure> {
    let manifests = Layout::open(context.paths.cache.join("manifests"))?;
    Ok(Copier::new(source, target).with_manifests(manifests))
}

async fn copy(context: &Context, ends: Ends) -> Result<(), Failure> {
    let Ends { source, target, wanted, upstreams: _ } = ends;
    let (from, to) = (source.describe(), target.describe());
    let mut engine = copier(context, source, target)?;
    if let Some(journal) = Journal::open(&context.paths.state.join("uploads"))? {
        engine = engine.with_journal(journal);
    }
    let begin = Instant::now();
    let title = format!("copying {} to {to}", counted(wanted.len(), "image"));
    let work = |progress: Progress| async move {
        step(&progress, title, async {
            let copied = engine.copy(&wanted, &progress.for_step("copy"), &context.cancel).await?;
            let new = copied.images - copied.unchanged;
            let outcome = match new {
                0 => Outcome::Unchanged,
                new => Outcome::done(format!(
                    "{}, {}, {}",
                    many(new, "image"),
                    many(copied.blobs, "blob"),
                    megabytes(copied.bytes)
                )),
            };
            Ok((copied, outcome))
        })
        .await
    };
    let copied = context.report(None, work).await?;
    let done = Done { copied, from, to, seconds: begin.elapsed().as_secs_f64() };
    context.print(&done, done_text(&done))
}

/// Tells that `work` begins, and how it ended.
async fn step<T>(
    progress: &Progress,
    title: String,
    work: impl Future<Output = Result<(T, Outcome), Failure>>,
) -> Result<T, Failure> {
    let progress = progress.for_step("copy");
    let begin = Instant::now();
    progress.emit(What::StepStarted { phase: "images".to_owned(), title });
    let (outcome, result) = match work.await {
        Ok((value, outcome)) => (outcome, Ok(value)),
        Err(failure) if failure.kind == Kind::Interrupted => (Outcome::Cancelled, Err(failure)),
        Err(failure) => (Outcome::Failed { error: failure.error.to_string() }, Err(failure)),
    };
    progress.emit(What::StepFinished { outcome, elapsed: begin.elapsed() });
    result
}

/// What the registries of `images` let one ask still. One question each, which costs nothing of it; a
/// registry that does not answer has none to tell.
async fn budgets(upstreams: &Upstreams, images: &[&Reference]) -> BTreeMap<String, Budget> {
    let mut asked = BTreeSet::new();
    let mut found = BTreeMap::new();
    for image in images.iter().filter(|image| asked.insert(image.registry())) {
        let Ok(client) = upstreams.client(image) else { continue };
        let question = client.head_manifest(image.repository(), image.tag_or_default());
        if tokio::time::timeout(Duration::from_secs(10), question).await.is_ok()
            && let Some(budget) = client.budget()
        {
            found.insert(image.registry().to_owned(), budget);
        }
    }
    found
}

fn many(count: u64, word: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), word)
}

fn plan_text(planned: &Planned) -> String {
    let Planned { plan, from, to, .. } = planned;
    let width = plan.by_image.keys().map(|image| image.to_string().len()).max().unwrap_or_default().max(5);
    let mut text = String::new();
    // Writing to a string can't fail.
    if !plan.by_image.is_empty() {
        let _ = writeln!(text, "{:<width$} {:>6} {:>12}", "IMAGE", "BLOBS", "NEW BYTES");
    }
    for (image, share) in &plan.by_image {
        let _ = writeln!(text, "{:<width$} {:>6} {:>12}", image.to_string(), share.blobs, megabytes(share.bytes));
    }
    let _ = writeln!(text, "from {from}\nto {to}");
    let _ = writeln!(text, "{}; there already: {}", many(plan.images, "image"), plan.unchanged);
    let (blobs, mounts) = (many(plan.blobs, "blob"), many(plan.mounts, "blob"));
    let (bytes, manifests) = (megabytes(plan.bytes), many(plan.manifests, "manifest"));
    let _ = writeln!(text, "to move: {blobs} with {bytes}, {manifests}; {mounts} to take over at the target");
    let _ = writeln!(text, "requests: {} at the source, {} at the target", plan.source_requests, plan.target_requests);
    for (registry, budget) in &planned.budgets {
        let window = budget.seconds.map_or_else(String::new, |seconds| {
            format!(" in {}", humantime::format_duration(Duration::from_secs(seconds)))
        });
        let _ = writeln!(text, "{registry}: {} of {} pulls left{window}", budget.remaining, budget.limit);
    }
    if let Some(seconds) = planned.seconds {
        let _ = writeln!(text, "time: about {}", humantime::format_duration(Duration::from_secs(seconds)));
    }
    text
}

fn done_text(done: &Done) -> String {
    let Copied { images, unchanged, blobs, bytes, mounted, traffic } = &done.copied;
    let mut text = format!("{} at {}; there already: {unchanged}\n", many(*images, "image"), done.to);
    let (blobs, mounted) = (many(*blobs, "blob"), many(*mounted, "blob"));
    let _ = writeln!(text, "moved: {blobs} with {}; {mounted} there or taken over", megabytes(*bytes));
    if traffic.requests > 0 {
        let _ = writeln!(text, "requests at the target: {}", traffic.requests);
    }
    text
}
