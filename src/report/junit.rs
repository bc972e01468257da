//! JUnit XML as CI systems read it: a suite for the steps, one for each feature, and one that fails
//! while the run has not come to its end, so that a report that was cut off says so.
//!
//! It holds nothing that the schema of Jenkins' xUnit plugin does not know, which is the strictest of
//! those that are in use; a test of the suite compares them.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::tally::Tally;
use super::text;
use crate::error::{Failure, Kind};
use crate::plan::event::Outcome;
use crate::verify::record::{Scenario, Status};

/// The report of a run, finished or not.
///
/// # Errors
/// Text that XML can't hold, which the library is meant to have taken out.
pub(super) fn render(tally: &Tally) -> Result<String, Failure> {
    let mut report = Report::new(tally.lab.as_ref().map_or("istiolab", |lab| lab.name.as_str()));
    report.set_time(tally.elapsed());
    report.add_test_suite(run(tally));
    if !tally.steps.is_empty() {
        report.add_test_suite(steps(tally));
    }
    let mut features: Vec<(&Scenario, Vec<&Scenario>)> = Vec::new();
    for scenario in &tally.scenarios {
        let place = (&scenario.feature, &scenario.file);
        match features.iter_mut().find(|(first, _)| (&first.feature, &first.file) == place) {
            Some((_, scenarios)) => scenarios.push(scenario),
            None => features.push((scenario, vec![scenario])),
        }
    }
    report.add_test_suites(features.into_iter().map(|(first, scenarios)| suite(first, &scenarios)));
    let text = report
        .to_string()
        .map_err(|error| Failure::new(Kind::Unexpected, error).context("writing the JUnit report"))?;
    Ok(renamed(&text))
}

/// The library counts skipped cases under a name that no schema of a CI system has. A `<` begins a
/// line only where an element does: in texts it is escaped.
fn renamed(xml: &str) -> String {
    let line = |line: &str| {
        let is_suite = line.trim_start().starts_with("<testsuite ");
        if is_suite { line.replacen(" disabled=\"", " skipped=\"", 1) } else { line.to_owned() }
    };
    xml.split_inclusive('\n').map(line).collect()
}

/// One test case that stands for the run as a whole.
fn run(tally: &Tally) -> TestSuite {
    let mut suite = TestSuite::new("run");
    let mut status = TestCaseStatus::success();
    match &tally.ended {
        None => {
            status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message("the run was cut off; what follows is what had been seen by then");
        }
        // Failed scenarios are listed as such.
        Some((code, Some(error))) if *code != Kind::ScenariosFailed.code() => {
            status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(error.lines().next().unwrap_or_default()).set_description(error.as_str());
        }
        Some(_) => {}
    }
    let mut case = TestCase::new("the run comes to its end", status);
    case.set_classname("istiolab").set_time(tally.elapsed());
    suite.add_test_case(case);
    suite
}

fn steps(tally: &Tally) -> TestSuite {
    let mut suite = TestSuite::new("steps");
    for step in &tally.steps {
        let (status, elapsed) = match &step.finished {
            None => (skipped("it had not ended"), None),
            Some((Outcome::Cancelled, elapsed)) => (skipped("it was stopped"), Some(*elapsed)),
            Some((Outcome::Failed { error }, elapsed)) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
                status.set_message(error.as_str());
                (status, Some(*elapsed))
            }
            Some((_, elapsed)) => (TestCaseStatus::success(), Some(*elapsed)),
        };
        let mut case = TestCase::new(step.title.as_str(), status);
        case.set_classname(format!("step.{}", step.phase));
        if let Some(elapsed) = elapsed {
            case.set_time(elapsed);
        }
        suite.add_test_case(case);
    }
    suite
}

/// The scenarios of a feature, as its first one names it.
fn suite(first: &Scenario, scenarios: &[&Scenario]) -> TestSuite {
    let mut suite = TestSuite::new(first.feature.as_str());
    suite.extra.insert("file".into(), first.file.as_str().into());
    for scenario in scenarios {
        let status = match scenario.status {
            Status::Passed => TestCaseStatus::success(),
            Status::Skipped => skipped(first_line(&text::reason(scenario))),
            Status::Flaky => tried(TestCaseStatus::success(), scenario),
            Status::Failed => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                let reason = text::reason(scenario);
                status.set_message(first_line(&reason)).set_description(reason);
                tried(status, scenario)
            }
        };
        let mut case = TestCase::new(scenario.name.as_str(), status);
        // Cases have no place of their own in the schema.
        case.set_classname(scenario.feature.as_str())
            .set_time(scenario.elapsed)
            .set_system_out(format!("{}:{}", scenario.file, scenario.line));
        suite.add_test_case(case);
    }
    suite
}

/// Adds the tries that failed before.
fn tried(mut status: TestCaseStatus, scenario: &Scenario) -> TestCaseStatus {
    status.add_reruns(text::tries(scenario).map(|(heading, tried)| {
        let mut rerun = TestRerun::new(NonSuccessKind::Failure);
        let message = format!("{heading}: {}", first_line(&tried.error));
        rerun.set_message(message).set_type("failure").set_stack_trace(tried.error.as_str());
        rerun
    }));
    status
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}
