//! TLS at the ingress gateway: certificates of the scenario's own authority, and requests that trust it.

use serde_json::json;

use super::ask::{has_status, newest};
use super::order::Order;
use super::step;
use crate::objects::Object;
use crate::verify::arguments::Arguments;
use crate::verify::authority::Authority;
use crate::verify::leftovers;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 3] = [
    step!(
        "traffic",
        Action,
        "the Secret {string} in namespace {string} holds a certificate for {string}",
        certificate,
        "Makes a Secret of TLS with a new key and a certificate for these host names, separated by commas, by an \
         authority that the scenario has for itself and whose certificate is there as ca.crt. Requests to https://… \
         through the ingress gateway trust this authority alone. Given again, the Secret gets another certificate; it \
         goes with the scenario."
    ),
    step!(
        "traffic",
        Action,
        "{int} request(s) is/are sent through the ingress gateway to {string} with a certificate for {string}",
        with_certificate,
        "Sends GET requests by TLS to the ingress gateway, and shows it a certificate for this client by the \
         scenario's authority."
    ),
    step!(
        "routing",
        Check,
        "the ingress gateway answers {string} with status {int} to a certificate for {string}",
        status,
        "One GET request by TLS, with a certificate for this client by the scenario's authority, is answered with \
         this status."
    ),
];

async fn certificate(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let authority = match scene.authority.take() {
        Some(authority) => authority,
        None => Authority::new(&scene.unique)?,
    };
    let authority = scene.authority.insert(authority);
    let pair = authority.server(&arguments.list(2))?;
    let document = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": arguments.text(0), "namespace": arguments.text(1)},
        "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority.pem()},
    });
    let secret = Object::new(document, "the step", 1).map_err(|problem| Unmet::Misused(problem.to_string()))?;
    leftovers::apply(scene, &[secret]).await
}

/// A client that says who it is.
fn shown(order: Order, client: &str) -> Order {
    Order { client: Some(client.to_owned()), ..order }
}

async fn with_certificate(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let order = shown(Order::new(arguments.number(0)?, arguments.text(1)), arguments.text(2));
    let sent = order.through_gateway(scene).await?;
    scene.sent.push(sent);
    Ok(())
}

async fn status(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted = arguments.number(1)?;
    let sent = shown(Order::new(1, arguments.text(0)), arguments.text(2)).through_gateway(scene).await?;
    newest(scene, sent, |sent| has_status(sent, wanted))
}
