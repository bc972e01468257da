//! Single spans of a trace: kind, tags, duration, cause.

use std::collections::BTreeMap;
use std::time::Duration;

use super::step;
use super::whole::trace;
use crate::observe::trace::{Span, Trace};
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 5] = [
    step!(
        "Traces",
        Check,
        "the trace of the request from {string} has these spans:",
        table,
        "A table whose first row names service, kind, cause and any tags; each other row is a span that the trace \
         has. A kind is client, server, producer, consumer or local. A cause is service and kind of the span above, \
         or nothing for a span without one. An empty tag is one that the span does not have."
    ),
    step!(
        "Traces",
        Check,
        "in the trace of the request from {string}, the {word} span of {string} has the tag {string} with value {string}",
        tag,
        "A span of this kind (client, server, producer, consumer, local) that the service recorded has this tag with \
         exactly this value."
    ),
    step!(
        "Traces",
        Check,
        "in the trace of the request from {string}, the {word} span of {string} was caused by the {word} span of {string}",
        caused,
        "A span of this kind that the service recorded is the child of a span of the other kind and service."
    ),
    step!(
        "Traces",
        Check,
        "in the trace of the request from {string}, the {word} span of {string} took at least {duration}",
        at_least,
        "A span of this kind that the service recorded is so long or longer."
    ),
    step!(
        "Traces",
        Check,
        "in the trace of the request from {string}, the {word} span of {string} took at most {duration}",
        at_most,
        "A span of this kind that the service recorded is so long or shorter."
    ),
];

/// Kinds of spans as scenarios write them.
const KINDS: [&str; 5] = ["client", "server", "producer", "consumer", "local"];

fn kind(text: &str) -> Result<&str, Unmet> {
    if KINDS.contains(&text) {
        Ok(text)
    } else {
        Err(Unmet::Misused(format!("`{text}` is no kind of a span; there are {}", KINDS.join(", "))))
    }
}

/// Passes if any of the service's spans of this kind is `good`; else shows what was seen of them.
fn any(
    trace: &Trace,
    service: &str,
    kind: &str,
    good: impl Fn(&Span) -> bool,
    seen: impl Fn(&Span) -> String,
) -> Result<(), String> {
    let spans = trace.of(service, kind);
    if spans.iter().any(|span| good(span)) {
        return Ok(());
    }
    let seen: Vec<String> = spans.iter().map(|span| seen(span)).collect();
    let seen = if seen.is_empty() { format!("there is no {kind} span of {service}") } else { seen.join("; ") };
    Err(format!("{seen}:\n{}", trace.tree()))
}

/// The trace, service and kind that a step is about, which are its first values.
async fn asked<'a>(scene: &Scene, arguments: &'a Arguments) -> Result<(Trace, &'a str, &'a str), Unmet> {
    let (kind, service) = (kind(arguments.text(1))?, arguments.text(2));
    Ok((trace(scene, arguments.text(0)).await?, service, kind))
}

async fn tag(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (trace, service, kind) = asked(scene, &arguments).await?;
    tagged(&trace, service, kind, arguments.text(3), arguments.text(4)).map_err(Unmet::not_yet)
}

fn tagged(trace: &Trace, service: &str, kind: &str, tag: &str, wanted: &str) -> Result<(), String> {
    let seen = |span: &Span| {
        if let Some(found) = span.tags.get(tag) {
            return format!("the tag {tag} of {service} is {found:?}, not {wanted:?}");
        }
        let tags: Vec<&str> = span.tags.keys().map(String::as_str).collect();
        format!("the span of {service} has no tag {tag}; it has {}", tags.join(", "))
    };
    any(trace, service, kind, |span| span.tags.get(tag).is_some_and(|found| found == wanted), seen)
}

async fn caused(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (trace, service, own) = asked(scene, &arguments).await?;
    let (cause_kind, cause) = (kind(arguments.text(3))?, arguments.text(4));
    let seen = |span: &Span| format!("the {own} span of {service} was caused by {}", told(trace.parent(span)));
    any(&trace, service, own, |span| trace.parent(span).is_some_and(|parent| parent.is(cause, cause_kind)), seen)
        .map_err(Unmet::not_yet)
}

/// A span in words.
fn told(span: Option<&Span>) -> String {
    span.map_or_else(
        || "no span that the trace has".to_owned(),
        |span| {
            let kind = span.kind.as_deref().unwrap_or("local").to_lowercase();
            format!("the {kind} span of {}", span.local_endpoint.service_name)
        },
    )
}

async fn at_least(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted = arguments.duration(3)?;
    took(scene, &arguments, |took| took >= wanted).await
}

async fn at_most(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted = arguments.duration(3)?;
    took(scene, &arguments, |took| took <= wanted).await
}

async fn took(scene: &Scene, arguments: &Arguments, good: impl Fn(Duration) -> bool) -> Result<(), Unmet> {
    let (trace, service, kind) = asked(scene, arguments).await?;
    lasted(&trace, service, kind, good).map_err(Unmet::not_yet)
}

fn lasted(trace: &Trace, service: &str, kind: &str, good: impl Fn(Duration) -> bool) -> Result<(), String> {
    let length = |span: &Span| Duration::from_micros(span.duration);
    let seen = |span: &Span| format!("the {kind} span of {service} took {} ms", length(span).as_millis());
    any(trace, service, kind, |span| good(length(span)), seen)
}

/// A row of the table of spans.
#[derive(Debug, Default)]
struct Row {
    service: String,
    kind: String,
    /// Service and kind; empty for a span without a cause. `None` if the table does not say.
    cause: Option<String>,
    tags: BTreeMap<String, String>,
}

impl Row {
    /// Reads the cells below the table's heads.
    fn read(heads: &[String], cells: &[String]) -> Result<Self, Unmet> {
        let mut row = Self::default();
        for (head, cell) in heads.iter().zip(cells) {
            match head.as_str() {
                "service" => row.service.clone_from(cell),
                "kind" => kind(cell)?.clone_into(&mut row.kind),
                "cause" => row.cause = Some(cell.clone()),
                tag => {
                    row.tags.insert(tag.to_owned(), cell.clone());
                }
            }
        }
        if row.service.is_empty() || row.kind.is_empty() {
            return Err(Unmet::Misused("each row of the table needs a service and a kind".to_owned()));
        }
        Ok(row)
    }

    fn fits(&self, trace: &Trace, span: &Span) -> bool {
        let caused = match self.cause.as_deref() {
            None => true,
            Some("") => trace.parent(span).is_none(),
            Some(cause) => {
                let (service, kind) = cause.rsplit_once(' ').unwrap_or((cause, "server"));
                trace.parent(span).is_some_and(|parent| parent.is(service, kind))
            }
        };
        let tag = |(name, wanted): (&String, &String)| span.tags.get(name).map_or("", String::as_str) == wanted;
        caused && span.is(&self.service, &self.kind) && self.tags.iter().all(tag)
    }
}

async fn table(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let table = arguments.table()?;
    let trace = trace(scene, arguments.text(0)).await?;
    for cells in &table[1..] {
        let row = Row::read(&table[0], cells)?;
        if !trace.spans.iter().any(|span| row.fits(&trace, span)) {
            let tree = trace.tree();
            return Err(Unmet::not_yet(format!("no span of the trace fits the row {}:\n{tree}", cells.join(" | "))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> Trace {
        let json = r#"[
          {"traceId":"t","id":"1","kind":"CLIENT","name":"a","timestamp":10,"duration":2500000,
           "localEndpoint":{"serviceName":"client.demo"},"tags":{"http.status_code":"503","error":"503"}},
          {"traceId":"t","id":"1","kind":"SERVER","name":"a","timestamp":20,"duration":2000,"shared":true,
           "localEndpoint":{"serviceName":"backend.demo"},"tags":{"http.status_code":"200"}}]"#;
        Trace::new(serde_json::from_str(json).expect("spans"))
    }

    #[test]
    fn tags_and_durations_are_of_the_right_span() {
        assert_eq!(tagged(&trace(), "backend.demo", "server", "http.status_code", "200"), Ok(()));
        let error = tagged(&trace(), "client.demo", "client", "http.status_code", "200").expect_err("another value");
        assert!(error.starts_with("the tag http.status_code of client.demo is \"503\", not \"200\":\n"), "{error}");
        let error = tagged(&trace(), "backend.demo", "server", "error", "503").expect_err("no such tag");
        assert!(error.starts_with("the span of backend.demo has no tag error; it has http.status_code:\n"), "{error}");
        assert_eq!(lasted(&trace(), "client.demo", "client", |took| took >= Duration::from_secs(2)), Ok(()));
        let error = lasted(&trace(), "backend.demo", "server", |took| took.is_zero()).expect_err("it took longer");
        assert!(error.starts_with("the server span of backend.demo took 2 ms:\n"), "{error}");
        let error = lasted(&trace(), "backend.demo", "client", |_| true).expect_err("no such span");
        assert!(error.starts_with("there is no client span of backend.demo:\n"), "{error}");
    }

    #[test]
    fn a_row_is_a_span_with_its_cause_and_tags() {
        let cells = |row: &[&str]| row.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let fits = |heads: &[&str], row: &[&str]| {
            let row = Row::read(&cells(heads), &cells(row)).expect("a row");
            trace().spans.iter().any(|span| row.fits(&trace(), span))
        };
        let heads = ["service", "kind", "cause", "error"];
        assert!(fits(&heads, &["client.demo", "client", "", "503"]));
        assert!(fits(&heads, &["backend.demo", "server", "client.demo client", ""]));
        assert!(
            !fits(&heads, &["backend.demo", "server", "", ""]) && !fits(&heads, &["client.demo", "client", "", ""])
        );
        assert!(fits(&["service", "kind"], &["backend.demo", "server"]));
        let error = Row::read(&cells(&["service", "kind"]), &cells(&["a", "maker"])).expect_err("no kind").to_string();
        assert_eq!(error, "`maker` is no kind of a span; there are client, server, producer, consumer, local");
        assert!(Row::read(&cells(&["service"]), &cells(&["a"])).is_err());
    }
}
