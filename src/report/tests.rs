//! One stream of events, and what each report makes of it.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use insta::{assert_json_snapshot, assert_snapshot};

use super::terminal::Verbosity;
use super::*;
use crate::plan::event::Outcome;
use crate::verify::record::{Scenario, Status};

mod tries;

/// Bytes that a test reads after the terminal has written them.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no poisoned lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no poisoned lock").clone()).expect("it is text")
    }
}

fn scenario(name: &str, status: Status, error: Option<&str>) -> What {
    What::Scenario(Box::new(Scenario {
        feature: "Injection".to_owned(),
        name: name.to_owned(),
        file: "features/injection.feature".to_owned(),
        line: 7,
        tags: vec!["injection".to_owned()],
        status,
        elapsed: Duration::from_millis(1234),
        error: error.map(str::to_owned),
        ..Scenario::default()
    }))
}

/// A run with one of everything, as events with times of their own.
fn events() -> Vec<Event> {
    let begin = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    let started = |phase: &str, title: &str| What::StepStarted { phase: phase.to_owned(), title: title.to_owned() };
    let finished = |outcome, millis| What::StepFinished { outcome, elapsed: Duration::from_millis(millis) };
    let object = |name: &str, ready, millis| What::Object {
        object: format!("Deployment demo/{name}"),
        state: "1 of 2 replicas ready".to_owned(),
        ready,
        elapsed: Duration::from_millis(millis),
    };
    [
        (0, Some("cluster"), started("cluster", "creating the cluster")),
        (10, Some("parts"), started("images", "building parts")),
        (500, Some("cluster"), What::Status { text: "waiting for the node".to_owned() }),
        (600, Some("cluster"), What::Detail { text: "kind create cluster".to_owned() }),
        (700, Some("parts"), finished(Outcome::Unchanged, 690)),
        (
            800,
            Some("parts"),
            What::Image { name: "istiolab.local/demo:0.1.0".to_owned(), digest: "sha256:abc".to_owned() },
        ),
        (12_000, Some("cluster"), object("front", false, 900)),
        (12_500, Some("cluster"), object("back", false, 1400)),
        (13_000, Some("cluster"), object("front", true, 1900)),
        (13_000, Some("cluster"), object("quick", true, 10)),
        (14_000, Some("cluster"), finished(Outcome::done("1 node"), 14_000)),
        (14_000, None, What::Warning { text: "The machine is short of memory.".to_owned() }),
        (14_100, Some("apps"), started("applications", "applying demo")),
        (14_200, Some("apps"), finished(Outcome::Failed { error: "no image".to_owned() }, 100)),
        (14_200, Some("late"), started("applications", "applying plain")),
        (14_200, Some("late"), finished(Outcome::Cancelled, 0)),
        (15_000, None, scenario("by label", Status::Passed, None)),
        (16_000, None, scenario("by hand", Status::Failed, Some("expected 2 containers <&>\n  saw 1\n  at 0.2 s: 1"))),
        (16_000, None, scenario("on a whim", Status::Skipped, Some("@requires(ambient): the lab has none"))),
        (16_500, None, What::Ended { code: 79, error: Some("error: 1 scenario failed".to_owned()) }),
    ]
    .into_iter()
    .map(|(millis, step, what)| Event {
        at: begin + Duration::from_millis(millis),
        step: step.map(str::to_owned),
        what,
    })
    .collect()
}

fn tally(events: &[Event]) -> Tally {
    let mut tally = Tally::new(None);
    tally.started = events[0].at;
    tally.newest = events[0].at;
    for event in events {
        tally.add(event);
    }
    tally
}

fn screen(verbosity: Verbosity, color: bool) -> String {
    let screen = Screen::default();
    let mut terminal = Terminal::plain(Box::new(screen.clone()), color, verbosity);
    let events = events();
    let mut tally = tally(&events[..1]);
    tally.steps.clear();
    for event in &events {
        tally.add(event);
        terminal.event(event, &tally);
    }
    terminal.finish(&tally);
    screen.text()
}

#[test]
fn a_plain_terminal() {
    assert_snapshot!(screen(Verbosity::Normal, false), @"
    ✓ building parts (0.7 s)
    ✓ creating the cluster: 1 node (14.0 s)
    warning: The machine is short of memory.
    ✗ applying demo: no image (0.1 s)
    - applying plain: stopped
    ✓ Injection: by label (1.2 s)
    ✗ Injection: by hand (1.2 s)
        features/injection.feature:7
        expected 2 containers <&>
          saw 1
          at 0.2 s: 1
    - Injection: on a whim: skipped
        @requires(ambient): the lab has none

    phase             from        to   seconds  steps  changed
    cluster            0.0      14.0      14.0      1        1
    images             0.0       0.7       0.7      1        0
    applications      14.1      14.2       0.1      2        0  1 failed
    total                                 16.5

    slowest objects         seconds  last missing
    Deployment demo/front       1.9  1 of 2 replicas ready
    3 scenarios: 1 passed, 1 failed, 1 skipped
    ");
}

#[test]
fn a_quiet_terminal() {
    assert_snapshot!(screen(Verbosity::Quiet, false), @"
    warning: The machine is short of memory.
    ✗ applying demo: no image (0.1 s)
    ✗ Injection: by hand (1.2 s)
        features/injection.feature:7
        expected 2 containers <&>
          saw 1
          at 0.2 s: 1
    3 scenarios: 1 passed, 1 failed, 1 skipped
    ");
}

#[test]
fn a_verbose_terminal_has_more() {
    let text = screen(Verbosity::Verbose, false);
    for line in [
        "· creating the cluster",
        "  creating the cluster: waiting for the node",
        "kind create cluster",
        "  Deployment demo/front: 1 of 2 replicas ready (0.9 s)",
        "  Deployment demo/front: ready (1.9 s)",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in {text}");
    }
}

#[test]
fn colours_are_only_where_they_are_wanted() {
    assert!(!screen(Verbosity::Verbose, false).contains('\u{1b}'));
    assert!(screen(Verbosity::Normal, true).contains("\u{1b}[31m✗\u{1b}[0m"));
}

#[test]
fn junit() {
    assert_snapshot!(junit::render(&tally(&events())).expect("it is XML"), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="istiolab" tests="8" failures="1" errors="1" time="16.500">
        <testsuite name="run" tests="1" skipped="0" errors="0" failures="0">
            <testcase name="the run comes to its end" classname="istiolab" time="16.500">
            </testcase>
        </testsuite>
        <testsuite name="steps" tests="4" skipped="1" errors="1" failures="0">
            <testcase name="creating the cluster" classname="step.cluster" time="14.000">
            </testcase>
            <testcase name="building parts" classname="step.images" time="0.690">
            </testcase>
            <testcase name="applying demo" classname="step.applications" time="0.100">
                <error message="no image"/>
            </testcase>
            <testcase name="applying plain" classname="step.applications" time="0.000">
                <skipped message="it was stopped"/>
            </testcase>
        </testsuite>
        <testsuite name="Injection" tests="3" skipped="1" errors="0" failures="1" file="features/injection.feature">
            <testcase name="by label" classname="Injection" time="1.234">
                <system-out>features/injection.feature:7</system-out>
            </testcase>
            <testcase name="by hand" classname="Injection" time="1.234">
                <failure message="expected 2 containers &lt;&amp;&gt;">expected 2 containers &lt;&amp;&gt;
      saw 1
      at 0.2 s: 1</failure>
                <system-out>features/injection.feature:7</system-out>
            </testcase>
            <testcase name="on a whim" classname="Injection" time="1.234">
                <skipped message="@requires(ambient): the lab has none"/>
                <system-out>features/injection.feature:7</system-out>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "the report as a whole is what is compared")]
fn json() {
    let report: serde_json::Value = serde_json::from_str(&json::render(&tally(&events()))).expect("it is JSON");
    assert_json_snapshot!(report, @r#"
    {
      "schema": "istiolab.dev/report/v1",
      "istiolab": "0.1.0",
      "complete": true,
      "exitCode": 79,
      "error": "error: 1 scenario failed",
      "started": "2027-01-15T08:00:00.000Z",
      "seconds": 16.5,
      "lab": null,
      "images": {
        "istiolab.local/demo:0.1.0": "sha256:abc"
      },
      "mesh": null,
      "phases": [
        {
          "name": "cluster",
          "from": 0.0,
          "to": 14.0,
          "steps": 1,
          "changed": 1,
          "failed": 0
        },
        {
          "name": "images",
          "from": 0.01,
          "to": 0.7,
          "steps": 1,
          "changed": 0,
          "failed": 0
        },
        {
          "name": "applications",
          "from": 14.1,
          "to": 14.2,
          "steps": 2,
          "changed": 0,
          "failed": 1
        }
      ],
      "steps": [
        {
          "id": "cluster",
          "phase": "cluster",
          "title": "creating the cluster",
          "started": 0.0,
          "seconds": 14.0,
          "outcome": "done",
          "detail": "1 node"
        },
        {
          "id": "parts",
          "phase": "images",
          "title": "building parts",
          "started": 0.01,
          "seconds": 0.69,
          "outcome": "unchanged",
          "detail": null
        },
        {
          "id": "apps",
          "phase": "applications",
          "title": "applying demo",
          "started": 14.1,
          "seconds": 0.1,
          "outcome": "failed",
          "detail": "no image"
        },
        {
          "id": "late",
          "phase": "applications",
          "title": "applying plain",
          "started": 14.2,
          "seconds": 0.0,
          "outcome": "cancelled",
          "detail": null
        }
      ],
      "slowestObjects": [
        {
          "object": "Deployment demo/front",
          "step": "cluster",
          "seconds": 1.9,
          "lastState": "1 of 2 replicas ready"
        }
      ],
      "unreadyObjects": [
        {
          "object": "Deployment demo/back",
          "step": "cluster",
          "seconds": 1.4,
          "lastState": "1 of 2 replicas ready"
        }
      ],
      "warnings": [
        "The machine is short of memory."
      ],
      "totals": {
        "passed": 1,
        "flaky": 0,
        "failed": 1,
        "skipped": 1
      },
      "scenarios": [
        {
          "feature": "Injection",
          "name": "by label",
          "file": "features/injection.feature",
          "line": 7,
          "tags": [
            "injection"
          ],
          "status": "passed",
          "started": 0,
          "elapsed": 1.234,
          "steps": []
        },
        {
          "feature": "Injection",
          "name": "by hand",
          "file": "features/injection.feature",
          "line": 7,
          "tags": [
            "injection"
          ],
          "status": "failed",
          "started": 0,
          "elapsed": 1.234,
          "error": "expected 2 containers <&>\n  saw 1\n  at 0.2 s: 1",
          "steps": []
        },
        {
          "feature": "Injection",
          "name": "on a whim",
          "file": "features/injection.feature",
          "line": 7,
          "tags": [
            "injection"
          ],
          "status": "skipped",
          "started": 0,
          "elapsed": 1.234,
          "error": "@requires(ambient): the lab has none",
          "steps": []
        }
      ]
    }
    "#);
}

#[test]
fn a_run_that_was_cut_off_says_so() {
    let events = events();
    let cut = tally(&events[..4]);
    let report: serde_json::Value = serde_json::from_str(&json::render(&cut)).expect("it is JSON");
    assert_eq!((&report["complete"], &report["steps"][0]["outcome"]), (&false.into(), &"running".into()));
    let xml = junit::render(&cut).expect("it is XML");
    assert!(xml.contains("the run was cut off"), "{xml}");
}

#[test]
fn failed_scenarios_are_the_exit_code_of_a_run_that_did_its_work() {
    let mut events = events();
    let last = events.len() - 1;
    events[last].what = What::Ended { code: 0, error: None };
    assert_eq!(tally(&events).ended, Some((79, Some("1 scenario failed".to_owned()))));
}

#[tokio::test]
async fn files_are_valid_from_the_first_moment_and_complete_at_the_end() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = camino::Utf8PathBuf::from_path_buf(dir.path().join("run.json")).expect("its path is UTF-8");
    let read = |path: &camino::Utf8Path| -> serde_json::Value {
        serde_json::from_str(&fs_err::read_to_string(path).expect("it is there")).expect("it is JSON")
    };
    let files = vec![Target { format: Format::Json, path: path.clone() }];
    let sinks = Sinks { terminal: None, files, lab: None };
    let early = path.clone();
    around(sinks, |progress| async move {
        let step = progress.for_step("a");
        step.emit(What::StepStarted { phase: "p".to_owned(), title: "doing a".to_owned() });
        step.emit(What::StepFinished { outcome: Outcome::Unchanged, elapsed: Duration::ZERO });
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if early.exists() && read(&early)["steps"][0]["outcome"] == "unchanged" {
                assert_eq!(read(&early)["complete"], false);
                return Ok(());
            }
        }
        panic!("the report has not been written");
    })
    .await
    .expect("nothing fails");
    assert_eq!((&read(&path)["complete"], &read(&path)["exitCode"]), (&true.into(), &0.into()));
}

#[tokio::test]
async fn a_report_that_cant_be_written_fails_the_run() {
    let files = vec![Target { format: Format::Json, path: "/proc/no/run.json".into() }];
    let sinks = Sinks { terminal: None, files, lab: None };
    let failure = around(sinks, |_| async { Ok(()) }).await.expect_err("it can't be written");
    assert!(failure.to_string().contains("writing the report /proc/no/run.json"), "{failure}");
}

#[test]
fn the_page_tells_what_failed_and_lets_nothing_break_out() {
    let page = html::render(&tally(&events()));
    for part in ["<!DOCTYPE html>", "What to look at", "Where the time went", "istiolab.local/demo:0.1.0", "sha256:abc"]
    {
        assert!(page.contains(part), "{part}");
    }
    let mut told = tally(&events());
    told.scenarios[0].name = "<script>alert(1)</script>".to_owned();
    let page = html::render(&told);
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = html::render(&tally(&events()));
    assert!(!page.contains("src=") && !page.contains("href=\"http") && !page.contains("url("), "{page}");
}

#[test]
fn a_page_that_was_cut_off_says_so() {
    let mut events = events();
    events.retain(|event| !matches!(event.what, What::Ended { .. }));
    let page = html::render(&tally(&events));
    assert!(page.contains("Not finished") && page.contains("The run was cut off"));
}

#[test]
fn messages_lead_from_each_step_to_its_scenario() {
    let mut told = tally(&events());
    told.scenarios[0].steps = vec![crate::verify::record::Step {
        keyword: "Then".to_owned(),
        text: "it works".to_owned(),
        line: 8,
        status: Status::Failed,
        error: Some("it does not".to_owned()),
        ..crate::verify::record::Step::default()
    }];
    let lines: Vec<serde_json::Value> =
        messages::render(&told).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |kind: &str| lines.iter().filter_map(|line| line.get(kind)).collect::<Vec<_>>();
    let (pickles, cases, finished) = (of("pickle"), of("testCase"), of("testStepFinished"));
    assert_eq!((pickles.len(), cases.len()), (told.scenarios.len(), told.scenarios.len()));
    assert_eq!(cases[0]["testSteps"][0]["pickleStepId"], pickles[0]["steps"][0]["id"]);
    assert_eq!(finished[0]["testStepId"], cases[0]["testSteps"][0]["id"]);
    assert_eq!(finished[0]["testStepResult"]["message"], "it does not");
    assert_eq!(of("testRunFinished")[0]["success"], false);
}
