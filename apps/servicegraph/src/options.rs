//! What is asked of the graph: its time window and its filters, and the `PromQL` that they make.

use std::fmt;

/// The window where none is given.
const WINDOW: &str = "5m";

/// Which part of the traffic the graph shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `time_horizon`: the span whose traffic counts, in Prometheus' form: `15s`, `1m`, `1h30m`;
    /// 5 minutes unless given.
    pub time_horizon: Option<String>,
    /// `filter_empty`: leaves out edges without traffic in that span.
    pub filter_empty: bool,
    /// `source_namespace`: only what this namespace's workloads call.
    pub source_namespace: Option<String>,
    /// `source_workload`: only what this workload calls.
    pub source_workload: Option<String>,
    /// `destination_namespace`: only calls of this namespace's workloads.
    pub destination_namespace: Option<String>,
    /// `destination_workload`: only calls of this workload.
    pub destination_workload: Option<String>,
}

/// A parameter that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongOption {
    /// The parameter's name.
    pub name: String,
    /// What is wrong with its value.
    pub reason: String,
}

impl fmt::Display for WrongOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

impl std::error::Error for WrongOption {}

impl Options {
    /// Reads the parameters of a URL. Those that are not known are left alone, as the add-on did.
    ///
    /// # Errors
    /// A time that is none.
    pub fn read<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, WrongOption> {
        let mut options = Self::default();
        for (name, value) in parameters {
            let given = (!value.is_empty()).then(|| value.to_owned());
            match name {
                "time_horizon" => options.time_horizon = given,
                "filter_empty" => options.filter_empty = value == "true",
                "source_namespace" => options.source_namespace = given,
                "source_workload" => options.source_workload = given,
                "destination_namespace" => options.destination_namespace = given,
                "destination_workload" => options.destination_workload = given,
                _ => {}
            }
        }
        options.check()?;
        Ok(options)
    }

    /// Whether the time is one that Prometheus reads.
    ///
    /// # Errors
    /// Says what it should look like.
    pub fn check(&self) -> Result<(), WrongOption> {
        let window = self.window();
        if is_time(window) {
            return Ok(());
        }
        let reason = format!("`{window}` is not a time; write it as 15s, 1m or 1h30m");
        Err(WrongOption { name: "time_horizon".to_owned(), reason })
    }

    /// The span whose traffic counts.
    #[must_use]
    pub fn window(&self) -> &str {
        self.time_horizon.as_deref().unwrap_or(WINDOW)
    }

    /// The rate of a metric by who calls whom, as one side of the calls tells it: `source` or
    /// `destination`.
    pub(crate) fn expression(&self, metric: &str, reporter: &str) -> String {
        let filters = [
            ("source_workload_namespace", &self.source_namespace),
            ("source_workload", &self.source_workload),
            ("destination_workload_namespace", &self.destination_namespace),
            ("destination_workload", &self.destination_workload),
        ];
        let mut matchers = format!("__name__=~{metric:?},reporter={reporter:?}");
        for (label, value) in filters {
            if let Some(value) = value {
                matchers = format!("{matchers},{label}=\"{}\"", escaped(value));
            }
        }
        let by = [
            "source_workload",
            "source_app",
            "source_canonical_service",
            "destination_workload",
            "destination_app",
            "destination_canonical_service",
            "destination_service",
            "connection_security_policy",
        ];
        let rate = format!("sum(rate({{{matchers}}}[{}])) by ({})", self.window(), by.join(", "));
        if self.filter_empty { format!("{rate} > 0") } else { rate }
    }
}

/// `PromQL` knows the escapes of Go, of which these are all that a label's value needs.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

/// Numbers with units, each unit smaller than the one before it.
fn is_time(text: &str) -> bool {
    let units = ["y", "w", "d", "h", "m", "s", "ms"];
    let (mut rest, mut last) = (text, None);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let Some(size) = units.iter().position(|known| *known == unit) else { return false };
        if number.is_empty() || number.bytes().all(|digit| digit == b'0') || last.is_some_and(|last| size <= last) {
            return false;
        }
        (rest, last) = (after, Some(size));
    }
    last.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_prometheus() {
        for time in ["15s", "1m", "1h30m", "2w", "1d12h", "500ms"] {
            assert!(is_time(time), "{time}");
        }
        for time in ["", "5", "m", "5 m", "-1m", "0s", "30m1h", "1m1m", "1x", "5m]) or vector(1"] {
            assert!(!is_time(time), "{time}");
        }
    }

    #[test]
    fn filters_become_matchers_and_cannot_break_out_of_them() {
        let options = Options::read([
            ("destination_namespace", "demo"),
            ("source_workload", "a\"} or vector(1) #\\"),
            ("filter_empty", "true"),
            ("time_horizon", "1m"),
            ("unknown", "x"),
        ]);
        let expression = options.expect("they are fine").expression("istio_requests_total", "source");
        assert_eq!(
            expression,
            "sum(rate({__name__=~\"istio_requests_total\",reporter=\"source\",\
             source_workload=\"a\\\"} or vector(1) #\\\\\",destination_workload_namespace=\"demo\"}[1m])) by \
             (source_workload, source_app, source_canonical_service, destination_workload, destination_app, \
             destination_canonical_service, destination_service, connection_security_policy) > 0"
        );
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        let error = Options::read([("time_horizon", "soon")]).expect_err("no time");
        assert_eq!(error.to_string(), "time_horizon: `soon` is not a time; write it as 15s, 1m or 1h30m");
    }
}
