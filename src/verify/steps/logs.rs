//! What containers and proxies have logged since the scenario began.

use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::LogParams;

use super::step;
use crate::observe::{AccessLine, Exchange};
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 6] = [
    step!(
        "logs",
        Check,
        "the log of container {string} of {string} in namespace {string} has a line with {string}",
        has,
        "Since the scenario began, a container of this name, of any pod of the Deployment, has logged a line with this \
         text."
    ),
    step!(
        "logs",
        Check,
        "the log of container {string} of {string} in namespace {string} has a line matching {regex}",
        has_matching,
        "The same, with a regular expression that finds something in the line."
    ),
    step!(
        "logs",
        Check,
        "the log of container {string} of {string} in namespace {string} has no line with {string}",
        has_not,
        "Since the scenario began, no container of this name has logged a line with this text. To be sure that it is \
         not only late, say for how long: consistently for 2 seconds."
    ),
    step!(
        "logs",
        Check,
        "the log of container {string} of {string} in namespace {string} has {int} line(s) with {string}",
        has_so_many,
        "Since the scenario began, containers of this name have logged exactly so many lines with this text."
    ),
    step!(
        "logs",
        Check,
        "the proxy of {string} in namespace {string} logged the request from {string} with:",
        logged_with,
        "The access log of a proxy of the Deployment has a line of the request that was sent last from there, found by \
         its x-request-id, on which every field of the table has its value: response code, response flags, response \
         code details, method, path, authority, upstream cluster, upstream host, route and the others that Istio's text \
         format has. In a table | is written \\|. A proxy writes its log once a second."
    ),
    step!(
        "logs",
        Check,
        "the proxy of {string} in namespace {string} logged {int} line(s) of the request from {string}",
        logged,
        "The access logs of the Deployment's proxies have exactly so many lines with the x-request-id of the request \
         that was sent last from there."
    ),
];

/// The container that the proxy runs in.
const PROXY: &str = "istio-proxy";
/// The most that is read of one log.
const LARGEST: i64 = 8 << 20;
/// How many lines messages and evidence show.
const SHOWN: usize = 10;

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    pod: String,
    text: String,
}

/// What the containers of a name in a Deployment's pods have logged since the scenario began.
async fn lines(scene: &mut Scene, deployment: &str, namespace: &str, container: &str) -> Result<Vec<Line>, Unmet> {
    let pods = scene.pods_of(deployment, namespace).await?;
    let api: Api<Pod> = Api::namespaced(scene.shared.api.client().clone(), namespace);
    let began = scene.began;
    // The API server takes whole seconds, and rounds; the lines' own times tell them apart.
    let since = Timestamp::try_from(began - Duration::from_secs(1));
    let parameters = LogParams {
        container: Some(container.to_owned()),
        since_time: since.ok(),
        timestamps: true,
        limit_bytes: Some(LARGEST),
        ..LogParams::default()
    };
    let mut lines = Vec::new();
    for pod in pods.into_iter().filter_map(|pod| pod.metadata.name) {
        let request = format!("logs {namespace}/{pod} {container}");
        let (at, asked) = (SystemTime::now(), Instant::now());
        let text = api.logs(&pod, &parameters).await.map_err(Unmet::kube(request.clone()))?;
        if text.len() >= usize::try_from(LARGEST).unwrap_or(usize::MAX) {
            let message =
                format!("{container} of pod {pod} has logged more than {LARGEST} bytes since the scenario began");
            return Err(Unmet::Never(message));
        }
        let new = text.lines().filter_map(|line| newer(line, began)).map(|text| Line { pod: pod.clone(), text });
        let new: Vec<Line> = new.collect();
        let (sent, answer, elapsed) = (None, listed(&new), asked.elapsed());
        scene.trail.exchange(Exchange { at, request, sent, status: Some(200), answer, elapsed });
        lines.extend(new);
    }
    Ok(lines)
}

/// A line without its time, if it was written since `began`.
fn newer(line: &str, began: SystemTime) -> Option<String> {
    let (time, text) = line.split_once(' ')?;
    let time: Timestamp = time.parse().ok()?;
    (SystemTime::from(time) >= began).then(|| text.to_owned())
}

/// The newest lines.
fn listed(lines: &[Line]) -> String {
    let newest = &lines[lines.len().saturating_sub(SHOWN)..];
    newest.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// What is told where lines are not as they should be.
fn told(what: &str, lines: &[Line]) -> String {
    match lines.len() {
        0 => format!("{what}; nothing was logged since the scenario began"),
        count => format!(
            "{what}; of {count} since the scenario began the newest are:\n  {}",
            listed(lines).replace('\n', "\n  ")
        ),
    }
}

/// The lines of the container that a step's first three values name.
async fn of_container(scene: &mut Scene, arguments: &Arguments) -> Result<Vec<Line>, Unmet> {
    lines(scene, arguments.text(1), arguments.text(2), arguments.text(0)).await
}

async fn has(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted = arguments.text(3);
    let lines = of_container(scene, &arguments).await?;
    if lines.iter().any(|line| line.text.contains(wanted)) {
        return Ok(());
    }
    Err(Unmet::not_yet(told(&format!("no line has {wanted:?}"), &lines)))
}

async fn has_matching(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let pattern = arguments.regex(3)?;
    let lines = of_container(scene, &arguments).await?;
    if lines.iter().any(|line| pattern.is_match(&line.text)) {
        return Ok(());
    }
    Err(Unmet::not_yet(told(&format!("no line matches {:?}", arguments.text(3)), &lines)))
}

async fn has_not(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let unwanted = arguments.text(3);
    let lines = of_container(scene, &arguments).await?;
    match lines.iter().find(|line| line.text.contains(unwanted)) {
        None => Ok(()),
        // What is logged stays.
        Some(line) => Err(Unmet::Never(format!("pod {} has logged: {}", line.pod, line.text))),
    }
}

async fn has_so_many(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (wanted, text): (usize, &str) = (arguments.number(3)?, arguments.text(4));
    let lines = of_container(scene, &arguments).await?;
    let found: Vec<Line> = lines.into_iter().filter(|line| line.text.contains(text)).collect();
    counted(found.len(), wanted, || told(&format!("{} lines have {text:?}, not {wanted}", found.len()), &found))
}

/// Lines may still come, but none goes.
fn counted(found: usize, wanted: usize, told: impl Fn() -> String) -> Result<(), Unmet> {
    match found.cmp(&wanted) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(Unmet::NotYet(told())),
        std::cmp::Ordering::Greater => Err(Unmet::Never(told())),
    }
}

/// The lines of the proxies' access logs that belong to the request that `from` sent last, and what to
/// tell where they are not what is wanted.
async fn of_request(
    scene: &mut Scene,
    deployment: &str,
    namespace: &str,
    from: &str,
) -> Result<(Vec<AccessLine>, String), Unmet> {
    let sent = scene.traffic(Some(from))?;
    let (id, to) = (sent.request_id.clone(), sent.to.clone());
    let lines = lines(scene, deployment, namespace, PROXY).await?;
    let all: Vec<AccessLine> = lines.iter().filter_map(|line| AccessLine::parse(&line.text)).collect();
    let count = all.len();
    let of_it: Vec<AccessLine> =
        all.into_iter().filter(|line| line.field("request id").is_some_and(|logged| is_same(logged, &id))).collect();
    Ok((of_it.clone(), requested(&of_it, count, &format!("{to} from {from}, request id {id}"))))
}

/// Whether two request ids are of one request: where the version of a UUID stands, a proxy notes why it
/// traces the request.
fn is_same(one: &str, other: &str) -> bool {
    const VERSION: usize = 14;
    let rest = |id: &str| id.chars().enumerate().filter(|(at, _)| *at != VERSION).map(|(_, c)| c).collect::<String>();
    one == other || (one.len() == 36 && rest(one) == rest(other))
}

/// What the access log has of a request.
fn requested(lines: &[AccessLine], of: usize, request: &str) -> String {
    match (lines, of) {
        ([], 0) => format!(
            "the access log has no line at all since the scenario began ({request}); \
             is it on (meshConfig.accessLogFile, Telemetry)?"
        ),
        ([], of) => format!("of {of} lines of the access log since the scenario began none is of {request}"),
        (lines, _) => {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            format!("of {request} the access log has:\n  {}", lines.join("\n  "))
        }
    }
}

async fn logged_with(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted = arguments.pairs()?;
    if let Some((field, _)) = wanted.iter().find(|(field, _)| !AccessLine::FIELDS.contains(field)) {
        let known = AccessLine::FIELDS.join(", ");
        return Err(Unmet::Misused(format!("an access log has no field `{field}`; it has: {known}")));
    }
    let (lines, told) = of_request(scene, arguments.text(0), arguments.text(1), arguments.text(2)).await?;
    match nearest(&lines, &wanted) {
        None => Err(Unmet::not_yet(told)),
        Some(wrong) if wrong.is_empty() => Ok(()),
        Some(wrong) => Err(Unmet::not_yet(format!("{}; {told}", wrong.join(", ")))),
    }
}

/// What is wrong with the line that is most as it is wanted; nothing if there is no line.
fn nearest(lines: &[AccessLine], wanted: &[(&str, &str)]) -> Option<Vec<String>> {
    let wrong = |line: &AccessLine| {
        let fields = wanted.iter().map(|(field, value)| (field, *value, line.field(field).unwrap_or_default()));
        let wrong = fields.filter(|(_, wanted, is)| wanted != is);
        wrong.map(|(field, wanted, is)| format!("{field} is {is:?}, not {wanted:?}")).collect::<Vec<_>>()
    };
    lines.iter().map(wrong).min_by_key(Vec::len)
}

async fn logged(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: usize = arguments.number(2)?;
    let (lines, told) = of_request(scene, arguments.text(0), arguments.text(1), arguments.text(3)).await?;
    counted(lines.len(), wanted, || format!("{} lines, not {wanted}: {told}", lines.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { pod: "p".to_owned(), text: text.to_owned() }
    }

    fn access(code: &str, flags: &str) -> AccessLine {
        let text = format!(
            "[2026-11-21T20:00:33.123Z] \"GET /x HTTP/1.1\" {code} {flags} via_upstream - \"-\" 0 1 2 3 \"-\" \"u\" \"id\" \"host\" \
             \"1.2.3.4:5\" outbound|8080||b.n.svc.cluster.local 1.1.1.1:1 2.2.2.2:2 3.3.3.3:3 - default"
        );
        AccessLine::parse(&text).expect("a line")
    }

    #[test]
    fn lines_of_before_do_not_count() {
        let began: Timestamp = "2026-11-21T20:00:33.5Z".parse().expect("a time");
        let began = SystemTime::from(began);
        assert_eq!(newer("2026-11-21T20:00:33.51Z a b", began), Some("a b".to_owned()));
        assert_eq!(newer("2026-11-21T21:00:33.500000001+01:00 a", began), Some("a".to_owned()));
        assert_eq!(newer("2026-11-21T20:00:33.499999999Z a", began), None);
        assert_eq!(newer("no time", began), None);
    }

    #[test]
    fn the_newest_lines_are_told() {
        let lines: Vec<Line> = (0..12).map(|number| line(&number.to_string())).collect();
        let text = told("no line has \"x\"", &lines);
        assert!(
            text.starts_with("no line has \"x\"; of 12 since the scenario began the newest are:\n  2\n  3\n"),
            "{text}"
        );
        assert_eq!(told("no", &[]), "no; nothing was logged since the scenario began");
    }

    #[test]
    fn too_many_lines_are_too_many_for_ever() {
        let told = || "2 lines".to_owned();
        assert!(counted(2, 2, told).is_ok());
        assert!(matches!(counted(1, 2, told), Err(Unmet::NotYet(_))));
        assert!(matches!(counted(3, 2, told), Err(Unmet::Never(_))));
    }

    #[test]
    fn a_request_id_is_known_whatever_a_proxy_noted_in_it() {
        let id = |version: char| format!("87e3c290-af6d-{version}f8e-8bc0-f8a93821d22c");
        assert!(is_same(&id('9'), &id('4')) && is_same("own", "own"));
        assert!(!is_same(&id('9'), "87e3c290-af6d-4f8e-8bc0-f8a93821d22d") && !is_same("own", "owl"));
    }

    #[test]
    fn the_nearest_line_tells_what_is_wrong() {
        let lines = [access("200", "-"), access("503", "UO")];
        assert_eq!(nearest(&lines, &[("response code", "503"), ("response flags", "UO")]), Some(Vec::new()));
        let wrong = nearest(&lines, &[("response code", "503"), ("response flags", "UF")]).expect("there are lines");
        assert_eq!(wrong, ["response flags is \"UO\", not \"UF\""]);
        assert_eq!(nearest(&[], &[]), None);
    }

    #[test]
    fn a_request_that_is_not_in_the_log_says_whether_there_is_a_log() {
        let request = "GET http://a/ from client, request id 1";
        assert!(requested(&[], 0, request).contains("no line at all"), "{}", requested(&[], 0, request));
        assert_eq!(
            requested(&[], 7, request),
            "of 7 lines of the access log since the scenario began none is of GET http://a/ from client, request id 1"
        );
        let text = requested(&[access("200", "-")], 7, request);
        assert!(
            text.ends_with(
                "the access log has:\n  GET host/x 200 - via_upstream -> outbound|8080||b.n.svc.cluster.local (2 ms)"
            ),
            "{text}"
        );
    }
}
