//! What happens, as typed events. Steps emit them, reports read them; nothing else prints.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::mpsc;

/// Something that happened, with its time.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// When, by the wall clock.
    #[serde(with = "unix_millis")]
    pub at: SystemTime,
    /// The step it belongs to; `None` for the run as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of events.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// A step began.
    StepStarted {
        /// The phase it belongs to, for the table of phases.
        phase: String,
        /// What it does, as a person would say it.
        title: String,
    },
    /// The step's newest state, for a status line.
    Status {
        /// A short text without a line break.
        text: String,
    },
    /// How an object that a step waits for stands now.
    Object {
        /// `Deployment demo/frontend`.
        object: String,
        /// What is missing, or was missing last if it is ready.
        state: String,
        /// Whether it is ready.
        ready: bool,
        /// Since the step began to wait.
        #[serde(serialize_with = "seconds")]
        elapsed: Duration,
    },
    /// A fact that stays on the screen.
    Note {
        /// A full sentence.
        text: String,
    },
    /// Something the user should know that does not stop the run.
    Warning {
        /// A full sentence.
        text: String,
    },
    /// Detail for `-v`.
    Detail {
        /// Free text.
        text: String,
    },
    /// A step ended.
    StepFinished {
        /// How.
        outcome: Outcome,
        /// How long it took.
        #[serde(serialize_with = "seconds")]
        elapsed: Duration,
    },
    /// A scenario ended; the whole record goes to the reports.
    Scenario(Box<crate::verify::record::Scenario>),
    /// What the mesh looked like when the scenarios had ended.
    Mesh(Box<crate::observe::snapshot::Snapshot>),
    /// An image that the lab runs on.
    Image {
        /// Its full name.
        name: String,
        /// The digest of its manifest, `sha256:…`.
        digest: String,
    },
    /// The run as a whole ended; without this event it was cut off.
    Ended {
        /// The exit code.
        code: u8,
        /// What the user was told, if it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It changed something; `what` says what, briefly ("27 objects").
    Done {
        /// Empty when there is nothing to add.
        what: String,
    },
    /// Everything was already as it should be.
    Unchanged,
    /// It failed with this message.
    Failed {
        /// The first line of the failure.
        error: String,
    },
    /// It did not run, or was stopped, because of another failure or an interruption.
    Cancelled,
}

impl Outcome {
    /// A step that changed something.
    pub fn done(what: impl Into<String>) -> Self {
        Self::Done { what: what.into() }
    }
}

/// Where events go: a cheap handle that knows the step it speaks for.
#[derive(Clone, Debug)]
pub struct Progress {
    sender: mpsc::UnboundedSender<Event>,
    step: Option<String>,
}

impl Progress {
    /// A handle for the whole run and the stream that reports read.
    #[must_use]
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, step: None }, receiver)
    }

    /// A handle whose events nobody reads, for tests and for callers that do not report.
    #[must_use]
    pub fn silent() -> Self {
        Self::channel().0
    }

    /// A handle that speaks for the step `id`.
    #[must_use]
    pub fn for_step(&self, id: impl Into<String>) -> Self {
        Self { sender: self.sender.clone(), step: Some(id.into()) }
    }

    /// Emits an event. A reader that has gone away is no reason to fail.
    pub fn emit(&self, what: What) {
        let event = Event { at: SystemTime::now(), step: self.step.clone(), what };
        drop(self.sender.send(event));
    }

    /// The newest state of the step, for a status line.
    pub fn status(&self, text: impl Into<String>) {
        self.emit(What::Status { text: text.into() });
    }

    /// A fact that stays on the screen.
    pub fn note(&self, text: impl Into<String>) {
        self.emit(What::Note { text: text.into() });
    }

    /// Something the user should know that does not stop the run.
    pub fn warn(&self, text: impl Into<String>) {
        self.emit(What::Warning { text: text.into() });
    }

    /// Detail for `-v`.
    pub fn detail(&self, text: impl Into<String>) {
        self.emit(What::Detail { text: text.into() });
    }
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

mod unix_millis {
    use std::time::{SystemTime, UNIX_EPOCH};

    pub(super) fn serialize<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        serializer.serialize_u64(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}
