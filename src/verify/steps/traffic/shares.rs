//! Shares: how many of the requests that were sent last were answered how, by which version, and in
//! what time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{judgement, told};
use crate::verify::arguments::Arguments;
use crate::verify::path::plain;
use crate::verify::traffic::{Answer, Sent};
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 10] = [
    judgement!(
        "routing",
        "every request is answered with field {string} {string}",
        every_field,
        "The requests that were sent last were all answered, and this field of each answer's JSON body, by its path \
         with dots, is this text or number."
    ),
    judgement!(
        "routing",
        "every request is answered with field {string} containing {string}",
        every_containing,
        "The same with a field that contains the text."
    ),
    judgement!(
        "routing",
        "no request is answered with field {string} {string}",
        no_field,
        "The requests that were sent last were all answered, and no answer's field is this text or number."
    ),
    judgement!(
        "routing",
        "between {int} and {int} percent of the requests are answered with status {int}",
        share_status,
        "So many of the requests that were sent last have this status."
    ),
    judgement!(
        "routing",
        "between {int} and {int} percent of the requests are answered with field {string} {string}",
        share_field,
        "So many of the requests that were sent last are answered with this text or number in the field of the \
         answer's JSON body, by its path with dots."
    ),
    judgement!(
        "routing",
        "between {int} and {int} percent of the requests are answered with field {string} containing {string}",
        share_containing,
        "The same with a field that contains the text."
    ),
    judgement!(
        "routing",
        "the answers' field {string} has these shares, give or take {int} point(s):",
        shares,
        "A table of values and their percent among the requests that were sent last; each may be off by so many \
         percent points. No value comes that the table does not have, and no request without an answer."
    ),
    judgement!(
        "routing",
        "every request took at least {duration}",
        at_least,
        "Each of the requests that were sent last was answered, and not sooner."
    ),
    judgement!(
        "routing",
        "every request took at most {duration}",
        at_most,
        "Each of the requests that were sent last was answered, and not later."
    ),
    judgement!(
        "routing",
        "between {int} and {int} percent of the requests took at least {duration}",
        share_slow,
        "So many of the requests that were sent last were answered, but not sooner."
    ),
];

/// How often the field had each value; what has no such field or no answer is counted as that.
fn tally(sent: &Sent, path: &str) -> Result<BTreeMap<String, u32>, Unmet> {
    let mut tally: BTreeMap<String, u32> = BTreeMap::new();
    for answer in sent.answers()? {
        *tally.entry(value(answer, path)).or_default() += 1;
    }
    let unanswered = sent.report.sent.saturating_sub(sent.report.answered());
    if unanswered > 0 {
        tally.insert("(no answer)".to_owned(), unanswered);
    }
    Ok(tally)
}

fn value(answer: &Answer, path: &str) -> String {
    answer.field(path).map_or_else(|_| format!("(no such field, status {})", answer.status), |value| plain(&value))
}

/// A tally in words, with what was sent.
fn seen(sent: &Sent, path: &str, tally: &BTreeMap<String, u32>) -> String {
    let parts: Vec<String> = tally.iter().map(|(value, count)| format!("{count} with {value:?}")).collect();
    let parts = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
    format!("field `{path}` in {} answers: {parts}; {}", sent.report.sent, told(sent))
}

/// Passes if all requests were answered with a value that is `good`.
fn every(sent: &Sent, path: &str, good: impl Fn(&str) -> bool) -> Result<(), Unmet> {
    let tally = tally(sent, path)?;
    if !tally.is_empty() && tally.keys().all(|value| good(value)) {
        Ok(())
    } else {
        Err(Unmet::Never(seen(sent, path, &tally)))
    }
}

fn every_field(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    every(scene.traffic(None)?, arguments.text(0), |value| value == arguments.text(1))
}

fn every_containing(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    every(scene.traffic(None)?, arguments.text(0), |value| value.contains(arguments.text(1)))
}

fn no_field(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let sent = scene.traffic(None)?;
    every(sent, arguments.text(0), |value| value != arguments.text(1) && value != "(no answer)")
}

/// Passes if `count` of `all` is between these percent.
fn within(count: u32, all: u32, least: u32, most: u32) -> Result<(), String> {
    let percent = f64::from(count) * 100.0 / f64::from(all.max(1));
    if all > 0 && (f64::from(least)..=f64::from(most)).contains(&percent) {
        Ok(())
    } else {
        Err(format!("{count} of {all} are {percent:.0} percent, not between {least} and {most}"))
    }
}

/// Judges a share of the requests that were sent last by the first two values of the step.
fn share(sent: &Sent, arguments: &Arguments, count: u32, what: impl FnOnce() -> String) -> Result<(), Unmet> {
    within(count, sent.report.sent, arguments.number(0)?, arguments.number(1)?)
        .map_err(|why| Unmet::Never(format!("{why}: {}", what())))
}

fn share_status(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (sent, status): (_, u16) = (scene.traffic(None)?, arguments.number(2)?);
    let count = sent.report.codes.get(&status).copied().unwrap_or(0);
    share(sent, arguments, count, || told(sent))
}

fn share_of(scene: &Scene, arguments: &Arguments, good: impl Fn(&str) -> bool) -> Result<(), Unmet> {
    let (sent, path) = (scene.traffic(None)?, arguments.text(2));
    let tally = tally(sent, path)?;
    let count = tally.iter().filter(|(value, _)| good(value)).map(|(_, count)| count).sum();
    share(sent, arguments, count, || seen(sent, path, &tally))
}

fn share_field(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    share_of(scene, arguments, |value| value == arguments.text(3))
}

fn share_containing(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    share_of(scene, arguments, |value| value.contains(arguments.text(3)))
}

fn shares(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (sent, path) = (scene.traffic(None)?, arguments.text(0));
    let mut wanted = BTreeMap::new();
    for (value, percent) in arguments.pairs()? {
        let number = percent.trim_end_matches('%').trim();
        let wrong = |_| Unmet::Misused(format!("`{percent}` is not a number of percent"));
        wanted.insert(value, number.parse::<u32>().map_err(wrong)?);
    }
    let tally = tally(sent, path)?;
    judged_shares(&tally, sent.report.sent, &wanted, arguments.number(1)?)
        .map_err(|why| Unmet::Never(format!("{why}: {}", seen(sent, path, &tally))))
}

/// Passes if each value has its percent, give or take `points`, and no other value comes.
fn judged_shares(
    tally: &BTreeMap<String, u32>,
    all: u32,
    wanted: &BTreeMap<&str, u32>,
    points: u32,
) -> Result<(), String> {
    let mut wrong: Vec<String> = Vec::new();
    for (value, percent) in wanted {
        let count = tally.get(*value).copied().unwrap_or(0);
        if let Err(why) = within(count, all, percent.saturating_sub(points), percent + points) {
            wrong.push(format!("{value:?}: {why}"));
        }
    }
    let others = tally.iter().filter(|(value, _)| !wanted.contains_key(value.as_str()));
    wrong.extend(others.map(|(value, count)| format!("{value:?} came {count} times")));
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// Passes if every request was answered, in a time that is `good`.
fn timed(sent: &Sent, good: impl Fn(Duration) -> bool) -> Result<(), Unmet> {
    let answers = sent.answers()?;
    let bad = answers.iter().filter(|answer| !good(took(answer))).count();
    if bad == 0 && !answers.is_empty() && sent.report.answered() == sent.report.sent {
        return Ok(());
    }
    Err(Unmet::Never(format!("{bad} answers took another time; {}; {}", times(answers), told(sent))))
}

fn took(answer: &Answer) -> Duration {
    Duration::from_millis(answer.elapsed_ms)
}

/// The times of answers in words.
fn times(answers: &[Answer]) -> String {
    let mut times: Vec<u64> = answers.iter().map(|answer| answer.elapsed_ms).collect();
    times.sort_unstable();
    match times.as_slice() {
        [] => "there is no answer".to_owned(),
        [one] => format!("the answer took {one} ms"),
        [first, .., last] => {
            let middle = times[times.len() / 2];
            format!("the answers took from {first} to {last} ms, half of them at most {middle} ms")
        }
    }
}

fn at_least(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let wanted = arguments.duration(0)?;
    timed(scene.traffic(None)?, |took| took >= wanted)
}

fn at_most(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let wanted = arguments.duration(0)?;
    timed(scene.traffic(None)?, |took| took <= wanted)
}

fn share_slow(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let sent = scene.traffic(None)?;
    let wanted = arguments.duration(2)?;
    let answers = sent.answers()?;
    let count = answers.iter().filter(|answer| took(answer) >= wanted).count();
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    share(sent, arguments, count, || format!("{}; {}", times(answers), told(sent)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::traffic::Report;

    /// What came back of requests that were answered by these versions after so many milliseconds.
    fn sent(answers: &[(&str, u64)], errors: u32) -> Sent {
        let mut report = Report::default();
        for (version, elapsed_ms) in answers {
            let body = format!(r#"{{"version":"{version}"}}"#);
            report.add(Answer { status: 200, body, elapsed_ms: *elapsed_ms, ..Answer::default() });
        }
        for _ in 0..errors {
            report.fail("connection reset".to_owned());
        }
        Sent { from: "client".to_owned(), to: "GET http://x/".to_owned(), report, ..Sent::default() }
    }

    #[test]
    fn every_answer_must_have_the_value() {
        assert!(every(&sent(&[("v1", 1), ("v1", 1)], 0), "version", |value| value == "v1").is_ok());
        let error = every(&sent(&[("v1", 1), ("v2", 1), ("v2", 1)], 1), "version", |value| value == "v1");
        let text = error.expect_err("others answered too").to_string();
        let begin = "field `version` in 4 answers: 1 with \"(no answer)\", 1 with \"v1\", 2 with \"v2\"; \
                     GET http://x/ from client: of 4 requests: 3 with status 200, 1 without an answer (connection reset)";
        assert!(text.starts_with(begin), "{text}");
        assert!(every(&Sent::default(), "version", |_| true).is_err(), "no answer is not every answer");
    }

    #[test]
    fn a_share_lies_between_its_bounds() {
        assert_eq!(within(8, 10, 80, 80), Ok(()));
        assert_eq!(within(7, 10, 75, 100), Err("7 of 10 are 70 percent, not between 75 and 100".to_owned()));
        assert!(within(0, 0, 0, 100).is_err(), "nothing has no share");
    }

    #[test]
    fn shares_are_judged_with_their_tolerance() {
        let tally = |pairs: &[(&str, u32)]| pairs.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect();
        let wanted = BTreeMap::from([("v1", 75), ("v2", 25)]);
        assert_eq!(judged_shares(&tally(&[("v1", 70), ("v2", 30)]), 100, &wanted, 5), Ok(()));
        let error = judged_shares(&tally(&[("v1", 60), ("v2", 30), ("v3", 10)]), 100, &wanted, 5);
        let text = "\"v1\": 60 of 100 are 60 percent, not between 70 and 80; \"v3\" came 10 times";
        assert_eq!(error, Err(text.to_owned()));
        let gone = judged_shares(&tally(&[("v1", 100)]), 100, &BTreeMap::from([("v1", 100), ("v2", 0)]), 0);
        assert_eq!(gone, Ok(()));
    }

    #[test]
    fn times_are_those_of_answered_requests() {
        let limit = Duration::from_millis(100);
        assert!(timed(&sent(&[("v1", 100), ("v1", 250)], 0), |took| took >= limit).is_ok());
        assert!(timed(&sent(&[("v1", 100)], 1), |took| took >= limit).is_err(), "one was not answered");
        let error = timed(&sent(&[("v1", 100), ("v1", 90), ("v1", 300)], 0), |took| took <= limit);
        let text = error.expect_err("one is too late").to_string();
        let begin = "1 answers took another time; the answers took from 90 to 300 ms, half of them at most 100 ms; GET";
        assert!(text.starts_with(begin), "{text}");
    }
}
