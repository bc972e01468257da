//! Mutations and what came of them, for people: in a terminal, and as a page of the documentation.

use std::fmt::Write as _;

use super::judge::{Outcome, Verdict};
use super::kept::Kept;
use super::table::{MUTATIONS, Mutation};
use crate::verify::doubt::{Answer, Doubted};
use crate::verify::vocabulary::Vocabulary;

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

/// What became of steps that were doubted, a line each; those that no scenario uses are only counted. A step that
/// passes whatever it expects is proven if a mutation made it fail.
#[must_use]
pub fn doubted(doubts: &[Doubted], kept: &Kept) -> String {
    let mut text = String::new();
    for Doubted { pattern, answer, tried, .. } in doubts {
        let mutations = kept.failing(pattern).join(", ");
        let proof = if mutations.is_empty() { String::new() } else { format!("; fails after {mutations}") };
        let _ = match answer {
            Answer::Fails => writeln!(text, "ok      {pattern}\n          fails as: {}", tried.join("\n")),
            Answer::NoValue => writeln!(text, "-       {pattern}\n          has no value to alter{proof}"),
            Answer::Passes => {
                let mark = if proof.is_empty() { "FAILED  " } else { "ok      " };
                writeln!(
                    text,
                    "{mark}{pattern}\n          passes also as: {}{proof}",
                    tried.join("\n                  ")
                )
            }
            Answer::Unclear => {
                writeln!(
                    text,
                    "FAILED  {pattern}\n          another step failed: {}",
                    tried.join("\n                  ")
                )
            }
            Answer::Unused => Ok(()),
        };
    }
    let unused = doubts.iter().filter(|doubted| doubted.answer == Answer::Unused).count();
    let fails = doubts.iter().filter(|doubted| doubted.answer == Answer::Fails).count();
    let _ = writeln!(
        text,
        "{fails} of {} steps fail when they expect something else; no scenario that ran uses {unused}",
        doubts.len()
    );
    text
}

/// All mutations with what came of them, and the steps that none of them made fail.
#[must_use]
pub fn listed(vocabulary: &Vocabulary, kept: &Kept) -> String {
    let name = MUTATIONS.iter().map(|mutation| mutation.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for mutation in &MUTATIONS {
        let mark = if mutation.is_default { '*' } else { ' ' };
        let _ = writeln!(text, "{mark} {:<name$}  {}", mutation.name, mutation.breaks);
        let came = match kept.mutations.get(mutation.name) {
            None => "not made yet".to_owned(),
            Some(Outcome { verdict: Verdict::Noticed, noticed, .. }) => format!("noticed by {} of them", noticed.len()),
            Some(Outcome { verdict: Verdict::Skipped, problems, .. }) => format!("skipped: {}", problems.join("; ")),
            Some(Outcome { problems, .. }) => problems.join("; "),
        };
        let _ = writeln!(text, "  {:<name$}  is to fail: {}; {came}", "", mutation.noticed_by);
    }
    text.push_str("\nThose marked * are made when nothing is said.\n");
    let left = kept.uncovered(vocabulary);
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
mends the lab, and they must pass again. What comes as a surprise is run once more, and only that counts: a busy machine
is no mutation.

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

const STEPS: &str = "
## By step

`istiolab selftest steps` leaves the lab as it is and doubts the scenarios instead: of every step of the
[vocabulary](steps.md) that scenarios use, one value is altered, and the step must fail. A step that passes whatever it
expects, such as one that says what is not there, must have been made to fail by a mutation.

| step | fails after | fails when it reads |
|---|---|---|
";

/// The page of the documentation.
#[must_use]
pub fn page(vocabulary: &Vocabulary, kept: &Kept) -> String {
    let mut text = PREFACE.to_owned();
    for mutation in &MUTATIONS {
        let bold = if mutation.is_default { "**" } else { "" };
        let Mutation { name, breaks, noticed_by, .. } = mutation;
        let _ = write!(text, "| {bold}{name}{bold} | {breaks} | `{noticed_by}` | ");
        let _ = match kept.mutations.get(*name) {
            None => writeln!(text, "not made yet | |"),
            Some(outcome) => {
                let noticed = outcome.noticed.iter().map(|noticed| noticed.scenario.as_str());
                let cells: Vec<&str> = noticed.chain(outcome.problems.iter().map(String::as_str)).collect();
                writeln!(text, "{} | {:.0} |", cells.join("<br>"), outcome.seconds)
            }
        };
    }
    text.push_str(STEPS);
    for entry in vocabulary.entries() {
        let doubted = match kept.doubts.get(entry.pattern) {
            Some(Doubted { answer: Answer::Fails, tried, .. }) => format!("`{}`", tried.join(" ").replace('|', "\\|")),
            Some(Doubted { answer: Answer::NoValue, .. }) => "has no value".to_owned(),
            Some(Doubted { answer: Answer::Passes, .. }) => "passes all the same".to_owned(),
            Some(Doubted { answer: Answer::Unused | Answer::Unclear, .. }) | None => String::new(),
        };
        let mutations = kept.failing(entry.pattern).join(", ");
        let _ = writeln!(text, "| `{}` | {mutations} | {doubted} |", entry.pattern);
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

    fn doubt(pattern: &str, answer: Answer, tried: &[&str]) -> Doubted {
        let tried = tried.iter().map(ToString::to_string).collect();
        Doubted { pattern: pattern.to_owned(), answer, tried, told: String::new() }
    }

    fn kept() -> Kept {
        let grafana = outcome("grafana", Verdict::Noticed, &[]);
        let field =
            doubt("field {string} of the answer is {string}", Answer::Fails, &["field \"a\" of the answer is \"|\""]);
        Kept {
            mutations: [(grafana.mutation.clone(), grafana)].into(),
            doubts: [(field.pattern.clone(), field)].into(),
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
    fn doubted_steps_are_told_line_by_line() {
        let doubts = [
            doubt("a {int}", Answer::Fails, &["a 1001"]),
            doubt("no {string}", Answer::Passes, &["no \"x-not\"", "no \"y-not\""]),
            doubt("Grafana is healthy", Answer::Passes, &["Grafana"]),
            doubt("so", Answer::NoValue, &[]),
            doubt("never", Answer::Unused, &[]),
        ];
        insta::assert_snapshot!(doubted(&doubts, &kept()), @r#"
        ok      a {int}
                  fails as: a 1001
        FAILED  no {string}
                  passes also as: no "x-not"
                          no "y-not"
        ok      Grafana is healthy
                  passes also as: Grafana; fails after grafana
        -       so
                  has no value to alter
        1 of 5 steps fail when they expect something else; no scenario that ran uses 1
        "#);
    }

    #[test]
    fn steps_that_nothing_made_fail_are_listed() {
        let vocabulary = vocabulary().expect("the patterns are expressions");
        let all = vocabulary.entries().count();
        let text = listed(&vocabulary, &kept());
        assert!(text.contains("is to fail: @grafana; noticed by 1 of them"), "{text}");
        assert!(text.contains("is to fail: @zipkin; not made yet"), "{text}");
        assert!(text.contains(&format!("\n1 of {all} steps of the vocabulary were made to fail.")), "{text}");
        assert!(!text.contains("\n  Grafana is healthy\n") && text.contains("\n  no request is answered\n"), "{text}");
    }

    #[test]
    fn the_page_tells_both_proofs() {
        let page = page(&vocabulary().expect("the patterns are expressions"), &kept());
        assert!(page.contains("| grafana | Grafana is down | `@grafana` | F: s | 12 |"), "{page}");
        assert!(page.contains("| `Grafana is healthy` | grafana |  |"), "{page}");
        assert!(page.contains(r#" |  | `field "a" of the answer is "\|"` |"#), "{page}");
    }
}
