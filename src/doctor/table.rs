//! The report as text.

use std::fmt::Write as _;

use super::{Report, Status};

/// Columns as wide as needed; the remedies below, each once, as commands to copy.
pub(super) fn text(report: &Report) -> String {
    let width = report.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for check in &report.checks {
        let mark = match check.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        // Writing to a string can't fail.
        let _ = writeln!(text, "{mark:<5} {:<width$}  {}", check.name, check.found);
    }
    for remedy in report.remedies() {
        let by = if remedy.automatic { " (`istiolab doctor --fix` does it)" } else { "" };
        let _ = writeln!(text, "\nto {}{by}{}", remedy.what, if remedy.commands.is_empty() { "" } else { ":" });
        for command in &remedy.commands {
            let _ = writeln!(text, "  {command}");
        }
    }
    text
}
