//! `images mirror`, `images plan`, `images pull`: images from one place to another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::Docker;
use serde::Serialize;

use super::super::Context;
use super::ends::{Ends, Selection};
use super::megabytes;
use crate::error::{Failure, Kind};
use crate::images::copy::{Copied, Copier, Journal, Rates, Target, Wanted};
use crate::images::engine;
use crate::images::layout::Layout;
use crate::images::reference::Reference;
use crate::images::registry::{Budget, Upstreams};
use crate::plan::event::{Outcome, Progress, What};
use crate::report::counted;

/// Bring a lab's images into a registry of your own, or into the engine; what is there already is left as it is.
#[derive(Debug, clap::Args)]
pub(super) struct Mirror {
    /// The registry, as registry.example/team or `http://10.0.0.1:5000`; each image goes under the name of its
    /// own registry in it. Or docker-daemon: for the container engine, by way of the store.
    #[arg(long, value_name = "HOST[/PREFIX]|docker-daemon:")]
    to: String,
    /// Also bring what refers to the images: signatures, bills of materials.
    #[arg(long)]
    referrers: bool,
    #[command(flatten)]
    what: Selection,
}

/// Show what `images mirror` or `images pull` would move, and move nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Plan {
    /// Where the images would go, as `images mirror` takes it [default: the store].
    #[arg(long, value_name = "HOST[/PREFIX]|docker-daemon:")]
    to: Option<String>,
    /// Also what refers to the images: signatures, bills of materials.
    #[arg(long, requires = "to")]
    referrers: bool,
    /// How fast bytes move, in megabytes a second, for an estimate of the time [default: as fast as in the last
    /// copy between the two].
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

#[derive(Serialize)]
struct Planned {
    #[serde(flatten)]
    plan: crate::images::copy::Plan,
    from: String,
    to: String,
    /// What registries that the images come from let one ask still.
    budgets: BTreeMap<String, Budget>,
    /// What the time is reckoned with: bytes a second, and whether that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    measured: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
}

#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    copied: Copied,
    /// Images that the engine lacked, if they were to go there.
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded: Option<u64>,
    from: String,
    to: String,
    seconds: f64,
}

impl Mirror {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let ends = self.what.ends(context, Some(&self.to)).await?;
        copy(context, ends, self.referrers).await
    }
}

impl Pull {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let ends = self.what.ends(context, None).await?;
        copy(context, ends, false).await
    }
}

impl Plan {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let ends = self.what.ends(context, self.to.as_deref()).await?;
        let (from, to) = (ends.source.describe(), ends.target.describe());
        let (carrier, wanted, upstreams) = (carrier(context, &ends, self.referrers)?, ends.wanted, ends.upstreams);
        let work = |progress: Progress| async move {
            let plan = carrier.plan(&wanted, &progress, &context.cancel).await?;
            let images: Vec<&Reference> = plan.by_image.keys().collect();
            let budgets = match upstreams {
                Some(upstreams) => budgets(&upstreams, &images).await,
                None => BTreeMap::new(),
            };
            Ok((plan, budgets))
        };
        let (plan, budgets) = context.report(None, work).await?;
        let given = self.rate.map(|rate| u64::from(rate) * 1_000_000);
        let rate = given.or_else(|| rates(context).get(&from, &to));
        let seconds = rate.map(|rate| plan.bytes.div_ceil(rate));
        let planned = Planned { plan, from, to, budgets, rate, measured: given.is_none() && rate.is_some(), seconds };
        context.print(&planned, plan_text(&planned))
    }
}

fn rates(context: &Context) -> Rates {
    Rates::new(context.paths.state.join("rates.json"))
}

fn carrier(context: &Context, ends: &Ends, referrers: bool) -> Result<Copier, Failure> {
    let manifests = Layout::open(context.paths.cache.join("manifests"))?;
    let copier = Copier::new(Arc::clone(&ends.source), ends.target.clone());
    let copier = copier.with_manifests(manifests).with_choice(ends.choice.clone()).shown_by_image();
    Ok(if referrers { copier.with_referrers() } else { copier })
}

async fn copy(context: &Context, ends: Ends, referrers: bool) -> Result<(), Failure> {
    let mut carrier = carrier(context, &ends, referrers)?;
    if let Some(journal) = Journal::open(&context.paths.state.join("uploads"))? {
        carrier = carrier.with_journal(journal);
    }
    let Ends { source, target, wanted, engine, .. } = ends;
    let (from, to) = (source.describe(), target.describe());
    let begin = Instant::now();
    let title = format!("copying {} to {to}", counted(wanted.len(), "image"));
    let (carrier, wanted, engine) = (&carrier, &wanted, engine.as_ref());
    let work = |progress: Progress| async move {
        let copying = async {
            let copied = carrier.copy(wanted, &progress.for_step("copy"), &context.cancel).await?;
            let (new, bytes) = (copied.images - copied.unchanged, megabytes(copied.bytes));
            let done = format!("{}, {}, {bytes}", many(new, "image"), many(copied.blobs, "blob"));
            let outcome = if new == 0 { Outcome::Unchanged } else { Outcome::done(done) };
            Ok((copied, outcome))
        };
        let copied = step(&progress, "copy", title, copying).await?;
        let seconds = begin.elapsed();
        let (Some(docker), Target::Store(store)) = (engine, target) else { return Ok((copied, seconds, None)) };
        let title = format!("loading {} into the engine", counted(wanted.len(), "image"));
        let loading = load(context, docker, &store, wanted, progress.for_step("load"));
        Ok((copied, seconds, Some(step(&progress, "load", title, loading).await?)))
    };
    let (copied, copying, loaded) = context.report(None, work).await?;
    rates(context).took(&from, &to, copied.bytes, copying);
    let done = Done { copied, loaded, from, to, seconds: begin.elapsed().as_secs_f64() };
    context.print(&done, done_text(&done))
}

/// Loads what is in the store now into the engine; how many it lacked.
async fn load(
    context: &Context,
    docker: &Docker,
    store: &Layout,
    wanted: &[Wanted],
    progress: Progress,
) -> Result<(u64, Outcome), Failure> {
    let platform = engine::platform(docker).await?;
    let mut loaded = 0;
    for Wanted { image, .. } in wanted {
        let digest = engine::choose(store, image, &platform)?;
        let name = image.to_string();
        loaded += u64::from(engine::load(docker, store, &digest, &name, &progress, &context.cancel).await?);
    }
    Ok((loaded, if loaded == 0 { Outcome::Unchanged } else { Outcome::done(many(loaded, "image")) }))
}

/// Tells that `work` begins, and how it ended.
async fn step<T>(
    progress: &Progress,
    id: &str,
    title: String,
    work: impl Future<Output = Result<(T, Outcome), Failure>>,
) -> Result<T, Failure> {
    let progress = progress.for_step(id);
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
    if plan.referrers > 0 {
        let _ = writeln!(text, "{} that refer to them", many(plan.referrers, "manifest"));
    }
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
    if let (Some(seconds), Some(rate)) = (planned.seconds, planned.rate) {
        let time = humantime::format_duration(Duration::from_secs(seconds));
        let measured = if planned.measured { " of the last copy between them" } else { "" };
        let _ = writeln!(text, "time: about {time}, at the {}/s{measured}", megabytes(rate));
    }
    text
}

fn done_text(done: &Done) -> String {
    let Copied { images, unchanged, referrers, blobs, bytes, mounted, traffic } = &done.copied;
    let mut text = format!("{} at {}; there already: {unchanged}\n", many(*images, "image"), done.to);
    let (blobs, mounted) = (many(*blobs, "blob"), many(*mounted, "blob"));
    let _ = writeln!(text, "moved: {blobs} with {}; {mounted} there or taken over", megabytes(*bytes));
    if *referrers > 0 {
        let _ = writeln!(text, "{} that refer to them", many(*referrers, "manifest"));
    }
    if let Some(loaded) = done.loaded {
        let _ = writeln!(text, "loaded into the engine: {}", many(loaded, "image"));
    }
    if traffic.requests > 0 {
        let _ = writeln!(text, "requests at the target: {}", traffic.requests);
    }
    text
}
