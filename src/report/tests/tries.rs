//! Scenarios that were tried again, in every report.

use crate::report::*;
use crate::verify::record::{Scenario, Status, Step, Try};

use super::{Screen, tally};

fn step(text: &str, line: usize, status: Status) -> Step {
    Step { keyword: "Then".to_owned(), text: text.to_owned(), line, status, ..Step::default() }
}

/// One that passed at its second try, and one that failed at both.
fn tried() -> Tally {
    let first = Try {
        started: std::time::SystemTime::UNIX_EPOCH,
        elapsed: Duration::from_millis(2300),
        error: "f.feature:2: Then it holds\n  saw 1 of 2".to_owned(),
        steps: vec![step("it holds", 2, Status::Failed), step("all is gone", 0, Status::Passed)],
    };
    let scenario = |name: &str, status, steps| Scenario {
        feature: "F".to_owned(),
        name: name.to_owned(),
        file: "f.feature".to_owned(),
        line: 1,
        status,
        error: (status == Status::Failed).then(|| "saw none".to_owned()),
        steps,
        tries: vec![first.clone()],
        ..Scenario::default()
    };
    let mut tally = tally(&super::events()[..1]);
    tally.scenarios = vec![
        scenario("late", Status::Flaky, vec![step("it holds", 2, Status::Passed)]),
        scenario("never", Status::Failed, vec![step("it holds", 2, Status::Failed)]),
    ];
    tally
}

#[test]
fn the_terminal_shows_the_tries_that_failed() {
    let screen = Screen::default();
    let mut terminal = Terminal::plain(Box::new(screen.clone()), false, terminal::Verbosity::Quiet);
    let tally = tried();
    for scenario in &tally.scenarios {
        let what = What::Scenario(Box::new(scenario.clone()));
        terminal.event(&Event { at: tally.started, step: None, what }, &tally);
    }
    terminal.finish(&tally);
    insta::assert_snapshot!(screen.text(), @"
    ~ F: late (0.0 s), at try 2
        f.feature:1
        try 1 of 2 failed after 2.3 s:
          f.feature:2: Then it holds
            saw 1 of 2
    ✗ F: never (0.0 s)
        f.feature:1
        saw none
        try 1 of 2 failed after 2.3 s:
          f.feature:2: Then it holds
            saw 1 of 2
    2 scenarios: 0 passed, 1 flaky, 1 failed
    ");
}

#[test]
fn junit_has_them_as_flaky_and_rerun_failures() {
    let xml = junit::render(&tried()).expect("it is XML");
    let inner = "message=\"try 1 of 2 failed after 2.3 s: f.feature:2: Then it holds\" type=\"failure\">";
    for element in ["flakyFailure", "rerunFailure"] {
        assert_eq!(xml.matches(&format!("<{element} {inner}")).count(), 1, "{xml}");
    }
    assert!(xml.contains("<testsuite name=\"F\" tests=\"2\" skipped=\"0\" errors=\"0\" failures=\"1\""), "{xml}");
}

#[test]
fn messages_have_them_as_attempts() {
    let lines: Vec<serde_json::Value> =
        messages::render(&tried()).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |kind: &str| lines.iter().filter_map(|line| line.get(kind)).collect::<Vec<_>>();
    let attempts: Vec<_> = of("testCaseStarted").iter().map(|one| one["attempt"].as_u64()).collect();
    assert_eq!(attempts, [Some(0), Some(1), Some(0), Some(1)]);
    let again: Vec<_> = of("testCaseFinished").iter().map(|one| one["willBeRetried"].as_bool()).collect();
    assert_eq!(again, [Some(true), Some(false), Some(true), Some(false)]);
    // What comes after the steps is a hook, which stands in no document.
    assert_eq!(of("hook").len(), 1);
    assert_eq!(of("testCase")[0]["testSteps"][1]["hookId"], of("hook")[0]["id"]);
    assert_eq!(of("pickle")[0]["steps"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_page_and_the_json_have_them_with_their_steps() {
    let page = html::render(&tried());
    for part in ["data-status=\"flaky\"", "Passed at try 2", "try 1 of 2 failed after 2.3 s", "saw 1 of 2"] {
        assert!(page.contains(part), "{part}");
    }
    let json: serde_json::Value = serde_json::from_str(&json::render(&tried())).expect("it is JSON");
    assert_eq!((&json["totals"]["flaky"], &json["scenarios"][0]["status"]), (&1.into(), &"flaky".into()));
    assert_eq!(json["scenarios"][0]["tries"][0]["steps"][0]["status"], "failed");
}
