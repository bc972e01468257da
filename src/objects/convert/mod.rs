//! Conversion of objects that are written for an API version that the cluster does not serve.
//!
//! Each kind has the list of the versions it was ever served in, and rules that bring an object from an
//! older version to the newest and back (`kinds.rs`). Rules are Kubernetes' own conversions and defaults
//! (`pkg/apis/*/conversion.go` and `defaults.go`): where a version left something to a default that
//! another version has differently, the old default is written out. What can't be said in the other
//! version is refused with the reason, never dropped in silence.

mod aggregation;
mod certificate;
mod definition;
mod disruption;
mod draft;
mod endpoints;
mod flow;
mod gone;
mod ingress;
mod jobs;
mod kinds;
mod policy;
mod rbac;
mod runtime;
mod scaling;
mod schema;
mod target;
mod webhooks;
mod workloads;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::error::Error;
use super::object::{Object, ObjectRef};
use crate::plan::event::Progress;
use draft::Draft;

pub use kinds::{Row, table};
pub use target::{Release, Target};

/// The API version and kind without which no initializers are heeded.
const INITIALIZERS: (&str, &str) = ("admissionregistration.k8s.io/v1alpha1", "InitializerConfiguration");

/// What was done to an object so that the cluster takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversion {
    /// The object as it is now.
    pub object: ObjectRef,
    /// The API version that it is written for.
    pub from: String,
    /// Its file and line.
    pub origin: String,
    /// What the user should know, each without a full stop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Conversion {
    /// What a user reads: the conversion, and below it what there is to know.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let notes = self.notes.iter().map(|note| format!("  {note}."));
        std::iter::once(format!("converted: {self}")).chain(notes).collect()
    }

    /// Tells it: to everybody where the object is written, else to those who want every detail.
    pub(super) fn tell(&self, is_written: bool, progress: &Progress) {
        for line in self.lines() {
            if is_written { progress.note(line) } else { progress.detail(line) }
        }
    }
}

impl fmt::Display for Conversion {
    /// `Deployment default/x extensions/v1beta1 -> apps/v1 (file.yaml:3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.object, self.from)?;
        if self.from != self.object.api_version {
            write!(f, " -> {}", self.object.api_version)?;
        }
        write!(f, " ({})", self.origin)
    }
}

/// Why an object can't be converted, and what its author can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What stands in the way.
    reason: String,
    /// What to write instead.
    remedy: String,
}

impl Refusal {
    fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

/// Converts an object into the newest version of its kind that the target serves. `None` if it can stay
/// as it is: its version is served, or its kind is none of Kubernetes' own that ever had another.
/// References in it to objects of other kinds are brought up to date as well.
///
/// # Errors
/// [`Error::Unconvertible`] where the other version can't say what this one says, or where the kind is
/// gone for good.
pub fn convert(object: &Object, target: &Target) -> Result<Option<(Object, Conversion)>, Error> {
    let (from, kind) = (object.api_version(), object.kind());
    let refused = |to: &str, refusal: Refusal| Error::Unconvertible {
        object: object.reference().into(),
        origin: object.origin(),
        to: to.to_owned(),
        reason: refusal.reason,
        remedy: refusal.remedy,
    };
    let gone = || gone::refusal(from, kind, target).map(|refusal| refused(&target.to_string(), refusal));
    let Some(family) = kinds::family(from, kind) else { return gone().map_or(Ok(None), Err) };
    let to = if target.serves(from, kind) { Some(from) } else { family.best(kind, target) };
    let Some(to) = to else {
        return match (gone(), target) {
            (Some(error), _) => Err(error),
            // What a cluster lacks altogether is told where its kinds are looked up.
            (None, Target::Cluster(_)) => Ok(None),
            // It may be switched on there.
            (None, Target::Release(_)) if family.is_optional(from) => Ok(None),
            (None, Target::Release(_)) => {
                let reason = format!("{target} serves no version of {kind}");
                Err(refused(&target.to_string(), Refusal::new(reason, "leave it out")))
            }
        };
    };
    if to == from && !scaling::has_references(kind) {
        return Ok(None);
    }
    let mut draft = Draft::new(object.document.clone());
    if to != from {
        let waits = !is_empty(draft.get(&["metadata", "initializers"]));
        if waits && gone::refusal(INITIALIZERS.0, INITIALIZERS.1, target).is_some() {
            let reason =
                "`metadata.initializers` waits for controllers of a kind that Kubernetes does not have since 1.16";
            return Err(refused(to, Refusal::new(reason, "leave it out, and let a mutating webhook do their work")));
        }
        family.convert(&mut draft, from, to, target).map_err(|refusal| refused(to, refusal))?;
        draft.set_version(to);
    }
    scaling::redirect(&mut draft, kind, target);
    if to == from && draft.notes.is_empty() {
        return Ok(None);
    }
    let converted = Object { document: draft.document, source: object.source.clone(), line: object.line };
    let conversion = Conversion {
        object: converted.reference(),
        from: from.to_owned(),
        origin: object.origin(),
        notes: draft.notes,
    };
    Ok(Some((converted, conversion)))
}

/// An object as it is to be applied, and what was done to it, if anything.
pub type Converted<'a> = (Cow<'a, Object>, Option<Conversion>);

/// Converts all objects that need it; those that don't are given back as they are, without a conversion.
///
/// # Errors
/// All refusals at once.
pub fn convert_all<'a>(objects: &'a [Object], target: &Target) -> Result<Vec<Converted<'a>>, Error> {
    let mut errors = Vec::new();
    let mut done = Vec::with_capacity(objects.len());
    for object in objects {
        match convert(object, target) {
            Ok(Some((converted, conversion))) => done.push((Cow::Owned(converted), Some(conversion))),
            Ok(None) => done.push((Cow::Borrowed(object), None)),
            Err(error) => errors.push(error),
        }
    }
    Error::from_many(errors).map_or(Ok(done), Err)
}

/// Whether a value says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One object in YAML, converted for a release: what it is then, and its notes.
    pub(super) fn converted(text: &str, release: &str) -> (Value, Vec<String>) {
        let object = crate::objects::parse(text, "x.yaml").expect("YAML").remove(0);
        let target = Target::Release(release.parse().expect("a release"));
        match convert(&object, &target) {
            Ok(Some((object, conversion))) => (object.document, conversion.notes),
            Ok(None) => (object.document, Vec::new()),
            Err(error) => panic!("{error}"),
        }
    }

    /// What is said of an object that can't be converted.
    pub(super) fn refused(text: &str, release: &str) -> String {
        let object = crate::objects::parse(text, "x.yaml").expect("YAML").remove(0);
        let target = Target::Release(release.parse().expect("a release"));
        convert(&object, &target).expect_err("it can't be converted").to_string()
    }

    #[test]
    fn what_is_served_stays() {
        let text = "{apiVersion: extensions/v1beta1, kind: Deployment, metadata: {name: a}, status: {}}";
        assert_eq!(converted(text, "1.15").0["apiVersion"], "extensions/v1beta1");
        let custom = "{apiVersion: networking.istio.io/v1alpha3, kind: Gateway, metadata: {name: a}, status: {}}";
        assert_eq!(converted(custom, "1.34").0["status"], serde_json::json!({}));
    }

    #[test]
    fn the_newest_version_that_is_served_is_taken() {
        let text = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {}}}";
        assert_eq!(converted(text, "1.8").0["apiVersion"], "apps/v1beta2");
        let text = "{apiVersion: flowcontrol.apiserver.k8s.io/v1alpha1, kind: FlowSchema, metadata: {name: a}}";
        for (release, version) in [("1.22", "v1beta1"), ("1.25", "v1beta2"), ("1.28", "v1beta3"), ("1.36", "v1")] {
            assert_eq!(converted(text, release).0["apiVersion"], format!("flowcontrol.apiserver.k8s.io/{version}"));
        }
    }

    #[test]
    fn what_a_release_does_not_have_is_refused() {
        let lease = "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: a}}";
        assert_eq!(
            refused(lease, "1.8"),
            "x.yaml:1: Lease a of coordination.k8s.io/v1 can't be converted for Kubernetes 1.8: \
             Kubernetes 1.8 serves no version of Lease; leave it out"
        );
    }

    #[test]
    fn a_user_reads_what_was_done() {
        let text = "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a, namespace: b}\nspec: {selector: {}}\n";
        let object = crate::objects::parse(text, "x.yaml").expect("YAML").remove(0);
        let target = Target::Release("1.34".parse().expect("a release"));
        let (_, conversion) = convert(&object, &target).expect("converted").expect("it was old");
        assert_eq!(
            conversion.lines(),
            [
                "converted: PodDisruptionBudget b/a policy/v1beta1 -> policy/v1 (x.yaml:1)",
                "  its empty selector means no pods, as before: policy/v1 would take it for all.",
            ]
        );
    }

    #[test]
    fn all_refusals_are_told_at_once() {
        let text = "{apiVersion: settings.k8s.io/v1alpha1, kind: PodPreset, metadata: {name: a}}\n---\n\
            {apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: b}}\n";
        let objects = crate::objects::parse(text, "x.yaml").expect("YAML");
        let target = Target::Release("1.34".parse().expect("a release"));
        let error = convert_all(&objects, &target).expect_err("neither can be converted").to_string();
        assert!(
            error.starts_with("2 objects failed:") && error.contains("PodPreset a") && error.contains("Deployment b")
        );
    }
}
