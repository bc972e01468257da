//! Requests from a workload or through the ingress gateway, and their answers.

mod answers;
mod ask;
mod order;
mod other;
mod secure;
mod send;
mod shares;

use super::{judgement, step};
use crate::observe::proxy::cut;
use crate::verify::traffic::Sent;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;

/// How much of an answer a failed step shows, in bytes.
const SHOWN: usize = 1000;
/// The demo application's control port.
const CONTROL: u16 = 8081;

/// The steps, by file.
pub(super) const STEPS: [&[Entry]; 6] =
    [&send::STEPS, &answers::STEPS, &ask::STEPS, &shares::STEPS, &other::STEPS, &secure::STEPS];

/// Passes if it is `good`; else tells what was sent, what came back, and the first answer.
fn judge(sent: &Sent, good: bool) -> Result<(), Unmet> {
    if good { Ok(()) } else { Err(Unmet::Never(told(sent))) }
}

/// What was sent and what came back, in words.
fn told(sent: &Sent) -> String {
    let first = sent.report.answers.first().map_or(String::new(), |answer| {
        format!("\nfirst answer: status {}, body: {}", answer.status, cut(answer.body.trim(), SHOWN))
    });
    format!("{} from {}: {}{first}", sent.to, sent.from, sent.report)
}
