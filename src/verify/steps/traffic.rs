//! Requests from a workload or through the ingress gateway, and their answers.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{judgement, step};
use crate::verify::arguments::Arguments;
use crate::verify::path::plain;
use crate::verify::traffic::{Answer, Report, Sent};
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::{SYSTEM, Scene, request_id};

/// The demo application's control port.
const CONTROL: u16 = 8081;
/// How long a batch of requests may take.
const LIMIT: Duration = Duration::from_mins(1);
/// How the ingress gateway is called where senders are named.
const GATEWAY: &str = "the ingress gateway";

pub(super) const STEPS: [Entry; 8] = [
    step!(
        "traffic",
        Action,
        "{string} in namespace {string} sends {int} request(s) to {string}",
        send,
        "Has the workload's control port send GET requests one after the other, with the workload's own identity. \
         All of them have one x-request-id of their own."
    ),
    step!(
        "traffic",
        Action,
        "{string} in namespace {string} sends {int} request(s) to {string} with headers:",
        send,
        "The same with a table of header names and values."
    ),
    step!(
        "traffic",
        Action,
        "{int} request(s) is/are sent through the ingress gateway to {string}",
        through_gateway,
        "Sends GET requests to the ingress gateway from outside of the mesh, with the URL's host as host header."
    ),
    judgement!(
        "traffic",
        "every request is answered with status {int}",
        every_status,
        "All requests that were sent last were answered, and with this status."
    ),
    judgement!(
        "traffic",
        "{int} request(s) is/are answered with status {int}",
        some_status,
        "Exactly so many of the requests that were sent last have this status."
    ),
    judgement!(
        "traffic",
        "no request is answered",
        unanswered,
        "None of the requests that were sent last got an HTTP answer: the connection was refused or broken. A host \
         name that could not be resolved fails the step."
    ),
    judgement!(
        "traffic",
        "field {string} of the answer is {string}",
        field_is,
        "A field of the last answer's JSON body, by its path with dots, is this text or number."
    ),
    judgement!(
        "traffic",
        "field {string} of the answer contains {string}",
        field_contains,
        "A field of the last answer's JSON body, by its path with dots, contains this text."
    ),
];

async fn send(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (from, namespace, url) = (arguments.text(0), arguments.text(1), arguments.text(3));
    let count: u32 = arguments.number(2)?;
    let id = request_id();
    let mut headers = BTreeMap::from([("x-request-id", id.as_str())]);
    headers.extend(arguments.pairs().unwrap_or_default());
    let order = json!({"url": url, "count": count, "headers": headers, "keep": 1});
    let service = scene.service(namespace, from, CONTROL).limit(LIMIT);
    let answer = service.post("/send", &order).await?.ok()?;
    let report: Report = answer.json()?;
    let request_id = headers["x-request-id"].to_owned();
    scene.sent.push(Sent { from: from.to_owned(), to: format!("GET {url}"), request_id, report });
    Ok(())
}

async fn through_gateway(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let count: u32 = arguments.number(0)?;
    let text = arguments.text(1);
    let url = url::Url::parse(text).map_err(|error| Unmet::Misused(format!("`{text}` is not a URL: {error}")))?;
    let host = url.host_str().ok_or_else(|| Unmet::Misused(format!("`{text}` has no host")))?;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let id = request_id();
    let gateway = scene.service(SYSTEM, "istio-ingressgateway", 80);
    let mut report = Report::default();
    for _ in 0..count {
        match gateway.send(Method::GET, path, &[("host", host), ("x-request-id", &id)], None).await {
            Ok(answer) => {
                let body = answer.text().into_owned();
                report.add(Answer { status: answer.status, headers: answer.headers, body });
            }
            Err(error) => {
                report.sent += 1;
                *report.errors.entry(error.to_string()).or_default() += 1;
            }
        }
    }
    let mut sent = Sent { from: GATEWAY.to_owned(), to: format!("GET {text}"), request_id: id, report };
    // To a gateway we are the outside, whose ids it replaces by its own; the demo application tells
    // which one it got.
    if let Ok(Value::String(id)) = sent.field("headers.x-request-id") {
        sent.request_id = id;
    }
    scene.sent.push(sent);
    Ok(())
}

fn every_status(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let status: u16 = arguments.number(0)?;
    let sent = scene.traffic(None)?;
    let good = sent.report.codes.get(&status).copied().unwrap_or(0);
    judge(sent, good == sent.report.sent && good > 0)
}

fn some_status(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (count, status): (u32, u16) = (arguments.number(0)?, arguments.number(1)?);
    let sent = scene.traffic(None)?;
    judge(sent, sent.report.codes.get(&status).copied().unwrap_or(0) == count)
}

fn unanswered(scene: &Scene, _: &Arguments) -> Result<(), Unmet> {
    let sent = scene.traffic(None)?;
    // A name that nobody knows proves nothing about who may connect.
    let lost = sent.report.errors.keys().any(|error| error.contains("dns error"));
    judge(sent, sent.report.codes.is_empty() && sent.report.sent > 0 && !lost)
}

fn judge(sent: &Sent, good: bool) -> Result<(), Unmet> {
    if good {
        return Ok(());
    }
    let first = sent.report.answers.first().map_or(String::new(), |answer| {
        format!("\nfirst answer: status {}, body: {}", answer.status, answer.body.trim())
    });
    Err(Unmet::Never(format!("{} from {}: {}{first}", sent.to, sent.from, sent.report)))
}

fn field_is(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (path, wanted) = (arguments.text(0), arguments.text(1));
    let found = plain(&scene.traffic(None)?.field(path)?);
    if found == wanted { Ok(()) } else { Err(Unmet::Never(format!("field `{path}` is {found:?}, not {wanted:?}"))) }
}

fn field_contains(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (path, wanted) = (arguments.text(0), arguments.text(1));
    let found = plain(&scene.traffic(None)?.field(path)?);
    if found.contains(wanted) {
        Ok(())
    } else {
        Err(Unmet::Never(format!("field `{path}` is {found:?}, which does not contain {wanted:?}")))
    }
}
