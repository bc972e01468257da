//! A plan as JSON. Its shape is versioned: fields are added, never changed.

use serde::Serialize;

use super::{Plan, PlannedSet, Totals};
use crate::objects::{Change, Conversion, Fixed, Intent, Item, ObjectRef, Phase};

/// The version of the shape.
const SCHEMA: &str = "istiolab.dev/plan/v1";

/// A plan for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Data<'a> {
    schema: &'static str,
    lab: &'a str,
    /// `present`, or `absent`: then it is made with everything in it.
    cluster: &'static str,
    /// Whether `up` would change anything.
    pending: bool,
    totals: Totals,
    sets: Vec<SetData<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SetData<'a> {
    name: &'a str,
    phase: &'a str,
    /// Why nothing is known of the set.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<&'a str>,
    unchanged: usize,
    objects: Vec<ItemData<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemData<'a> {
    action: &'static str,
    object: &'a ObjectRef,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    phase: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    converted: Option<&'a Conversion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known_after: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<&'a [Change]>,
    /// The fields because of which it must be replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    immutable: Option<&'a [Fixed]>,
    /// Why it would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> Data<'a> {
    /// The plan as it is written.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        Self {
            schema: SCHEMA,
            lab: &plan.lab,
            cluster: if plan.cluster { "present" } else { "absent" },
            pending: !plan.is_empty(),
            totals: plan.totals(),
            sets: plan.sets.iter().map(SetData::new).collect(),
        }
    }
}

impl<'a> SetData<'a> {
    fn new(set: &'a PlannedSet) -> Self {
        let planned = set.known.as_ref();
        Self {
            name: &set.name,
            phase: set.phase,
            unknown: planned.err().map(String::as_str),
            unchanged: planned.map_or(0, |planned| planned.unchanged),
            objects: planned.map(|planned| planned.items.iter().map(ItemData::new).collect()).unwrap_or_default(),
        }
    }
}

impl<'a> ItemData<'a> {
    fn new(item: &'a Item) -> Self {
        let (action, fields, immutable, error) = match &item.intent {
            Intent::Create => ("create", None, None, None),
            Intent::Change(fields) => ("change", Some(fields.as_slice()), None, None),
            Intent::Replace { fixed, fields, .. } => ("replace", Some(fields.as_slice()), Some(fixed.as_slice()), None),
            Intent::Prune => ("prune", None, None, None),
            Intent::Fail(error) => ("fail", None, None, Some(error.to_string())),
        };
        Self {
            action,
            object: &item.object,
            origin: item.origin.as_deref(),
            phase: item.phase,
            converted: item.converted.as_ref(),
            known_after: item.known_after,
            note: item.note.as_deref(),
            fields,
            immutable,
            error,
        }
    }
}
