//! What came of self-tests, kept in the lab's journal: they are run bit by bit.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::judge::{Outcome, Verdict};
use crate::error::Failure;
use crate::plan::journal::{self, Journal};
use crate::verify::doubt::Doubted;
use crate::verify::vocabulary::Vocabulary;

/// The journal's entry.
const ENTRY: &str = "selftest";

/// What came of a lab's self-tests, each the last time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Mutations by their names.
    #[serde(default)]
    pub mutations: BTreeMap<String, Outcome>,
    /// Steps that were doubted, by their patterns.
    #[serde(default)]
    pub doubts: BTreeMap<String, Doubted>,
}

impl Kept {
    /// What is kept in a lab's state folder.
    ///
    /// # Errors
    /// A journal that can't be read.
    pub fn read(folder: &Utf8Path) -> Result<Self, Failure> {
        let entry = journal::read(folder)?.remove(ENTRY);
        Ok(entry.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default())
    }

    /// Adds to what is kept in a lab's state folder.
    ///
    /// # Errors
    /// A journal that can't be read or written, or that another program holds.
    pub fn add(folder: &Utf8Path, outcomes: &[Outcome], doubts: &[Doubted]) -> Result<(), Failure> {
        let mut journal = Journal::open(folder)?;
        let mut kept: Self = journal.get(ENTRY).unwrap_or_default();
        kept.mutations.extend(outcomes.iter().map(|outcome| (outcome.mutation.clone(), outcome.brief())));
        let brief = |doubted: &Doubted| Doubted { told: String::new(), ..doubted.clone() };
        kept.doubts.extend(doubts.iter().map(|doubted| (doubted.pattern.clone(), brief(doubted))));
        Ok(journal.set(ENTRY, &kept)?)
    }

    /// The mutations that made a step fail, by their names.
    #[must_use]
    pub fn failing(&self, pattern: &str) -> Vec<&str> {
        let outcomes = self.mutations.values().filter(|outcome| outcome.verdict == Verdict::Noticed);
        let made = |outcome: &&Outcome| {
            outcome.noticed.iter().flat_map(|noticed| &noticed.steps).any(|step| step.as_str() == pattern)
        };
        outcomes.filter(made).map(|outcome| outcome.mutation.as_str()).collect()
    }

    /// The steps of the vocabulary that no mutation made fail.
    #[must_use]
    pub fn uncovered(&self, vocabulary: &Vocabulary) -> Vec<&'static str> {
        let outcomes = self.mutations.values().filter(|outcome| outcome.verdict == Verdict::Noticed);
        let noticed = outcomes.flat_map(|outcome| &outcome.noticed);
        let failed: BTreeSet<&str> = noticed.flat_map(|noticed| &noticed.steps).map(String::as_str).collect();
        vocabulary.entries().map(|entry| entry.pattern).filter(|pattern| !failed.contains(pattern)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::judge::Noticed;
    use crate::verify::doubt::Answer;
    use crate::verify::vocabulary;

    fn outcome(name: &str, verdict: Verdict) -> Outcome {
        let steps = vec!["Grafana is healthy".to_owned()];
        let noticed = vec![Noticed { scenario: "F: s".to_owned(), steps, error: "a\nb".to_owned() }];
        Outcome { mutation: name.to_owned(), verdict, noticed, ..Outcome::default() }
    }

    #[test]
    fn what_came_is_kept_bit_by_bit() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
        assert_eq!(Kept::read(folder).expect("nothing yet"), Kept::default());
        Kept::add(folder, &[outcome("grafana", Verdict::Failed)], &[]).expect("kept");
        let doubted = Doubted { pattern: "p".to_owned(), answer: Answer::Fails, ..Doubted::default() };
        Kept::add(folder, &[outcome("grafana", Verdict::Noticed)], std::slice::from_ref(&doubted)).expect("kept");
        let kept = Kept::read(folder).expect("it is there");
        assert_eq!(kept.mutations["grafana"], outcome("grafana", Verdict::Noticed).brief());
        assert_eq!(kept.doubts["p"], doubted);
    }

    #[test]
    fn steps_that_failed_are_covered() {
        let vocabulary = vocabulary().expect("the patterns are expressions");
        let all = vocabulary.entries().count();
        let kept = |verdict| Kept {
            mutations: [("grafana".to_owned(), outcome("grafana", verdict))].into(),
            doubts: BTreeMap::new(),
        };
        let left = kept(Verdict::Noticed).uncovered(&vocabulary);
        assert!(left.len() == all - 1 && !left.contains(&"Grafana is healthy"), "{left:?}");
        assert_eq!(kept(Verdict::Failed).uncovered(&vocabulary).len(), all);
        assert_eq!(kept(Verdict::Noticed).failing("Grafana is healthy"), ["grafana"]);
    }
}
