//! What Prometheus scrapes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::step;
use crate::observe::prometheus::Target;
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 4] = [
    step!(
        "Prometheus",
        Check,
        "every target of job {string} is up",
        all_up,
        "Prometheus scrapes at least one target of the job, and the last scrape of each succeeded."
    ),
    step!(
        "Prometheus",
        Check,
        "at least {int} target(s) of job {string} is/are up",
        some_up,
        "The last scrape of so many targets of the job succeeded."
    ),
    step!(
        "Prometheus",
        Check,
        "every target whose label {string} is {string} is up",
        labelled_up,
        "Prometheus scrapes at least one target with this label (after relabelling, as its page of targets shows), \
         and the last scrape of each succeeded."
    ),
    step!(
        "Prometheus",
        Check,
        "Prometheus scrapes no target whose label {string} is {string}",
        none_labelled,
        "No target has this label with this value."
    ),
];

/// How long Prometheus may take to find and scrape everything: it looks for new pods every 5 s.
const FIRST_SCRAPE: Duration = Duration::from_secs(20);
/// The pause between looks at its targets.
const PAUSE: Duration = Duration::from_millis(100);
/// The targets with this label; there must be at least one.
fn labelled(targets: Vec<Target>, label: &str, wanted: &str) -> Result<Vec<Target>, Unmet> {
    let value = |target: &Target| target.labels.get(label).cloned();
    let values: BTreeSet<String> = targets.iter().filter_map(value).collect();
    let found: Vec<Target> = targets.into_iter().filter(|target| value(target).as_deref() == Some(wanted)).collect();
    if found.is_empty() {
        let values: Vec<String> = values.into_iter().collect();
        let there = if values.is_empty() { "none".to_owned() } else { values.join(", ") };
        return Err(Unmet::not_yet(format!("no target has {label} {wanted:?}; targets there are have {there}")));
    }
    Ok(found)
}

async fn targets(scene: &Scene, job: &str) -> Result<Vec<Target>, Unmet> {
    labelled(scene.prometheus().targets().await?, "job", job)
}

fn listed(targets: &[Target]) -> String {
    targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

async fn all_up(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    all(targets(scene, arguments.text(0)).await?)
}

/// Passes if all of these targets are up.
fn all(mut targets: Vec<Target>) -> Result<(), Unmet> {
    let all = targets.len();
    targets.retain(|target| !target.is_up());
    if targets.is_empty() {
        return Ok(());
    }
    Err(Unmet::not_yet(format!("{} of {all} targets are not up: {}", targets.len(), listed(&targets))))
}

async fn labelled_up(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    all(labelled(scene.prometheus().targets().await?, arguments.text(0), arguments.text(1))?)
}

async fn none_labelled(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    match labelled(scene.prometheus().targets().await?, arguments.text(0), arguments.text(1)) {
        Err(_) => Ok(()),
        Ok(found) => Err(Unmet::not_yet(format!("it scrapes {}", listed(&found)))),
    }
}

async fn some_up(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: usize = arguments.number(0)?;
    let targets = targets(scene, arguments.text(1)).await?;
    let up = targets.iter().filter(|target| target.is_up()).count();
    if up >= wanted { Ok(()) } else { Err(Unmet::not_yet(format!("{up} targets are up: {}", listed(&targets)))) }
}

/// A counter that Prometheus has not seen yet is not at nought: after its start, it takes until the
/// first scrape of each target to know where the counters stand.
pub(super) async fn scraped(scene: &Scene) -> Result<(), Unmet> {
    let begin = Instant::now();
    loop {
        let targets = scene.prometheus().targets().await?;
        let waiting: Vec<Target> = targets.iter().filter(|target| !target.is_scraped()).cloned().collect();
        let discovered = targets.iter().any(|target| target.labels.contains_key("pod"));
        if discovered && waiting.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > FIRST_SCRAPE {
            let limit = humantime::format_duration(FIRST_SCRAPE);
            let why = if discovered { listed(&waiting) } else { "it has found no pods".to_owned() };
            return Err(Unmet::Never(format!("Prometheus has not scraped everything within {limit}: {why}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(namespace: &str, health: &str) -> Target {
        let labels = [("namespace", namespace), ("pod", "a-1"), ("job", "pods")];
        Target {
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            health: health.to_owned(),
            last_error: String::new(),
            scrape_url: String::new(),
        }
    }

    #[test]
    fn targets_are_found_by_any_label() {
        let targets = vec![target("demo", "up"), target("plain", "down"), target("demo", "up")];
        assert_eq!(labelled(targets.clone(), "namespace", "demo").expect("two").len(), 2);
        let text = labelled(targets.clone(), "namespace", "none").expect_err("there is none").to_string();
        assert_eq!(text, "no target has namespace \"none\"; targets there are have demo, plain");
        let text = labelled(targets, "zone", "a").expect_err("there is none").to_string();
        assert_eq!(text, "no target has zone \"a\"; targets there are have none");
    }

    #[test]
    fn one_target_that_is_down_is_named() {
        assert!(all(vec![target("demo", "up")]).is_ok());
        let down = Target { last_error: "connection refused".to_owned(), ..target("demo", "down") };
        let text = all(vec![target("demo", "up"), down]).expect_err("one is down").to_string();
        assert_eq!(text, "1 of 2 targets are not up: a-1 down (connection refused)");
    }
}
