//! Words that more than one report uses.

use std::time::Duration;

use super::tally::Tally;
use crate::verify::record::{Scenario, Status, Try};

/// Why a scenario did not pass, whole.
pub(super) fn reason(scenario: &Scenario) -> String {
    scenario.error.clone().unwrap_or_default()
}

/// The tries that failed before the one that counts: a heading, and why.
pub(super) fn tries(scenario: &Scenario) -> impl Iterator<Item = (String, &Try)> {
    let all = scenario.tries.len() + 1;
    let heading = move |number, tried: &Try| format!("try {number} of {all} failed after {}", seconds(tried.elapsed));
    scenario.tries.iter().zip(1_usize..).map(move |(tried, number)| (heading(number, tried), tried))
}

/// How many ended how, without those of which there are none, but for what one always looks for.
pub(super) fn totals(tally: &Tally) -> String {
    let parts = [
        (Status::Passed, "passed"),
        (Status::Flaky, "flaky"),
        (Status::Failed, "failed"),
        (Status::Skipped, "skipped"),
    ];
    let told = parts.into_iter().map(|(status, word)| (tally.count(status), status, word));
    let told = told.filter(|(count, status, _)| *count > 0 || matches!(status, Status::Passed | Status::Failed));
    told.map(|(count, _, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

/// A time as one reads it beside others: tenths of a second below a minute, else minutes and seconds.
pub(super) fn seconds(time: Duration) -> String {
    let tenths = (time.as_millis() + 50) / 100;
    if tenths < 600 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else {
        let whole = (time.as_millis() + 500) / 1000;
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

/// `1 step`, `2 steps`.
pub(crate) fn counted(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        for (millis, text) in [
            (0, "0.0 s"),
            (49, "0.0 s"),
            (50, "0.1 s"),
            (59_949, "59.9 s"),
            (59_950, "1 min 00 s"),
            (125_400, "2 min 05 s"),
        ] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
        assert_eq!((counted(1, "step"), counted(2, "step")), ("1 step".to_owned(), "2 steps".to_owned()));
    }
}
