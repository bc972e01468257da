//! Whole traces: which services they span, how deep, how many there are.

use super::step;
use crate::observe::trace::Trace;
use crate::observe::tracing::Tracing;
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 6] = [
    step!(
        "Traces",
        Check,
        "Zipkin/Jaeger knows the service(s) {string}",
        services,
        "Each of the services, separated by commas, has sent spans. A lab has one of the two; every other step about traces \
         asks the one that it has."
    ),
    step!(
        "Traces",
        Check,
        "the trace of the request from {string} spans {string}",
        spans,
        "There is a trace of the request that the workload sent last, found by its x-request-id, and each of the \
         services, separated by commas, has a span in it."
    ),
    step!(
        "Traces",
        Check,
        "the trace of the request from {string} is at least {int} span(s) deep",
        deep,
        "The longest way from a cause to its effects in that trace has so many spans."
    ),
    step!(
        "Traces",
        Check,
        "the trace of the request from {string} has no gap",
        whole,
        "Every span's cause is in that trace: no service on the way lost the trace headers."
    ),
    step!(
        "Traces",
        Check,
        "there is no trace of the request from {string}",
        none,
        "Nobody has kept a span of the request that the workload sent last. To be sure that it is not only late, let the \
         scenario wait for the trace of a later request first."
    ),
    step!(
        "Traces",
        Check,
        "between {int} and {int} percent of the requests have a trace",
        share,
        "Of the requests that were sent last, each with an id of its own and at most 200 of them, so many have a \
         trace. They are found by their URL: give it a path with ${unique}."
    ),
];

/// How many traces a search gives at most.
const MOST: u32 = 200;

async fn services(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let tracing = scene.tracing()?;
    named(&tracing.to_string(), arguments.said())?;
    let known = tracing.services().await?;
    let missing: Vec<&str> =
        arguments.list(0).into_iter().filter(|wanted| !known.iter().any(|name| name == wanted)).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Unmet::not_yet(format!("{tracing} does not know {}; it knows {}", missing.join(", "), known.join(", "))))
    }
}

/// Refuses a step that names another server than the lab's.
fn named(has: &str, said: &str) -> Result<(), Unmet> {
    match ["Zipkin", "Jaeger"].into_iter().find(|name| *name != has && said.contains(name)) {
        None => Ok(()),
        Some(other) => Err(Unmet::Misused(format!(
            "the lab has no {other}, its traces are in {has}: name {has} here, or let the scenario require the other \
             with @requires({})",
            other.to_lowercase()
        ))),
    }
}

async fn found(scene: &Scene, tracing: &Tracing, from: &str) -> Result<Option<Trace>, Unmet> {
    let id = scene.traffic(Some(from))?.request_id.clone();
    if id.is_empty() {
        return Err(Unmet::Misused(format!("the requests from \"{from}\" have no x-request-id in common")));
    }
    Ok(tracing.trace_of_request(&id).await?)
}

/// The trace, kept as evidence.
pub(super) async fn trace(scene: &Scene, from: &str) -> Result<Trace, Unmet> {
    let tracing = scene.tracing()?;
    let Some(trace) = found(scene, &tracing, from).await? else {
        let sent = scene.traffic(Some(from))?;
        return Err(Unmet::not_yet(format!(
            "{tracing} has no trace with the request id {} ({} from {from})",
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
    match found(scene, &scene.tracing()?, arguments.text(0)).await? {
        None => Ok(()),
        // A span that is there does not go away.
        Some(trace) => Err(Unmet::Never(format!("there is a trace:\n{}", trace.tree()))),
    }
}

async fn share(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (least, most): (u32, u32) = (arguments.number(0)?, arguments.number(1)?);
    let sent = scene.traffic(None)?;
    let count = sent.report.sent;
    if !sent.request_id.is_empty() || count == 0 || count > MOST {
        return Err(Unmet::Misused(format!(
            "chance decides by the x-request-id: the {count} requests must each have one of their own, and be 1 to {MOST}"
        )));
    }
    let url = sent.to.split_once(' ').map_or(sent.to.as_str(), |(_, url)| url).to_owned();
    let traced = scene.tracing()?.traces_of_url(&url).await?.len();
    let percent = f64::from(u32::try_from(traced).unwrap_or(u32::MAX)) * 100.0 / f64::from(count);
    judged(percent, least, most, &format!("{traced} of {count} requests to {url} have a trace"))
}

/// Judges a share; traces may come late, but do not go away.
fn judged(percent: f64, least: u32, most: u32, seen: &str) -> Result<(), Unmet> {
    let text = format!("{seen}: {percent:.0} percent, not between {least} and {most}");
    if percent > f64::from(most) {
        Err(Unmet::Never(text))
    } else if percent < f64::from(least) {
        Err(Unmet::not_yet(text))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_names_the_server_that_the_lab_has() {
        assert!(named("Jaeger", "eventually within 5 seconds Jaeger knows the service ").is_ok());
        let error = named("Jaeger", "Zipkin knows the services ").expect_err("there is none");
        let text = "the lab has no Zipkin, its traces are in Jaeger: name Jaeger here, or let the scenario require the \
                    other with @requires(zipkin)";
        assert!(error.is_final() && error.to_string() == text, "{error}");
    }

    #[test]
    fn too_many_traces_are_final_and_too_few_are_not() {
        assert!(judged(50.0, 40, 60, "").is_ok());
        let few = judged(10.0, 40, 60, "2 of 20 requests to u have a trace").expect_err("too few");
        let text = "2 of 20 requests to u have a trace: 10 percent, not between 40 and 60";
        assert!(!few.is_final() && few.to_string() == text, "{few}");
        assert!(judged(70.0, 40, 60, "").expect_err("too many").is_final());
    }
}
