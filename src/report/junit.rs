//! JUnit XML as CI systems read it: a suite for the steps, one for each feature, and one that fails
//! while the run has not come to its end, so that a report that was cut off says so.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::tally::Tally;
use super::text;
use crate::error::{Failure, Kind};
use crate::plan::event::Outcome;
use crate::verify::record::Status;

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
    let mut features: Vec<&str> = Vec::new();
    for scenario in &tally.scenarios {
        if !features.contains(&scenario.feature.as_str()) {
            features.push(&scenario.feature);
        }
    }
    report.add_test_suites(features.into_iter().map(|feature| suite(tally, feature)));
    report.to_string().map_err(|error| Failure::new(Kind::Unexpected, error).context("writing the JUnit report"))
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

fn suite(tally: &Tally, feature: &str) -> TestSuite {
    let mut suite = TestSuite::new(feature);
    for scenario in tally.scenarios.iter().filter(|scenario| scenario.feature == feature) {
        let status = match scenario.status {
            Status::Passed => TestCaseStatus::success(),
            Status::Skipped => skipped(text::reason(scenario).lines().next().unwrap_or_default()),
            Status::Failed => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                let reason = text::reason(scenario);
                status.set_message(reason.lines().next().unwrap_or_default()).set_description(reason);
                status
            }
        };
        let mut case = TestCase::new(scenario.name.as_str(), status);
        case.set_classname(feature).set_time(scenario.elapsed);
        case.extra.insert("file".into(), scenario.file.as_str().into());
        case.extra.insert("line".into(), scenario.line.to_string().into());
        suite.add_test_case(case);
    }
    suite
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}
