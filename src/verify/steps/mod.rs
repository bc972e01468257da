//! The vocabulary by subject.

mod grafana;
mod graph;
mod injection;
mod istiod;
mod mtls;
mod pods;
mod prometheus;
mod proxies;
mod traffic;
mod zipkin;

use super::vocabulary::{BadPattern, Entry, Vocabulary};

/// Makes an entry of a function `async fn(&mut Scene, Arguments) -> Result<(), Unmet>`.
macro_rules! step {
    ($subject:literal, $kind:ident, $pattern:literal, $run:ident, $meaning:literal) => {
        crate::verify::vocabulary::Entry {
            subject: $subject,
            pattern: $pattern,
            meaning: $meaning,
            kind: crate::verify::vocabulary::Kind::$kind,
            run: |scene, arguments| Box::pin($run(scene, arguments)),
        }
    };
}
use step;

/// Makes an entry of a function `fn(&Scene, &Arguments) -> Result<(), Unmet>` that judges what the
/// scenario has already: waiting would not change it.
macro_rules! judgement {
    ($subject:literal, $pattern:literal, $run:ident, $meaning:literal) => {
        crate::verify::vocabulary::Entry {
            subject: $subject,
            pattern: $pattern,
            meaning: $meaning,
            kind: crate::verify::vocabulary::Kind::Check,
            run: |scene, arguments| Box::pin(std::future::ready($run(scene, &arguments))),
        }
    };
}
use judgement;

/// Every step there is.
///
/// # Errors
/// A pattern that is not a Cucumber expression: a fault of the program.
pub fn vocabulary() -> Result<Vocabulary, BadPattern> {
    let before: [&[Entry]; 2] = [&pods::STEPS, &injection::STEPS];
    let after: [&[Entry]; 4] = [&mtls::STEPS, &graph::STEPS, &istiod::STEPS, &proxies::STEPS];
    let subjects = before
        .into_iter()
        .chain(traffic::STEPS)
        .chain(prometheus::STEPS)
        .chain(grafana::STEPS)
        .chain(zipkin::STEPS)
        .chain(after);
    Vocabulary::new(subjects.flatten().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_an_expression_and_documented() {
        let vocabulary = vocabulary().expect("the patterns are expressions");
        for entry in vocabulary.entries() {
            assert!(entry.meaning.ends_with('.') && !entry.subject.is_empty(), "{}", entry.pattern);
        }
    }
}
