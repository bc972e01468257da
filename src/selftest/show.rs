//! Mutations and what came of them, for people: in a terminal, and as a page of the documentation.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::judge::{Outcome, Verdict, uncovered};
use super::table::{MUTATIONS, Mutation};
use crate::verify::vocabulary::Vocabulary;

/// What came of mutations by their names.
type Outcomes = BTreeMap<String, Outcome>;

/// What came of the mutations of a run, a line each; what was not as it should be stands below it.
#[must_use]
pub fn told(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let Outcome { mutation: name, seconds, .. } = outcome;
        // Writing to a text does not fail, here and below.
        let _ = match outcome.verdict {
            Verdict::Noticed => writeln!(
                text,
                "ok      {name}: exactly the scenarios of `{}` fail, and pass again when it is mended ({seconds:.1} s)",
                MUTATIONS.iter().find(|mutation| mutation.name == name).map_or("", |mutation| mutation.noticed_by),
            ),
            Verdict::Skipped => writeln!(text, "skipped {name}: {}", outcome.problems.join("; ")),
            Verdict::Failed => {
                writeln!(text, "FAILED  {name} ({seconds:.1} s)\n          {}", outcome.problems.join("\n          "))
            }
        };
    }
    text
}

/// All mutations with what came of them, and the steps that none of them made fail.
#[must_use]
pub fn listed(vocabulary: &Vocabulary, outcomes: &Outcomes) -> String {
    let name = MUTATIONS.iter().map(|mutation| mutation.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for mutation in &MUTATIONS {
        let mark = if mutation.is_default { '*' } else { ' ' };
        let _ = writeln!(text, "{mark} {:<name$}  {}", mutation.name, mutation.breaks);
        let came = match outcomes.get(mutation.name) {
            None => "not made yet".to_owned(),
            Some(Outcome { verdict: Verdict::Noticed, noticed, .. }) => format!("noticed by {} of them", noticed.len()),
            Some(Outcome { verdict: Verdict::Skipped, problems, .. }) => format!("skipped: {}", problems.join("; ")),
            Some(Outcome { problems, .. }) => problems.join("; "),
        };
        let _ = writeln!(text, "  {:<name$}  is to fail: {}; {came}", "", mutation.noticed_by);
    }
    text.push_str("\nThose marked * are made when nothing is said.\n");
    let left = uncovered(vocabulary, outcomes.values());
    let all = vocabulary.entries().count();
    let _ = writeln!(text, "\n{} of {all} steps of the vocabulary were made to fail. Not yet:", all - left.len());
    for pattern in left {
        let _ = writeln!(text, "  {pattern}");
    }
    text
}

const PREFACE: &str = "\
# Mutations

A scenario that can't fail proves nothing. `istiolab selftest mutate` breaks a lab that is up, one thing at a time, runs
all of its scenarios each time, and compares: those that depend on what is broken must fail, and no others; then `up`
mends the lab, and they must pass again.

```console
$ istiolab selftest mutate --yes                  # the usual ones, in bold below
$ istiolab selftest mutate --yes --all
$ istiolab selftest mutate --yes --only webhook,zipkin
$ istiolab selftest mutate --list                 # all of them, and the steps that none has made fail
```

What is broken are the lab's own objects: they are applied with something altered, as if the lab's files were wrong.
So `up` finds every difference by itself, and a run that is interrupted or killed leaves a lab that `istiolab up` mends.
A lab that is not up, or whose scenarios fail before anything is broken, is refused.

Which scenarios depend on what is said by their tags: a mutation names a tag expression. A new scenario gets the tags of
what it depends on, and is from then on counted with.

This page is written by `istiolab selftest mutate --list --as markdown` from what came of real runs on the quick start.

| mutation | what is broken | is to fail | fails | seconds |
|---|---|---|---|---|
";

/// The page of the documentation.
#[must_use]
pub fn page(vocabulary: &Vocabulary, outcomes: &Outcomes) -> String {
    let mut text = PREFACE.to_owned();
    for mutation in &MUTATIONS {
        let bold = if mutation.is_default { "**" } else { "" };
        let Mutation { name, breaks, noticed_by, .. } = mutation;
        let _ = write!(text, "| {bold}{name}{bold} | {breaks} | `{noticed_by}` | ");
        let _ = match outcomes.get(*name) {
            None => writeln!(text, "not made yet | |"),
            Some(outcome) => {
                let noticed: Vec<&str> = outcome.noticed.iter().map(|noticed| noticed.scenario.as_str()).collect();
                let problems = outcome.problems.iter().map(String::as_str);
                let cells: Vec<&str> = noticed.into_iter().chain(problems).collect();
                writeln!(text, "{} | {:.0} |", cells.join("<br>"), outcome.seconds)
            }
        };
    }
    text.push_str("\n## By step\n\nWhich mutations made a step of the [vocabulary](steps.md) fail.\n\n");
    text.push_str("| step | fails after |\n|---|---|\n");
    for entry in vocabulary.entries() {
        let failing = outcomes.values().filter(|outcome| {
            let steps = outcome.noticed.iter().flat_map(|noticed| &noticed.steps);
            outcome.verdict == Verdict::Noticed && steps.into_iter().any(|step| step == entry.pattern)
        });
        let failing: Vec<&str> = failing.map(|outcome| outcome.mutation.as_str()).collect();
        if !failing.is_empty() {
            let _ = writeln!(text, "| `{}` | {} |", entry.pattern, failing.join(", "));
        }
    }
    let left = uncovered(vocabulary, outcomes.values());
    if !left.is_empty() {
        text.push_str("\nNo mutation of the quick start makes these fail:\n\n");
        for pattern in left {
            let _ = writeln!(text, "- `{pattern}`");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::judge::Noticed;
    use crate::verify::vocabulary;

    fn outcome(name: &str, verdict: Verdict, problems: &[&str]) -> Outcome {
        let step = "Grafana is healthy".to_owned();
        let noticed = Noticed { scenario: "F: s".to_owned(), steps: vec![step], error: String::new() };
        Outcome {
            mutation: name.to_owned(),
            verdict,
            noticed: vec![noticed],
            problems: problems.iter().map(ToString::to_string).collect(),
            seconds: 12.3,
        }
    }

    #[test]
    fn a_run_is_told_line_by_line() {
        let outcomes = [
            outcome("webhook", Verdict::Noticed, &[]),
            outcome("zipkin", Verdict::Failed, &["did not notice: F: s", "failed without reason: F: t"]),
            outcome("grafana", Verdict::Skipped, &["the lab has no Deployment istio-system/grafana"]),
        ];
        assert_eq!(
            told(&outcomes),
            "ok      webhook: exactly the scenarios of `@webhook` fail, and pass again when it is mended (12.3 s)\n\
             FAILED  zipkin (12.3 s)\n          did not notice: F: s\n          failed without reason: F: t\n\
             skipped grafana: the lab has no Deployment istio-system/grafana\n"
        );
    }

    #[test]
    fn steps_that_nothing_made_fail_are_listed() {
        let vocabulary = vocabulary().expect("the patterns are expressions");
        let outcomes: Outcomes = [("grafana".to_owned(), outcome("grafana", Verdict::Noticed, &[]))].into();
        let all = vocabulary.entries().count();
        let text = listed(&vocabulary, &outcomes);
        assert!(text.contains("is to fail: @grafana; noticed by 1 of them"), "{text}");
        assert!(text.contains("is to fail: @zipkin; not made yet"), "{text}");
        assert!(text.contains(&format!("\n1 of {all} steps of the vocabulary were made to fail.")), "{text}");
        assert!(!text.contains("\n  Grafana is healthy\n") && text.contains("\n  no request is answered\n"), "{text}");
        let page = page(&vocabulary, &outcomes);
        assert!(page.contains("| grafana | Grafana is down | `@grafana` | F: s | 12 |"), "{page}");
        assert!(page.contains("| `Grafana is healthy` | grafana |"), "{page}");
        assert!(page.contains("- `no request is answered`"), "{page}");
    }
}
