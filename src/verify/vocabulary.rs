//! The steps that scenarios are written in: patterns with their meaning, found by a step's text.
//!
//! A pattern is a Cucumber expression. Every check can be given time: `eventually …` (30 seconds),
//! `eventually within 10 seconds …`, `consistently for 3 seconds …`, `3 times in a row …`,
//! `eventually within 10 seconds, 3 times in a row …`; every step a limit: `within 20 seconds …`.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use cucumber_expressions::Expression;
use cucumber_expressions::expand::IntoRegexCharIter as _;
use futures::future::LocalBoxFuture;
use regex::{Captures, Regex};
use thiserror::Error;

use super::arguments::{Arguments, DURATION, KIND, OBJECT, PROMQL, QUOTED, duration};
use super::unmet::Unmet;
use super::world::Scene;

/// How long a step, or one try of a check, may take when it is not said.
pub(super) const LIMIT: Duration = Duration::from_mins(1);
/// How long `eventually` waits when it is not said.
const EVENTUALLY: Duration = Duration::from_secs(30);

/// A step's function.
pub type Run = for<'a> fn(&'a mut Scene, Arguments) -> LocalBoxFuture<'a, Result<(), Unmet>>;

/// Whether doing a step twice is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Looks and judges; can be repeated until it passes.
    Check,
    /// Does something; is done once.
    Action,
}

/// A step that scenarios can use.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The page of the vocabulary that it belongs to.
    pub subject: &'static str,
    /// Its Cucumber expression.
    pub pattern: &'static str,
    /// What it does or checks, in a sentence or two.
    pub meaning: &'static str,
    /// Whether it can be repeated.
    pub kind: Kind,
    /// Its function.
    pub run: Run,
}

/// When a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once, now, and it may take so long.
    Once(Duration),
    /// Again and again until it passes so many times in a row, or the time is up.
    Eventually {
        /// The time.
        within: Duration,
        /// How many times, at least 1.
        times: u32,
    },
    /// Again and again; it must pass each time until the time is up.
    Consistently(Duration),
    /// So many times, one soon after the other; it must pass each time.
    Times(u32),
}

/// A step's text, understood.
#[derive(Clone, Debug)]
pub struct Matched {
    /// The step.
    pub entry: Entry,
    /// When it is done.
    pub when: When,
    /// The values in the text.
    pub arguments: Arguments,
}

/// Why a step's text was not understood.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unknown {
    /// No step reads so.
    #[error("there is no step that reads so{}", nearest.as_ref().map_or(String::new(), |text| format!("; the nearest is: {text}")))]
    Undefined {
        /// The pattern that is most alike.
        nearest: Option<String>,
    },
    /// Several steps read so.
    #[error("the step could be any of: {}", patterns.join(" | "))]
    Ambiguous {
        /// Their patterns.
        patterns: Vec<String>,
    },
    /// A step that does something was to be repeated.
    #[error("`{pattern}` does something and can't be repeated; give time to the check that follows it")]
    Repeated {
        /// The step's pattern.
        pattern: String,
    },
}

/// All steps, ready to be searched.
#[derive(Debug)]
pub struct Vocabulary {
    known: Vec<Known>,
}

/// A step with what its texts are recognised by.
#[derive(Debug)]
struct Known {
    entry: Entry,
    /// What each of its texts has, in this order.
    words: Vec<&'static str>,
    /// The regular expression, with the prefix that gives time.
    text: String,
    /// The same, compiled when a text may match for the first time: a run uses few of all steps.
    regex: OnceLock<Option<Regex>>,
}

impl Known {
    fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| Regex::new(&self.text).ok()).as_ref()
    }

    fn captures<'t>(&self, text: &'t str) -> Option<(&Regex, Captures<'t>)> {
        let mut rest = text;
        for word in &self.words {
            rest = &rest[rest.find(word)? + word.len()..];
        }
        let regex = self.regex()?;
        Some((regex, regex.captures(text)?))
    }
}

/// A pattern that is not a Cucumber expression: a fault of the program.
#[derive(Debug, Error)]
#[error("the pattern `{pattern}` is not a Cucumber expression: {reason}")]
pub struct BadPattern {
    pattern: &'static str,
    reason: String,
}

impl Vocabulary {
    /// Prepares `entries` for searching.
    ///
    /// # Errors
    /// A pattern that is not a Cucumber expression.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Result<Self, BadPattern> {
        let parameters = HashMap::from([
            ("duration", DURATION),
            ("promql", PROMQL),
            ("regex", QUOTED),
            ("kind", KIND),
            ("object", OBJECT),
        ]);
        let prefix = format!(
            "^(?:consistently for ({DURATION}),? |within ({DURATION}),? \
             |(?:eventually(?: within ({DURATION}))?,? )?(?:([1-9]\\d*) times? in a row,? )?)"
        );
        let known = entries.into_iter().map(|entry| {
            let bad = |reason: String| BadPattern { pattern: entry.pattern, reason };
            let expression = Expression::parse(entry.pattern).map_err(|error| bad(error.to_string()))?;
            let body = expression.with_parameters(&parameters).into_regex_char_iter().collect::<Result<String, _>>();
            let body = body.map_err(|error| bad(error.to_string()))?;
            let text = format!("{prefix}{}", body.trim_start_matches('^'));
            Ok(Known { entry, words: words(entry.pattern), text, regex: OnceLock::new() })
        });
        Ok(Self { known: known.collect::<Result<_, _>>()? })
    }

    /// The steps in order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.known.iter().map(|known| &known.entry)
    }

    /// Finds the step that `text` means.
    ///
    /// # Errors
    /// Each variant of [`Unknown`].
    pub fn find(&self, text: &str) -> Result<Matched, Unknown> {
        let mut found = self.known.iter().filter_map(|known| Some((&known.entry, known.captures(text)?)));
        let Some((entry, (regex, captures))) = found.next() else {
            return Err(Unknown::Undefined { nearest: self.nearest(text) });
        };
        let others: Vec<String> = found.map(|(other, ..)| other.pattern.to_owned()).collect();
        if !others.is_empty() {
            let patterns = std::iter::once(entry.pattern.to_owned()).chain(others).collect();
            return Err(Unknown::Ambiguous { patterns });
        }
        let when = when(text, &captures);
        if !matches!(when, When::Once(_)) && entry.kind == Kind::Action {
            return Err(Unknown::Repeated { pattern: entry.pattern.to_owned() });
        }
        Ok(Matched { entry: *entry, when, arguments: Arguments::new(values(regex, &captures)) })
    }

    /// The pattern that is most like `text`, if any is alike.
    fn nearest(&self, text: &str) -> Option<String> {
        let shape = shape(text);
        let alike = |entry: &Entry| strsim::normalized_damerau_levenshtein(&shape, &plain(entry.pattern));
        self.entries()
            .map(|entry| (alike(entry), entry.pattern))
            .filter(|(alike, _)| *alike > 0.4)
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .map(|(_, pattern)| pattern.to_owned())
    }
}

/// The parts of a pattern that stand in each of its texts as they are: neither parameters nor optional nor alternative.
fn words(pattern: &'static str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let (mut start, mut depth) = (0, 0_u32);
    let mut end_at = |start: usize, end: usize| {
        let part = pattern[start..end].trim();
        // Of what has alternatives, the words beside them.
        found.extend(part.split(' ').filter(|word| !word.is_empty() && !word.contains(['/', '\\'])));
    };
    for (index, sign) in pattern.char_indices() {
        match sign {
            '{' | '(' => {
                if depth == 0 {
                    end_at(start, index);
                }
                depth += 1;
            }
            '}' | ')' => {
                depth = depth.saturating_sub(1);
                start = index + 1;
            }
            _ => {}
        }
    }
    end_at(start, pattern.len());
    found
}

/// A pattern as [`shape`] shows texts.
fn plain(pattern: &str) -> String {
    let strings = pattern.replace("{promql}", "{string}").replace("{regex}", "{string}");
    strings.replace("{object}", "Deployment {string} in namespace {string}").replace("{kind}", "Pods")
}

/// What the prefix of a step's text says.
fn when(text: &str, captures: &Captures<'_>) -> When {
    let time = |group: usize| captures.get(group).and_then(|time| duration(time.as_str()));
    // What is too large a number is more than anyone waits for.
    let times = captures.get(4).map(|times| times.as_str().parse().unwrap_or(u32::MAX));
    match (time(1), time(2), time(3)) {
        (Some(during), ..) => When::Consistently(during),
        (_, Some(limit), _) => When::Once(limit),
        (.., Some(within)) => When::Eventually { within, times: times.unwrap_or(1) },
        _ if text.starts_with("eventually") => When::Eventually { within: EVENTUALLY, times: times.unwrap_or(1) },
        _ => times.map_or(When::Once(LIMIT), When::Times),
    }
}

/// How many groups belong to the prefix.
const PREFIX_GROUPS: usize = 4;

/// The values of the parameters. A parameter of several groups has them named `__N_M`, and one of
/// them matched.
fn values(regex: &Regex, captures: &Captures<'_>) -> Vec<String> {
    let mut values: Vec<(Option<&str>, String)> = Vec::new();
    for (index, name) in regex.capture_names().enumerate().skip(1 + PREFIX_GROUPS) {
        let parameter = name.and_then(|name| name.rsplit_once('_')).map(|(parameter, _)| parameter);
        let text = captures.get(index).map(|found| found.as_str().replace("\\\"", "\"").replace("\\'", "'"));
        match values.last_mut() {
            Some((last, value)) if parameter.is_some() && *last == parameter => {
                if let Some(text) = text {
                    *value = text;
                }
            }
            _ => values.push((parameter, text.unwrap_or_default())),
        }
    }
    values.into_iter().map(|(_, value)| value).collect()
}

/// A step's text with its values replaced by the names of parameters, to compare with patterns.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut quote = None;
    for word in text.chars() {
        match (quote, word) {
            (None, '"' | '\'') => {
                quote = Some(word);
                shape.push_str("{string}");
            }
            (Some(open), _) if word == open => quote = None,
            (Some(_), _) => {}
            (None, _) => shape.push(word),
        }
    }
    let words = shape.split(' ').map(|word| if word.parse::<f64>().is_ok() { "{int}" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pattern: &'static str, kind: Kind) -> Entry {
        let run: Run = |_, _| Box::pin(async { Ok(()) });
        Entry { subject: "test", pattern, meaning: "", kind, run }
    }

    fn vocabulary() -> Vocabulary {
        Vocabulary::new([
            entry("(the )pods of {string} in {string} have {int} container(s)", Kind::Check),
            entry("{string} sends {int} request(s) to {string}", Kind::Action),
        ])
        .expect("the patterns are expressions")
    }

    #[test]
    fn values_are_found_in_order() {
        let matched = vocabulary().find(r#"the pods of "a" in 'b "c"' have 2 containers"#).expect("it is a step");
        assert_eq!(matched.when, When::Once(LIMIT));
        let values: Vec<&str> = (0..3).map(|index| matched.arguments.text(index)).collect();
        assert_eq!(values, ["a", "b \"c\"", "2"]);
    }

    #[test]
    fn words_that_each_text_has_are_found() {
        assert_eq!(
            words("(the )pods of {string} in {string} have {int} container(s)"),
            ["pods", "of", "in", "have", "container"]
        );
        assert_eq!(words("{int} request(s) is/are sent (to it )at once"), ["request", "sent", "at", "once"]);
        assert_eq!(words("{string}"), [""; 0]);
    }

    #[test]
    fn every_step_has_a_regular_expression_that_asks_for_its_words() {
        let vocabulary = crate::verify::vocabulary().expect("the patterns are expressions");
        for known in &vocabulary.known {
            assert!(known.regex().is_some(), "{}", known.entry.pattern);
            for word in &known.words {
                assert!(known.text.contains(&regex::escape(word)), "{word} is not in {}", known.text);
            }
        }
    }

    #[test]
    fn a_check_can_be_given_time() {
        let when = |prefix: &str| {
            vocabulary().find(&format!("{prefix}pods of \"a\" in \"b\" have 1 container")).expect("it is a step").when
        };
        let (ten, times) = (Duration::from_secs(10), 1);
        assert_eq!(when("eventually within 10 seconds "), When::Eventually { within: ten, times });
        assert_eq!(when("eventually, "), When::Eventually { within: EVENTUALLY, times });
        assert_eq!(when("consistently for 500 ms, "), When::Consistently(Duration::from_millis(500)));
        assert_eq!(when("3 times in a row, "), When::Times(3));
        let twice = When::Eventually { within: ten, times: 2 };
        assert_eq!(when("eventually within 10 seconds, 2 times in a row "), twice);
        assert_eq!(when("within 10 seconds "), When::Once(ten));
    }

    #[test]
    fn an_action_can_be_given_a_limit() {
        let matched = vocabulary().find(r#"within 2 minutes "a" sends 2 requests to "b""#).expect("it is a step");
        assert_eq!(matched.when, When::Once(Duration::from_mins(2)));
        assert_eq!((matched.arguments.text(0), matched.arguments.text(2)), ("a", "b"));
    }

    #[test]
    fn an_object_is_one_value() {
        let vocabulary = Vocabulary::new([
            entry("field {string} of {object} matches {regex}", Kind::Check),
            entry("there is/are {int} {kind} in namespace {string}", Kind::Check),
        ])
        .expect("the patterns are expressions");
        let values = |text: &str| {
            let arguments = vocabulary.find(text).expect("it is a step").arguments;
            (0..4).map(|index| arguments.text(index).to_owned()).collect::<Vec<_>>()
        };
        let object = r#"Gateway.networking.istio.io "g" in namespace "n""#;
        assert_eq!(values(&format!(r#"field "a.b" of {object} matches '^x$'"#)), ["a.b", object, "^x$", ""]);
        assert_eq!(values(r#"field "a" of ClusterRole 'r' matches "x""#), ["a", "ClusterRole 'r'", "x", ""]);
        assert_eq!(values(r#"there are 2 Pods in namespace "n""#), ["2", "Pods", "n", ""]);
    }

    #[test]
    fn an_action_is_done_once() {
        let error = vocabulary().find(r#"eventually "a" sends 2 requests to "b""#).expect_err("it is an action");
        assert!(matches!(error, Unknown::Repeated { .. }), "{error}");
    }

    #[test]
    fn an_unknown_step_names_the_nearest() {
        let error = vocabulary().find(r#"the pods of "x" in "y" has 3 containers"#).expect_err("it is no step");
        assert_eq!(
            error.to_string(),
            "there is no step that reads so; the nearest is: (the )pods of {string} in {string} have {int} container(s)"
        );
        let error = vocabulary().find("zzz").expect_err("it is no step");
        assert_eq!(error, Unknown::Undefined { nearest: None });
    }

    #[test]
    fn a_text_that_two_steps_match_is_ambiguous() {
        let two = Vocabulary::new([entry("a {word}", Kind::Check), entry("a {string}", Kind::Check)])
            .expect("the patterns are expressions");
        assert!(matches!(two.find("a \"b\""), Err(Unknown::Ambiguous { .. })));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = Vocabulary::new([entry("a {nothing}", Kind::Check)]).expect_err("there is no such parameter");
        assert!(error.to_string().starts_with("the pattern `a {nothing}`"), "{error}");
    }
}
