//! Words that more than one report uses.

use std::time::Duration;

use crate::verify::record::Scenario;

/// Why a scenario did not pass, whole.
pub(super) fn reason(scenario: &Scenario) -> String {
    scenario.error.clone().unwrap_or_default()
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
