//! What can go wrong with objects, and what the user may do about it.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::conflict::Clash;
use super::immutable::Fixed;
use super::object::ObjectRef;
use crate::error::{Failure, Kind};

/// A fault in a file, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or `<stdin>`.
    pub source: String,
    /// The line where the faulty document begins, from 1.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.source, self.line, self.message)
    }
}

/// Why objects could not be read, applied, waited for or deleted.
#[derive(Debug, Error)]
pub enum Error {
    /// A file or folder can't be read.
    #[error("can't read objects")]
    Read(#[source] std::io::Error),
    /// A folder or file holds no object.
    #[error("`{0}` holds no object")]
    Empty(String),
    /// A file is not YAML.
    #[error(transparent)]
    Yaml(#[from] crate::yaml::Error),
    /// Documents that are no objects; all of them.
    #[error("{}", lines(.0))]
    Malformed(Vec<Problem>),
    /// The same object is there twice, in different words.
    #[error("{object} is there twice and differs: in {first} and in {second}")]
    Duplicate {
        /// The object.
        object: Box<ObjectRef>,
        /// The file and line of the first.
        first: String,
        /// The file and line of the second.
        second: String,
    },
    /// A custom resource has no definition.
    #[error(
        "{origin}: {object} needs a CustomResourceDefinition for {} that is neither among the objects nor in the cluster",
        group_kind(object)
    )]
    MissingCrd {
        /// The custom resource.
        object: Box<ObjectRef>,
        /// Its file and line.
        origin: String,
    },
    /// The kind is known, but not in this version.
    #[error("{origin}: {object} is written for {}, but only {} {} served", object.api_version, .served.join(", "), if .served.len() == 1 { "is" } else { "are" })]
    Version {
        /// The object.
        object: Box<ObjectRef>,
        /// Its file and line.
        origin: String,
        /// The API versions that are served.
        served: Vec<String>,
    },
    /// The object can't be brought to a version that is served.
    #[error("{origin}: {object} of {} can't be converted for {to}: {reason}; {remedy}", object.api_version)]
    Unconvertible {
        /// The object.
        object: Box<ObjectRef>,
        /// Its file and line.
        origin: String,
        /// The API version, or the cluster, that it was to be converted for.
        to: String,
        /// What stands in the way.
        reason: String,
        /// What to write instead.
        remedy: String,
    },
    /// The object belongs to a set of somebody else's.
    #[error("{origin}: {object} belongs to another set, `{owner}`")]
    Owned {
        /// The object.
        object: Box<ObjectRef>,
        /// Its file and line.
        origin: String,
        /// The other set's identifier.
        owner: String,
    },
    /// The set's parent was made by another tool.
    #[error("the set `{set}` is kept by another tool: {tooling}")]
    Tooling {
        /// Namespace and name of the parent.
        set: String,
        /// What its annotation says.
        tooling: String,
        /// The command that hands the set over to us.
        handing_over: String,
    },
    /// The object that should keep the set is there, and is something else.
    #[error("the {kind} {set} is there, and can't keep the set: {why}")]
    NoParent {
        /// Namespace and name of the object.
        set: String,
        /// Its kind.
        kind: &'static str,
        /// What is missing or different.
        why: String,
        /// The command that hands a set over to us.
        handing_over: String,
    },
    /// Fields are managed by somebody else.
    #[error("{origin}: {object} has fields that others manage:{}", bullets(.clashes))]
    Conflict {
        /// The object.
        object: Box<ObjectRef>,
        /// Its file and line.
        origin: String,
        /// The fields and their managers.
        clashes: Vec<Clash>,
    },
    /// What an object says that it comes after can't be understood or is not there.
    #[error("{origin}: {object}: `{annotation}`: {reason}", annotation = super::depends::ANNOTATION)]
    DependsOn {
        /// The object.
        object: Box<ObjectRef>,
        /// Its file and line.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// Objects wait for each other.
    #[error("objects wait for each other:{}", round(.objects))]
    Cycle {
        /// The objects with their files and lines, each waiting for the next and the last for the first.
        objects: Vec<(ObjectRef, String)>,
    },
    /// Fields that differ can't be changed in place.
    #[error("{origin}: {object} can't be changed in place:{}", bullets(.fields))]
    Immutable {
        /// The object.
        object: Box<ObjectRef>,
        /// Its file and line.
        origin: String,
        /// The fields, with what the server says of them.
        fields: Vec<Fixed>,
        /// Whether the object is of the set that is applied, so that it may be replaced.
        ours: bool,
    },
    /// The API server or an admission webhook refuses the object.
    #[error("{origin}: {object} is refused: {message}")]
    Refused {
        /// The object.
        object: Box<ObjectRef>,
        /// Its file and line.
        origin: String,
        /// What the server says.
        message: String,
    },
    /// The API server does not answer as it should.
    #[error("{doing}")]
    Api {
        /// What was asked of it.
        doing: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// A request was tried again and again until its time was over.
    #[error(
        "{doing} did not succeed within {} (limit {}); the last answer was: {last}",
        short(*.elapsed),
        short(*.limit)
    )]
    Deadline {
        /// What was being done, on which object.
        doing: String,
        /// The last answer.
        last: String,
        /// How long it was tried.
        elapsed: Duration,
        /// How long it was allowed to be tried.
        limit: Duration,
    },
    /// The API server could not be reached until time was over.
    #[error("{doing}: the API server could not be reached for {}: {last}", short(*.elapsed))]
    Unreachable {
        /// What was being done, on which object.
        doing: String,
        /// What became of the last try.
        last: String,
        /// How long it was tried.
        elapsed: Duration,
    },
    /// An object has failed, and waiting on would not help.
    #[error("{object} failed after {}: {cause}", short(*.elapsed))]
    Failed {
        /// The object.
        object: Box<ObjectRef>,
        /// Container, reason, message, last event, as far as there are.
        cause: String,
        /// How long it was waited for.
        elapsed: Duration,
    },
    /// Objects did not become ready in time.
    #[error("not ready after {} (limit {}):{}", short(*.elapsed), short(*.limit), states(.waiting))]
    NotReady {
        /// The objects with the last state seen.
        waiting: Vec<(ObjectRef, String)>,
        /// How long they were waited for.
        elapsed: Duration,
        /// How long they were allowed to take.
        limit: Duration,
    },
    /// Deleted objects that don't go away.
    #[error("still there after {} (limit {}):{}", short(*.elapsed), short(*.limit), states(.staying))]
    Staying {
        /// The objects with the reason: finalizers, or what remains in a namespace.
        staying: Vec<(ObjectRef, String)>,
        /// How long they were waited for.
        elapsed: Duration,
        /// How long they were allowed to take.
        limit: Duration,
    },
    /// More than one object failed.
    #[error("{} objects failed:{}", .0.len(), bullets(.0))]
    Several(Vec<Error>),
    /// The run was cancelled.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    /// One error of those that a phase collected.
    pub(super) fn from_many(mut errors: Vec<Self>) -> Option<Self> {
        match errors.len() {
            0 | 1 => errors.pop(),
            _ if errors.iter().any(|error| matches!(error, Self::Cancelled)) => Some(Self::Cancelled),
            _ => Some(Self::Several(errors)),
        }
    }

    /// The kind of failure that it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Read(_)
            | Self::Empty(_)
            | Self::Yaml(_)
            | Self::Malformed(_)
            | Self::Duplicate { .. }
            | Self::MissingCrd { .. }
            | Self::Version { .. }
            | Self::DependsOn { .. }
            | Self::Cycle { .. }
            | Self::Unconvertible { .. }
            | Self::Refused { .. } => Kind::BadInput,
            Self::Owned { .. }
            | Self::Tooling { .. }
            | Self::NoParent { .. }
            | Self::Conflict { .. }
            | Self::Immutable { .. } => Kind::Refused,
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(_) => Kind::Unexpected,
                _ => Kind::Unavailable,
            },
            Self::Unreachable { .. } => Kind::Unavailable,
            Self::Deadline { .. } | Self::NotReady { .. } | Self::Staying { .. } => Kind::TimedOut,
            Self::Failed { .. } => Kind::Unexpected,
            Self::Several(errors) => errors.first().map_or(Kind::Unexpected, Self::kind),
            Self::Cancelled => Kind::Interrupted,
        }
    }

    /// What the user may do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Yaml(crate::yaml::Error::Duplicate { .. }) => Some(
                "kubectl takes the last of the two; `istiolab convert --to VERSION -f FILE` prints the objects that way."
                    .to_owned(),
            ),
            Self::MissingCrd { object, .. } => Some(format!(
                "Add the definition of {} to the objects, or install what brings it first.",
                group_kind(object)
            )),
            Self::Version { served, .. } => Some(format!("Write the object for {}.", served.join(" or "))),
            Self::Owned { .. } => Some("Take it out of the other set first, or leave it out of this one.".to_owned()),
            Self::Tooling { handing_over, .. } => {
                Some(format!("If that tool is to keep it no longer, hand it over: {handing_over}"))
            }
            Self::NoParent { why, handing_over, .. } if why.contains("annotation") => {
                Some(format!("If it was meant to be istiolab's, say so: {handing_over}"))
            }
            Self::NoParent { .. } => {
                Some("Rename or delete that object; istiolab does not write into what it did not make.".to_owned())
            }
            Self::Conflict { .. } => Some(
                "Leave these fields out of the file, or let their manager give them up; \
                 `kubectl apply --server-side --force-conflicts --field-manager=istiolab` takes them over once."
                    .to_owned(),
            ),
            Self::Cycle { .. } => Some(
                "Take away what makes one of them wait: an annotation `config.kubernetes.io/depends-on`, most often."
                    .to_owned(),
            ),
            Self::Immutable { object, ours: true, .. } => Some(format!(
                "With --recreate it is deleted and made anew; lost is then {}.",
                super::immutable::lost(&object.kind)
            )),
            Self::Immutable { ours: false, .. } => Some(
                "It was not made by this lab, which therefore does not delete it: give yours another name, or delete \
                 it yourself."
                    .to_owned(),
            ),
            Self::Unreachable { .. } => {
                Some("`istiolab status` says whether the lab's nodes run; `istiolab up` starts them again.".to_owned())
            }
            Self::Failed { cause, .. } if cause.contains("ImagePull") || cause.contains("ErrImage") => Some(
                "Nobody has the image under this name: `istiolab images list` says which ones are built, and the \
                 lab's nodes ask no other registry for those."
                    .to_owned(),
            ),
            Self::Staying { .. } => Some(
                "A finalizer waits for its controller; if that is gone, remove the finalizer with kubectl edit."
                    .to_owned(),
            ),
            Self::Several(errors) => errors.iter().find_map(Self::hint),
            _ => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Cancelled) {
            return crate::plan::graph::interrupted();
        }
        let hint = error.hint();
        let failure = Self::new(error.kind(), error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// A duration as a person says it, in tenths of a second below a minute.
pub(crate) fn short(duration: Duration) -> String {
    if duration < Duration::from_mins(1) {
        let seconds = format!("{:.1}", duration.as_secs_f64());
        format!("{}s", seconds.trim_end_matches(".0"))
    } else {
        humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
    }
}

fn group_kind(object: &ObjectRef) -> String {
    format!("{}.{}", object.kind, object.group())
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn bullets<T: fmt::Display>(items: &[T]) -> String {
    items.iter().fold(String::new(), |text, item| text + "\n  - " + &item.to_string().replace('\n', "\n    "))
}

fn round(objects: &[(ObjectRef, String)]) -> String {
    let last = objects.len().saturating_sub(1);
    let lines = objects.iter().enumerate().map(|(index, (object, origin))| {
        format!("\n  - {object} ({origin}) waits for{}", if index == last { " the first" } else { "" })
    });
    lines.collect()
}
/// The most objects that a message lists.
const LISTED: usize = 20;

fn states(items: &[(ObjectRef, String)]) -> String {
    let listed = items.iter().take(LISTED);
    let text = listed.fold(String::new(), |text, (object, state)| text + &format!("\n  - {object}: {state}"));
    match items.len().saturating_sub(LISTED) {
        0 => text,
        more => format!("{text}\n  - and {more} more"),
    }
}
