//! The images that a lab refers to, and where.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::images::reference::{self, Reference};

/// Where a reference stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// `manifests/demo/web.yaml:12`, or what generated the object, with the line of the object.
    pub origin: String,
    /// What names the image there, as ``Deployment web, container `app` ``.
    pub what: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.origin, self.what)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Every image that a lab will ever pull.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// The references, complete ([`Reference::complete`]), each with all places that name it.
    pub wanted: BTreeMap<Reference, Vec<Place>>,
    /// Images that are inside the node image and are never pulled, with the name of that image. One
    /// that objects name too is in `wanted` as well.
    pub inside: BTreeMap<Reference, Reference>,
}

impl References {
    /// Adds a reference as it is written at `place`.
    ///
    /// # Errors
    /// The text is no reference.
    pub fn add(&mut self, text: &str, place: Place) -> Result<(), reference::Error> {
        let places = self.wanted.entry(text.parse::<Reference>()?.complete()).or_default();
        if !places.contains(&place) {
            places.push(place);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_image_meet_with_all_their_places() {
        let mut references = References::default();
        let place =
            |line: u32| Place { origin: format!("web.yaml:{line}"), what: "Pod web, container `app`".to_owned() };
        for (text, line) in [("nginx", 1), ("docker.io/library/nginx:latest", 9), ("nginx", 1)] {
            references.add(text, place(line)).expect("a reference");
        }
        let all: Vec<_> = references.wanted.iter().map(|(image, places)| (image.to_string(), places.len())).collect();
        assert_eq!(all, [("docker.io/library/nginx:latest".to_owned(), 2)]);
        assert_eq!(place(9).to_string(), "web.yaml:9 (Pod web, container `app`)");
        references.add("A b", place(2)).expect_err("it is none");
    }
}
