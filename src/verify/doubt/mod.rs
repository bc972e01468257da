//! Doubt: every step of the vocabulary that scenarios use is made to expect something else than what is so, and must
//! then fail. A step that passes whatever it expects proves nothing.

mod alter;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use cucumber::gherkin::{Feature, Rule, Scenario, Step};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::record::{self, Status};
use super::select::{self, Place, Selection};
use super::vocabulary::{self as step, Vocabulary};
use super::{Options, run_selected, steps};
use crate::error::{Failure, Kind};
use crate::plan::event::{Progress, What};

/// A step of the vocabulary, with what became of it when it was doubted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubted {
    /// Its pattern.
    pub pattern: String,
    /// What became of it.
    pub answer: Answer,
    /// The altered texts: the one that failed, or all that were tried.
    pub tried: Vec<String>,
    /// What it told when it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub told: String,
}

/// What becomes of a step that is doubted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It fails when it expects something else.
    Fails,
    /// It does not, whatever it expects.
    Passes,
    /// Another step failed before it came to it.
    Unclear,
    /// It has no value to alter.
    NoValue,
    /// No scenario that runs uses it.
    #[default]
    Unused,
}

/// A step in a scenario that is to be doubted.
struct Doubt {
    /// The scenario alone in its feature.
    feature: Feature,
    place: Place,
    line: usize,
    /// Whether it does something: then what comes of it is judged by the steps behind it.
    acts: bool,
    alterations: VecDeque<Step>,
    /// How often it may still be tried again because another step failed before.
    again: u32,
    doubted: Doubted,
}

/// How often an altered step is tried again at most where another step failed before it.
const AGAIN: u32 = 2;

/// Runs scenarios with one step altered in each, as often as needed to have doubted every step that the selected
/// scenarios use. Within a round a scenario runs once, since it may count on being alone.
///
/// # Errors
/// As [`super::run`].
pub async fn doubt(
    config: kube::Config,
    options: &Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Vec<Doubted>, Failure> {
    let vocabulary = steps::vocabulary().map_err(|error| Failure::new(Kind::Unexpected, error))?;
    doubt_with(Arc::new(vocabulary), config, options, progress, cancel).await
}

pub(super) async fn doubt_with(
    vocabulary: Arc<Vocabulary>,
    config: kube::Config,
    options: &Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Vec<Doubted>, Failure> {
    let selection = select::select(options)?;
    let (mut doubts, mut done) = doubts(&vocabulary, &selection);
    for number in 1.. {
        let round = round(&mut doubts, number);
        if round.is_empty() {
            break;
        }
        progress.status(format!("round {number}: {} of {} steps to doubt", round.len(), doubts.len()));
        let (own, mut events) = Progress::channel();
        let features = round.iter().map(|(feature, _)| feature.clone()).collect();
        let selection = Selection::of(features);
        run_selected(Arc::clone(&vocabulary), config.clone(), selection, options, &own, cancel).await?;
        drop(own);
        let mut records = BTreeMap::new();
        while let Some(event) = events.recv().await {
            if let What::Scenario(record) = event.what {
                records.insert(record.file.clone(), *record);
            }
        }
        for (feature, step) in round {
            let file = select::file(&feature);
            let Some(index) = index(&file) else { continue };
            judge(&mut doubts[index], &step, records.get(&file));
        }
    }
    done.extend(doubts.into_iter().map(|doubt| doubt.doubted));
    let order: Vec<&str> = vocabulary.entries().map(|entry| entry.pattern).collect();
    done.sort_by_key(|doubted| order.iter().position(|pattern| *pattern == doubted.pattern));
    Ok(done)
}

/// The steps that can be doubted, each in the scenario that is needed least by others; and those that can't.
fn doubts(vocabulary: &Vocabulary, selection: &Selection) -> (Vec<Doubt>, Vec<Doubted>) {
    let mut uses: BTreeMap<&'static str, Vec<(Feature, &Step)>> = BTreeMap::new();
    for feature in &selection.features {
        for scenario in select::scenarios(feature) {
            for step in &scenario.steps {
                if let Ok(matched) = vocabulary.find(&step.value) {
                    uses.entry(matched.entry.pattern).or_default().push((alone(feature, scenario), step));
                }
            }
        }
    }
    let (mut doubts, mut done) = (Vec::new(), Vec::new());
    let mut load: BTreeMap<Place, usize> = BTreeMap::new();
    for (pattern, acts) in vocabulary.entries().map(|entry| (entry.pattern, entry.kind == step::Kind::Action)) {
        let mut doubted = Doubted { pattern: pattern.to_owned(), ..Doubted::default() };
        let Some(uses) = uses.remove(pattern) else {
            done.push(doubted);
            continue;
        };
        let altered = |(feature, step): (Feature, &Step)| {
            let scenario = select::scenarios(&feature).next()?;
            let alterations: VecDeque<Step> = alter::alterations(vocabulary, step, scenario).into();
            let place = select::place(&feature, scenario);
            (!alterations.is_empty()).then_some((feature, place, step.position.line, alterations))
        };
        let best = uses.into_iter().filter_map(altered).min_by_key(|(_, place, ..)| load.get(place).copied());
        let Some((feature, place, line, alterations)) = best else {
            doubted.answer = Answer::NoValue;
            done.push(doubted);
            continue;
        };
        doubted.answer = Answer::Unclear;
        *load.entry(place.clone()).or_default() += 1;
        doubts.push(Doubt { feature, place, line, acts, alterations, again: AGAIN, doubted });
    }
    (doubts, done)
}

/// The feature with this scenario alone.
fn alone(feature: &Feature, scenario: &Scenario) -> Feature {
    let scenarios = vec![scenario.clone()];
    let (scenarios, rules) = match select::rule(feature, scenario) {
        None => (scenarios, Vec::new()),
        Some(rule) => (Vec::new(), vec![Rule { scenarios, ..rule.clone() }]),
    };
    Feature { scenarios, rules, ..feature.clone() }
}

/// The scenarios of a round, each with one step altered. A file's name ends with the index of the doubt, so that the
/// records can be told apart.
fn round(doubts: &mut [Doubt], number: usize) -> Vec<(Feature, Step)> {
    let mut taken = BTreeSet::new();
    let mut round = Vec::new();
    for (index, doubt) in doubts.iter_mut().enumerate() {
        if doubt.doubted.answer == Answer::Fails || doubt.alterations.is_empty() || !taken.insert(doubt.place.clone()) {
            continue;
        }
        let Some(step) = doubt.alterations.pop_front() else { continue };
        let mut feature = doubt.feature.clone();
        feature.path = Some(PathBuf::from(format!("{}~{number}~{index}", select::file(&doubt.feature))));
        let ruled = feature.rules.iter_mut().flat_map(|rule| &mut rule.scenarios);
        for own in feature.scenarios.iter_mut().chain(ruled).flat_map(|scenario| &mut scenario.steps) {
            if own.position.line == doubt.line {
                own.clone_from(&step);
            }
        }
        round.push((feature, step));
    }
    round
}

fn index(file: &str) -> Option<usize> {
    file.rsplit('~').next()?.parse().ok()
}

/// Judges a scenario of which a step was altered.
fn judge(doubt: &mut Doubt, step: &Step, record: Option<&record::Scenario>) {
    let mut text = step.value.clone();
    if let Some(cell) = step.table.as_ref().and_then(|table| table.rows.last()?.last()) {
        text = format!("{text} {cell}");
    }
    let failed = record.and_then(|record| record.steps.iter().find(|step| step.status == Status::Failed));
    match failed {
        Some(failed) if failed.line == doubt.line => {
            doubt.doubted.answer = Answer::Fails;
            doubt.doubted.tried = vec![text];
            doubt.doubted.told = failed.error.clone().unwrap_or_default();
        }
        Some(failed) if doubt.acts && failed.line > doubt.line => {
            doubt.doubted.answer = Answer::Fails;
            doubt.doubted.tried = vec![format!("{text} (then fails: {})", failed.text)];
            doubt.doubted.told = failed.error.clone().unwrap_or_default();
        }
        // The lab is busy, or the scenario counts on what an earlier one did.
        Some(failed) if failed.line < doubt.line => {
            if doubt.again > 0 {
                doubt.again -= 1;
                doubt.alterations.push_front(step.clone());
            } else {
                doubt.doubted.tried.push(format!("{text} (before it failed: {})", failed.text));
            }
        }
        // It passed. What comes of those behind a check is of no account.
        _ => {
            doubt.doubted.answer = Answer::Passes;
            doubt.doubted.tried.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::verify::vocabulary::{Entry, Kind as StepKind, Run};
    use crate::verify::{Arguments, Scene, Unmet};

    fn is_three(_: &mut Scene, arguments: &Arguments) -> Result<(), Unmet> {
        let number: u64 = arguments.number(0)?;
        if number == 3 { Ok(()) } else { Err(Unmet::not_yet(format!("it is 3, not {number}"))) }
    }

    fn is_not(arguments: &Arguments) -> Result<(), Unmet> {
        if arguments.text(0) == "x" { Err(Unmet::not_yet("it is x".to_owned())) } else { Ok(()) }
    }

    fn vocabulary() -> Vocabulary {
        let check = |pattern, run| Entry { subject: "test", pattern, meaning: "A step.", kind: StepKind::Check, run };
        let good: Run = |_, _| Box::pin(std::future::ready(Ok(())));
        Vocabulary::new([
            check("the number is {int}", |scene, arguments| Box::pin(std::future::ready(is_three(scene, &arguments)))),
            check("it is called {string}", good),
            Entry { kind: StepKind::Action, ..check("it is given to {string}", good) },
            check("it is not {string}", |_, arguments| Box::pin(std::future::ready(is_not(&arguments)))),
            check("it is so", good),
            check("nobody says {string}", good),
        ])
        .expect("the patterns are expressions")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_step_that_passes_whatever_it_expects_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = Utf8PathBuf::from_path_buf(folder.path().to_owned()).expect("UTF-8");
        let feature = "Feature: F\n  Scenario: s\n    Given it is so\n    Then the number is 3\n\n  Rule: R\n    \
                       Background:\n      Given it is so\n\n    Scenario: t\n      Then it is called \"x\"\n\n    \
                       Scenario: u\n      When it is given to \"x\"\n      Then the number is 3\n\n    Scenario: v\n      \
                       Then it is not \"y\"\n      And it is called \"x\"\n";
        fs_err::write(dir.join("f.feature"), feature).expect("a file");
        let options = Options { paths: vec![dir.clone()], dir: Some(dir), ..Options::default() };
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = kube::Config::new("http://127.0.0.1:1".parse().expect("a URI"));
        let (progress, cancel) = (Progress::silent(), CancellationToken::new());
        let doubted = doubt_with(Arc::new(vocabulary()), config, &options, &progress, &cancel).await;
        let doubted = doubted.expect("it ran");
        let told: Vec<_> = doubted.iter().map(|one| (one.pattern.as_str(), one.answer, one.tried.join(", "))).collect();
        assert_eq!(
            told,
            [
                ("the number is {int}", Answer::Fails, "the number is 1003".to_owned()),
                ("it is called {string}", Answer::Passes, "it is called \"x-not\"".to_owned()),
                ("it is given to {string}", Answer::Passes, "it is given to \"x-not\"".to_owned()),
                ("it is not {string}", Answer::Fails, "it is not \"x\"".to_owned()),
                ("it is so", Answer::NoValue, String::new()),
                ("nobody says {string}", Answer::Unused, String::new()),
            ]
        );
        assert_eq!(doubted[0].told, "it is 3, not 1003");
    }
}
