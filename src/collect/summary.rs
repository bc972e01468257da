//! What a bundle says first: what is wrong, what is in it, what is not, and what was removed. Its
//! shape as JSON is versioned: fields are added, never changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the shape.
pub(super) const SCHEMA: &str = "istiolab.dev/debug/v1";

/// The front of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) schema: String,
    pub(super) lab: String,
    /// When it was collected, in UTC.
    pub(super) time: String,
    /// How long that took.
    pub(super) seconds: f64,
    /// What the command failed with that made the bundle, if one did.
    pub(super) cause: Option<String>,
    /// Versions of what takes part.
    pub(super) versions: BTreeMap<String, String>,
    /// How the cluster stands, in a sentence.
    pub(super) cluster: String,
    pub(super) findings: Vec<Finding>,
    /// The newest warnings among the events, the newest first.
    pub(super) warnings: Vec<Warning>,
    pub(super) nodes: Vec<Node>,
    pub(super) images: Vec<Image>,
    pub(super) files: Vec<File>,
    pub(super) missing: Vec<Missing>,
    /// What was removed, by its kind.
    pub(super) removed: BTreeMap<String, usize>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// It does not work, and waiting will not help.
    Failed,
    /// It is not ready.
    NotReady,
    /// It works, but something happened that one should know.
    Notable,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// `Deployment demo/frontend`.
    pub object: String,
    /// Why.
    pub cause: String,
    /// The newest warnings about it, the newest first.
    pub events: Vec<String>,
    /// The last lines that its container wrote, where that is why.
    pub lines: Vec<String>,
    /// Files of the bundle that say more.
    pub files: Vec<String>,
}

/// An event of type `Warning`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Warning {
    pub(super) time: String,
    pub(super) object: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) count: i64,
}

/// A container of the lab in the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) state: String,
}

/// An image that pods run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) containers: usize,
}

/// A file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) bytes: usize,
}

/// Something that could not be collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
}
