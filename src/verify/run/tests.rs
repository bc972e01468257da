//! Runs features of a temporary folder with steps of their own; no cluster is asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use camino::Utf8PathBuf;
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, Kind};
use crate::observe::Exchange;
use crate::plan::event::{Progress, What};
use crate::verify::record::{Scenario, Status};
use crate::verify::vocabulary::{self, Entry, Vocabulary};
use crate::verify::{Arguments, Options, Scene, Totals, Unmet, run_with};

static RUNNING: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
/// How often a scenario has been tried, by a name that its step gives.
static TRIES: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

fn entry(pattern: &'static str, kind: vocabulary::Kind, run: vocabulary::Run) -> Entry {
    Entry { subject: "test", pattern, meaning: "A step of the tests.", kind, run }
}

/// `it passes`, `it fails`, `{int} tries are needed`, `it passes at try …`, `it takes … ms`,
/// `it is counted for … ms`, `the text is its own:`.
fn vocabulary() -> Vocabulary {
    Vocabulary::new([
        entry("it passes", vocabulary::Kind::Check, |_, _| Box::pin(async { Ok(()) })),
        entry("it fails", vocabulary::Kind::Check, |scene, _| Box::pin(std::future::ready(fails(scene)))),
        entry("{int} tries are needed", vocabulary::Kind::Check, |scene, arguments| {
            Box::pin(std::future::ready(tries(scene, &arguments)))
        }),
        entry("it passes at try {int} of {string}", vocabulary::Kind::Check, |_, arguments| {
            Box::pin(std::future::ready(late(&arguments)))
        }),
        entry("it panics", vocabulary::Kind::Action, |_, _| Box::pin(async { panic!("it is broken") })),
        entry("it takes {int} ms", vocabulary::Kind::Action, |_, arguments| Box::pin(takes(arguments))),
        entry("it is counted for {int} ms", vocabulary::Kind::Action, |_, arguments| Box::pin(counted(arguments))),
        entry("the text is its own:", vocabulary::Kind::Check, |scene, arguments| {
            Box::pin(std::future::ready(own(scene, &arguments)))
        }),
    ])
    .expect("the patterns are expressions")
}

fn fails(scene: &Scene) -> Result<(), Unmet> {
    scene.trail.exchange(Exchange {
        at: SystemTime::now(),
        request: "GET a.b:1/x".to_owned(),
        sent: None,
        status: Some(503),
        answer: "upstream connect error".to_owned(),
        elapsed: Duration::from_millis(3),
    });
    Err(Unmet::not_yet("1 of 2 is there"))
}

fn tries(scene: &mut Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let tried = scene.remembered.entry("tries".to_owned()).or_default();
    *tried += 1.0;
    if *tried < arguments.number(0)? { Err(Unmet::not_yet(format!("try {tried}"))) } else { Ok(()) }
}

/// Passes when it is called for the so-manieth time, whatever scenario it belongs to.
fn late(arguments: &Arguments) -> Result<(), Unmet> {
    let mut counted = TRIES.lock().expect("no poisoned lock");
    let tried = counted.entry(arguments.text(1).to_owned()).or_default();
    *tried += 1;
    if *tried < arguments.number(0)? { Err(Unmet::not_yet(format!("this is try {tried}"))) } else { Ok(()) }
}

async fn takes(arguments: Arguments) -> Result<(), Unmet> {
    tokio::time::sleep(Duration::from_millis(arguments.number(0)?)).await;
    Ok(())
}

/// For one test alone: the others run beside it.
async fn counted(arguments: Arguments) -> Result<(), Unmet> {
    let now = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
    MOST.fetch_max(now, Ordering::SeqCst);
    let result = takes(arguments).await;
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    result
}

fn own(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let unique = scene.unique.clone();
    if arguments.docstring()?.contains(&unique) { Ok(()) } else { Err(Unmet::not_yet("it is not filled in")) }
}

struct Ran {
    result: Result<Totals, Failure>,
    records: Vec<Scenario>,
}

impl Ran {
    fn named(&self, name: &str) -> &Scenario {
        self.records.iter().find(|record| record.name == name).expect("the scenario was told")
    }

    fn error(&self, name: &str) -> &str {
        self.named(name).error.as_deref().expect("it did not pass")
    }
}

async fn ran(feature: &str, change: impl FnOnce(&mut Options), cancel: CancellationToken) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = Utf8PathBuf::from_path_buf(folder.path().to_owned()).expect("a path in UTF-8");
    fs_err::write(dir.join("f.feature"), feature).expect("a file");
    let mut options = Options { paths: vec![dir.clone()], dir: Some(dir), ..Options::default() };
    change(&mut options);
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = kube::Config::new("http://127.0.0.1:1".parse().expect("a URI"));
    let (progress, mut events) = Progress::channel();
    let result = run_with(Arc::new(vocabulary()), config, options, &progress, &cancel).await.map(|ran| ran.totals());
    drop(progress);
    let mut records = Vec::new();
    while let Some(event) = events.recv().await {
        if let What::Scenario(record) = event.what {
            records.push(*record);
        }
    }
    Ran { result, records }
}

async fn simply(feature: &str) -> Ran {
    ran(feature, |_| (), CancellationToken::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_scenario_is_told_with_its_steps() {
    let feature = "@mesh\nFeature: F\n  Background:\n    Given it passes\n\n  @fast\n  Scenario: good\n    When it takes 1 ms\n    \
                   Then eventually within 5 seconds 3 tries are needed\n    And the text is its own:\n      \"\"\"\n      ${unique}\n      \"\"\"\n";
    let ran = simply(feature).await;
    assert_eq!(ran.result.expect("it ran"), Totals { passed: 1, ..Totals::default() });
    let record = &ran.records[0];
    assert_eq!((record.feature.as_str(), record.file.as_str(), record.line), ("F", "f.feature", 7));
    assert_eq!(record.tags, ["mesh", "fast"]);
    let steps: Vec<(&str, usize, Status)> =
        record.steps.iter().map(|step| (step.keyword.as_str(), step.line, step.status)).collect();
    assert_eq!(
        steps,
        [
            ("Given", 4, Status::Passed),
            ("When", 8, Status::Passed),
            ("Then", 9, Status::Passed),
            ("And", 10, Status::Passed)
        ]
    );
    assert_eq!(record.steps[2].evidence.len(), 2, "the tries that did not pass are kept");
    assert!(record.elapsed >= Duration::from_millis(100), "{:?}", record.elapsed);
    serde_json::to_string(record).expect("a record can be written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_step_shows_what_it_saw_and_asked() {
    let ran = simply(
        "Feature: F\n  Scenario: bad\n    Given it passes\n    Then eventually within 100 ms it fails\n    And it passes\n",
    )
    .await;
    assert_eq!(ran.result.as_ref().expect("it ran").failed, 1);
    let error = ran.error("bad");
    assert!(
        error.starts_with(
            "f.feature:4: Then eventually within 100 ms it fails\n  not within 100ms: 1 of 2 is there\n  time line of "
        ),
        "{error}"
    );
    assert!(error.contains(" tries:\n    at 0.0 s ("), "{error}");
    assert!(error.ends_with("last request: GET a.b:1/x\n  last answer: status 503, upstream connect error"), "{error}");
    let statuses: Vec<Status> = ran.named("bad").steps.iter().map(|step| step.status).collect();
    assert_eq!(statuses, [Status::Passed, Status::Failed, Status::Skipped]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undefined_step_fails_the_scenario_before_it_begins() {
    let ran = simply(
        "Feature: F\n  Scenario: strange\n    When it takes 5000 ms\n    Then it pases\n\n  Scenario: good\n    Given it passes\n",
    )
    .await;
    assert_eq!(ran.result.as_ref().expect("it ran"), &Totals { passed: 1, failed: 1, ..Totals::default() });
    assert_eq!(
        ran.error("strange"),
        "f.feature:4: Then it pases\n  there is no step that reads so; the nearest is: it passes"
    );
    assert!(ran.named("strange").elapsed < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_failure_can_stop_the_rest() {
    let feature =
        "Feature: F\n  @serial\n  Scenario: bad\n    Given it fails\n\n  Scenario: later\n    Given it passes\n";
    let stop = |options: &mut Options| {
        options.fail_fast = true;
        options.parallel = 1;
    };
    let ran = ran(feature, stop, CancellationToken::new()).await;
    assert_eq!(ran.result.as_ref().expect("it ran").all(), 2);
    assert_eq!(ran.named("bad").status, Status::Failed);
    assert_eq!((ran.named("later").status, ran.error("later")), (Status::Skipped, "stopped after the first failure"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interruption_leaves_every_scenario_told() {
    let feature = "Feature: F\n  Scenario: slow\n    When it takes 60000 ms\n\n  Scenario: next\n    When it takes 60000 ms\n\n  \
                   @requires(x)\n  Scenario: unmet\n    Given it passes\n";
    let cancel = CancellationToken::new();
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        later.cancel();
    });
    let ran = ran(feature, |options| options.parallel = 1, cancel).await;
    assert_eq!(ran.result.as_ref().expect_err("it was interrupted").kind, Kind::Interrupted);
    assert_eq!(ran.records.len(), 3);
    assert!(ran.records.iter().all(|record| record.status == Status::Skipped));
    assert_eq!((ran.error("slow"), ran.error("next")), ("interrupted", "interrupted"));
    assert_eq!(ran.error("unmet"), "the lab has no x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_than_asked_run_at_once() {
    let outline = "  Scenario Outline: s<n>\n    When it is counted for 4<n> ms\n\n    Examples:\n";
    let rows = "      | n |\n      | 1 |\n      | 2 |\n      | 3 |\n      | 4 |\n      | 5 |\n      | 6 |\n";
    let ran =
        ran(&format!("Feature: F\n{outline}{rows}"), |options| options.parallel = 2, CancellationToken::new()).await;
    assert_eq!(ran.result.expect("it ran").passed, 6);
    assert_eq!(MOST.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_hold_fails_when_it_stops_to_hold() {
    let feature = "Feature: F\n  Scenario: holds\n    Then consistently for 300 ms it passes\n\n  \
                   Scenario: breaks\n    Then consistently for 1 second it fails\n";
    let ran = simply(feature).await;
    assert_eq!(ran.result.as_ref().expect("it ran"), &Totals { passed: 1, failed: 1, ..Totals::default() });
    assert!(ran.named("holds").elapsed >= Duration::from_millis(300));
    assert!(ran.error("breaks").contains("\n  not for 1s: after 0.0 s 1 of 2 is there"), "{}", ran.error("breaks"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_step_is_a_failure_that_is_told() {
    let ran = simply("Feature: F\n  Scenario: odd\n    Given it panics\n    Then it passes\n").await;
    assert_eq!(ran.result.as_ref().expect("it ran").failed, 1);
    assert!(ran.error("odd").contains("the step is faulty: it is broken"), "{}", ran.error("odd"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_at_a_later_try_is_flaky_and_shows_the_tries_that_failed() {
    let feature = "Feature: F\n  @retry(2)\n  Scenario: late\n    Given it passes\n    Then it passes at try 3 of \"late\"\n\n  \
                   @retry(1)\n  Scenario: never\n    Then it fails\n\n  Scenario: good\n    Given it passes\n";
    let ran = simply(feature).await;
    assert_eq!(ran.result.as_ref().expect("it ran"), &Totals { passed: 1, flaky: 1, failed: 1, ..Totals::default() });
    assert_eq!(ran.records.len(), 3, "each is told once");
    let late = ran.named("late");
    assert_eq!((late.status, late.error.as_deref(), late.tries.len()), (Status::Flaky, None, 2));
    for (number, tried) in late.tries.iter().enumerate() {
        let seen = format!("f.feature:5: Then it passes at try 3 of \"late\"\n  this is try {}", number + 1);
        assert_eq!(tried.error, seen);
        assert_eq!(tried.steps.iter().map(|step| step.status).collect::<Vec<_>>(), [Status::Passed, Status::Failed]);
    }
    assert!(late.steps.iter().all(|step| step.status == Status::Passed));
    let never = ran.named("never");
    assert_eq!((never.status, never.tries.len()), (Status::Failed, 1));
    assert!(never.tries[0].steps[0].evidence.len() == 1 && ran.error("never").contains("1 of 2 is there"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_run_is_not_tried_again() {
    let feature = "Feature: F\n  Scenario: strange\n    Given it pases\n\n  Scenario: bad\n    Given it fails\n";
    let ran = ran(feature, |options| options.retry = 3, CancellationToken::new()).await;
    assert_eq!((ran.named("strange").tries.len(), ran.named("bad").tries.len()), (0, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interruption_ends_the_tries() {
    let cancel = CancellationToken::new();
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        later.cancel();
    });
    let feature = "Feature: F\n  Scenario: slow\n    When it takes 60000 ms\n";
    let ran = ran(feature, |options| options.retry = 3, cancel).await;
    assert_eq!((ran.records.len(), ran.named("slow").status), (1, Status::Skipped));
    assert_eq!(ran.error("slow"), "interrupted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scenario_that_takes_too_long_says_so_and_what_it_saw() {
    let feature = "Feature: F\n  @deadline(200ms)\n  Scenario: slow\n    When it takes 60000 ms\n    Then it passes\n\n  \
                   Scenario: waits\n    Then eventually within 1 minute it fails\n";
    let ran = ran(feature, |options| options.deadline = Duration::from_millis(300), CancellationToken::new()).await;
    assert_eq!(ran.result.as_ref().expect("it ran").failed, 2);
    assert_eq!(
        ran.error("slow"),
        "f.feature:4: When it takes 60000 ms\n  the scenario's 200ms were over during this step\n  \
         give it more by a tag such as @deadline(10m), or all scenarios by features.deadline in the lab file"
    );
    assert!(
        ran.error("waits").contains("300ms were over during this step; last seen: 1 of 2 is there\n"),
        "{}",
        ran.error("waits")
    );
    assert!(ran.records.iter().all(|record| record.elapsed < Duration::from_secs(5)));
}
