//! Who a server saw calling, as mutual TLS proved it.

use serde_json::Value;

use super::judgement;
use crate::verify::arguments::Arguments;
use crate::verify::traffic::caller;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 3] = [
    judgement!(
        "mutual TLS",
        "the server saw the caller {string}",
        server,
        "The demo application that answered last got a client certificate with this URI, such as \
         spiffe://cluster.local/ns/demo/sa/client, from the proxy next to it."
    ),
    judgement!(
        "mutual TLS",
        "the back end saw the caller {string}",
        backend,
        "The same for the back end that the answering front end called."
    ),
    judgement!(
        "mutual TLS",
        "the server saw no caller",
        nobody,
        "The demo application that answered last was told of no client certificate."
    ),
];

fn server(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    same(scene, "caller", arguments.text(0))
}

fn backend(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    same(scene, "backend.caller", arguments.text(0))
}

fn same(scene: &Scene, field: &str, wanted: &str) -> Result<(), Unmet> {
    let header = scene.traffic(None)?.field(field)?;
    let Some(header) = header.as_str() else {
        return Err(Unmet::Never(format!("the server was told of no client certificate (`{field}` is {header})")));
    };
    match caller(header) {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(Unmet::Never(format!("the caller was {found}, not {wanted}"))),
        None => Err(Unmet::Never(format!("the header names no caller: {header}"))),
    }
}

fn nobody(scene: &Scene, _: &Arguments) -> Result<(), Unmet> {
    match scene.traffic(None)?.field("caller")? {
        Value::Null => Ok(()),
        header => Err(Unmet::Never(format!("the server was told of a client certificate: {header}"))),
    }
}
