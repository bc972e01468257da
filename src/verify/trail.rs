//! What a running scenario leaves behind: its steps with their evidence, kept within bounds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::record::{Evidence, LONGEST_TEXT, MOST_EVIDENCE, Status, Step, What};
use crate::observe::Exchange;
use crate::observe::proxy::cut;

/// A scenario's trail. Cheap to clone; clones are the same trail.
#[derive(Clone, Debug)]
pub(super) struct Trail(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    begin: Instant,
    step_begin: Instant,
    summary: Summary,
}

/// A scenario as far as its trail tells it.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    /// When it began.
    pub(super) started: SystemTime,
    /// From its begin to its end, or until now.
    pub(super) elapsed: Duration,
    /// Steps that ran, or that were refused before anything ran.
    pub(super) steps: Vec<Step>,
    /// Whether it was stopped from outside.
    pub(super) interrupted: bool,
}

impl Default for Trail {
    fn default() -> Self {
        let now = Instant::now();
        let summary =
            Summary { started: SystemTime::now(), elapsed: Duration::ZERO, steps: Vec::new(), interrupted: false };
        Self(Arc::new(Mutex::new(Inner { begin: now, step_begin: now, summary })))
    }
}

impl Trail {
    /// A step begins; what is seen from now on belongs to it.
    pub(super) fn begin(&self, keyword: &str, text: impl Into<String>, line: usize) {
        let mut inner = self.lock();
        inner.step_begin = Instant::now();
        inner.summary.steps.push(Step {
            keyword: keyword.trim().to_owned(),
            text: text.into(),
            line,
            status: Status::Skipped,
            ..Step::default()
        });
    }

    /// The step ended with `status`, and why if it did not pass.
    pub(super) fn end(&self, status: Status, error: Option<String>) {
        let mut inner = self.lock();
        let elapsed = inner.step_begin.elapsed();
        if let Some(step) = inner.summary.steps.last_mut() {
            step.status = status;
            step.elapsed = elapsed;
            step.error = error.map(|error| cut(&error, 4 * LONGEST_TEXT));
        }
    }

    /// Keeps a question and its answer.
    pub(super) fn exchange(&self, exchange: Exchange) {
        self.keep(What::Exchange {
            request: cut(&exchange.request, LONGEST_TEXT),
            sent: exchange.sent.map(|sent| cut(&sent, LONGEST_TEXT)),
            status: exchange.status,
            answer: cut(&exchange.answer, LONGEST_TEXT),
        });
    }

    /// Keeps what a try of a check saw.
    pub(super) fn seen(&self, text: &str) {
        self.keep(What::Seen { text: cut(text, LONGEST_TEXT) });
    }

    /// What the newest try of the running step saw.
    pub(super) fn last_seen(&self) -> Option<String> {
        let inner = self.lock();
        inner.summary.steps.last()?.evidence.iter().rev().find_map(|evidence| match &evidence.what {
            What::Seen { text } => Some(text.clone()),
            _ => None,
        })
    }

    /// Whether a step has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().summary.steps.iter().any(|step| step.status == Status::Failed)
    }

    /// Keeps how an object of the scenario stood.
    pub(super) fn object(&self, text: &str) {
        self.keep(What::Object { text: cut(text, LONGEST_TEXT) });
    }

    /// Keeps a fact.
    pub(super) fn note(&self, text: &str) {
        self.keep(What::Note { text: cut(text, LONGEST_TEXT) });
    }

    /// The scenario was stopped from outside.
    pub(super) fn interrupt(&self) {
        self.lock().summary.interrupted = true;
    }

    /// The scenario ended: its time stops.
    pub(super) fn finish(&self) {
        let mut inner = self.lock();
        inner.summary.elapsed = inner.begin.elapsed();
    }

    /// What there is so far.
    #[must_use]
    pub(super) fn summary(&self) -> Summary {
        let inner = self.lock();
        let mut summary = inner.summary.clone();
        if summary.elapsed.is_zero() {
            summary.elapsed = inner.begin.elapsed();
        }
        summary
    }

    fn keep(&self, what: What) {
        let mut inner = self.lock();
        let at = inner.step_begin.elapsed();
        let Some(step) = inner.summary.steps.last_mut() else { return };
        // The same answer again is a count, not another page. A round of a repeated check may have
        // several questions, so that equals are looked for a few places back.
        let tail = step.evidence.len().saturating_sub(6);
        if let Some(same) = step.evidence[tail..].iter_mut().rev().find(|kept| kept.what == what) {
            same.times += 1;
            return;
        }
        if step.evidence.len() == MOST_EVIDENCE {
            // The first ones show where it began; of the rest the newest count.
            step.evidence.remove(MOST_EVIDENCE / 4);
            step.omitted += 1;
        }
        step.evidence.push(Evidence { at, times: 1, what });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A step that panicked while it wrote a line leaves lines that can still be read.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_answers_are_counted() {
        let trail = Trail::default();
        trail.begin("Then ", "x", 3);
        for text in ["a", "b", "a", "b", "a"] {
            trail.seen(text);
        }
        trail.end(Status::Failed, Some("no".to_owned()));
        let step = trail.summary().steps.remove(0);
        assert_eq!((step.keyword.as_str(), step.line, step.status), ("Then", 3, Status::Failed));
        assert_eq!(step.evidence.iter().map(|kept| kept.times).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn evidence_is_bounded_and_says_so() {
        let trail = Trail::default();
        trail.begin("Then", "x", 1);
        for number in 0..MOST_EVIDENCE + 5 {
            trail.note(&number.to_string());
        }
        trail.note(&"long ".repeat(2000));
        let step = trail.summary().steps.remove(0);
        assert_eq!((step.evidence.len(), step.omitted), (MOST_EVIDENCE, 6));
        let What::Note { text } = &step.evidence[MOST_EVIDENCE - 1].what else { panic!("it is a note") };
        assert!(text.len() < LONGEST_TEXT + 50 && text.ends_with("bytes more)"), "{text}");
        let What::Note { text } = &step.evidence[0].what else { panic!("it is a note") };
        assert_eq!(text, "0");
    }
}
