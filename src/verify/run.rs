//! Runs scenarios with cucumber and tells each one's end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use super::leftovers;
use super::perform::perform;
use super::record::{self, Status, Step};
use super::select::{self, Place, Selection, place};
use super::trail::{Summary, Trail};
use super::world::{Scene, Shared, World};
use super::{Ended, Options, Ran};
use crate::observe::proxy::cut;
use crate::plan::event::{Progress, What};
use cucumber::codegen::LocalBoxFuture;
use cucumber::gherkin::{Feature, Scenario};
use cucumber::{Runner as _, event, runner, step};
use futures::{StreamExt as _, stream};

/// The trails of the scenarios that began.
type Trails = Arc<Mutex<BTreeMap<Place, Trail>>>;

/// Why scenarios that were selected did not run.
const STOPPED: &str = "stopped after the first failure";
const INTERRUPTED: &str = "interrupted";

/// Runs the selection to its end; must be polled on a thread of its own, because cucumber's
/// futures stay where they are.
pub(super) async fn execute(shared: Shared, selection: Selection, options: &Options, progress: &Progress) -> Ran {
    let shared = Arc::new(shared);
    let trails = Trails::default();
    let mut teller = Teller { ran: Ran::default(), progress: progress.clone() };
    for (feature, scenario, reason) in &selection.skipped {
        teller.tell(unrun(feature, scenario, reason));
    }
    let mut waiting: BTreeMap<Place, (Feature, Scenario)> = selection
        .scenarios()
        .map(|(feature, scenario)| (place(feature, scenario), (feature.clone(), scenario.clone())))
        .collect();
    let cancel = shared.cancel.clone();
    let runner = configured(&shared, &trails, options);
    let features = stream::iter(selection.features.into_iter().map(Ok));
    let mut events = std::pin::pin!(runner.run(features, runner::basic::Cli::default()));
    while let Some(event) = events.next().await {
        let Some((feature, scenario)) = event.ok().and_then(|event| finished(event.into_inner())) else { continue };
        let place = place(&feature, &scenario);
        waiting.remove(&place);
        let trail = trails.lock().unwrap_or_else(PoisonError::into_inner).remove(&place).unwrap_or_default();
        teller.tell(told(&feature, &scenario, trail.summary()));
    }
    let reason = if cancel.is_cancelled() { INTERRUPTED } else { STOPPED };
    for (feature, scenario) in waiting.into_values() {
        teller.tell(unrun(&feature, &scenario, reason));
    }
    teller.ran
}

fn configured(
    shared: &Arc<Shared>,
    trails: &Trails,
    options: &Options,
) -> impl cucumber::Runner<World, Cli = runner::basic::Cli> + use<> {
    let mut steps = step::Collection::new();
    for expression in shared.vocabulary.expressions() {
        // Keywords are for the reader; a step may stand after any of them.
        steps = steps.given(None, expression.clone(), dispatch).when(None, expression.clone(), dispatch).then(
            None,
            expression.clone(),
            dispatch,
        );
    }
    let (shared, trails) = (Arc::clone(shared), Arc::clone(trails));
    let runner = runner::Basic::<World>::default()
        .steps(steps)
        .max_concurrent_scenarios(options.parallel.max(1))
        // Waiting is the steps' business.
        .retry_options(|_, _, _, _| None)
        .before(move |feature, rule, scenario, world| {
            let trail = Trail::default();
            trails.lock().unwrap_or_else(PoisonError::into_inner).insert(place(feature, scenario), trail.clone());
            let steps = steps_of(feature, rule.and_then(|rule| rule.background.as_ref()), scenario);
            let refused = refused(&shared, &trail, &steps);
            world.0 = Some(Scene::new(Arc::clone(&shared), trail));
            Box::pin(async move {
                if refused {
                    fail("the scenario can't run");
                }
            })
        })
        .after(|_, _, _, _, world| Box::pin(after(world)));
    if options.fail_fast { runner.fail_fast() } else { runner }
}

/// The steps of a scenario with those that come before each of its kind.
fn steps_of<'a>(
    feature: &'a Feature,
    rule_background: Option<&'a cucumber::gherkin::Background>,
    scenario: &'a Scenario,
) -> Vec<&'a cucumber::gherkin::Step> {
    let before = feature.background.iter().chain(rule_background).flat_map(|background| &background.steps);
    before.chain(&scenario.steps).collect()
}

/// Refuses a scenario of which a step is unknown before anything of it runs, or that comes after an
/// interruption.
fn refused(shared: &Shared, trail: &Trail, steps: &[&cucumber::gherkin::Step]) -> bool {
    if shared.cancel.is_cancelled() {
        trail.interrupt();
        trail.finish();
        return true;
    }
    let mut refused = false;
    for step in steps {
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

/// Takes away what the scenario made. Runs also after a failure and an interruption.
async fn after(world: Option<&mut World>) {
    let Some(scene) = world.and_then(|world| world.0.as_mut()) else { return };
    let trail = scene.trail.clone();
    let mut left = None;
    if !scene.is_clean() {
        let interrupted = trail.summary().interrupted;
        trail.begin("After", "what the scenario made is deleted and gone", 0);
        match leftovers::clear(scene).await {
            Ok(()) => trail.end(Status::Passed, None),
            Err(unmet) => {
                left = Some(unmet.text());
                trail.end(if interrupted { Status::Skipped } else { Status::Failed }, left.clone());
            }
        }
    }
    trail.finish();
    if let Some(text) = left {
        fail(&text);
    }
}

/// The scenario that an event says has ended.
fn finished(event: event::Cucumber<World>) -> Option<(event::Source<Feature>, event::Source<Scenario>)> {
    let event::Cucumber::Feature(feature, event) = event else { return None };
    let (event::Feature::Scenario(scenario, event) | event::Feature::Rule(_, event::Rule::Scenario(scenario, event))) =
        event
    else {
        return None;
    };
    matches!(event.event, event::Scenario::Finished).then_some((feature, scenario))
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
        });
        self.progress.emit(What::Scenario(Box::new(record)));
    }
}

fn blank(feature: &Feature, scenario: &Scenario) -> record::Scenario {
    record::Scenario {
        feature: feature.name.clone(),
        name: scenario.name.clone(),
        file: select::file(feature),
        line: scenario.position.line,
        tags: feature.tags.iter().chain(&scenario.tags).cloned().collect(),
        ..record::Scenario::default()
    }
}

/// The record of a scenario that did not begin.
fn unrun(feature: &Feature, scenario: &Scenario, reason: &str) -> record::Scenario {
    record::Scenario { status: Status::Skipped, error: Some(reason.to_owned()), ..blank(feature, scenario) }
}

/// The record of a scenario that ran.
fn told(feature: &Feature, scenario: &Scenario, summary: Summary) -> record::Scenario {
    let failed: Vec<&Step> = summary.steps.iter().filter(|step| step.status == Status::Failed).collect();
    let (status, error) = if !failed.is_empty() {
        let file = select::file(feature);
        let texts: Vec<String> = failed.into_iter().map(|step| explained(&file, step)).collect();
        (Status::Failed, Some(texts.join("\n")))
    } else if summary.interrupted {
        (Status::Skipped, Some(INTERRUPTED.to_owned()))
    } else {
        (Status::Passed, None)
    };
    let mut steps = summary.steps;
    for step in &scenario.steps {
        // A step that did not come to run is in the record all the same.
        if !steps.iter().any(|ran| ran.line == step.position.line) {
            steps.push(Step {
                keyword: step.keyword.trim().to_owned(),
                text: step.value.clone(),
                line: step.position.line,
                status: Status::Skipped,
                ..Step::default()
            });
        }
    }
    // What happened after the steps has line 0 and stays at the end.
    steps.sort_by_key(|step| if step.line == 0 { usize::MAX } else { step.line });
    record::Scenario {
        status,
        error,
        steps,
        started: summary.started,
        elapsed: summary.elapsed,
        ..blank(feature, scenario)
    }
}

/// A failed step as a person reads it: where, what, why, and the last question with its answer.
fn explained(file: &str, step: &Step) -> String {
    let mut text = if step.line == 0 { String::new() } else { format!("{file}:{}: ", step.line) };
    // Writing to a string can't fail, here and below.
    let _ = write!(text, "{} {}", step.keyword, step.text);
    if let Some(error) = &step.error {
        let _ = write!(text, "\n  {}", error.replace('\n', "\n  "));
    }
    let last = step.evidence.iter().rev().find_map(|evidence| match &evidence.what {
        record::What::Exchange { request, sent, status, answer } => Some((request, sent, status, answer)),
        _ => None,
    });
    if let Some((request, sent, status, answer)) = last {
        let _ = write!(text, "\n  last request: {request}");
        if let Some(sent) = sent {
            let _ = write!(text, "\n    with {}", cut(sent, 600));
        }
        let status = status.map_or_else(|| "none:".to_owned(), |status| format!("status {status},"));
        let answer = cut(answer.trim(), 600).replace('\n', "\n    ");
        let _ = write!(text, "\n  last answer: {status} {answer}");
    }
    text
}

#[cfg(test)]
mod tests;
