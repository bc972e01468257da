//! What is wrong with a file of the user's, and where.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::error::{Failure, Kind};
use crate::yaml;

/// One fault of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as the user named it.
    pub file: Utf8PathBuf,
    /// Counted from 1; 0 where the file as a whole is meant.
    pub line: u64,
    /// In characters, counted from 1; 0 where the line or the file as a whole is meant.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl Problem {
    /// A fault at a place.
    pub fn at(file: &Utf8Path, line: u64, column: u64, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, column, message: message.into(), hint: None }
    }

    /// A fault of the file as a whole.
    #[must_use]
    pub fn of_file(file: &Utf8Path, message: &str) -> Self {
        Self::at(file, 0, 0, message)
    }

    /// What the YAML reader found.
    #[must_use]
    pub fn of_yaml(file: &Utf8Path, error: yaml::Error) -> Self {
        match error {
            yaml::Error::Read { line, column, message, .. } => {
                Self::at(file, line, column, format!("not YAML: {message}"))
            }
            yaml::Error::Duplicate { line, column, key, .. } => {
                Self::at(file, line, column, format!("the key `{key}` stands twice"))
            }
            yaml::Error::Write { message } => Self::of_file(file, &message),
        }
    }

    /// Adds what would be right.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        if self.column > 0 {
            write!(f, "{}:", self.column)?;
        }
        write!(f, " {}", self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

/// Everything that is wrong with a file, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// A single problem.
    #[must_use]
    pub fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// Sorts `problems` by place and drops repetitions.
    #[must_use]
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.line, a.column, &a.message).cmp(&(b.line, b.column, &b.message)));
        problems.dedup();
        Self(problems)
    }

    /// The problems.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [problem] => problem.fmt(f),
            problems => {
                write!(f, "{} problems in the lab file", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::new(Kind::BadInput, problems)
            .hint("`istiolab schema` prints what a lab file may hold; docs/lab-file.md explains it.")
    }
}
