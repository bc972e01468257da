//! Checks that send one request per try: a change of the mesh takes a moment to arrive at the
//! proxies, and these can be given time.

use super::order::Order;
use super::{step, told};
use crate::verify::arguments::Arguments;
use crate::verify::path::plain;
use crate::verify::traffic::{Answer, Sent};
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 9] = [
    step!(
        "routing",
        Check,
        "{string} in namespace {string} gets status {int} from {string}",
        status,
        "The workload sends one GET request, and its answer has this status. Each try sends a request anew; the last \
         one is what later steps judge."
    ),
    step!(
        "routing",
        Check,
        "{string} in namespace {string} gets status {int} from {string} with headers:",
        status,
        "The same with a table of header names and values of the request."
    ),
    step!(
        "routing",
        Check,
        "{string} in namespace {string} gets an answer with field {string} {string} from {string}",
        field,
        "The workload sends one GET request; the answer's status is one of success, and the field of its JSON body, by \
         its path with dots, is this text or number."
    ),
    step!(
        "routing",
        Check,
        "{string} in namespace {string} gets an answer with field {string} {string} from {string} with headers:",
        field,
        "The same with a table of header names and values of the request."
    ),
    step!(
        "routing",
        Check,
        "{string} in namespace {string} gets an answer with header {string} {string} from {string}",
        header,
        "The workload sends one GET request; the answer's status is one of success, and it has this header."
    ),
    step!(
        "routing",
        Check,
        "the ingress gateway answers {string} with status {int}",
        gateway_status,
        "One GET request through the ingress gateway, with the URL's host as host header, is answered with this status."
    ),
    step!(
        "routing",
        Check,
        "the ingress gateway answers {string} with status {int} with headers:",
        gateway_status,
        "The same with a table of header names and values of the request."
    ),
    step!(
        "routing",
        Check,
        "the ingress gateway answers {string} with field {string} containing {string}",
        gateway_field,
        "One GET request through the ingress gateway is answered with a status of success, and the field of the \
         answer's JSON body contains this text."
    ),
    step!(
        "routing",
        Check,
        "the ingress gateway answers {string} with field {string} containing {string} with headers:",
        gateway_field,
        "The same with a table of header names and values of the request."
    ),
];

/// Judges the newest request, which is sent anew in each try.
pub(super) fn newest(scene: &mut Scene, sent: Sent, judge: impl Fn(&Sent) -> Result<(), String>) -> Result<(), Unmet> {
    let judged = judge(&sent).map_err(|why| Unmet::not_yet(format!("{why}: {}", told(&sent))));
    scene.sent.push(sent);
    judged
}

async fn from_workload(scene: &mut Scene, arguments: &Arguments, url: &str) -> Result<Sent, Unmet> {
    let order = Order::new(1, url).with_headers(arguments.pairs().unwrap_or_default());
    order.send_as(scene, arguments.text(0), arguments.text(1)).await
}

async fn through_gateway(scene: &mut Scene, arguments: &Arguments) -> Result<Sent, Unmet> {
    let order = Order::new(1, arguments.text(0)).with_headers(arguments.pairs().unwrap_or_default());
    order.through_gateway(scene).await
}

pub(super) fn has_status(sent: &Sent, wanted: u16) -> Result<(), String> {
    if sent.report.codes.contains_key(&wanted) { Ok(()) } else { Err(format!("the status is not {wanted}")) }
}

/// The only answer, if it is one of success.
fn success(sent: &Sent) -> Result<&Answer, String> {
    let answer = sent.report.answers.first().ok_or("there is no answer")?;
    if (200..300).contains(&answer.status) { Ok(answer) } else { Err("the status is not one of success".to_owned()) }
}

fn has_field(sent: &Sent, path: &str, wanted: &str, good: fn(&str, &str) -> bool) -> Result<(), String> {
    let found = plain(&success(sent)?.field(path)?);
    if good(&found, wanted) { Ok(()) } else { Err(format!("field `{path}` is {found:?}, not {wanted:?}")) }
}

fn has_header(sent: &Sent, name: &str, wanted: &str) -> Result<(), String> {
    match success(sent)?.headers.get(&name.to_lowercase()) {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(format!("header `{name}` is {found:?}, not {wanted:?}")),
        None => Err(format!("there is no header `{name}`")),
    }
}

async fn status(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted = arguments.number(2)?;
    let sent = from_workload(scene, &arguments, arguments.text(3)).await?;
    newest(scene, sent, |sent| has_status(sent, wanted))
}

async fn field(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let sent = from_workload(scene, &arguments, arguments.text(4)).await?;
    newest(scene, sent, |sent| has_field(sent, arguments.text(2), arguments.text(3), |found, wanted| found == wanted))
}

async fn header(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let sent = from_workload(scene, &arguments, arguments.text(4)).await?;
    newest(scene, sent, |sent| has_header(sent, arguments.text(2), arguments.text(3)))
}

async fn gateway_status(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted = arguments.number(1)?;
    let sent = through_gateway(scene, &arguments).await?;
    newest(scene, sent, |sent| has_status(sent, wanted))
}

async fn gateway_field(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let sent = through_gateway(scene, &arguments).await?;
    let contains = |found: &str, wanted: &str| found.contains(wanted);
    newest(scene, sent, |sent| has_field(sent, arguments.text(1), arguments.text(2), contains))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sent(status: u16, body: &str) -> Sent {
        let mut sent = Sent { from: "client".to_owned(), to: "GET http://x/".to_owned(), ..Sent::default() };
        let headers = BTreeMap::from([("x-route".to_owned(), "new".to_owned())]);
        sent.report.add(Answer { status, headers, body: body.to_owned(), ..Answer::default() });
        sent
    }

    #[test]
    fn the_status_is_looked_at_first() {
        assert_eq!(has_status(&sent(503, ""), 503), Ok(()));
        assert_eq!(has_status(&sent(200, ""), 503), Err("the status is not 503".to_owned()));
        let equal = |found: &str, wanted: &str| found == wanted;
        let error = has_field(&sent(404, r#"{"version":"v1"}"#), "version", "v1", equal);
        assert_eq!(error, Err("the status is not one of success".to_owned()));
        assert!(has_header(&Sent::default(), "x", "y").is_err_and(|error| error == "there is no answer"));
    }

    #[test]
    fn fields_and_headers_are_compared() {
        let sent = sent(200, r#"{"version":"v1","pod":"reviews-v2-5d7"}"#);
        let equal = |found: &str, wanted: &str| found == wanted;
        assert_eq!(has_field(&sent, "version", "v1", equal), Ok(()));
        let error = has_field(&sent, "version", "v2", equal);
        assert_eq!(error, Err(r#"field `version` is "v1", not "v2""#.to_owned()));
        assert_eq!(has_field(&sent, "pod", "-v2-", |found, wanted| found.contains(wanted)), Ok(()));
        assert_eq!(has_header(&sent, "X-Route", "new"), Ok(()));
        assert_eq!(has_header(&sent, "x-route", "old"), Err(r#"header `x-route` is "new", not "old""#.to_owned()));
        assert_eq!(has_header(&sent, "x-none", "a"), Err("there is no header `x-none`".to_owned()));
    }
}
