//! What has happened so far, gathered from events: the source of every report.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::text::counted;
use crate::error::Kind;
use crate::observe::snapshot::Snapshot;
use crate::plan::event::{Event, Outcome, What};
use crate::spec::Lab;
use crate::verify::record::{Scenario, Status};

/// A run so far.
#[derive(Clone, Debug)]
pub struct Tally {
    /// The lab, where one is known.
    pub lab: Option<Lab>,
    /// When the run began.
    pub started: SystemTime,
    /// The time of the newest event.
    pub newest: SystemTime,
    /// Steps in the order in which they began.
    pub steps: Vec<StepRecord>,
    /// Objects that steps wait for, by step and object.
    pub waiting: BTreeMap<(String, String), Waited>,
    /// The objects that took longest to become ready, the slowest first.
    pub slowest: Vec<Slow>,
    /// Scenarios in the order in which they ended.
    pub scenarios: Vec<Scenario>,
    /// Images that the lab runs on: name to digest.
    pub images: BTreeMap<String, String>,
    /// What the mesh looked like at the end, where that could be seen.
    pub mesh: Option<Snapshot>,
    /// What should be known although nothing stopped.
    pub warnings: Vec<String>,
    /// How the run ended: exit code and error; `None` while it runs or if it was cut off.
    pub ended: Option<(u8, Option<String>)>,
}

/// A step that began.
#[derive(Clone, Debug)]
pub struct StepRecord {
    /// Its name, unique in the run.
    pub id: String,
    /// The phase that it belongs to.
    pub phase: String,
    /// What it does.
    pub title: String,
    /// From the start of the run.
    pub started: Duration,
    /// How it ended and how long it took; `None` while it runs.
    pub finished: Option<(Outcome, Duration)>,
}

/// An object that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// What is missing.
    pub state: String,
    /// How long it has been waited for when this was told.
    pub elapsed: Duration,
}

/// An object that took its time to become ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// `Deployment demo/frontend`.
    pub object: String,
    /// The step that waited for it.
    pub step: String,
    /// How long.
    pub elapsed: Duration,
    /// What was missing last.
    pub state: String,
}

/// How many of the slowest objects are kept.
const SLOWEST: usize = 20;
/// What takes less is not slow.
const SLOW: Duration = Duration::from_millis(500);

/// The steps of one phase together. Phases overlap, so that their times don't add up.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When the first of its steps began, from the start of the run.
    pub from: Duration,
    /// When the last one ended.
    pub to: Duration,
    /// How many steps.
    pub steps: usize,
    /// How many of them changed something.
    pub changed: usize,
    /// How many of them failed.
    pub failed: usize,
}

impl Tally {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(lab: Option<Lab>) -> Self {
        let now = SystemTime::now();
        Self {
            lab,
            started: now,
            newest: now,
            steps: Vec::new(),
            waiting: BTreeMap::new(),
            slowest: Vec::new(),
            scenarios: Vec::new(),
            images: BTreeMap::new(),
            mesh: None,
            warnings: Vec::new(),
            ended: None,
        }
    }

    /// Takes an event in.
    pub fn add(&mut self, event: &Event) {
        self.newest = self.newest.max(event.at);
        let id = event.step.clone().unwrap_or_default();
        match &event.what {
            What::StepStarted { phase, title } => self.steps.push(StepRecord {
                id,
                phase: phase.clone(),
                title: title.clone(),
                started: event.at.duration_since(self.started).unwrap_or_default(),
                finished: None,
            }),
            What::StepFinished { outcome, elapsed } => {
                if let Some(step) = self.steps.iter_mut().rev().find(|step| step.id == id) {
                    step.finished = Some((outcome.clone(), *elapsed));
                }
            }
            What::Object { object, state, ready: false, elapsed } => {
                let waited = Waited { state: state.clone(), elapsed: *elapsed };
                self.waiting.insert((id, object.clone()), waited);
            }
            What::Object { object, state, ready: true, elapsed } => {
                self.waiting.remove(&(id.clone(), object.clone()));
                let slow = Slow { object: object.clone(), step: id, elapsed: *elapsed, state: state.clone() };
                self.became_ready(slow);
            }
            What::Scenario(scenario) => self.scenarios.push((**scenario).clone()),
            What::Mesh(snapshot) => self.mesh = Some((**snapshot).clone()),
            What::Image { name, digest } => drop(self.images.insert(name.clone(), digest.clone())),
            What::Warning { text } => self.warnings.push(text.clone()),
            What::Ended { code, error } => self.ended = Some(self.verdict(*code, error.clone())),
            What::Status { .. } | What::Note { .. } | What::Detail { .. } => {}
        }
    }

    fn became_ready(&mut self, new: Slow) {
        if new.elapsed < SLOW {
            return;
        }
        let place = self.slowest.partition_point(|slow| slow.elapsed >= new.elapsed);
        self.slowest.insert(place, new);
        self.slowest.truncate(SLOWEST);
    }

    /// A run that did all its work has failed all the same if scenarios did.
    fn verdict(&self, code: u8, error: Option<String>) -> (u8, Option<String>) {
        let failed = self.count(Status::Failed);
        if code == 0 && failed > 0 {
            return (Kind::ScenariosFailed.code(), Some(format!("{} failed", counted(failed, "scenario"))));
        }
        (code, error)
    }

    /// The step that an event speaks of.
    #[must_use]
    pub fn step(&self, event: &Event) -> Option<&StepRecord> {
        let id = event.step.as_deref()?;
        self.steps.iter().rev().find(|step| step.id == id)
    }

    /// How many scenarios ended with `status`.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.scenarios.iter().filter(|scenario| scenario.status == status).count()
    }

    /// From the start to the newest event.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.newest.duration_since(self.started).unwrap_or_default()
    }

    /// The phases in the order in which they began.
    #[must_use]
    pub fn phases(&self) -> Vec<Phase> {
        let mut phases: Vec<Phase> = Vec::new();
        for step in &self.steps {
            let end = step.finished.as_ref().map_or_else(|| self.elapsed(), |(_, elapsed)| step.started + *elapsed);
            let outcome = step.finished.as_ref().map(|(outcome, _)| outcome);
            let changed = usize::from(matches!(outcome, Some(Outcome::Done { .. })));
            let failed = usize::from(matches!(outcome, Some(Outcome::Failed { .. })));
            if let Some(phase) = phases.iter_mut().find(|phase| phase.name == step.phase) {
                phase.from = phase.from.min(step.started);
                phase.to = phase.to.max(end);
                phase.steps += 1;
                phase.changed += changed;
                phase.failed += failed;
            } else {
                phases.push(Phase { name: step.phase.clone(), from: step.started, to: end, steps: 1, changed, failed });
            }
        }
        phases
    }
}
