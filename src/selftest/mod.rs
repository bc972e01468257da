//! The self-test: proof that scenarios fail when they should. A mutation breaks one thing in a real lab; the
//! scenarios that depend on it must notice, and no others; then the lab is mended and they must pass again.
//!
//! A lab is broken by applying its own objects with something altered ([`crate::lab::altered`]), and mended by `up`,
//! which finds every difference by itself: also after a self-test that was killed.

mod edit;
mod judge;
mod kept;
mod settle;
mod show;
mod table;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use tokio_util::sync::CancellationToken;

pub use edit::{At, Edit, Misfit};
pub use judge::{Noticed, Outcome, Verdict};
pub use kept::Kept;
pub use show::{doubted, listed, page, told};
pub use table::{MUTATIONS, Mutation};

use crate::error::{Failure, Kind};
use crate::lab::altered::{Laid, Lot};
use crate::objects::ObjectRef;
use crate::observe::Proxy;
use crate::observe::prometheus::Prometheus;
use crate::plan::event::{self, Progress, What};
use crate::report::counted;
use crate::verify::doubt::{Answer, Doubted};
use crate::verify::record::{Scenario, Status};
use crate::verify::vocabulary::Vocabulary;
use crate::verify::{self, Options, Place};
use settle::{REMEMBERED, SOON, Settling};

/// How many scenarios run at once at least: those that fail spend their time waiting.
pub const PARALLEL: usize = 8;

/// What the user is told where the lab may be broken still.
const MEND: &str = "`istiolab up` mends what was broken.";

/// The mutations that were asked for: those that are named, else all or the usual ones.
///
/// # Errors
/// [`Kind::Usage`] for a name that no mutation has.
pub fn chosen(names: &[String], all: bool) -> Result<Vec<&'static Mutation>, Failure> {
    if names.is_empty() {
        return Ok(MUTATIONS.iter().filter(|mutation| all || mutation.is_default).collect());
    }
    let find = |name: &String| {
        MUTATIONS.iter().find(|mutation| mutation.name == name).ok_or_else(|| {
            Failure::new(Kind::Usage, format!("there is no mutation `{name}`"))
                .hint("`istiolab selftest mutate --list` shows them.")
        })
    };
    names.iter().map(find).collect()
}

/// Doubts the steps that scenarios use ([`verify::doubt`]), as a step of the run.
///
/// # Errors
/// As [`verify::run`].
pub async fn doubt(
    config: kube::Config,
    options: &Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Vec<Doubted>, Failure> {
    step(progress, "doubts", "letting steps expect something else", async |progress| {
        let doubts = verify::doubt::doubt(config, options, progress, cancel).await?;
        let fails = doubts.iter().filter(|doubted| doubted.answer == Answer::Fails).count();
        Ok((event::Outcome::done(format!("{} failed as they should", counted(fails, "step"))), doubts))
    })
    .await
}

/// Does something as a step of the phase of self-tests.
async fn step<T>(
    progress: &Progress,
    name: &str,
    title: &str,
    work: impl AsyncFnOnce(&Progress) -> Result<(event::Outcome, T), Failure>,
) -> Result<T, Failure> {
    let progress = progress.for_step(format!("selftest/{name}"));
    progress.emit(What::StepStarted { phase: "selftest".to_owned(), title: title.to_owned() });
    let begin = Instant::now();
    let (outcome, result) = match work(&progress).await {
        Ok((outcome, value)) => (outcome, Ok(value)),
        Err(failure) if failure.kind == Kind::Interrupted => (event::Outcome::Cancelled, Err(failure)),
        Err(failure) => (event::Outcome::Failed { error: failure.lines().join(": ") }, Err(failure)),
    };
    progress.emit(What::StepFinished { outcome, elapsed: begin.elapsed() });
    result
}

/// A lab that is up, to be tried.
pub struct Subject<'a> {
    /// Its objects.
    laid: Laid,
    /// Its state folder.
    folder: &'a Utf8Path,
    /// The way to its cluster.
    config: kube::Config,
    prometheus: Prometheus,
    /// Its scenarios.
    options: Options,
    vocabulary: Vocabulary,
    progress: &'a Progress,
    cancel: &'a CancellationToken,
}

/// What became of a lab that was broken.
#[derive(Default)]
struct Broken {
    written: Vec<ObjectRef>,
    records: Vec<Scenario>,
}

impl<'a> Subject<'a> {
    /// A lab by its objects, its state folder, the way to its cluster and its scenarios.
    ///
    /// # Errors
    /// A configuration that can't be used.
    pub fn new(
        laid: Laid,
        folder: &'a Utf8Path,
        config: kube::Config,
        options: Options,
        progress: &'a Progress,
        cancel: &'a CancellationToken,
    ) -> Result<Self, Failure> {
        let prometheus = Prometheus::of_lab(&Proxy::new(config.clone())?);
        let vocabulary = verify::vocabulary().map_err(|error| Failure::new(Kind::Unexpected, error))?;
        let options = Options { parallel: options.parallel.max(PARALLEL), ..options };
        Ok(Self { laid, folder, config, prometheus, options, vocabulary, progress, cancel })
    }

    /// Makes mutations, one after the other; `mend` brings the lab up again after each. What came of each is kept in
    /// the lab's journal.
    ///
    /// # Errors
    /// [`Kind::ScenariosFailed`] if scenarios fail before anything is broken; a lab that can't be mended; an
    /// interruption. In the last two cases the lab may be broken still, and the next `up` mends it.
    pub async fn mutate(
        &self,
        mutations: &[&'static Mutation],
        mend: impl AsyncFn() -> Result<(), Failure>,
    ) -> Result<Vec<Outcome>, Failure> {
        step(self.progress, "before", "running the scenarios before anything is broken", async |progress| {
            let records = self.sure(self.options.clone(), &BTreeSet::new(), progress).await?;
            let failed: Vec<String> =
                records.iter().filter(|record| record.status == Status::Failed).map(judge::name).collect();
            if failed.is_empty() {
                return Ok((event::Outcome::done(counted(records.len(), "scenario")), ()));
            }
            let text = format!("scenarios fail before anything is broken: {}", failed.join("; "));
            Err(Failure::new(Kind::ScenariosFailed, text).hint("`istiolab test` shows why."))
        })
        .await?;
        let mut outcomes = Vec::new();
        for mutation in mutations {
            let title = format!("{}: {}", mutation.name, mutation.breaks);
            let outcome = step(self.progress, mutation.name, &title, async |progress| {
                let begin = Instant::now();
                let mut outcome = self.made(mutation, &mend, progress).await?;
                outcome.seconds = tenths(begin.elapsed());
                Ok((ended(&outcome), outcome))
            })
            .await?;
            Kept::add(self.folder, std::slice::from_ref(&outcome), &[])?;
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    async fn made(
        &self,
        mutation: &Mutation,
        mend: &impl AsyncFn() -> Result<(), Failure>,
        progress: &Progress,
    ) -> Result<Outcome, Failure> {
        let mut outcome = Outcome { mutation: mutation.name.to_owned(), ..Outcome::default() };
        let skipped =
            |outcome: Outcome, why: String| Outcome { verdict: Verdict::Skipped, problems: vec![why], ..outcome };
        let mut lots = self.laid.lots();
        for edit in mutation.edits {
            match edit.make(&mut lots) {
                Ok(()) => {}
                Err(misfit @ Misfit::Missing(_)) => return Ok(skipped(outcome, misfit.to_string())),
                Err(misfit) => return Ok(Outcome { problems: vec![misfit.to_string()], ..outcome }),
            }
        }
        let wanted = self.depending_on(mutation)?;
        if wanted.is_empty() {
            return Ok(skipped(outcome, format!("the lab has no scenario that answers `{}`", mutation.noticed_by)));
        }
        // From here on the lab is broken, whatever happens.
        let broken = match self.broken(mutation, &lots, &wanted, progress).await {
            Ok(broken) => {
                outcome.problems = judge::problems(&broken.records, &wanted);
                broken
            }
            Err(failure) if failure.kind == Kind::Interrupted => return Err(still_broken(failure, progress)),
            Err(failure) => {
                outcome.problems.push(format!("it could not be made: {}", failure.lines().join(": ")));
                Broken::default()
            }
        };
        outcome.noticed = judge::noticed(&broken.records, &self.vocabulary);
        for noticed in &outcome.noticed {
            progress.detail(format!("{}\n{}", noticed.scenario, noticed.error));
        }
        let failed = broken.records.iter().filter(|record| record.status == Status::Failed);
        let concerned = failed.map(|record| (record.file.clone(), record.line)).chain(wanted).collect();
        let unmended = self.mended(mend, &broken.written, mutation.over, concerned, progress).await;
        outcome.problems.extend(unmended.map_err(|failure| still_broken(failure, progress))?);
        outcome.verdict = if outcome.problems.is_empty() { Verdict::Noticed } else { Verdict::Failed };
        Ok(outcome)
    }

    /// The places of the scenarios that depend on what a mutation breaks.
    fn depending_on(&self, mutation: &Mutation) -> Result<BTreeSet<Place>, Failure> {
        let tags = match &self.options.tags {
            Some(tags) => format!("({tags}) and ({})", mutation.noticed_by),
            None => mutation.noticed_by.to_owned(),
        };
        let selected = verify::selected(&Options { tags: Some(tags), ..self.options.clone() })?;
        Ok(selected.into_iter().map(|(_, place)| place).collect())
    }

    /// Breaks the lab and runs all of its scenarios.
    async fn broken(
        &self,
        mutation: &Mutation,
        lots: &[Lot],
        wanted: &BTreeSet<Place>,
        progress: &Progress,
    ) -> Result<Broken, Failure> {
        progress.status("breaking it");
        let written = self.laid.apply(lots, progress, self.cancel).await?;
        let gone = mutation.gone.map(|gone| (gone, SOON));
        self.settling(progress).settle(&written, mutation.is_stuck, gone).await?;
        let records = self.sure(self.options.clone(), wanted, progress).await?;
        Ok(Broken { written, records })
    }

    /// Mends the lab, and tells what does not pass of the scenarios that are concerned.
    async fn mended(
        &self,
        mend: &impl AsyncFn() -> Result<(), Failure>,
        written: &[ObjectRef],
        over: Option<&str>,
        concerned: BTreeSet<Place>,
        progress: &Progress,
    ) -> Result<Vec<String>, Failure> {
        progress.status("mending it");
        mend().await?;
        self.settling(progress).settle(written, false, over.map(|over| (over, REMEMBERED))).await?;
        let options = Options { only: Some(concerned), ..self.options.clone() };
        let records = self.sure(options, &BTreeSet::new(), progress).await?;
        let failed = records.iter().filter(|record| record.status != Status::Passed);
        Ok(failed.map(|record| format!("does not pass again after it was mended: {}", judge::name(record))).collect())
    }

    fn settling<'b>(&'b self, progress: &'b Progress) -> Settling<'b> {
        Settling { api: self.laid.api(), prometheus: &self.prometheus, progress, cancel: self.cancel }
    }

    /// Runs scenarios of which those at the places `wanted` are to fail. What comes as a surprise is run once more, and
    /// only that counts: a busy machine is no mutation.
    async fn sure(
        &self,
        options: Options,
        wanted: &BTreeSet<Place>,
        progress: &Progress,
    ) -> Result<Vec<Scenario>, Failure> {
        let mut records = self.run(options.clone(), progress).await?;
        let surprising = judge::surprising(&records, wanted);
        if surprising.is_empty() {
            return Ok(records);
        }
        for record in records.iter().filter(|record| surprising.contains(&(record.file.clone(), record.line))) {
            let told = record.error.as_deref().unwrap_or("it passed");
            progress.detail(format!("Surprising, and run again: {}\n{told}", judge::name(record)));
        }
        let again = self.run(Options { only: Some(surprising.clone()), ..options }, progress).await?;
        records.retain(|record| !surprising.contains(&(record.file.clone(), record.line)));
        records.extend(again);
        Ok(records)
    }

    /// Runs scenarios. What they tell is not for the reports of this run: there they are to fail.
    async fn run(&self, options: Options, progress: &Progress) -> Result<Vec<Scenario>, Failure> {
        let (own, mut events) = Progress::channel();
        let running = async move {
            let result = verify::run(self.config.clone(), options, &own, self.cancel).await;
            drop(own);
            result
        };
        let reading = async {
            let (mut records, mut failed) = (Vec::new(), 0);
            while let Some(event) = events.recv().await {
                let What::Scenario(record) = event.what else { continue };
                failed += usize::from(record.status == Status::Failed);
                records.push(*record);
                progress.status(format!("{} have ended, {failed} failed", counted(records.len(), "scenario")));
            }
            records
        };
        let (result, records) = tokio::join!(running, reading);
        result.map(|_| records)
    }
}

/// A failure after which the lab may be broken. Warned of as well, for what ends the run may have another word.
fn still_broken(failure: Failure, progress: &Progress) -> Failure {
    progress.warn(format!("The lab may be broken still; {MEND}"));
    Failure { hints: vec![MEND.to_owned()], ..failure }
}

/// How the step of a mutation ended.
fn ended(outcome: &Outcome) -> event::Outcome {
    match outcome.verdict {
        Verdict::Noticed => event::Outcome::done(format!("noticed by {}", counted(outcome.noticed.len(), "scenario"))),
        Verdict::Skipped => event::Outcome::done(format!("skipped: {}", outcome.problems.join("; "))),
        Verdict::Failed => event::Outcome::Failed { error: outcome.problems.join("; ") },
    }
}

/// Seconds as they are told.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_are_chosen_by_name() {
        let names = |names: &[&str], all| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            chosen(&names, all).map(|chosen| chosen.iter().map(|mutation| mutation.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["zipkin", "webhook"], false).expect("they are there"), ["zipkin", "webhook"]);
        assert_eq!(names(&["moon"], false).expect_err("it is not there").kind, Kind::Usage);
        assert_eq!(names(&[], true).expect("all").len(), MUTATIONS.len());
        let usual = names(&[], false).expect("the usual ones");
        assert!(usual.contains(&"webhook") && !usual.contains(&"istiod"), "{usual:?}");
    }
}
