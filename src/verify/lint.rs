//! Faults of feature files that can be found without a cluster.

use std::collections::BTreeSet;
use std::fmt;

use camino::Utf8Path;
use cucumber::gherkin;
use serde::Serialize;

use super::arguments::regex;
use super::vocabulary::{Matched, Vocabulary};
use super::{Options, select, steps, tags};
use crate::error::{Failure, Kind};
use crate::spec::ADDONS;

/// Something that is wrong in a feature file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 where the message tells it.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Linted {
    /// How many files there are.
    pub files: usize,
    /// How many scenarios, each example of an outline counted.
    pub scenarios: usize,
    /// How many steps, those of backgrounds counted once.
    pub steps: usize,
    /// Everything that is wrong, by file and line.
    pub faults: Vec<Fault>,
    /// Patterns of the vocabulary that no step uses.
    pub unused: Vec<&'static str>,
}

/// Looks at all features of the lab, whatever `options` select: files that are no Gherkin, steps that
/// nobody knows or that could be several, `PromQL` and regular expressions that do not parse, tags that
/// are not known.
///
/// # Errors
/// Folders that can't be read.
pub fn lint(options: &Options) -> Result<Linted, Failure> {
    let vocabulary = steps::vocabulary().map_err(|error| Failure::new(Kind::Unexpected, error))?;
    let mut work = Work { vocabulary: &vocabulary, options, used: BTreeSet::new(), linted: Linted::default() };
    for file in select::files(&options.paths)? {
        work.file(&file);
    }
    let Work { used, mut linted, .. } = work;
    linted.faults.sort();
    // The examples of an outline share its tags, and with them their faults.
    let mut told = BTreeSet::new();
    linted.faults.retain(|fault| told.insert((fault.file.clone(), fault.message.clone())));
    linted.unused = vocabulary.entries().map(|entry| entry.pattern).filter(|pattern| !used.contains(pattern)).collect();
    Ok(linted)
}

struct Work<'a> {
    vocabulary: &'a Vocabulary,
    options: &'a Options,
    used: BTreeSet<&'static str>,
    linted: Linted,
}

impl Work<'_> {
    fn file(&mut self, file: &Utf8Path) {
        self.linted.files += 1;
        let feature = match select::parse(file, self.options) {
            Ok(feature) => feature,
            Err(message) => return self.linted.faults.push(Fault { file: file.to_string(), line: 0, message }),
        };
        let shown = select::file(&feature);
        self.tags(&shown, &feature.tags, feature.position.line);
        for rule in &feature.rules {
            self.tags(&shown, &rule.tags, rule.position.line);
        }
        let backgrounds =
            feature.background.iter().chain(feature.rules.iter().filter_map(|rule| rule.background.as_ref()));
        for step in backgrounds.flat_map(|background| &background.steps) {
            self.step(&shown, step);
        }
        for scenario in select::scenarios(&feature) {
            self.linted.scenarios += 1;
            self.tags(&shown, &scenario.tags, scenario.position.line);
            for step in &scenario.steps {
                self.step(&shown, step);
            }
        }
    }

    fn fault(&mut self, file: &str, line: usize, message: String) {
        self.linted.faults.push(Fault { file: file.to_owned(), line, message });
    }

    fn step(&mut self, file: &str, step: &gherkin::Step) {
        self.linted.steps += 1;
        match self.vocabulary.find(&step.value) {
            Ok(matched) => {
                self.used.insert(matched.entry.pattern);
                for message in expressions(&matched) {
                    self.fault(file, step.position.line, message);
                }
            }
            Err(unknown) => self.fault(file, step.position.line, format!("`{}`: {unknown}", step.value)),
        }
    }

    fn tags(&mut self, file: &str, tags: &[String], line: usize) {
        for tag in tags {
            if let Some(message) = self.strange(tag) {
                self.fault(file, line, message);
            }
        }
    }

    /// What is wrong with a tag.
    fn strange(&self, tag: &str) -> Option<String> {
        let Options { known_tags, capabilities, .. } = self.options;
        if known_tags.iter().any(|known| known.trim_start_matches('@') == tag) {
            return None;
        }
        if let Some(needed) = tags::requirement(tag) {
            let known: BTreeSet<&str> =
                capabilities.iter().map(String::as_str).chain(ADDONS).chain(["mesh", tags::TRACING]).collect();
            let message = || {
                let guess = nearest(needed, known.iter().copied());
                format!("`@{tag}`: the lab has no `{needed}`, and it is no add-on{guess}; the scenario would never run")
            };
            return (!known.contains(needed)).then(message);
        }
        if tags::is_meant(tag) {
            return tags::fault(tag);
        }
        let name = tag.split('(').next().unwrap_or(tag);
        let misspelled = tags::MEANT.iter().any(|meant| strsim::damerau_levenshtein(name, meant) <= 2);
        if known_tags.is_empty() && !misspelled && !tag.contains('(') {
            return None;
        }
        let guess = nearest(name, known_tags.iter().map(|tag| tag.trim_start_matches('@')).chain(tags::MEANT));
        Some(format!("`@{tag}` is not known{guess}; known tags stand in the lab's features.knownTags"))
    }
}

fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let best = known.min_by_key(|known| strsim::damerau_levenshtein(word, known));
    let best = best.filter(|best| strsim::damerau_levenshtein(word, best) <= 2.max(best.len() / 3));
    best.map_or_else(String::new, |best| format!("; did you mean `{best}`?"))
}

/// What is wrong with the step's queries and regular expressions.
fn expressions(matched: &Matched) -> Vec<String> {
    let parameters = matched.entry.pattern.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let faults = parameters.enumerate().filter_map(|(index, name)| {
        // The scenario's own name is made of letters and digits.
        let text = matched.arguments.text(index).replace("${unique}", "s0");
        match name {
            "promql" => {
                let error = promql_parser::parser::parse(&text).err()?;
                Some(format!("`{text}` is not PromQL: {error}"))
            }
            "regex" => regex(&text).err(),
            _ => None,
        }
    });
    faults.collect()
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn linted(text: &str, known_tags: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = Utf8PathBuf::from_path_buf(folder.path().to_owned()).expect("UTF-8");
        fs_err::write(dir.join("a.feature"), text).expect("written");
        let options = Options {
            paths: vec![dir.clone()],
            dir: Some(dir),
            capabilities: ["demo".to_owned()].into(),
            known_tags: known_tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Options::default()
        };
        lint(&options).expect("the folder is read").faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sound_features_have_no_fault() {
        let text = "@a @serial @requires(demo) @requires(zipkin)\nFeature: F\n  Scenario: s\n    \
                    Then the query 'sum(rate(x{a=\"${unique}\"}[5m])) > 0' gives a value\n";
        assert_eq!(linted(text, &["a"]), [""; 0]);
        assert_eq!(linted(text, &[]), [""; 0]);
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "@b\nFeature: F\n  Background:\n    Given nothing of the kind\n\n  @requires(dmo)\n  Scenario Outline: s\n    \
                    Then the query 'sum(x' gives a value\n    Then the query \"<q>\" gives a value\n\n    \
                    Examples:\n      | q |\n      | up |\n      | up{ |\n";
        insta::assert_snapshot!(linted(text, &["a"]).join("\n"), @r"
        a.feature:2: `@b` is not known; did you mean `a`?; known tags stand in the lab's features.knownTags
        a.feature:4: `nothing of the kind`: there is no step that reads so
        a.feature:8: `sum(x` is not PromQL: unclosed left parenthesis
        a.feature:9: `up{` is not PromQL: unexpected end of input inside braces
        a.feature:13: `@requires(dmo)`: the lab has no `dmo`, and it is no add-on; did you mean `demo`?; the scenario would never run
        ");
    }

    #[test]
    fn a_regular_expression_that_is_none_is_a_fault() {
        let text = "Feature: F\n  Scenario: s\n    Then field \"a\" of Pod \"x\" in namespace \"y\" matches 'a('\n";
        let faults = linted(text, &[]);
        assert_eq!(faults, ["a.feature:3: `a(` is no regular expression: unclosed group"]);
    }

    #[test]
    fn tags_with_a_meaning_are_not_misspelled() {
        let text = "@seriall @require(demo) @anything\nFeature: F\n  Scenario: s\n    Then Grafana is healthy\n";
        insta::assert_snapshot!(linted(text, &[]).join("\n"), @r"
        a.feature:2: `@require(demo)` is not known; did you mean `requires`?; known tags stand in the lab's features.knownTags
        a.feature:2: `@seriall` is not known; did you mean `serial`?; known tags stand in the lab's features.knownTags
        ");
    }

    #[test]
    fn what_is_no_gherkin_is_a_fault_too() {
        let faults = linted("Featur: F\n", &[]);
        assert!(faults[0].contains(": this is not Gherkin"), "{faults:?}");
    }
}
