//! `istiolab steps`.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::json;

use super::Context;
use crate::error::{Failure, Kind};
use crate::verify::vocabulary;
use crate::verify::vocabulary::{Entry, Kind as StepKind};

/// Show the steps that scenarios are written in
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only steps whose pattern, meaning or subject has these words
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,
    /// What to print for people
    #[arg(long = "as", value_enum, default_value_t, value_name = "FORM")]
    form: Form,
}

/// What the vocabulary is printed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For a terminal.
    #[default]
    Text,
    /// The page docs/scenarios/steps.md.
    Markdown,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let vocabulary = vocabulary().map_err(|error| Failure::new(Kind::Unexpected, error))?;
        let wanted = |entry: &&Entry| {
            let text = format!("{} {} {}", entry.subject, entry.pattern, entry.meaning).to_lowercase();
            let words = self.search.as_deref().unwrap_or_default().to_lowercase();
            words.split_whitespace().all(|word| text.contains(word))
        };
        let found: Vec<&Entry> = vocabulary.entries().filter(wanted).collect();
        if found.is_empty() {
            return Err(Failure::new(
                Kind::Usage,
                format!("no step has the words `{}`", self.search.unwrap_or_default()),
            )
            .hint("`istiolab steps` shows them all."));
        }
        let data = found.iter().map(|entry| {
            json!({
                "subject": entry.subject,
                "pattern": entry.pattern,
                "meaning": entry.meaning,
                "repeatable": entry.kind == StepKind::Check,
            })
        });
        let text = match self.form {
            Form::Text => text(&found),
            Form::Markdown => markdown(&found),
        };
        context.print(&data.collect::<Vec<_>>(), text)
    }
}

/// The steps by subject, in the order in which the subjects first come.
fn subjects<'a>(entries: &[&'a Entry]) -> Vec<(&'static str, Vec<&'a Entry>)> {
    let mut subjects: Vec<(&'static str, Vec<&Entry>)> = Vec::new();
    for entry in entries {
        match subjects.iter_mut().find(|(subject, _)| *subject == entry.subject) {
            Some((_, steps)) => steps.push(entry),
            None => subjects.push((entry.subject, vec![entry])),
        }
    }
    subjects
}

fn text(entries: &[&Entry]) -> String {
    let mut text = String::new();
    for (subject, steps) in subjects(entries) {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{}{subject}", if text.is_empty() { "" } else { "\n" });
        for step in steps {
            let once = if step.kind == StepKind::Action { " (does something: once)" } else { "" };
            let _ = writeln!(text, "  {}{once}\n      {}", step.pattern, step.meaning);
        }
    }
    text
}

const PREFACE: &str = "\
# Steps

The vocabulary of the scenarios, by subject; `istiolab steps --as markdown` writes this page.

A step may stand after any keyword. Words in parentheses may be left out, `a/b` is one or the other. `{string}` is a
text in single or double quotes, `{promql}` such a text that Prometheus evaluates, `{regex}` one that is a regular
expression, `{word}` is a word without quotes, `{int}` and `{float}` are numbers, `{duration}` is written `2 seconds` or
`500 ms`. `{object}` names an object, `Deployment \"x\" in namespace \"y\"` or `ClusterRole \"x\"`, and `{kind}` a kind
alone, as kubectl takes it. `${unique}` in any text is a name that no other scenario has, and `${NAME}` what an earlier
step remembered under this name.

Every check can be given time: `eventually …` (30 seconds), `eventually within 10 seconds …`,
`consistently for 3 seconds …`, `3 times in a row …`, `eventually within 10 seconds, 3 times in a row …`. What does
something is done once. Every step may be given a limit, a minute unless it says so: `within 2 minutes …`.
";

fn markdown(entries: &[&Entry]) -> String {
    let mut text = PREFACE.to_owned();
    for (subject, steps) in subjects(entries) {
        let _ = write!(text, "\n## {subject}\n");
        for step in steps {
            let kind = if step.kind == StepKind::Action { "Does something. " } else { "" };
            let _ = write!(text, "\n`{}`\n: {kind}{}\n", step.pattern, step.meaning);
        }
    }
    text
}
