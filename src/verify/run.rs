//! Runs scenarios with cucumber and tells each one's end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use cucumber::codegen::LocalBoxFuture;
use cucumber::event::Retries;
use cucumber::gherkin::{Feature, Scenario};
use cucumber::runner::basic::RetryOptions;
use cucumber::{Runner as _, event, runner, step};
use futures::{StreamExt as _, stream};
use regex::Regex;

use super::perform::perform;
use super::record::{self, Status};
use super::select::{self, Place, Selection, place};
use super::told::{INTERRUPTED, failure, told, unrun};
use super::trail::{Summary, Trail};
use super::unmet::Unmet;
use super::world::{Scene, Shared, World};
use super::{Ended, Options, Ran, involved, leaks, leftovers, tags};
use crate::error::{Failure, Kind};
use crate::plan::event::{Progress, What};

/// The trails of the scenarios that began, one for each try. The next try may begin before the end of
/// the one before it has been told.
type Trails = Arc<Mutex<BTreeMap<Place, VecDeque<Trail>>>>;

/// Why scenarios that were selected did not run.
const STOPPED: &str = "stopped after the first failure";

/// A scenario that has not been told yet: with its feature, and its tries that failed.
struct Waiting {
    feature: Arc<Feature>,
    scenario: Scenario,
    failed: Vec<Summary>,
}

/// Runs the selection to its end; must be polled on a thread of its own, because cucumber's
/// futures stay where they are.
///
/// # Errors
/// [`Kind::Unexpected`] if cucumber can't be set up: a fault of the program.
pub(super) async fn execute(
    shared: Shared,
    selection: Selection,
    options: &Options,
    progress: &Progress,
) -> Result<Ran, Failure> {
    let shared = Arc::new(shared);
    let trails = Trails::default();
    let mut teller = Teller { ran: Ran::default(), progress: progress.clone() };
    for (feature, scenario, reason) in &selection.skipped {
        teller.tell(unrun(feature, scenario, reason));
    }
    let mut waiting: BTreeMap<Place, Waiting> = BTreeMap::new();
    for feature in &selection.features {
        let shared = Arc::new(feature.clone());
        for scenario in select::scenarios(feature) {
            let one = Waiting { feature: Arc::clone(&shared), scenario: scenario.clone(), failed: Vec::new() };
            waiting.insert(place(feature, scenario), one);
        }
    }
    let cancel = shared.cancel.clone();
    let runner = configured(&shared, &trails, options)?;
    let features = stream::iter(selection.features.into_iter().map(Ok));
    let mut events = std::pin::pin!(runner.run(features, runner::basic::Cli::default()));
    while let Some(event) = events.next().await {
        let Some((place, retries)) = event.ok().and_then(|event| finished(event.into_inner())) else { continue };
        // An interrupted scenario has been told already, although cucumber tries it again.
        let Some(mut one) = waiting.remove(&place) else { continue };
        let summary = take(&trails, &place).summary();
        let again = retries.is_some_and(|retries| retries.left > 0) && !summary.interrupted;
        if again && failure(&place.0, &summary).is_some() {
            one.failed.push(summary);
            waiting.insert(place, one);
        } else {
            teller.tell(told(&one.feature, &one.scenario, summary, one.failed));
        }
    }
    let reason = if cancel.is_cancelled() { INTERRUPTED } else { STOPPED };
    for Waiting { feature, scenario, mut failed } in waiting.into_values() {
        teller.tell(match failed.pop() {
            // What was to be tried again has failed all the same.
            Some(last) => told(&feature, &scenario, last, failed),
            None => unrun(&feature, &scenario, reason),
        });
    }
    Ok(teller.ran)
}

/// The trail of the scenario's oldest try that has not been taken.
fn take(trails: &Trails, place: &Place) -> Trail {
    let mut trails = trails.lock().unwrap_or_else(PoisonError::into_inner);
    trails.get_mut(place).and_then(VecDeque::pop_front).unwrap_or_default()
}

fn configured(
    shared: &Arc<Shared>,
    trails: &Trails,
    options: &Options,
) -> Result<impl cucumber::Runner<World, Cli = runner::basic::Cli> + use<>, Failure> {
    // The vocabulary finds steps, and scenarios with steps that it does not know are refused before
    // they begin: cucumber need not look, too. A step may stand after any keyword.
    let any = Regex::new("^").map_err(|error| Failure::new(Kind::Unexpected, error))?;
    let steps = step::Collection::new()
        .given(None, any.clone(), dispatch)
        .when(None, any.clone(), dispatch)
        .then(None, any, dispatch);
    let (given, retries) = (options.retry, Arc::clone(shared));
    let (shared, trails, deadline) = (Arc::clone(shared), Arc::clone(trails), options.deadline);
    let runner = runner::Basic::<World>::default()
        .steps(steps)
        .max_concurrent_scenarios(options.parallel.max(1))
        .retry_options(move |feature, _, scenario, _| retry(&retries, feature, scenario, given))
        .before(move |feature, _, scenario, world| {
            let trail = Trail::default();
            let mut begun = trails.lock().unwrap_or_else(PoisonError::into_inner);
            begun.entry(place(feature, scenario)).or_default().push_back(trail.clone());
            drop(begun);
            let refused = refused(&shared, &trail, feature, scenario);
            let limit = tags::deadline(feature, scenario).unwrap_or(deadline);
            world.0 = Some(Scene::new(Arc::clone(&shared), trail, limit));
            Box::pin(async move {
                if refused {
                    fail("the scenario can't run");
                }
            })
        })
        .after(|_, _, _, _, world| Box::pin(after(world)));
    Ok(if options.fail_fast { runner.fail_fast() } else { runner })
}

/// How often a scenario is tried again. One that can't run is not: nothing would change.
fn retry(shared: &Shared, feature: &Feature, scenario: &Scenario, given: usize) -> Option<RetryOptions> {
    let times = tags::retries(feature, scenario).unwrap_or(given);
    let known = || select::steps(feature, scenario).all(|step| shared.vocabulary.find(&step.value).is_ok());
    (times > 0 && known()).then(|| RetryOptions { retries: Retries::initial(times), after: None })
}

/// Refuses a scenario of which a step is unknown before anything of it runs, or that comes after an
/// interruption.
fn refused(shared: &Shared, trail: &Trail, feature: &Feature, scenario: &Scenario) -> bool {
    if shared.cancel.is_cancelled() {
        trail.interrupt();
        trail.finish();
        return true;
    }
    let mut refused = false;
    for step in select::steps(feature, scenario) {
        if let Err(unknown) = shared.vocabulary.find(&step.value) {
            trail.begin(&step.keyword, &step.value, step.position.line);
            trail.end(Status::Failed, Some(unknown.to_string()));
            refused = true;
        }
    }
    refused
}

fn dispatch(world: &mut World, context: step::Context) -> LocalBoxFuture<'_, ()> {
    Box::pin(async move {
        if let Some(scene) = &mut world.0
            && let Err(text) = perform(scene, &context.step).await
        {
            fail(&text);
        }
    })
}

/// Tells cucumber that a step failed: it knows no other way than unwinding, and catches it.
fn fail(text: &str) {
    std::panic::resume_unwind(Box::new(text.to_owned()));
}

/// Takes away what the scenario made, and looks for what else it left. Runs also after a failure and
/// an interruption.
async fn after(world: Option<&mut World>) {
    let Some(scene) = world.and_then(|world| world.0.as_mut()) else { return };
    let trail = scene.trail.clone();
    if trail.has_failed() {
        involved::tell(scene).await;
    }
    let mut left = None;
    if !scene.is_clean() {
        trail.begin("After", "what the scenario made is deleted and gone", 0);
        left = cleaned(&trail, leftovers::clear(scene).await);
    }
    // What is known to have stayed need not be looked for.
    if scene.touched && left.is_none() && !scene.shared.cancel.is_cancelled() {
        trail.begin("After", "nothing of the scenario stayed", 0);
        left = cleaned(&trail, leaks::look(scene).await);
    }
    trail.finish();
    if let Some(text) = left {
        fail(&text);
    }
}

/// Ends a step of cleaning up; its text if it failed.
fn cleaned(trail: &Trail, outcome: Result<(), Unmet>) -> Option<String> {
    let Err(unmet) = outcome else {
        trail.end(Status::Passed, None);
        return None;
    };
    let interrupted = trail.summary().interrupted;
    trail.end(if interrupted { Status::Skipped } else { Status::Failed }, Some(unmet.text()));
    Some(unmet.text())
}

/// The place of a scenario of which an event says that a try has ended, and which tries are left.
fn finished(event: event::Cucumber<World>) -> Option<(Place, Option<Retries>)> {
    let event::Cucumber::Feature(feature, event) = event else { return None };
    let (event::Feature::Scenario(scenario, event) | event::Feature::Rule(_, event::Rule::Scenario(scenario, event))) =
        event
    else {
        return None;
    };
    matches!(event.event, event::Scenario::Finished).then(|| (place(&feature, &scenario), event.retries))
}

/// Counts and emits records.
struct Teller {
    ran: Ran,
    progress: Progress,
}

impl Teller {
    fn tell(&mut self, record: record::Scenario) {
        self.ran.scenarios.push(Ended {
            scenario: format!("{}: {}", record.feature, record.name),
            place: (record.file.clone(), record.line),
            status: record.status,
            failed_tries: record.tries.len(),
        });
        self.progress.emit(What::Scenario(Box::new(record)));
    }
}

#[cfg(test)]
mod tests;
