//! Steps that expect something else than those that they are made of.

use std::collections::BTreeSet;
use std::ops::Range;

use cucumber::gherkin::{Scenario, Step};

use crate::verify::vocabulary::{Entry, Kind, Matched, Vocabulary};

/// How far a number is altered: far enough that "at least" notices, too.
const FAR: u64 = 1000;

/// The longest text that is lent to another step, in bytes: names are short.
const LENT: usize = 40;
/// How many texts of its scenario a step is tried with.
const MOST_LENT: usize = 8;

/// The same step with one of its values altered, each way there is. What is expected mostly stands last, what is
/// looked at first, so that the last values come first. What says that something is not so fails by none of these:
/// to a check, the scenario's other texts are tried last.
pub(super) fn alterations(vocabulary: &Vocabulary, step: &Step, scenario: &Scenario) -> Vec<Step> {
    let Ok(matched) = vocabulary.find(&step.value) else { return Vec::new() };
    let mut steps = Vec::new();
    if let Some(cell) = step.table.as_ref().and_then(|table| table.rows.last()?.last()) {
        for other in others(cell, &matched.entry) {
            let mut altered = step.clone();
            if let Some(cell) = altered.table.as_mut().and_then(|table| table.rows.last_mut()?.last_mut()) {
                *cell = other;
            }
            steps.push(altered);
        }
    }
    let mut borrowing = Vec::new();
    let lent = if matched.entry.kind == Kind::Check { texts(scenario) } else { Vec::new() };
    for Range { start, end } in values(&step.value).into_iter().rev() {
        let (before, value, after) = (&step.value[..start], &step.value[start..end], &step.value[end..]);
        let quote = value.chars().next().filter(|first| !first.is_ascii_digit());
        let inner = quote.and_then(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value);
        let quoted = |text: &str| quote.map_or(text.to_owned(), |quote| format!("{quote}{text}{quote}"));
        let altered = |other: &str| {
            let text = format!("{before}{}{after}", quoted(other));
            // Its time must stay as it is, and it must stay the same step.
            let is_same = |found: Matched| found.entry.pattern == matched.entry.pattern && found.when == matched.when;
            vocabulary.find(&text).is_ok_and(is_same).then(|| Step { value: text, ..step.clone() })
        };
        steps.extend(others(inner, &matched.entry).iter().filter_map(|other| altered(other)));
        if quote.is_some() {
            let others = lent.iter().filter(|other| **other != inner);
            borrowing.extend(others.filter_map(|other| altered(other)));
        }
    }
    steps.extend(borrowing);
    steps
}

/// The texts in quotes that the steps of a scenario have, each once.
fn texts(scenario: &Scenario) -> Vec<&str> {
    let mut found = Vec::new();
    for step in &scenario.steps {
        for Range { start, end } in values(&step.value) {
            let text = step.value[start..end].strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            found.extend(text.filter(|text| !text.is_empty() && text.len() <= LENT));
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|text| seen.insert(*text));
    found.truncate(MOST_LENT);
    found
}

/// Other values in the place of this one.
fn others(value: &str, entry: &Entry) -> Vec<String> {
    if let Ok(number) = value.parse::<u64>() {
        // To send a thousand requests proves nothing.
        let numbers = if entry.kind == Kind::Action { vec![] } else { vec![number.saturating_add(FAR), 0] };
        return numbers.into_iter().filter(|other| *other != number).map(|other| other.to_string()).collect();
    }
    if entry.pattern.contains("{promql}") && promql_parser::parser::parse(value).is_ok() {
        // What has no sample, what has one, and what can't be asked.
        return vec![format!("({value}) unless ({value})"), "vector(1)".to_owned(), format!("{value} (")];
    }
    vec![format!("{value}-not")]
}

/// Where texts in quotes and numbers stand in a step's text.
fn values(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(start) = text[rest..].find(|sign: char| matches!(sign, '"' | '\'' | '0'..='9')) {
        let start = rest + start;
        // In the middle of a word it is an apostrophe, or part of a name.
        if text[..start].chars().next_back().is_some_and(char::is_alphanumeric) {
            rest = start + 1;
            continue;
        }
        let length = text[start..].find(|sign: char| !sign.is_ascii_digit());
        let end = match length {
            Some(0) => closing(text, start),
            Some(length) => start + length,
            None => text.len(),
        };
        found.push(start..end);
        rest = end;
    }
    found
}

/// The place behind the quote that closes the one at `start`.
fn closing(text: &str, start: usize) -> usize {
    let quote = text[start..].chars().next();
    let mut is_escaped = false;
    for (index, sign) in text.char_indices().filter(|(index, _)| *index > start) {
        if !is_escaped && Some(sign) == quote {
            return index + sign.len_utf8();
        }
        is_escaped = !is_escaped && sign == '\\';
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use cucumber::gherkin::{Feature, GherkinEnv};

    use super::*;
    use crate::verify::vocabulary::Run;

    fn vocabulary() -> Vocabulary {
        let run: Run = |_, _| Box::pin(async { Ok(()) });
        let entry = |pattern, kind| Entry { subject: "test", pattern, meaning: "A step.", kind, run };
        Vocabulary::new([
            entry("pods of {string} have {int} container(s)", Kind::Check),
            entry("{string} sends {int} request(s)", Kind::Action),
            entry("the query {promql} gives {float}", Kind::Check),
            entry("it has these fields:", Kind::Check),
            entry("it is so", Kind::Check),
            entry("the lab's v1 is called {string}", Kind::Check),
        ])
        .expect("the patterns are expressions")
    }

    fn altered(step: &str) -> Vec<String> {
        let feature = format!("Feature: F\n  Scenario: s\n    Given {step}\n");
        let feature = Feature::parse(feature, GherkinEnv::default()).expect("it is Gherkin");
        let scenario = &feature.scenarios[0];
        let steps = alterations(&vocabulary(), &scenario.steps[0], scenario);
        let cell = |step: &Step| step.table.as_ref().map(|table| table.rows[1][1].clone());
        steps.iter().map(|step| cell(step).unwrap_or_else(|| step.value.clone())).collect()
    }

    #[test]
    fn each_value_is_altered_and_the_time_is_not() {
        assert_eq!(
            altered(r#"eventually within 5 seconds pods of "a" have 2 containers"#),
            [
                r#"eventually within 5 seconds pods of "a" have 1002 containers"#,
                r#"eventually within 5 seconds pods of "a" have 0 containers"#,
                r#"eventually within 5 seconds pods of "a-not" have 2 containers"#,
            ]
        );
        assert_eq!(altered("'a \"b\"' sends 2 requests"), ["'a \"b\"-not' sends 2 requests"]);
        assert_eq!(altered("the lab's v1 is called \"x\""), ["the lab's v1 is called \"x-not\""]);
        assert_eq!(altered("it is so"), [""; 0]);
        assert_eq!(altered("nobody knows it"), [""; 0]);
    }

    #[test]
    fn a_check_borrows_the_texts_of_its_scenario() {
        let steps =
            altered("the lab's v1 is called \"x\"\n    And \"y\" sends 2 requests\n    And \"x\" sends 1 request");
        assert_eq!(steps, ["the lab's v1 is called \"x-not\"", "the lab's v1 is called \"y\""]);
    }

    #[test]
    fn queries_stay_queries() {
        let steps = altered("the query 'up{a=\"b\"}' gives 1");
        assert_eq!(steps[0], "the query 'up{a=\"b\"}' gives 1001");
        assert!(steps.contains(&"the query '(up{a=\"b\"}) unless (up{a=\"b\"})' gives 1".to_owned()), "{steps:?}");
    }

    #[test]
    fn the_last_cell_of_a_table_is_altered() {
        assert_eq!(altered("it has these fields:\n      | a | 1 |\n      | b | x |"), ["x-not"]);
    }
}
