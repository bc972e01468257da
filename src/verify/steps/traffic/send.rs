//! Sending requests.

use super::order::Order;
use super::step;
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 13] = [
    step!(
        "traffic",
        Action,
        "{string} in namespace {string} sends {int} request(s) to {string}",
        get,
        "Has the workload's control port send GET requests one after the other, with the workload's own identity. \
         All of them have one x-request-id of their own."
    ),
    step!(
        "traffic",
        Action,
        "{string} in namespace {string} sends {int} request(s) to {string} with headers:",
        get,
        "The same with a table of header names and values."
    ),
    step!(
        "traffic",
        Action,
        "{string} in namespace {string} sends {int} {word} request(s) to {string}",
        method,
        "The same with another method, such as POST."
    ),
    step!(
        "traffic",
        Action,
        "{string} in namespace {string} sends {int} {word} request(s) to {string} with headers:",
        method,
        "The same with a table of header names and values."
    ),
    step!(
        "traffic",
        Action,
        "{string} in namespace {string} sends {int} {word} request(s) to {string} with body:",
        method,
        "The same with the text as each request's body."
    ),
    step!(
        "traffic",
        Action,
        "{string} in namespace {string} sends {int} request(s) to {string}, {int} at a time",
        crowd,
        "So many GET requests, of which so many (at most 64) wait for an answer at once."
    ),
    step!(
        "traffic",
        Action,
        "{string} in namespace {string} sends {int} request(s) to {string} at {int} per second",
        rate,
        "So many GET requests, of which so many begin in a second, evenly, whatever time the answers take."
    ),
    step!(
        "traffic",
        Action,
        "{string} in namespace {string} sends {int} request(s) to {string}, each with an id of its own",
        own_ids,
        "So many GET requests, to each of which the proxies give an x-request-id: where chance decides by it, as in \
         the sampling of traces."
    ),
    step!(
        "traffic",
        Action,
        "{string} in namespace {string} sends these requests:",
        table,
        "A table of what is sent: to (the URL), method, count, body, at a time, per second, ids (own: see above), and \
         header NAME. All but the URL may be left out."
    ),
    step!(
        "traffic",
        Action,
        "{int} request(s) is/are sent through the ingress gateway to {string}",
        gateway,
        "Sends GET requests to the ingress gateway from outside of the mesh, with the URL's host as host header. To \
         https://… they go by TLS, see `the Secret … holds a certificate for …`."
    ),
    step!(
        "traffic",
        Action,
        "{int} request(s) is/are sent through the ingress gateway to {string} with headers:",
        gateway,
        "The same with a table of header names and values."
    ),
    step!(
        "traffic",
        Action,
        "{int} {word} request(s) is/are sent through the ingress gateway to {string} with headers:",
        gateway_method,
        "The same with another method, such as POST. A redirect is an answer; nobody follows it."
    ),
    step!(
        "traffic",
        Action,
        "these requests are sent through the ingress gateway:",
        gateway_table,
        "The same with a table as above, without at a time and per second, but with certificate: the name of the client \
         that a certificate by the scenario's authority is shown for."
    ),
];

async fn from_workload(scene: &mut Scene, arguments: &Arguments, order: Order) -> Result<(), Unmet> {
    let sent = order.send_as(scene, arguments.text(0), arguments.text(1)).await?;
    scene.sent.push(sent);
    Ok(())
}

async fn get(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let order = Order::new(arguments.number(2)?, arguments.text(3));
    let order = order.with_headers(arguments.pairs().unwrap_or_default());
    from_workload(scene, &arguments, order).await
}

async fn method(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let order = Order::new(arguments.number(2)?, arguments.text(4));
    let order = order.with_headers(arguments.pairs().unwrap_or_default());
    let body = arguments.docstring().ok().map(str::to_owned);
    let order = Order { method: arguments.text(3).to_owned(), body, ..order };
    from_workload(scene, &arguments, order).await
}

async fn crowd(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let order = Order::new(arguments.number(2)?, arguments.text(3));
    let order = Order { at_a_time: Some(arguments.number(4)?), ..order };
    from_workload(scene, &arguments, order).await
}

async fn rate(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let order = Order::new(arguments.number(2)?, arguments.text(3));
    let order = Order { per_second: Some(arguments.number(4)?), ..order };
    from_workload(scene, &arguments, order).await
}

async fn own_ids(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let order = Order { own_ids: true, ..Order::new(arguments.number(2)?, arguments.text(3)) };
    from_workload(scene, &arguments, order).await
}

async fn table(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let order = Order::of_table(arguments.pairs()?)?;
    from_workload(scene, &arguments, order).await
}

async fn through_gateway(scene: &mut Scene, order: Order) -> Result<(), Unmet> {
    let sent = order.through_gateway(scene).await?;
    scene.sent.push(sent);
    Ok(())
}

async fn gateway(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let order = Order::new(arguments.number(0)?, arguments.text(1));
    through_gateway(scene, order.with_headers(arguments.pairs().unwrap_or_default())).await
}

async fn gateway_method(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let order = Order::new(arguments.number(0)?, arguments.text(2)).with_headers(arguments.pairs()?);
    through_gateway(scene, Order { method: arguments.text(1).to_owned(), ..order }).await
}

async fn gateway_table(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    through_gateway(scene, Order::of_table(arguments.pairs()?)?).await
}
