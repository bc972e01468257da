//! Whether a lock says what a lab's images are.

use std::collections::BTreeSet;
use std::fmt;

use futures::{StreamExt as _, stream};
use serde::{Serialize, Serializer};

use super::error::Error;
use super::references::{Place, References};
use super::resolve::Upstream;
use super::{Entry, Lock};
use crate::error::Failure;
use crate::images::digest::Digest;
use crate::images::reference::{DEFAULT_TAG, Reference};

/// How many registries' tags are asked for at once.
const AT_ONCE: usize = 8;

/// What is wrong with one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The lab refers to it, the lock doesn't know it.
    Unlocked,
    /// The lock knows it for this lab, which does not refer to it.
    Unused,
    /// The lock knows it, but not its digest or not its content.
    Unresolved(Missing),
    /// Its tag is made to move: `latest`, or none.
    Moving,
    /// Its tag names something else than when it was locked.
    Moved {
        /// What the lock says.
        locked: Digest,
        /// What its registry, or the store of built images, has now.
        now: Option<Digest>,
    },
}

/// Why an image is not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Its registry was not asked yet, or did not answer.
    Unasked,
    /// The part is not built.
    Unbuilt(String),
}

/// One point in which a lock and a lab do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The image.
    pub image: Reference,
    /// What is wrong.
    pub fault: Fault,
    /// Where the lab names it; empty for what it does not name.
    pub places: Vec<Place>,
}

impl Fault {
    /// A name for programs.
    fn name(&self) -> &'static str {
        match self {
            Self::Unlocked => "referenced but unlocked",
            Self::Unused => "locked but unused",
            Self::Unresolved(_) => "unresolved",
            Self::Moving => "moving tag",
            Self::Moved { .. } => "moved",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.fault.name(), self.image)?;
        match &self.fault {
            Fault::Unresolved(Missing::Unbuilt(part)) => write!(f, ", as the part `{part}` is not built")?,
            Fault::Moved { locked, now: Some(now) } => write!(f, " is {now} now, not {locked}")?,
            Fault::Moved { now: None, .. } => f.write_str(" is not there any more")?,
            _ => {}
        }
        self.places.iter().try_for_each(|place| write!(f, "\n    {place}"))
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("fault", self.fault.name())?;
        map.serialize_entry("image", &self.image)?;
        if let Fault::Moved { locked, now } = &self.fault {
            map.serialize_entry("locked", locked)?;
            map.serialize_entry("now", now)?;
        }
        map.serialize_entry("places", &self.places)?;
        map.end()
    }
}

/// Compares the lock with what the lab called `lab` refers to, by the files alone.
#[must_use]
pub fn check(lock: &Lock, references: &References, lab: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (image, places) in &references.wanted {
        let mut find = |fault| findings.push(Finding { image: image.clone(), fault, places: places.clone() });
        match lock.images.get(image) {
            None => find(Fault::Unlocked),
            Some(entry) if !entry.is_resolved() => find(Fault::Unresolved(missing(entry))),
            Some(_) => {}
        }
        if image.digest().is_none() && image.tag_or_default() == DEFAULT_TAG {
            find(Fault::Moving);
        }
    }
    for (image, entry) in &lock.images {
        let ours = entry.labs.is_empty() || entry.labs.contains(lab);
        if ours && !references.wanted.contains_key(image) {
            findings.push(Finding { image: image.clone(), fault: Fault::Unused, places: Vec::new() });
        }
    }
    findings
}

fn missing(entry: &Entry) -> Missing {
    entry.part.as_ref().map_or(Missing::Unasked, |part| Missing::Unbuilt(part.name.clone()))
}

/// Asks the registries of `references` whether each tag still names what the lock says. Where a registry
/// does not have the tag, or does not answer, the entry's other places are asked. Beside what moved, those
/// that could not be asked, with the reason.
pub async fn moved(
    upstream: &dyn Upstream,
    lock: &Lock,
    references: &References,
) -> (Vec<Finding>, Vec<(Reference, String)>) {
    let tagged = references.wanted.iter().filter_map(|(image, places)| {
        let entry = lock.images.get(image).filter(|entry| entry.part.is_none())?;
        // A digest never moves.
        (image.digest().is_none()).then_some((image, places, entry, *entry.digest()?))
    });
    let asked = tagged.map(|(image, places, entry, locked)| async move {
        (image, places, locked, current(upstream, image, entry).await)
    });
    let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let (mut findings, mut unasked) = (Vec::new(), Vec::new());
    for (image, places, locked, answer) in answers {
        match answer {
            Ok(Some(now)) if now == locked => {}
            Ok(now) => findings.push(Finding {
                image: image.clone(),
                fault: Fault::Moved { locked, now },
                places: places.clone(),
            }),
            Err(failure) => unasked.push((image.clone(), failure.lines().join(": "))),
        }
    }
    (findings, unasked)
}

/// What the image's tag names, by the first place that knows.
async fn current(upstream: &dyn Upstream, image: &Reference, entry: &Entry) -> Result<Option<Digest>, Failure> {
    let first = upstream.current(image).await;
    if matches!(first, Ok(Some(_))) {
        return first;
    }
    for place in &entry.from {
        if let Ok(Some(found)) = upstream.current(place).await {
            return Ok(Some(found));
        }
    }
    first
}

/// An image that a lock does not say enough of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The image.
    pub image: Reference,
    /// What is missing; nothing at all if the lock does not have it.
    pub missing: Option<Missing>,
    /// The first place that names it.
    pub place: Option<Place>,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match &self.missing {
            None => "is not in the lock".to_owned(),
            Some(Missing::Unasked) => "is in the lock without its content".to_owned(),
            Some(Missing::Unbuilt(part)) => {
                format!("comes from the part `{part}`, which was not built when it was locked")
            }
        };
        write!(f, "{} {why}", self.image)?;
        self.place.iter().try_for_each(|place| write!(f, "; named in {place}"))
    }
}

/// The commands that make a lock say what is missing, one sentence each.
pub(super) fn commands(unmet: &[Unmet]) -> Vec<String> {
    let parts: BTreeSet<&str> = unmet
        .iter()
        .filter_map(|unmet| match &unmet.missing {
            Some(Missing::Unbuilt(part)) => Some(part.as_str()),
            _ => None,
        })
        .collect();
    let parts: Vec<&str> = parts.into_iter().collect();
    if parts.is_empty() {
        return vec!["Run `istiolab images lock`, look at what it changed, and keep the lock.".to_owned()];
    }
    let build = format!("istiolab images build {}", parts.join(" "));
    vec![format!("Run `{build}`, then `istiolab images lock`, look at what it changed, and keep the lock.")]
}

/// Makes sure that the lock says what each image of the lab is, with all that moving it takes, so that
/// nothing needs to be asked.
///
/// # Errors
/// [`Error::Frozen`] with every image of which it does not.
pub fn frozen(lock: &Lock, references: &References) -> Result<(), Error> {
    let unmet: Vec<Unmet> = references
        .wanted
        .iter()
        .filter_map(|(image, places)| {
            let entry = lock.images.get(image);
            if entry.is_some_and(Entry::is_resolved) {
                return None;
            }
            Some(Unmet { image: image.clone(), missing: entry.map(missing), place: places.first().cloned() })
        })
        .collect();
    if unmet.is_empty() { Ok(()) } else { Err(Error::Frozen(unmet)) }
}

#[cfg(test)]
mod tests;
