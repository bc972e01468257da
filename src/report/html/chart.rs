//! A metric over time as a small drawing.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::observe::prometheus::Series;
use crate::observe::snapshot::Chart;

/// The drawing's size in its own units.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 46.0;
const BOTTOM: f64 = 20.0;
const TOP: f64 = 8.0;
/// Lines that can be told apart; further ones are named but not drawn.
const MOST: usize = 8;

pub(super) fn chart(chart: &Chart) -> Markup {
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let from = points().map(|(at, _)| *at).fold(f64::INFINITY, f64::min);
    let to = points().map(|(at, _)| *at).fold(f64::NEG_INFINITY, f64::max);
    let top = nice(points().map(|(_, value)| *value).fold(0.0, f64::max));
    let x = |at: f64| LEFT + (WIDTH - LEFT - 4.0) * (at - from) / (to - from).max(1.0);
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / top);
    let mut series: Vec<&Series> = chart.series.iter().collect();
    series.sort_by(|a, b| peak(b).total_cmp(&peak(a)));
    let said = series.iter().map(|series| format!("{} up to {}", name(series), short(peak(series))));
    let said = format!("{} in {}: {}.", chart.title, chart.unit, said.collect::<Vec<_>>().join(", "));
    html! {
        figure.chart {
            figcaption { b { (chart.title) } span.soft { " " (chart.unit) } }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(said) {
                @for part in [0.0, 0.5, 1.0] {
                    line.grid x1=(LEFT) x2=(WIDTH) y1=(y(top * part)) y2=(y(top * part)) {}
                    text.tick x=(LEFT - 5.0) y=(y(top * part)) text-anchor="end" dominant-baseline="central" { (short(top * part)) }
                }
                text.tick x=(LEFT) y=(HEIGHT - 4.0) { "0 s" }
                text.tick x=(WIDTH - 4.0) y=(HEIGHT - 4.0) text-anchor="end" { (short(to - from)) " s" }
                @for (index, series) in series.iter().take(MOST).enumerate() {
                    path class=(format!("series c{index}")) d=(line(series, &x, &y)) {}
                }
            }
            ul.legend {
                @for (index, series) in series.iter().enumerate() {
                    li { @if index < MOST { span class=(format!("key c{index}")) aria-hidden="true" {} } (name(series)) }
                }
            }
            details { summary { "PromQL" } code { (chart.query) } }
        }
    }
}

fn line(series: &Series, x: &impl Fn(f64) -> f64, y: &impl Fn(f64) -> f64) -> String {
    let mut line = String::new();
    for (index, (at, value)) in series.points.iter().enumerate() {
        // Writing to a text does not fail.
        let _ = write!(line, "{}{:.1} {:.1}", if index == 0 { 'M' } else { 'L' }, x(*at), y(*value));
    }
    line
}

fn peak(series: &Series) -> f64 {
    series.points.iter().map(|(_, value)| *value).fold(0.0, f64::max)
}

/// The values of the labels, which is what tells series of one chart apart.
fn name(series: &Series) -> String {
    let values: Vec<&str> = series.labels.values().map(String::as_str).collect();
    if values.is_empty() { "all".to_owned() } else { values.join(", ") }
}

/// The next number above that people count by: 1, 2 or 5 times a power of ten.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|top| *top >= value * 0.999).unwrap_or(value)
}

/// A number with as many digits as are of use.
fn short(value: f64) -> String {
    let digits = if value == 0.0 || value >= 10.0 {
        0
    } else if value >= 1.0 {
        1
    } else {
        3
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_numbers_that_people_count_by() {
        for (value, top) in [(0.0, 1.0), (0.03, 0.05), (1.0, 1.0), (1.2, 2.0), (70.0, 100.0)] {
            assert!((nice(value) - top).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 0.05, 0.5, 2.5, 120.4].map(short), ["0", "0.05", "0.5", "2.5", "120"]);
    }
}
