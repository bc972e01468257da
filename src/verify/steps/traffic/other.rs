//! gRPC, TCP, and what arrived where nobody answers to: a mirror.

use serde::Deserialize;
use serde_json::json;

use super::order::LIMIT;
use super::{CONTROL, judge, judgement, step};
use crate::observe::proxy::query;
use crate::verify::arguments::Arguments;
use crate::verify::traffic::{Report, Sent, grpc_name};
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::{Scene, request_id};

pub(super) const STEPS: [Entry; 9] = [
    step!(
        "gRPC and TCP",
        Action,
        "{string} in namespace {string} makes {int} gRPC call(s) to {string} with message {string}",
        grpc,
        "Has the workload's control port call the demo application's gRPC echo at this URL, such as http://echo:9090. \
         An answer has the fields text, name, version and caller, which the steps about fields and callers can judge."
    ),
    judgement!(
        "gRPC and TCP",
        "every gRPC call ends with {string}",
        every_grpc,
        "Each of the calls that were made last ended with this status by gRPC's name, such as OK or UNAVAILABLE."
    ),
    step!(
        "gRPC and TCP",
        Action,
        "{string} in namespace {string} sends {string} over TCP to {string}",
        tcp_once,
        "Has the workload's control port connect to host:port, send the line and read one. The demo application's \
         TCP echo answers its name, its version and the line."
    ),
    step!(
        "gRPC and TCP",
        Action,
        "{string} in namespace {string} sends {string} over TCP to {string} {int} time(s)",
        tcp,
        "The same so many times, each on a connection of its own."
    ),
    judgement!(
        "gRPC and TCP",
        "every TCP connection is answered",
        answered,
        "On each of the connections that were made last, a line came back."
    ),
    judgement!(
        "gRPC and TCP",
        "every TCP connection is refused",
        refused,
        "Nobody listens there: each of the connections that were made last was refused."
    ),
    judgement!(
        "gRPC and TCP",
        "every TCP connection is closed without an answer",
        closed,
        "Somebody listens, such as a proxy, but each of the connections that were made last was closed without a byte."
    ),
    step!(
        "routing",
        Check,
        "{string} in namespace {string} has received {int} request(s) to {string}",
        received,
        "The demo application counted exactly so many requests to this path (without a query) since it started. It is \
         asked at its control port; where several replicas are, one of them answers. More than that fails at once."
    ),
    step!(
        "routing",
        Check,
        "{string} in namespace {string} has received at least {int} request(s) to {string}",
        received_least,
        "The same, so many or more."
    ),
];

async fn grpc(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (from, namespace, url) = (arguments.text(0), arguments.text(1), arguments.text(3));
    let count: u32 = arguments.number(2)?;
    let id = request_id();
    let order = json!({"url": url, "count": count, "message": arguments.text(4), "headers": {"x-request-id": id}});
    let report = scene.service(namespace, from, CONTROL).limit(LIMIT).post("/grpc", &order).await?.ok()?.json()?;
    scene.sent.push(Sent { from: from.to_owned(), to: format!("gRPC {url}"), request_id: id, report });
    Ok(())
}

fn every_grpc(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let sent = scene.traffic(None)?;
    judge(sent, all_grpc(&sent.report, arguments.text(0)))
}

/// Whether there was a call, and each ended with this status.
fn all_grpc(report: &Report, wanted: &str) -> bool {
    let ended: u32 =
        report.grpc.iter().filter(|(status, _)| grpc_name(**status) == wanted).map(|(_, count)| count).sum();
    ended > 0 && ended == report.sent
}

async fn tcp_once(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    talk(scene, &arguments, 1).await
}

async fn tcp(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    talk(scene, &arguments, arguments.number(4)?).await
}

async fn talk(scene: &mut Scene, arguments: &Arguments, count: u32) -> Result<(), Unmet> {
    let (from, namespace, to) = (arguments.text(0), arguments.text(1), arguments.text(3));
    let order = json!({"to": to, "line": arguments.text(2), "count": count});
    let report = scene.service(namespace, from, CONTROL).limit(LIMIT).post("/tcp", &order).await?.ok()?.json()?;
    scene.sent.push(Sent { from: from.to_owned(), to: format!("TCP {to}"), request_id: String::new(), report });
    Ok(())
}

fn answered(scene: &Scene, _: &Arguments) -> Result<(), Unmet> {
    connections(scene, "answered")
}

fn refused(scene: &Scene, _: &Arguments) -> Result<(), Unmet> {
    connections(scene, "refused")
}

fn closed(scene: &Scene, _: &Arguments) -> Result<(), Unmet> {
    connections(scene, "closed")
}

fn connections(scene: &Scene, how: &str) -> Result<(), Unmet> {
    let sent = scene.traffic(None)?;
    judge(sent, all_connections(&sent.report, how))
}

/// Whether there was a connection, and each ended so.
fn all_connections(report: &Report, how: &str) -> bool {
    report.sent > 0 && report.connections.get(how) == Some(&report.sent)
}

#[derive(Deserialize)]
struct Received {
    received: u32,
}

async fn arrived(scene: &Scene, arguments: &Arguments) -> Result<(u32, u32), Unmet> {
    let (name, namespace, path) = (arguments.text(0), arguments.text(1), arguments.text(3));
    let question = format!("/received?{}", query(&[("path", path)]));
    let answer: Received = scene.service(namespace, name, CONTROL).get(&question).await?.ok()?.json()?;
    Ok((answer.received, arguments.number(2)?))
}

async fn received(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (found, wanted) = arrived(scene, &arguments).await?;
    arrivals(found, wanted)
}

/// Passes if as many arrived as are wanted; what arrived does not go away again.
fn arrivals(found: u32, wanted: u32) -> Result<(), Unmet> {
    let text = format!("it has received {found}, not {wanted}");
    match found.cmp(&wanted) {
        std::cmp::Ordering::Less => Err(Unmet::not_yet(text)),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(Unmet::Never(text)),
    }
}

async fn received_least(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (found, wanted) = arrived(scene, &arguments).await?;
    if found >= wanted { Ok(()) } else { arrivals(found, wanted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(json: &str) -> Report {
        serde_json::from_str(json).expect("it is a report")
    }

    #[test]
    fn grpc_calls_are_judged_by_grpcs_status() {
        let mixed = report(r#"{"sent":3,"codes":{"200":3},"grpc":{"0":2,"7":1}}"#);
        assert!(!all_grpc(&mixed, "OK") && !all_grpc(&mixed, "PERMISSION_DENIED"));
        assert!(all_grpc(&report(r#"{"sent":2,"codes":{"200":2},"grpc":{"7":2}}"#), "PERMISSION_DENIED"));
        assert!(!all_grpc(&report(r#"{"sent":2,"grpc":{"0":1},"errors":{"refused":1}}"#), "OK"));
        assert!(!all_grpc(&Report::default(), "OK"));
    }

    #[test]
    fn connections_are_told_apart() {
        let refused = report(r#"{"sent":2,"connections":{"refused":2}}"#);
        assert!(all_connections(&refused, "refused") && !all_connections(&refused, "closed"));
        assert!(!all_connections(&report(r#"{"sent":2,"connections":{"answered":1,"closed":1}}"#), "answered"));
        assert!(!all_connections(&Report::default(), "answered"));
    }

    #[test]
    fn too_many_arrivals_are_final() {
        assert!(arrivals(3, 3).is_ok());
        assert!(arrivals(2, 3).is_err_and(|unmet| !unmet.is_final()));
        let error = arrivals(4, 3).expect_err("too many");
        assert!(error.is_final() && error.to_string() == "it has received 4, not 3", "{error}");
    }
}
