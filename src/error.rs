//! What a command ends with: a kind, which is the exit code, an error with its causes, and hints.

use std::error::Error;
use std::fmt::{self, Write as _};

/// Why a command did not succeed. The number is the process' exit code (sysexits where one fits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Kind {
    /// A fault of the program or of something it did not foresee.
    Unexpected = 1,
    /// Changes are pending, and the caller asked to be told so by the exit code. No fault: nothing is printed.
    ChangesPending = 2,
    /// The command line can't be understood.
    Usage = 64,
    /// A file of the user's is wrong: lab file, manifest, feature.
    BadInput = 65,
    /// The container engine, the cluster, a registry or a needed tool does not answer.
    Unavailable = 69,
    /// A deadline passed.
    TimedOut = 75,
    /// Going on would destroy or leak something.
    Refused = 77,
    /// Scenarios ran and some failed.
    ScenariosFailed = 79,
    /// The user interrupted (128 + SIGINT).
    Interrupted = 130,
}

impl Kind {
    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// A failed command: what the user reads and what the shell sees.
#[derive(Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// What went wrong, with its chain of causes.
    pub error: Box<dyn Error + Send + Sync>,
    /// What to do next, one full sentence each.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure of `kind` caused by `error`.
    pub fn new(kind: Kind, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, error: error.into(), hints: Vec::new() }
    }

    /// Adds a sentence that tells what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says what was being done when it happened; becomes the first line of the report.
    #[must_use]
    pub fn context(self, doing: impl Into<String>) -> Self {
        Self { error: Box::new(Context { doing: doing.into(), source: self.error }), ..self }
    }

    /// The error's message followed by its causes; see [`causes`].
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        causes(self.error.as_ref())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for (index, line) in self.lines().iter().enumerate() {
            if index == 0 {
                write!(text, "error: {line}")?;
            } else {
                write!(text, "\n  caused by: {}", line.replace('\n', "\n    "))?;
            }
        }
        for hint in &self.hints {
            write!(text, "\nhint: {hint}")?;
        }
        f.write_str(&text)
    }
}

/// The message of `error` and those of its causes, each text once: libraries often repeat a cause in
/// the message above it.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut lines = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !lines.iter().any(|line| line.contains(&text)) {
            lines.push(text);
        }
        cause = error.source();
    }
    lines
}

/// What was being done, above the error that stopped it.
#[derive(Debug)]
struct Context {
    doing: String,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl Error for Context {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_printed_once() {
        let inner = std::io::Error::other("connection refused");
        let failure = Failure::new(Kind::Unavailable, inner)
            .context("asking the engine: connection refused")
            .context("starting the registry")
            .hint("Start the engine.");
        assert_eq!(
            failure.to_string(),
            "error: starting the registry\n  caused by: asking the engine: connection refused\nhint: Start the engine."
        );
    }

    #[test]
    fn codes_are_the_documented_ones() {
        let codes = [
            Kind::Unexpected,
            Kind::ChangesPending,
            Kind::Usage,
            Kind::BadInput,
            Kind::Unavailable,
            Kind::TimedOut,
            Kind::Refused,
            Kind::ScenariosFailed,
        ]
        .map(Kind::code);
        assert_eq!(codes, [1, 2, 64, 65, 69, 75, 77, 79]);
    }
}
