//! Traces: found by the id of the request that caused them.

use super::step;
use crate::observe::zipkin::Trace;
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 5] = [
    step!(
        "Zipkin",
        Check,
        "Zipkin knows the service(s) {string}",
        services,
        "Each of the services, separated by commas, has sent spans."
    ),
    step!(
        "Zipkin",
        Check,
        "the trace of the request from {string} spans {string}",
        spans,
        "There is a trace of the request that the workload sent last, found by its x-request-id, and each of the \
         services, separated by commas, has a span in it."
    ),
    step!(
        "Zipkin",
        Check,
        "the trace of the request from {string} is at least {int} span(s) deep",
        deep,
        "The longest way from a cause to its effects in that trace has so many spans."
    ),
    step!(
        "Zipkin",
        Check,
        "the trace of the request from {string} has no gap",
        whole,
        "Every span's cause is in that trace: no service on the way lost the trace headers."
    ),
    step!(
        "Zipkin",
        Check,
        "there is no trace of the request from {string}",
        none,
        "Zipkin has no span of the request that the workload sent last. To be sure that it is not only late, let the \
         scenario wait for the trace of a later request first."
    ),
];

async fn services(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let known = scene.zipkin().services().await?;
    let missing: Vec<&str> =
        arguments.list(0).into_iter().filter(|wanted| !known.iter().any(|name| name == wanted)).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Unmet::not_yet(format!("Zipkin does not know {}; it knows {}", missing.join(", "), known.join(", "))))
    }
}

async fn found(scene: &Scene, from: &str) -> Result<Option<Trace>, Unmet> {
    let id = scene.traffic(Some(from))?.request_id.clone();
    Ok(scene.zipkin().trace_of_request(&id).await?)
}

/// The trace, kept as evidence.
async fn trace(scene: &Scene, from: &str) -> Result<Trace, Unmet> {
    let Some(trace) = found(scene, from).await? else {
        let sent = scene.traffic(Some(from))?;
        return Err(Unmet::not_yet(format!(
            "Zipkin has no trace with the request id {} ({} from {from})",
            sent.request_id, sent.to
        )));
    };
    scene.trail.note(&trace.tree());
    Ok(trace)
}

async fn spans(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let trace = trace(scene, arguments.text(0)).await?;
    let services = trace.services();
    let missing: Vec<&str> = arguments.list(1).into_iter().filter(|wanted| !services.contains(wanted)).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Unmet::not_yet(format!("the trace has no span of {}:\n{}", missing.join(", "), trace.tree())))
    }
}

async fn deep(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: usize = arguments.number(1)?;
    let trace = trace(scene, arguments.text(0)).await?;
    let depth = trace.depth();
    if depth >= wanted {
        Ok(())
    } else {
        Err(Unmet::not_yet(format!("the trace is {depth} spans deep:\n{}", trace.tree())))
    }
}

async fn whole(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let trace = trace(scene, arguments.text(0)).await?;
    let orphans: Vec<String> =
        trace.orphans().into_iter().map(|span| format!("{} {}", span.local_endpoint.service_name, span.name)).collect();
    if orphans.is_empty() {
        Ok(())
    } else {
        Err(Unmet::not_yet(format!("the cause is missing of {}:\n{}", orphans.join(", "), trace.tree())))
    }
}

async fn none(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    match found(scene, arguments.text(0)).await? {
        None => Ok(()),
        // A span that is there does not go away.
        Some(trace) => Err(Unmet::Never(format!("there is a trace:\n{}", trace.tree()))),
    }
}
