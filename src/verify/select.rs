//! Feature files and which of their scenarios run.

use std::collections::BTreeSet;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
use cucumber::feature::Ext as _;
use cucumber::gherkin::tagexpr::TagOperation;
use cucumber::gherkin::{self, Feature, GherkinEnv};
use cucumber::tag::Ext as _;

use super::{Options, tags};
use crate::error::{Failure, Kind};

/// Names a scenario of a run: its file and line.
pub type Place = (String, usize);

/// One of several parts of the scenarios, so that several machines share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 1.
    pub part: usize,
    /// How many parts there are.
    pub of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |number: &str| number.parse::<usize>().ok();
        match text.split_once('/').map(|(part, of)| (read(part), read(of))) {
            Some((Some(part), Some(of))) if (1..=of).contains(&part) => Ok(Self { part, of }),
            _ => Err(format!("`{text}` is no part; write the first of three parts as 1/3")),
        }
    }
}

/// What runs, and what does not although it was asked for.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Features with the scenarios that run.
    pub(super) features: Vec<Feature>,
    /// Scenarios that need what the lab has not, with the reason.
    pub(super) skipped: Vec<(Feature, gherkin::Scenario, String)>,
    /// How many were asked for before they were shared out.
    counted: usize,
}

impl Selection {
    /// These features whole.
    pub(super) fn of(features: Vec<Feature>) -> Self {
        Self { features, ..Self::default() }
    }

    /// The scenarios that run, with their features.
    pub(super) fn scenarios(&self) -> impl Iterator<Item = (&Feature, &gherkin::Scenario)> {
        self.features.iter().flat_map(|feature| scenarios(feature).map(move |scenario| (feature, scenario)))
    }
}

/// The scenarios of a feature, those in rules last.
pub(super) fn scenarios(feature: &Feature) -> impl Iterator<Item = &gherkin::Scenario> {
    feature.scenarios.iter().chain(feature.rules.iter().flat_map(|rule| &rule.scenarios))
}

/// The rule that a scenario stands in.
pub(super) fn rule<'a>(feature: &'a Feature, scenario: &gherkin::Scenario) -> Option<&'a gherkin::Rule> {
    feature.rules.iter().find(|rule| rule.scenarios.iter().any(|one| one.position == scenario.position))
}

/// The steps of a scenario, those of its backgrounds first.
pub(super) fn steps<'a>(
    feature: &'a Feature,
    scenario: &'a gherkin::Scenario,
) -> impl Iterator<Item = &'a gherkin::Step> {
    let rule = rule(feature, scenario).and_then(|rule| rule.background.as_ref());
    let before = feature.background.iter().chain(rule).flat_map(|background| &background.steps);
    before.chain(&scenario.steps)
}

/// The scenario's place.
pub(super) fn place(feature: &Feature, scenario: &gherkin::Scenario) -> Place {
    (file(feature), scenario.position.line)
}

/// The feature's file as messages name it.
pub(super) fn file(feature: &Feature) -> String {
    feature.path.as_ref().map_or_else(String::new, |path| path.to_string_lossy().into_owned())
}

/// Reads the feature files and chooses.
///
/// # Errors
/// [`Kind::BadInput`] with all files that can't be read or are no Gherkin, or a tag expression that
/// can't be; [`Kind::Usage`] if nothing is left.
pub(super) fn select(options: &Options) -> Result<Selection, Failure> {
    let selection = gather(options)?;
    // A part may be empty where there are more machines than scenarios.
    if selection.counted == 0 {
        return Err(Failure::new(Kind::Usage, "no scenario is left to run")
            .hint("Look at --tags, --name and the lab's features.paths."));
    }
    Ok(selection)
}

/// Names, as `Feature: scenario`, and places of what `options` select and the lab can run; none is no error here.
///
/// # Errors
/// [`Kind::BadInput`] as for a run.
pub fn selected(options: &Options) -> Result<Vec<(String, Place)>, Failure> {
    let selection = gather(options)?;
    let named = |(feature, scenario): (&Feature, &gherkin::Scenario)| {
        (format!("{}: {}", feature.name, scenario.name), place(feature, scenario))
    };
    Ok(selection.scenarios().map(named).collect())
}

fn gather(options: &Options) -> Result<Selection, Failure> {
    let tags = options.tags.as_deref().map(parse_tags).transpose()?;
    let mut selection = Selection::default();
    let mut problems = Vec::new();
    for file in files(&options.paths)? {
        match parse(&file, options) {
            Ok(feature) => choose(feature, options, tags.as_ref(), &mut selection),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(Failure::new(Kind::BadInput, problems.join("\n")));
    }
    Ok(selection)
}

fn parse_tags(text: &str) -> Result<TagOperation, Failure> {
    text.parse().map_err(|error: peg_error::Error| {
        Failure::new(Kind::BadInput, format!("`{text}` is not a tag expression: {error}"))
            .hint("Write it like: @mtls and not (@slow or @grafana)")
    })
}

/// The parser's error type has no name of its own in the crate that we use.
mod peg_error {
    pub(super) type Error = <cucumber::gherkin::tagexpr::TagOperation as std::str::FromStr>::Err;
}

/// The feature files that `paths` name: files, and those of folders, folders in them not, as with
/// objects. Each once, in the order of their names.
pub(super) fn files(paths: &[Utf8PathBuf]) -> Result<Vec<Utf8PathBuf>, Failure> {
    let mut files = BTreeSet::new();
    for path in paths {
        collect(path, &mut files)
            .map_err(|error| Failure::new(Kind::BadInput, error).context("reading the features"))?;
    }
    Ok(files.into_iter().collect())
}

fn collect(path: &Utf8Path, into: &mut BTreeSet<Utf8PathBuf>) -> std::io::Result<()> {
    if !fs_err::metadata(path)?.is_dir() {
        into.insert(path.to_owned());
        return Ok(());
    }
    for entry in fs_err::read_dir(path)? {
        let Ok(entry) = Utf8PathBuf::from_path_buf(entry?.path()) else { continue };
        if entry.extension() == Some("feature") && entry.is_file() {
            into.insert(entry);
        }
    }
    Ok(())
}

pub(super) fn parse(file: &Utf8Path, options: &Options) -> Result<Feature, String> {
    let text = fs_err::read_to_string(file).map_err(|error| error.to_string())?;
    let shown = options.dir.as_ref().and_then(|dir| file.strip_prefix(dir).ok()).unwrap_or(file);
    let mut feature =
        Feature::parse(text, GherkinEnv::default()).map_err(|error| format!("{shown}:{}", reworded(&error)))?;
    feature.path = Some(shown.as_std_path().to_owned());
    // Lines below a scenario that begin with no keyword are its description: a misspelled one would
    // make it pass without doing anything.
    if let Some(empty) = scenarios(&feature).find(|scenario| scenario.steps.is_empty()) {
        let line = empty.position.line;
        let text = empty.description.as_deref().map_or(String::new(), |text| format!("; this is only text: {text}"));
        return Err(format!("{shown}:{line}: the scenario `{}` has no steps{text}", empty.name));
    }
    feature.expand_examples().map_err(|error| error.to_string())
}

/// `Error at 3:1: {"a", "b"}` with the expected tokens in order.
fn reworded(error: &gherkin::ParseError) -> String {
    let text = error.to_string();
    let Some((place, expected)) = text.split_once(": {") else { return text };
    let mut expected: Vec<&str> = expected.trim_end_matches('}').split(", ").collect();
    expected.sort_unstable();
    format!("{}: this is not Gherkin; expected {}", place.trim_start_matches("Error at "), expected.join(" or "))
}

/// Puts each scenario of the feature where it belongs.
fn choose(mut feature: Feature, options: &Options, tags: Option<&TagOperation>, into: &mut Selection) {
    let whole = feature.clone();
    let mut keep = |scenario: &gherkin::Scenario, rule_tags: &[String]| {
        let all = || whole.tags.iter().chain(rule_tags).chain(&scenario.tags);
        let named = options.name.as_ref().is_none_or(|words| {
            format!("{}: {}", whole.name, scenario.name).to_lowercase().contains(&words.to_lowercase())
        });
        if !named || !tags.is_none_or(|tags| tags.eval(all().collect::<Vec<_>>())) {
            return false;
        }
        if options.only.as_ref().is_some_and(|only| !only.contains(&place(&whole, scenario))) {
            return false;
        }
        into.counted += 1;
        // In turn, since scenarios of one feature take about the same time.
        if options.shard.is_some_and(|Shard { part, of }| (into.counted - 1) % of != part - 1) {
            return false;
        }
        let missing =
            all().filter_map(|tag| tags::requirement(tag)).find(|needed| !options.capabilities.contains(*needed));
        match missing {
            None => true,
            Some(needed) => {
                into.skipped.push((whole.clone(), scenario.clone(), format!("the lab has no {needed}")));
                false
            }
        }
    };
    feature.scenarios.retain(|scenario| keep(scenario, &[]));
    for rule in &mut feature.rules {
        let tags = rule.tags.clone();
        rule.scenarios.retain(|scenario| keep(scenario, &tags));
    }
    feature.rules.retain(|rule| !rule.scenarios.is_empty());
    if !feature.scenarios.is_empty() || !feature.rules.is_empty() {
        into.features.push(feature);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURE: &str = "@mesh\nFeature: F\n\n  @a\n  Scenario: one\n    Given x\n\n  @b @requires(zipkin)\n  Scenario: two\n    \
                           Given x\n\n  Scenario Outline: three <n>\n    Given x <n>\n\n    Examples:\n      | n |\n      | 1 |\n      | 2 |\n";

    fn options(text: &str) -> (tempfile::TempDir, Options) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("a path in UTF-8");
        fs_err::write(path.join("f.feature"), text).expect("a file");
        let options = Options { paths: vec![path.clone()], dir: Some(path), ..Options::default() };
        (dir, options)
    }

    fn names(selection: &Selection) -> Vec<&str> {
        selection.scenarios().map(|(_, scenario)| scenario.name.as_str()).collect()
    }

    #[test]
    fn a_missing_need_skips_with_its_reason() {
        let (_dir, options) = options(FEATURE);
        let selection = select(&options).expect("it is Gherkin");
        assert_eq!(names(&selection), ["one", "three 1", "three 2"]);
        assert_eq!(selection.skipped[0].2, "the lab has no zipkin");
        let places: BTreeSet<Place> =
            selection.scenarios().map(|(feature, scenario)| place(feature, scenario)).collect();
        assert_eq!(places.len(), 3, "{places:?}");
        assert_eq!(places.first().expect("a place").0, "f.feature");
    }

    #[test]
    fn folders_in_a_folder_are_named_by_themselves() {
        let (_dir, mut options) = options(FEATURE);
        let inner = options.paths[0].join("inner");
        fs_err::create_dir(&inner).expect("a folder");
        fs_err::write(inner.join("g.feature"), "Feature: G\n  Scenario: four\n    Given x\n").expect("a file");
        assert_eq!(names(&select(&options).expect("it is Gherkin")), ["one", "three 1", "three 2"]);
        options.paths = vec![inner.clone(), inner.join("g.feature")];
        assert_eq!(names(&select(&options).expect("it is Gherkin")), ["four"]);
    }

    #[test]
    fn parts_share_all_scenarios_out() {
        let of = |part| {
            let shard = Some(Shard { part, of: 2 });
            let (_dir, options) = options(FEATURE);
            let selection = select(&Options { shard, ..options }).expect("it is Gherkin");
            names(&selection).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        // The second of the four lacks what it needs, and counts all the same.
        assert_eq!((of(1), of(2)), (vec!["one".to_owned(), "three 1".to_owned()], vec!["three 2".to_owned()]));
        assert_eq!("2/3".parse(), Ok(Shard { part: 2, of: 3 }));
        for wrong in ["", "0/3", "4/3", "1", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn tags_and_names_choose() {
        let (_dir, mut options) = options(FEATURE);
        options.capabilities.insert("zipkin".to_owned());
        options.tags = Some("@mesh and not @a".to_owned());
        assert_eq!(names(&select(&options).expect("it is Gherkin")), ["two", "three 1", "three 2"]);
        options.name = Some("f: TWO".to_owned());
        assert_eq!(names(&select(&options).expect("it is Gherkin")), ["two"]);
        options.name = Some("nothing".to_owned());
        assert_eq!(select(&options).expect_err("nothing is left").kind, Kind::Usage);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (_dir, mut options) = options("Feature: F\n  Scenario: s\n    Perhaps x\n");
        let failure = select(&options).expect_err("it is no Gherkin");
        assert_eq!(failure.kind, Kind::BadInput);
        assert_eq!(failure.lines()[0], "f.feature:2: the scenario `s` has no steps; this is only text: Perhaps x");
        fs_err::write(options.paths[0].join("f.feature"), "Feature: F\n  Scenario: s\n    Given x\n  nonsense\n")
            .expect("a file");
        let failure = select(&options).expect_err("it is no Gherkin");
        assert!(failure.lines()[0].starts_with("f.feature:5:1: this is not Gherkin; expected"), "{failure}");
        fs_err::remove_file(options.paths[0].join("f.feature")).expect("it was there");
        options.tags = Some("@a and".to_owned());
        assert!(select(&options).expect_err("it is no expression").lines()[0].contains("`@a and`"));
    }

    #[test]
    fn every_step_of_our_features_is_in_the_vocabulary() {
        let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
        let capabilities = [
            "mesh",
            "demo",
            "plain",
            "manual",
            "untraced",
            "prometheus",
            "grafana",
            "zipkin",
            "tracing",
            "servicegraph",
            "cat",
            "env",
        ]
        .map(str::to_owned);
        let options = Options {
            paths: vec![root.join("features")],
            dir: Some(root.to_owned()),
            capabilities: capabilities.into(),
            ..Options::default()
        };
        let selection = select(&options).expect("they are Gherkin");
        assert!(selection.skipped.is_empty(), "{:?}", selection.skipped);
        let vocabulary = crate::verify::steps::vocabulary().expect("the patterns are expressions");
        for (feature, scenario) in selection.scenarios() {
            for step in &scenario.steps {
                if let Err(unknown) = vocabulary.find(&step.value) {
                    panic!("{}:{}: {}: {unknown}", file(feature), step.position.line, step.value);
                }
            }
        }
    }
}
