//! Metrics: targets, values, and how they changed during the scenario.

use std::time::{Duration, Instant};

use super::step;
use crate::observe::prometheus::{Target, Value};
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 9] = [
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
        Action,
        "the sum of {promql} is remembered",
        remember,
        "Waits until Prometheus has scraped every target that it knows, then evaluates the PromQL expression and keeps \
         the sum of its samples; a series that is not there yet counts 0."
    ),
    step!(
        "Prometheus",
        Check,
        "the sum of {promql} has risen by {int}",
        risen,
        "The sum of the expression is exactly so much more than when it was remembered. More than that fails at once."
    ),
    step!(
        "Prometheus",
        Check,
        "the sum of {promql} has risen by at least {int}",
        risen_at_least,
        "The sum of the expression is so much more, or even more, than when it was remembered: where others may send \
         the same requests."
    ),
    step!(
        "Prometheus",
        Check,
        "the query {promql} gives {float}",
        gives,
        "The sum of the expression's samples is this number; there is at least one sample."
    ),
    step!(
        "Prometheus",
        Check,
        "the query {promql} gives at least {float}",
        gives_at_least,
        "The sum of the expression's samples is this number or more; there is at least one sample."
    ),
    step!(
        "Prometheus",
        Check,
        "the query {promql} gives a value",
        gives_any,
        "The expression has at least one sample."
    ),
    step!("Prometheus", Check, "the query {promql} gives nothing", gives_nothing, "The expression has no sample."),
];

/// How long Prometheus may take to find and scrape everything: it looks for new pods every 5 s.
const FIRST_SCRAPE: Duration = Duration::from_secs(20);
/// The pause between looks at its targets.
const PAUSE: Duration = Duration::from_millis(100);
/// Counters are whole numbers, kept as floating point: closer than this is equal.
const CLOSE: f64 = 1e-6;

async fn targets(scene: &Scene, job: &str) -> Result<Vec<Target>, Unmet> {
    let targets = scene.prometheus().targets().await?;
    let jobs: std::collections::BTreeSet<String> = targets.iter().map(|target| target.job().to_owned()).collect();
    let found: Vec<Target> = targets.into_iter().filter(|target| target.job() == job).collect();
    if found.is_empty() {
        let jobs: Vec<String> = jobs.into_iter().collect();
        return Err(Unmet::not_yet(format!("job {job:?} has no targets; jobs with targets: {}", jobs.join(", "))));
    }
    Ok(found)
}

fn listed(targets: &[Target]) -> String {
    targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

async fn all_up(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let mut targets = targets(scene, arguments.text(0)).await?;
    let all = targets.len();
    targets.retain(|target| !target.is_up());
    if targets.is_empty() {
        return Ok(());
    }
    Err(Unmet::not_yet(format!("{} of {all} targets are not up: {}", targets.len(), listed(&targets))))
}

async fn some_up(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: usize = arguments.number(0)?;
    let targets = targets(scene, arguments.text(1)).await?;
    let up = targets.iter().filter(|target| target.is_up()).count();
    if up >= wanted { Ok(()) } else { Err(Unmet::not_yet(format!("{up} targets are up: {}", listed(&targets)))) }
}

/// A counter that Prometheus has not seen yet is not at nought: after its start, it takes until the
/// first scrape of each target to know where the counters stand.
async fn scraped(scene: &Scene) -> Result<(), Unmet> {
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

async fn remember(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    scraped(scene).await?;
    let expression = arguments.text(0);
    let sum = scene.prometheus().query(expression).await?.sum();
    scene.remembered.insert(expression.to_owned(), sum);
    Ok(())
}

async fn risen(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: f64 = arguments.number(1)?;
    let (risen, text) = rise(scene, &arguments).await?;
    if (risen - wanted).abs() < CLOSE {
        return Ok(());
    }
    let text = format!("it has risen by {risen}, not {wanted}: {text}");
    // A counter does not come down again, unless its process began anew.
    Err(if risen > wanted { Unmet::Never(text) } else { Unmet::not_yet(text) })
}

async fn risen_at_least(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: f64 = arguments.number(1)?;
    let (risen, text) = rise(scene, &arguments).await?;
    if risen >= wanted { Ok(()) } else { Err(Unmet::not_yet(format!("it has risen by {risen}, not {wanted}: {text}"))) }
}

/// By how much a sum has risen since it was remembered, and from what to what in words.
async fn rise(scene: &Scene, arguments: &Arguments) -> Result<(f64, String), Unmet> {
    let expression = arguments.text(0);
    let Some(before) = scene.remembered.get(expression).copied() else {
        return Err(Unmet::Misused(format!("the sum of `{expression}` was not remembered in this scenario")));
    };
    let value = scene.prometheus().query(expression).await?;
    let now = value.sum();
    Ok((now - before, format!("{before} before, {now} now in {} series", value.len())))
}

async fn gives(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: f64 = arguments.number(1)?;
    judged(scene, &arguments, |value| !value.is_empty() && (value.sum() - wanted).abs() < CLOSE).await
}

async fn gives_at_least(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: f64 = arguments.number(1)?;
    judged(scene, &arguments, |value| !value.is_empty() && value.sum() >= wanted).await
}

async fn gives_any(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    judged(scene, &arguments, |value| !value.is_empty()).await
}

async fn gives_nothing(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    judged(scene, &arguments, Value::is_empty).await
}

async fn judged(scene: &Scene, arguments: &Arguments, good: impl Fn(&Value) -> bool) -> Result<(), Unmet> {
    let value = scene.prometheus().query(arguments.text(0)).await?;
    if good(&value) {
        Ok(())
    } else {
        Err(Unmet::not_yet(format!("the sum is {} of {} series: {value}", value.sum(), value.len())))
    }
}
