//! Rules and alerts.

use super::step;
use crate::observe::prometheus::Rule;
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 3] = [
    step!(
        "Prometheus",
        Check,
        "Prometheus has the recording rule {string}",
        recording,
        "Prometheus records a series of this name, and could evaluate its rule."
    ),
    step!(
        "Prometheus",
        Check,
        "Prometheus has the alerting rule {string}",
        alerting,
        "Prometheus has an alert of this name, and could evaluate its rule."
    ),
    step!(
        "Prometheus",
        Check,
        "the alert {string} is {word}",
        state,
        "The alert of this name is inactive, pending (its condition holds, but not for long enough) or firing."
    ),
];

/// The rule of this kind and name.
fn named<'rules>(rules: &'rules [Rule], kind: &str, name: &str) -> Result<&'rules Rule, Unmet> {
    let none = || {
        let others: Vec<&str> = rules.iter().filter(|rule| rule.kind == kind).map(|rule| rule.name.as_str()).collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        Unmet::not_yet(format!("there is no {kind} rule {name:?}; there are: {others}"))
    };
    rules.iter().find(|rule| rule.kind == kind && rule.name == name).ok_or_else(none)
}

/// Passes if the rule is there and could be evaluated.
fn healthy(rules: &[Rule], kind: &str, name: &str) -> Result<(), Unmet> {
    let rule = named(rules, kind, name)?;
    if rule.health == "ok" { Ok(()) } else { Err(Unmet::not_yet(rule.to_string())) }
}

fn in_state(rules: &[Rule], name: &str, state: &str) -> Result<(), Unmet> {
    if !["inactive", "pending", "firing"].contains(&state) {
        return Err(Unmet::Misused(format!("an alert is inactive, pending or firing, never {state}")));
    }
    let rule = named(rules, "alerting", name)?;
    if rule.state == state { Ok(()) } else { Err(Unmet::not_yet(rule.to_string())) }
}

async fn recording(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    healthy(&scene.prometheus().rules().await?, "recording", arguments.text(0))
}

async fn alerting(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    healthy(&scene.prometheus().rules().await?, "alerting", arguments.text(0))
}

async fn state(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    in_state(&scene.prometheus().rules().await?, arguments.text(0), arguments.text(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: &str, name: &str, health: &str, state: &str) -> Rule {
        Rule {
            kind: kind.to_owned(),
            name: name.to_owned(),
            query: "up".to_owned(),
            health: health.to_owned(),
            last_error: String::new(),
            state: state.to_owned(),
        }
    }

    #[test]
    fn a_rule_must_be_there_and_work() {
        let rules =
            [rule("recording", "a", "ok", ""), rule("recording", "b", "err", ""), rule("alerting", "c", "ok", "")];
        assert!(healthy(&rules, "recording", "a").is_ok());
        let text = |kind, name| healthy(&rules, kind, name).expect_err("it is not well").to_string();
        assert_eq!(text("recording", "b"), "recording rule b, health err");
        assert_eq!(text("alerting", "a"), "there is no alerting rule \"a\"; there are: c");
    }

    #[test]
    fn an_alert_is_in_one_state() {
        let rules = [rule("alerting", "Down", "ok", "pending")];
        assert!(in_state(&rules, "Down", "pending").is_ok());
        let error = in_state(&rules, "Down", "firing").expect_err("not yet");
        assert!(!error.is_final() && error.to_string() == "alerting rule Down is pending", "{error}");
        assert!(in_state(&rules, "Down", "burning").expect_err("no state").is_final());
        assert!(in_state(&[], "Down", "firing").expect_err("no rule").to_string().ends_with("there are: none"));
    }
}
