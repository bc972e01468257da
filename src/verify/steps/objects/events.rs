//! What Kubernetes tells about objects: its events.

use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::super::step;
use crate::objects::Served;
use crate::observe::proxy::cut;
use crate::verify::arguments::{Arguments, Named};
use crate::verify::look::Choice;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(in super::super) const STEPS: [Entry; 3] = [
    step!(
        "objects",
        Check,
        "there is an event with reason {string} about {object}",
        some,
        "Kubernetes has told this of the object since the scenario began, such as ScalingReplicaSet of a Deployment."
    ),
    step!(
        "objects",
        Check,
        "there is an event with reason {string} about {object} that says {string}",
        some_that_says,
        "The same, and the event's message contains the text."
    ),
    step!(
        "objects",
        Check,
        "there is no event with reason {string} about {object}",
        none,
        "Kubernetes has not told this of the object since the scenario began."
    ),
];

/// How many events a message lists.
const LISTED: usize = 8;
/// How much of an event's message is shown.
const SHOWN: usize = 200;

/// An event about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    reason: String,
    message: String,
    /// When it was told last.
    at: Option<SystemTime>,
}

impl Told {
    fn of(event: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // An event that comes again has a series, or a time of its own; which one depends on who tells it.
        let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
        let times = times.iter().filter_map(|path| event.pointer(path)?.as_str()?.parse::<Timestamp>().ok());
        Self {
            reason: text(&event["reason"]),
            message: text(&event["message"]).trim().to_owned(),
            at: times.max().map(SystemTime::from),
        }
    }

    /// Whether it was told after `time`; the times of events have no fractions of seconds.
    fn is_since(&self, time: SystemTime) -> bool {
        self.at.is_some_and(|at| at + Duration::from_secs(1) > time)
    }
}

/// The events about an object, the newest last, and the object's name.
async fn events(scene: &mut Scene, named: Named<'_>) -> Result<(Vec<Told>, String), Unmet> {
    let target = scene.target(named).await?;
    let reference = &target.reference;
    let fields = format!("involvedObject.kind={},involvedObject.name={}", reference.kind, reference.name);
    // What is told of objects in no namespace lies in `default`.
    let namespace = reference.namespace.as_deref().unwrap_or("default");
    let found = scene.look_for(&Served::of("", "v1", "Event"), Some(namespace), Choice::Fields(&fields)).await?;
    let mut events: Vec<Told> = found.iter().map(Told::of).collect();
    events.sort_by_key(|event| event.at);
    Ok((events, reference.to_string()))
}

/// What there is, where something else was looked for.
fn listed(events: &[Told], began: SystemTime) -> String {
    if events.is_empty() {
        return "there are none at all".to_owned();
    }
    let newest = &events[events.len().saturating_sub(LISTED)..];
    let lines = newest.iter().map(|event| {
        let old = if event.is_since(began) { "" } else { " (before the scenario)" };
        format!("{}{old}: {}", event.reason, cut(&event.message, SHOWN))
    });
    format!("there are:\n  {}", lines.collect::<Vec<_>>().join("\n  "))
}

/// Whether an event of this reason was told since the scenario began, with this text in its message.
fn judged(events: &[Told], began: SystemTime, reason: &str, says: &str) -> bool {
    events.iter().any(|event| event.reason == reason && event.message.contains(says) && event.is_since(began))
}

async fn some(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    told(scene, &arguments, "").await
}

async fn some_that_says(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    told(scene, &arguments, arguments.text(2)).await
}

async fn told(scene: &mut Scene, arguments: &Arguments, says: &str) -> Result<(), Unmet> {
    let reason = arguments.text(0);
    let (events, name) = events(scene, arguments.object(1)).await?;
    if judged(&events, scene.began, reason, says) {
        return Ok(());
    }
    let that = if says.is_empty() { String::new() } else { format!(" that says {says:?}") };
    let listed = listed(&events, scene.began);
    Err(Unmet::not_yet(format!("no event {reason} about {name}{that} since the scenario began; {listed}")))
}

async fn none(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (events, name) = events(scene, arguments.object(1)).await?;
    if judged(&events, scene.began, arguments.text(0), "") {
        // What was told is told.
        return Err(Unmet::Never(format!("about {name} {}", listed(&events, scene.began))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(reason: &str, time: &str) -> Told {
        Told::of(&json!({"reason": reason, "message": " it did\n", "lastTimestamp": time, "eventTime": null,
            "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}))
    }

    fn time(text: &str) -> SystemTime {
        text.parse::<Timestamp>().expect("a time").into()
    }

    #[test]
    fn only_what_was_told_since_the_scenario_began_counts() {
        let began = time("2026-01-01T00:01:00.700Z");
        let events = [event("Old", "2026-01-01T00:00:59Z"), event("New", "2026-01-01T00:01:00Z")];
        assert!(judged(&events, began, "New", "did"));
        assert!(!judged(&events, began, "New", "did not"));
        assert!(!judged(&events, began, "Old", ""));
        assert_eq!(listed(&events, began), "there are:\n  Old (before the scenario): it did\n  New: it did");
        assert_eq!(listed(&[], began), "there are none at all");
    }

    #[test]
    fn the_newest_of_an_events_times_counts() {
        let series = json!({"reason": "R", "eventTime": "2026-01-01T00:00:00.123456Z",
            "series": {"lastObservedTime": "2026-01-01T00:05:00.5Z"}, "metadata": {"creationTimestamp": "2026-01-01T00:00:01Z"}});
        assert_eq!(Told::of(&series).at, Some(time("2026-01-01T00:05:00.5Z")));
    }
}
