//! Runs with one of everything, as report files: `whole` to its end, `cut` off in the middle, `empty`
//! of all but its end.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use istiolab::observe::prometheus::Series;
use istiolab::observe::snapshot::{Chart, Snapshot};
use istiolab::plan::event::{Outcome, Progress, What};
use istiolab::report::{self, Format, Sinks, Target};
use istiolab::verify::record::{self, Evidence, Scenario, Status, Step, Try};
use istiolab_servicegraph::{Edge, Graph};
use tokio::sync::OnceCell;

static WRITTEN: OnceCell<Utf8PathBuf> = OnceCell::const_new();

/// The folder with the files.
pub(crate) async fn written() -> &'static Utf8Path {
    let write = async || {
        let folder = Utf8PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/reports"));
        let lab =
            istiolab::spec::load(Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/quickstart.yaml")));
        let lab = lab.expect("the quick start is a lab");
        write(&folder, "whole", Some(lab.clone()), |progress| {
            bring_up(progress);
            for scenario in scenarios() {
                progress.emit(What::Scenario(Box::new(scenario)));
            }
            progress.emit(What::Mesh(Box::new(mesh())));
            progress.emit(What::Ended { code: 79, error: Some("error: 2 scenarios of 6 failed".to_owned()) });
        })
        .await;
        write(&folder, "cut", Some(lab), |progress| {
            bring_up(progress);
            let step = progress.for_step("scenarios");
            step.emit(What::StepStarted { phase: "scenarios".to_owned(), title: "running the scenarios".to_owned() });
            for scenario in scenarios().into_iter().take(2) {
                step.emit(What::Scenario(Box::new(scenario)));
            }
        })
        .await;
        write(&folder, "empty", None, |progress| progress.emit(What::Ended { code: 0, error: None })).await;
        folder
    };
    WRITTEN.get_or_init(write).await
}

async fn write(folder: &Utf8Path, name: &str, lab: Option<istiolab::spec::Lab>, tell: impl FnOnce(&Progress)) {
    let formats =
        [(Format::Junit, "xml"), (Format::Json, "json"), (Format::Html, "html"), (Format::Messages, "ndjson")];
    let target = |(format, ending)| Target { format, path: folder.join(format!("{name}.{ending}")) };
    let (progress, events) = Progress::channel();
    tell(&progress);
    drop(progress);
    let sinks = Sinks { terminal: None, files: formats.map(target).into(), lab };
    report::run(events, sinks).await.expect("the files are written");
}

fn bring_up(progress: &Progress) {
    let steps = [
        ("cluster", "cluster", "making the cluster", Outcome::done("`quickstart`, 1 node"), 7900),
        ("images", "images", "pushing images to the lab's registry", Outcome::done("7 images"), 2200),
        ("mesh", "mesh", "applying the mesh's objects", Outcome::Unchanged, 1300),
        ("demo", "applications", "waiting for demo", Outcome::Failed { error: "no image <b>x</b>".to_owned() }, 7300),
        ("plain", "applications", "waiting for plain", Outcome::Cancelled, 0),
    ];
    for (id, phase, title, outcome, millis) in steps {
        let step = progress.for_step(id);
        step.emit(What::StepStarted { phase: phase.to_owned(), title: title.to_owned() });
        step.emit(What::StepFinished { outcome, elapsed: Duration::from_millis(millis) });
    }
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    for name in ["istiolab.local/demo:0.1.0", "istiolab.local/istio/pilot:1.31-dev"] {
        progress.emit(What::Image { name: name.to_owned(), digest: digest.clone() });
    }
    progress.warn("The machine is short of memory.");
}

/// One of each status, with texts that try to break out, or are too long for a small screen.
fn scenarios() -> Vec<Scenario> {
    let long =
        format!("GET prometheus.istio-system:9090/api/v1/query?query={}", "sum%28rate%28istio_requests".repeat(9));
    let exchange = |status, answer: &str| record::What::Exchange {
        request: long.clone(),
        sent: Some("{\"a\": \"<script>alert(1)</script>\"}".to_owned()),
        status,
        answer: answer.to_owned(),
    };
    let seen = |text: &str| record::What::Seen { text: text.to_owned() };
    let bad = |error: &str| {
        let mut step = step("Then", "eventually within 5 seconds the sum of \"x\" has risen by 3", 14, Status::Failed);
        step.error = Some(error.to_owned());
        step.evidence = evidence([exchange(Some(200), "{}"), seen("1 of 3"), exchange(None, "connection refused")]);
        step.omitted = 3;
        step
    };
    let error = "features/metrics.feature:14: Then …\n  not within 5s: it has risen by 1\n  time line of 2 tries:\n    \
                 at 0.1 s: 1 of 3\n  last request: GET prometheus.istio-system:9090\u{1b}[31m\u{0}";
    let given = || step("Given", "the sum of \"x\" is remembered", 12, Status::Passed);
    let undone = |line| step("And", "every request is answered with status 200", line, Status::Skipped);
    let after = |status| step("After", "what the scenario made is deleted and gone", 0, status);
    let failed_try = Try {
        started: SystemTime::now(),
        elapsed: Duration::from_millis(5100),
        error: error.to_owned(),
        steps: vec![given(), bad("not within 5s: it has risen by 1"), undone(15), after(Status::Passed)],
    };
    let leak = "the scenario left PersistentVolumeClaim demo/data-s0a1b2c3d-0";
    let mut left = after(Status::Failed);
    left.error = Some(leak.to_owned());
    vec![
        scenario("Metrics", "A 503 shows as a 503", 10, Status::Passed, vec![given(), after(Status::Passed)]),
        Scenario {
            error: Some(error.to_owned()),
            tries: vec![failed_try.clone()],
            ..scenario(
                "Metrics",
                "Requests are counted & <shown>",
                20,
                Status::Failed,
                vec![given(), bad(error), undone(15)],
            )
        },
        Scenario {
            tries: vec![failed_try.clone(), failed_try],
            ..scenario(
                "Metrics",
                "What comes late — ein spätes „Ja“ ✓ 漢字",
                30,
                Status::Flaky,
                vec![
                    given(),
                    step("Then", "it holds", 14, Status::Passed),
                    step("And", "it still holds", 15, Status::Passed),
                ],
            )
        },
        Scenario {
            error: Some(format!("After what the scenario made is deleted and gone\n  {leak}")),
            ..scenario("Injection", "By hand", 7, Status::Failed, vec![given(), left])
        },
        Scenario {
            error: Some("the lab has no ambient".to_owned()),
            ..scenario("Injection", "On a whim", 9, Status::Skipped, vec![undone(10)])
        },
        Scenario {
            error: Some("interrupted".to_owned()),
            ..scenario("Injection", "Without any step", 19, Status::Skipped, Vec::new())
        },
    ]
}

fn scenario(feature: &str, name: &str, line: usize, status: Status, steps: Vec<Step>) -> Scenario {
    Scenario {
        feature: feature.to_owned(),
        name: name.to_owned(),
        file: format!("features/{}.feature", feature.to_lowercase()),
        line,
        tags: vec![feature.to_lowercase(), "requires(prometheus)".to_owned()],
        status,
        started: SystemTime::now(),
        elapsed: Duration::from_millis(1234),
        steps,
        ..Scenario::default()
    }
}

fn step(keyword: &str, text: &str, line: usize, status: Status) -> Step {
    let elapsed = Duration::from_millis(if status == Status::Skipped { 0 } else { 617 });
    Step { keyword: keyword.to_owned(), text: text.to_owned(), line, status, elapsed, ..Step::default() }
}

fn evidence<const N: usize>(all: [record::What; N]) -> Vec<Evidence> {
    let one = |(index, what): (u64, _)| Evidence { at: Duration::from_millis(250 * index), times: 7, what };
    (0..).zip(all).map(one).collect()
}

fn mesh() -> Snapshot {
    let calls = [("client", "frontend"), ("frontend", "backend"), ("unknown", "istio-ingressgateway")];
    let rate = |rate: &str| BTreeMap::from([("reqs/sec".to_owned(), rate.to_owned())]);
    let series = |code: &str, from: f64| Series {
        labels: BTreeMap::from([("response_code".to_owned(), code.to_owned())]),
        points: (0..60_u32).map(|at| (1.8e9 + f64::from(at), from + f64::from(at % 7))).collect(),
    };
    Snapshot {
        graph: Graph {
            nodes: calls.iter().flat_map(|(from, to)| [(*from).to_owned(), (*to).to_owned()]).collect(),
            edges: calls
                .iter()
                .map(|(from, to)| Edge {
                    source: (*from).to_owned(),
                    target: (*to).to_owned(),
                    labels: rate("0.058635"),
                })
                .collect(),
        },
        charts: vec![Chart {
            title: "Requests by answer",
            unit: "requests/s",
            query: "sum(rate(istio_requests_total[10s])) by (response_code)",
            series: vec![series("200", 3.0), series("503", 0.5)],
        }],
    }
}
