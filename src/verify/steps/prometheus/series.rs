//! The series that a query gives, as a table of labels and values.

use std::collections::BTreeMap;

use super::step;
use super::values::CLOSE;
use crate::observe::prometheus::{Sample, Value};
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 2] = [
    step!(
        "Prometheus",
        Check,
        "the query {promql} gives these series:",
        exactly,
        "A table whose first row names labels and ends with value; each other row is one series of the result, which \
         has no others. A value is a number, or >, >=, <, <= and a number, or * for any."
    ),
    step!(
        "Prometheus",
        Check,
        "the query {promql} gives, among others, these series:",
        among,
        "The same, but the result may have more series than the table."
    ),
];

/// Makes what a value must be of a number.
type Make = fn(f64) -> Wanted;

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wanted {
    Any,
    Is(f64),
    More(f64),
    AtLeast(f64),
    Less(f64),
    AtMost(f64),
}

impl Wanted {
    fn read(text: &str) -> Result<Self, Unmet> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let signs: [(&str, Make); 4] =
            [(">=", Self::AtLeast), ("<=", Self::AtMost), (">", Self::More), ("<", Self::Less)];
        let (sign, make) = signs.into_iter().find(|(sign, _)| text.starts_with(sign)).unwrap_or(("", Self::Is));
        let wrong = |_| Unmet::Misused(format!("`{text}` is not a number, a comparison such as >= 3, or *"));
        text[sign.len()..].trim().parse().map(make).map_err(wrong)
    }

    fn fits(self, value: f64) -> bool {
        match self {
            Self::Any => true,
            Self::Is(wanted) => (value - wanted).abs() < CLOSE,
            Self::More(wanted) => value > wanted,
            Self::AtLeast(wanted) => value >= wanted,
            Self::Less(wanted) => value < wanted,
            Self::AtMost(wanted) => value <= wanted,
        }
    }
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    labels: BTreeMap<String, String>,
    wanted: Wanted,
    text: String,
}

impl Row {
    fn fits(&self, sample: &Sample) -> bool {
        let label = |(name, value): (&String, &String)| sample.labels.get(name).map_or("", String::as_str) == value;
        self.labels.iter().all(label) && self.wanted.fits(sample.value)
    }
}

/// Reads the table.
fn rows(table: &[Vec<String>]) -> Result<Vec<Row>, Unmet> {
    let misused = || Unmet::Misused("the table's first row names labels and ends with `value`".to_owned());
    let (head, rest) = table.split_first().ok_or_else(misused)?;
    let (last, names) = head.split_last().ok_or_else(misused)?;
    if last != "value" {
        return Err(misused());
    }
    let row = |cells: &Vec<String>| {
        let (value, labels) = cells.split_last().ok_or_else(misused)?;
        let labels = names.iter().cloned().zip(labels.iter().cloned()).collect();
        Ok(Row { labels, wanted: Wanted::read(value)?, text: cells.join(" | ") })
    };
    rest.iter().map(row).collect()
}

/// Passes if each row has a series of its own and, unless others may be, each series a row.
fn judged(value: &Value, rows: &[Row], others: bool) -> Result<(), String> {
    let Value::Vector(samples) = value else {
        return Err(format!("the query gives the number {value}, not series"));
    };
    let mut left: Vec<&Sample> = samples.iter().collect();
    let mut missing = Vec::new();
    for row in rows {
        match left.iter().position(|sample| row.fits(sample)) {
            Some(place) => {
                left.remove(place);
            }
            None => missing.push(row.text.as_str()),
        }
    }
    let mut wrong: Vec<String> = missing.iter().map(|row| format!("no series fits the row {row}")).collect();
    if !others && !left.is_empty() {
        let left = Value::Vector(left.into_iter().cloned().collect());
        wrong.push(format!("no row fits {left}"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}\nthe query gives: {value}", wrong.join("\n"))) }
}

async fn compared(scene: &Scene, arguments: &Arguments, others: bool) -> Result<(), Unmet> {
    let rows = rows(arguments.table()?)?;
    let value = scene.prometheus().query(arguments.text(0)).await?;
    judged(&value, &rows, others).map_err(Unmet::not_yet)
}

async fn exactly(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    compared(scene, &arguments, false).await
}

async fn among(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    compared(scene, &arguments, true).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    fn vector(samples: &[(&str, f64)]) -> Value {
        let sample = |(code, value): &(&str, f64)| Sample {
            labels: BTreeMap::from([("code".to_owned(), (*code).to_owned())]),
            at: 0.0,
            value: *value,
        };
        Value::Vector(samples.iter().map(sample).collect())
    }

    #[test]
    fn values_are_numbers_or_comparisons() {
        let fits = |text: &str, value: f64| Wanted::read(text).expect("it can be read").fits(value);
        assert!(fits("5", 5.0) && !fits("5", 5.1) && fits("*", f64::NAN));
        assert!(fits(">= 5", 5.0) && !fits("> 5", 5.0) && fits("<=5", 5.0) && !fits("< 5", 5.0));
        let error = Wanted::read("many").expect_err("no number").to_string();
        assert_eq!(error, "`many` is not a number, a comparison such as >= 3, or *");
    }

    #[test]
    fn each_row_has_a_series_of_its_own() {
        let wanted = rows(&table(&[&["code", "value"], &["200", ">= 3"], &["503", "1"]])).expect("a table");
        assert_eq!(judged(&vector(&[("503", 1.0), ("200", 7.0)]), &wanted, false), Ok(()));
        let error = judged(&vector(&[("200", 7.0), ("404", 2.0)]), &wanted, false).expect_err("it differs");
        let text = "no series fits the row 503 | 1\nno row fits {code=\"404\"} 2\n\
                    the query gives: {code=\"200\"} 7, {code=\"404\"} 2";
        assert_eq!(error, text);
        let more = vector(&[("503", 1.0), ("200", 7.0), ("404", 2.0)]);
        assert_eq!(judged(&more, &wanted, true), Ok(()));
        assert!(judged(&Value::Scalar(1.0), &wanted, true).is_err_and(|error| error.contains("not series")));
    }

    #[test]
    fn a_table_without_values_is_refused() {
        let error = rows(&table(&[&["code", "count"], &["200", "3"]])).expect_err("no value").to_string();
        assert_eq!(error, "the table's first row names labels and ends with `value`");
    }
}
