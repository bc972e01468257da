//! The vocabulary by subject.

mod grafana;
mod graph;
mod injection;
mod istiod;
mod logs;
mod mtls;
mod objects;
mod pods;
mod prometheus;
mod proxies;
mod shell;
mod traces;
mod traffic;

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
    let before: [&[Entry]; 6] = [
        &objects::state::STEPS,
        &objects::events::STEPS,
        &objects::apply::STEPS,
        &objects::change::STEPS,
        &pods::STEPS,
        &injection::STEPS,
    ];
    let after: [&[Entry]; 6] =
        [&mtls::STEPS, &graph::STEPS, &istiod::STEPS, &proxies::STEPS, &logs::STEPS, &shell::STEPS];
    let subjects = before
        .into_iter()
        .chain(traffic::STEPS)
        .chain(prometheus::STEPS)
        .chain(grafana::STEPS)
        .chain(traces::STEPS)
        .chain(after);
    Vocabulary::new(subjects.flatten().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text that a pattern takes.
    fn example(pattern: &str) -> String {
        let mut text = pattern.replace("(s)", "s");
        for (parameter, value) in [
            ("{string}", "\"x\""),
            ("{promql}", "'up'"),
            ("{regex}", "'^x'"),
            ("{int}", "2"),
            ("{float}", "1.5"),
            ("{word}", "x"),
            ("{duration}", "2 seconds"),
            ("{kind}", "Pods"),
            ("{object}", "Deployment \"x\" in namespace \"y\""),
        ] {
            text = text.replace(parameter, value);
        }
        // Of `is/are` the first; what is in quotes has no slash here.
        let words = text.split(' ').map(|word| word.split('/').next().unwrap_or_default());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn no_pattern_takes_what_another_takes() {
        let vocabulary = vocabulary().expect("the patterns are expressions");
        for entry in vocabulary.entries() {
            let found = vocabulary.find(&example(entry.pattern)).map(|matched| matched.entry.pattern);
            assert_eq!(found, Ok(entry.pattern), "{}", example(entry.pattern));
        }
    }

    #[test]
    fn every_pattern_is_an_expression_and_documented() {
        let vocabulary = vocabulary().expect("the patterns are expressions");
        for entry in vocabulary.entries() {
            assert!(entry.meaning.ends_with('.') && !entry.subject.is_empty(), "{}", entry.pattern);
        }
    }
}
