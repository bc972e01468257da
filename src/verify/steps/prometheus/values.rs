//! Values, and how they changed during the scenario.

use super::{step, targets};
use crate::observe::prometheus::Value;
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 11] = [
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
        "the sum of {promql} has risen by between {int} and {int}",
        risen_between,
        "The sum of the expression is so much more than when it was remembered. More than that fails at once."
    ),
    step!(
        "Prometheus",
        Check,
        "the sum of {promql} has not changed",
        unchanged,
        "The sum of the expression is what it was when it was remembered. Prometheus needs a moment to see a change: \
         let the scenario wait for one that comes with it first, or hold it for a while (`consistently for 5 seconds`)."
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
        "the query {promql} gives at most {float}",
        gives_at_most,
        "The sum of the expression's samples is this number or less; there is at least one sample."
    ),
    step!(
        "Prometheus",
        Check,
        "the query {promql} gives between {float} and {float}",
        gives_between,
        "The sum of the expression's samples is one of these numbers or between them; there is at least one sample."
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

/// Counters are whole numbers, kept as floating point: closer than this is equal.
pub(super) const CLOSE: f64 = 1e-6;

async fn remember(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    targets::scraped(scene).await?;
    let expression = arguments.text(0);
    let sum = scene.prometheus().query(expression).await?.sum();
    scene.remembered.insert(expression.to_owned(), sum);
    Ok(())
}

async fn risen(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: f64 = arguments.number(1)?;
    let (risen, text) = rise(scene, &arguments).await?;
    within(risen, wanted, wanted, &text)
}

async fn risen_between(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (least, most): (f64, f64) = (arguments.number(1)?, arguments.number(2)?);
    let (risen, text) = rise(scene, &arguments).await?;
    within(risen, least, most, &text)
}

async fn risen_at_least(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: f64 = arguments.number(1)?;
    let (risen, text) = rise(scene, &arguments).await?;
    within(risen, wanted, f64::INFINITY, &text)
}

/// Judges by how much a sum has risen.
fn within(risen: f64, least: f64, most: f64, text: &str) -> Result<(), Unmet> {
    if (least - CLOSE..=most + CLOSE).contains(&risen) {
        return Ok(());
    }
    let wanted =
        if least < most && most.is_finite() { format!("between {least} and {most}") } else { least.to_string() };
    let text = format!("it has risen by {risen}, not {wanted}: {text}");
    // A counter does not come down again, unless its process began anew.
    Err(if risen > most { Unmet::Never(text) } else { Unmet::not_yet(text) })
}

async fn unchanged(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (risen, text) = rise(scene, &arguments).await?;
    if risen.abs() < CLOSE { Ok(()) } else { Err(Unmet::Never(format!("it has changed by {risen}: {text}"))) }
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

async fn gives_at_most(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: f64 = arguments.number(1)?;
    judged(scene, &arguments, |value| !value.is_empty() && value.sum() <= wanted).await
}

async fn gives_between(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (least, most): (f64, f64) = (arguments.number(1)?, arguments.number(2)?);
    judged(scene, &arguments, |value| !value.is_empty() && (least..=most).contains(&value.sum())).await
}

async fn gives_any(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    judged(scene, &arguments, |value| !value.is_empty()).await
}

async fn gives_nothing(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    judged(scene, &arguments, Value::is_empty).await
}

async fn judged(scene: &Scene, arguments: &Arguments, good: impl Fn(&Value) -> bool) -> Result<(), Unmet> {
    let value = scene.prometheus().query(arguments.text(0)).await?;
    if good(&value) { Ok(()) } else { Err(seen(&value)) }
}

/// What a query gave instead.
fn seen(value: &Value) -> Unmet {
    Unmet::not_yet(format!("the sum is {} of {} series: {value}", value.sum(), value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_is_judged_by_its_bounds() {
        assert!(within(3.0, 3.0, 3.0, "").is_ok() && within(9.0, 3.0, f64::INFINITY, "").is_ok());
        assert!(within(4.0, 3.0, 5.0, "").is_ok());
        let few = within(2.0, 3.0, 5.0, "1 before, 3 now in 2 series").expect_err("too few");
        let text = "it has risen by 2, not between 3 and 5: 1 before, 3 now in 2 series";
        assert!(!few.is_final() && few.to_string() == text, "{few}");
        let many = within(4.0, 3.0, 3.0, "1 before, 5 now in 1 series").expect_err("too many");
        let text = "it has risen by 4, not 3: 1 before, 5 now in 1 series";
        assert!(many.is_final() && many.to_string() == text, "{many}");
    }

    #[test]
    fn what_a_query_gave_is_shown() {
        assert_eq!(seen(&Value::Scalar(2.0)).to_string(), "the sum is 2 of 1 series: 2");
        assert_eq!(seen(&Value::Vector(Vec::new())).to_string(), "the sum is 0 of 0 series: no sample");
    }
}
