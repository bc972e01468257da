//! Tags with a meaning: `@serial`, `@requires(NAME)`, `@deadline(90s)`, `@retry(2)`.

use std::time::Duration;

use cucumber::gherkin::{Feature, Scenario};

use super::select;

/// Tags that mean something to the runner, without what stands in parentheses.
pub(super) const MEANT: [&str; 4] = ["serial", "requires", "deadline", "retry"];
/// What a lab has that has an add-on which keeps traces, whichever it is.
pub(super) const TRACING: &str = "tracing";
/// The most tries after the first that a tag or a flag may ask for: more would hide what is wrong.
const MOST_RETRIES: usize = 10;

/// The tags that hold for a scenario: the feature's, its rule's and its own.
pub(super) fn of<'a>(feature: &'a Feature, scenario: &'a Scenario) -> impl Iterator<Item = &'a String> {
    let rule = select::rule(feature, scenario).into_iter().flat_map(|rule| &rule.tags);
    feature.tags.iter().chain(rule).chain(&scenario.tags)
}

/// `requires(zipkin)` → `zipkin`.
pub(super) fn requirement(tag: &str) -> Option<&str> {
    inside(tag, "requires")
}

/// How long a scenario may take by its tags; the nearest one counts.
pub(super) fn deadline(feature: &Feature, scenario: &Scenario) -> Option<Duration> {
    of(feature, scenario).filter_map(|tag| time(inside(tag, "deadline")?)).last()
}

/// How often a scenario that failed is tried again by its tags; the nearest one counts.
pub(super) fn retries(feature: &Feature, scenario: &Scenario) -> Option<usize> {
    of(feature, scenario).filter_map(|tag| number(inside(tag, "retry")?)).last()
}

/// What is wrong with what stands in the parentheses of a tag that has a meaning.
pub(super) fn fault(tag: &str) -> Option<String> {
    if let Some(text) = inside(tag, "deadline") {
        return time(text).is_none().then(|| format!("`@{tag}`: `{text}` is no time; write it as @deadline(90s)"));
    }
    let text = inside(tag, "retry")?;
    number(text).is_none().then(|| format!("`@{tag}`: write how often to try again, 1 to {MOST_RETRIES}: @retry(2)"))
}

/// Whether a tag is one of those that have a meaning, and is written as it should be.
pub(super) fn is_meant(tag: &str) -> bool {
    tag == "serial" || MEANT[1..].iter().any(|name| inside(tag, name).is_some())
}

fn inside<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')
}

fn time(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|time| !time.is_zero())
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| (1..=MOST_RETRIES).contains(number))
}

#[cfg(test)]
mod tests {
    use cucumber::gherkin::GherkinEnv;

    use super::*;

    #[test]
    fn the_nearest_tag_counts() {
        let text = "@deadline(1m) @retry(1)\nFeature: F\n  Scenario: a\n    Given x\n\n  @deadline(90s)\n  Rule: R\n    \
                    @retry(3)\n    Scenario: b\n      Given x\n\n    @deadline(2s)\n    Scenario: c\n      Given x\n";
        let feature = Feature::parse(text, GherkinEnv::default()).expect("it is Gherkin");
        let read: Vec<_> = select::scenarios(&feature)
            .map(|scenario| (deadline(&feature, scenario).map(|time| time.as_secs()), retries(&feature, scenario)))
            .collect();
        assert_eq!(read, [(Some(60), Some(1)), (Some(90), Some(3)), (Some(2), Some(1))]);
    }

    #[test]
    fn what_is_no_time_or_number_is_told() {
        for (tag, wrong) in [
            ("deadline(90s)", false),
            ("deadline(soon)", true),
            ("deadline(0s)", true),
            ("retry(2)", false),
            ("retry(0)", true),
            ("retry(99)", true),
            ("serial", false),
            ("requires(a)", false),
        ] {
            assert!(is_meant(tag), "{tag}");
            assert_eq!(fault(tag).is_some(), wrong, "{tag}");
        }
        assert!(!is_meant("deadline") && !is_meant("retrying(1)"));
        assert_eq!(requirement("requires(zipkin)"), Some("zipkin"));
    }
}
