//! Steps as a graph, run as soon as what they need is there.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::event::{Outcome, Progress, What};
use crate::error::{Failure, Kind};

type Work = Box<dyn FnOnce(Context) -> Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>> + Send>;

/// What a running step gets: where to report, and when to stop.
#[derive(Clone, Debug)]
pub struct Context {
    /// Speaks for this step.
    pub progress: Progress,
    /// Cancelled when the user interrupts or another step fails.
    pub cancel: CancellationToken,
}

/// A unit of work with the names of those that must end before it.
struct Step {
    phase: String,
    title: String,
    after: Vec<String>,
    weight: u32,
    work: Work,
}

/// A set of steps. Names are unique; a step may only come after steps that were added before it,
/// so that a cycle can't be built.
#[derive(Default)]
pub struct Graph {
    steps: BTreeMap<String, Step>,
    order: Vec<String>,
}

/// How long each step of a finished graph took, in the order in which they ended.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The steps that ran.
    pub steps: Vec<Finished>,
}

/// One step that ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The step's name.
    pub id: String,
    /// The phase it belongs to.
    pub phase: String,
    /// From the start of the graph.
    pub started: Duration,
    /// Its own time.
    pub elapsed: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

impl Graph {
    /// An empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step that takes no share of the weight limit.
    ///
    /// # Panics
    /// If the name is taken or `after` names a step that is not there: both are faults of the caller.
    pub fn add<F, Fut>(&mut self, id: &str, phase: &str, title: &str, after: &[&str], work: F)
    where
        F: FnOnce(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Outcome, Failure>> + Send + 'static,
    {
        self.add_weighted(id, phase, title, after, 0, work);
    }

    /// Adds a step that takes `weight` of the limit given to [`Graph::run`] while it runs.
    ///
    /// # Panics
    /// As [`Graph::add`].
    pub fn add_weighted<F, Fut>(&mut self, id: &str, phase: &str, title: &str, after: &[&str], weight: u32, work: F)
    where
        F: FnOnce(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Outcome, Failure>> + Send + 'static,
    {
        assert!(!self.steps.contains_key(id), "step `{id}` was added twice");
        for name in after {
            assert!(self.steps.contains_key(*name), "step `{id}` comes after `{name}`, which is not there");
        }
        let step = Step {
            phase: phase.to_owned(),
            title: title.to_owned(),
            after: after.iter().map(|&name| name.to_owned()).collect(),
            weight,
            work: Box::new(move |context| Box::pin(work(context))),
        };
        self.steps.insert(id.to_owned(), step);
        self.order.push(id.to_owned());
    }

    /// Whether a step of this name is there.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.steps.contains_key(id)
    }

    /// The names of the steps in the order in which they were added.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.order
    }

    /// Runs every step as soon as those before it have ended, with at most `limit` weight at once.
    /// The first failure cancels the rest; steps that run are given the chance to stop.
    ///
    /// # Errors
    /// The first failure, with the step's title as context; [`Kind::Interrupted`] when `cancel` was
    /// the reason.
    pub async fn run(
        mut self,
        limit: u32,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Summary, Failure> {
        let begin = Instant::now();
        let permits = Arc::new(Semaphore::new(limit.max(1) as usize));
        let inner = cancel.child_token();
        let mut summary = Summary::default();
        let mut ended = BTreeSet::new();
        let mut running = JoinSet::new();
        let mut failure: Option<Failure> = None;
        loop {
            if failure.is_none() && !inner.is_cancelled() {
                for id in self.ready(&ended) {
                    let step = self.steps.remove(&id).unwrap_or_else(|| unreachable!("`{id}` was listed as ready"));
                    let permits = Arc::clone(&permits);
                    let context = Context { progress: progress.for_step(&id), cancel: inner.clone() };
                    let weight = step.weight.min(limit.max(1));
                    running.spawn(async move {
                        let _permit = permits.acquire_many_owned(weight).await;
                        let started = begin.elapsed();
                        context
                            .progress
                            .emit(What::StepStarted { phase: step.phase.clone(), title: step.title.clone() });
                        let result = if context.cancel.is_cancelled() {
                            Ok(Outcome::Cancelled)
                        } else {
                            (step.work)(context.clone()).await
                        };
                        let elapsed = begin.elapsed().saturating_sub(started);
                        let outcome = match &result {
                            Ok(outcome) => outcome.clone(),
                            Err(failure) if failure.kind == Kind::Interrupted => Outcome::Cancelled,
                            Err(failure) => Outcome::Failed { error: failure.lines().join(": ") },
                        };
                        context.progress.emit(What::StepFinished { outcome: outcome.clone(), elapsed });
                        let finished = Finished { id, phase: step.phase, started, elapsed, outcome };
                        (finished, result.err().map(|failure| failure.context(step.title)))
                    });
                }
            }
            match running.join_next().await {
                None => break,
                Some(Ok((finished, failed))) => {
                    ended.insert(finished.id.clone());
                    summary.steps.push(finished);
                    if let Some(new) = failed {
                        inner.cancel();
                        // An interruption that follows from the first failure must not hide it.
                        if failure.as_ref().is_none_or(|old| old.kind == Kind::Interrupted) {
                            failure = Some(new);
                        }
                    }
                }
                Some(Err(panic)) => {
                    inner.cancel();
                    failure = Some(Failure::new(Kind::Unexpected, panic));
                }
            }
        }
        if cancel.is_cancelled() {
            return Err(interrupted());
        }
        match failure {
            Some(failure) => Err(failure),
            None => Ok(summary),
        }
    }

    fn ready(&self, ended: &BTreeSet<String>) -> Vec<String> {
        self.order
            .iter()
            .filter(|id| self.steps.get(*id).is_some_and(|step| step.after.iter().all(|name| ended.contains(name))))
            .cloned()
            .collect()
    }
}

/// The failure of a step that stopped because it was asked to.
#[must_use]
pub fn interrupted() -> Failure {
    Failure::new(Kind::Interrupted, "interrupted").hint("Run the same command again; it goes on from here.")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn log(into: &Arc<Mutex<Vec<String>>>, text: &str) {
        into.lock().expect("no poisoned lock").push(text.to_owned());
    }

    #[tokio::test]
    async fn steps_wait_for_those_before_them() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut graph = Graph::new();
        for (id, after) in [("a", &[][..]), ("b", &["a"][..]), ("c", &["a", "b"][..])] {
            let seen = Arc::clone(&seen);
            graph.add(id, "test", id, after, move |_| async move {
                log(&seen, id);
                Ok(Outcome::Unchanged)
            });
        }
        let summary = graph.run(2, &Progress::silent(), &CancellationToken::new()).await.expect("no step fails");
        assert_eq!(*seen.lock().expect("no poisoned lock"), ["a", "b", "c"]);
        assert_eq!(summary.steps.len(), 3);
    }

    #[tokio::test]
    async fn a_failure_stops_what_comes_after_and_names_the_step() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut graph = Graph::new();
        graph.add("a", "test", "making a", &[], |_| async { Err(Failure::new(Kind::TimedOut, "too slow")) });
        let after = Arc::clone(&seen);
        graph.add("b", "test", "making b", &["a"], move |_| async move {
            log(&after, "b");
            Ok(Outcome::Unchanged)
        });
        let failure = graph.run(2, &Progress::silent(), &CancellationToken::new()).await.expect_err("a fails");
        assert_eq!(failure.kind, Kind::TimedOut);
        assert_eq!(failure.lines(), ["making a", "too slow"]);
        assert!(seen.lock().expect("no poisoned lock").is_empty());
    }

    #[tokio::test]
    async fn an_interruption_is_told_as_one() {
        let mut graph = Graph::new();
        graph.add("a", "test", "a", &[], |context| async move {
            context.cancel.cancelled().await;
            Err(interrupted())
        });
        let cancel = CancellationToken::new();
        cancel.cancel();
        let failure = graph.run(1, &Progress::silent(), &cancel).await.expect_err("it was cancelled");
        assert_eq!(failure.kind, Kind::Interrupted);
    }

    #[tokio::test]
    async fn weights_bound_what_runs_at_once() {
        let most = Arc::new(Mutex::new((0_u32, 0_u32)));
        let mut graph = Graph::new();
        for id in ["a", "b", "c", "d"] {
            let most = Arc::clone(&most);
            graph.add_weighted(id, "test", id, &[], 1, move |_| async move {
                {
                    let mut count = most.lock().expect("no poisoned lock");
                    count.0 += 1;
                    count.1 = count.1.max(count.0);
                }
                tokio::task::yield_now().await;
                most.lock().expect("no poisoned lock").0 -= 1;
                Ok(Outcome::Unchanged)
            });
        }
        graph.run(2, &Progress::silent(), &CancellationToken::new()).await.expect("no step fails");
        assert!(most.lock().expect("no poisoned lock").1 <= 2);
    }
}
