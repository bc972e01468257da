//! What a lab says about readiness: rules of its own, and how long troubles may last.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::facts::Facts;
use super::pods::Class;
use super::rules::{self, Verdict};
use crate::error::{Failure, Kind};
use crate::expression::{Answer, Expression};
use crate::spec;

/// How long a trouble may last before it is taken for a failure, although the deadline is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// The image can't be had.
    pub image: Duration,
    /// The container or the pod can't be made.
    pub container: Duration,
    /// The container ends again and again.
    pub crash: Duration,
    /// No node takes the pod.
    pub scheduling: Duration,
}

impl Default for Grace {
    fn default() -> Self {
        Self {
            image: Duration::from_secs(15),
            container: Duration::from_secs(15),
            crash: Duration::from_mins(1),
            scheduling: Duration::from_mins(1),
        }
    }
}

impl Grace {
    pub(super) fn of(&self, class: Class) -> Duration {
        match class {
            Class::Image => self.image,
            Class::Container => self.container,
            Class::Crash | Class::Ended => self.crash,
            Class::Scheduling => self.scheduling,
        }
    }
}

/// How readiness is judged. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// How long troubles may last.
    pub grace: Grace,
    rules: Arc<[Own]>,
}

impl From<Grace> for Policy {
    fn from(grace: Grace) -> Self {
        Self { grace, ..Self::default() }
    }
}

/// A rule that the lab file gives for a kind.
#[derive(Debug)]
struct Own {
    group: String,
    kind: String,
    ready: Expression,
    failed: Option<Expression>,
    message: Option<String>,
}

impl Policy {
    /// What a lab file says.
    ///
    /// # Errors
    /// [`Kind::BadInput`] for an expression that is none, which a lab file that was checked has not.
    pub fn of(lab: &spec::Lab) -> Result<Self, Failure> {
        let read = |text: &str| {
            Expression::new(text).map_err(|fault| Failure::new(Kind::BadInput, fault).context(format!("`{text}`")))
        };
        let own = |rule: &spec::Readiness| {
            Ok(Own {
                group: rule.group.clone(),
                kind: rule.kind.clone(),
                ready: read(&rule.expression)?,
                failed: rule.failed.as_deref().map(read).transpose()?,
                message: rule.message.clone(),
            })
        };
        let given = &lab.grace;
        let default = Grace::default();
        Ok(Self {
            grace: Grace {
                image: given.image.unwrap_or(default.image),
                container: given.container.unwrap_or(default.container),
                crash: given.crash.unwrap_or(default.crash),
                scheduling: given.scheduling.unwrap_or(default.scheduling),
            },
            rules: lab.readiness.iter().map(own).collect::<Result<_, Failure>>()?,
        })
    }

    /// Whether the lab has a rule for a kind.
    pub(super) fn has(&self, group: &str, kind: &str) -> bool {
        self.of_kind(group, kind).next().is_some()
    }

    fn of_kind<'a>(&'a self, group: &'a str, kind: &'a str) -> impl Iterator<Item = &'a Own> {
        self.rules.iter().filter(move |rule| rule.group == group && rule.kind == kind)
    }

    /// Judges an object by its whole JSON. The lab's rules come on top of the kind's own; where a
    /// kind has none, they decide alone.
    #[must_use]
    pub fn judge(&self, object: &Value, facts: &Facts) -> Verdict {
        let (group, kind) = (rules::group_of(object), rules::kind_of(object));
        let mut own = self.of_kind(group, kind).peekable();
        let first = match own.peek() {
            Some(_) if rules::rule(group, kind).is_none() => rules::underway(object).unwrap_or(Verdict::Ready),
            _ => rules::judge(object, facts),
        };
        let verdicts = own.map(|rule| rule.judge(object));
        std::iter::once(first).chain(verdicts).fold(Verdict::Ready, worse)
    }
}

/// The verdict that says more against readiness; the first of two that say the same.
fn worse(one: Verdict, other: Verdict) -> Verdict {
    let weight = |verdict: &Verdict| match verdict {
        Verdict::Ready => 0,
        Verdict::Waiting(_) => 1,
        Verdict::Ailing(_) => 2,
        Verdict::Failed(_) => 3,
    };
    if weight(&other) > weight(&one) { other } else { one }
}

impl Own {
    fn judge(&self, object: &Value) -> Verdict {
        if let Some(failed) = &self.failed {
            match failed.ask(object) {
                Answer::True => {
                    let message = self.message.iter().map(|message| format!("{message}: "));
                    return Verdict::Failed(format!("{}`{}` holds", message.collect::<String>(), failed.text()));
                }
                Answer::NoBoolean(kind) => return wrong(failed, &kind),
                Answer::False | Answer::Missing(_) | Answer::Error(_) => {}
            }
        }
        match self.ready.ask(object) {
            Answer::True => Verdict::Ready,
            Answer::False => Verdict::Waiting(self.told()),
            Answer::Missing(field) => Verdict::Waiting(format!("{}: there is no `{field}`", self.told())),
            // What has another type now may have the right one later.
            Answer::Error(why) => Verdict::Waiting(format!("`{}` has no answer yet: {why}", self.ready.text())),
            Answer::NoBoolean(kind) => wrong(&self.ready, &kind),
        }
    }

    /// The lab's own words, else the expression.
    fn told(&self) -> String {
        self.message.clone().unwrap_or_else(|| format!("`{}` does not hold yet", self.ready.text()))
    }
}

fn wrong(expression: &Expression, kind: &str) -> Verdict {
    Verdict::Failed(format!("the lab's rule `{}` is neither true nor false but a {kind}", expression.text()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(group: &str, kind: &str, expression: &str, failed: Option<&str>, message: Option<&str>) -> Policy {
        let read = |text| Expression::new(text).expect("an expression");
        let own = Own {
            group: group.to_owned(),
            kind: kind.to_owned(),
            ready: read(expression),
            failed: failed.map(read),
            message: message.map(str::to_owned),
        };
        Policy { rules: [own].into(), ..Policy::default() }
    }

    fn object(version: &str, kind: &str, status: &Value) -> Value {
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "status": status})
    }

    fn waiting(text: &str) -> Verdict {
        Verdict::Waiting(text.to_owned())
    }

    #[test]
    fn a_rule_decides_alone_for_a_kind_that_has_none() {
        let policy = policy("a.b", "Lake", "object.status.depth > 3", None, None);
        let judged = |status: Value| policy.judge(&object("a.b/v1", "Lake", &status), &Facts::default());
        let unready = json!([{"type": "Ready", "status": "False"}]);
        assert_eq!(judged(json!({"depth": 4, "conditions": unready})), Verdict::Ready);
        assert_eq!(judged(json!({"depth": 3})), waiting("`object.status.depth > 3` does not hold yet"));
        assert_eq!(judged(json!({})), waiting("`object.status.depth > 3` does not hold yet: there is no `depth`"));
        assert!(matches!(judged(json!({"depth": "deep"})), Verdict::Waiting(text) if text.contains("no answer yet")));
        let other = policy.judge(&object("c.d/v1", "Lake", &json!({})), &Facts::default());
        assert_eq!(other, Verdict::Ready);
    }

    #[test]
    fn a_rule_comes_on_top_of_a_known_kinds_own() {
        let policy = policy("", "Pod", "object.status.podIP != ''", None, Some("it has no address"));
        let judged = |status: Value| policy.judge(&object("v1", "Pod", &status), &Facts::default());
        let ready = json!([{"type": "Ready", "status": "True"}]);
        assert_eq!(judged(json!({"phase": "Pending", "podIP": "1.2.3.4"})), waiting("it is not scheduled"));
        assert_eq!(judged(json!({"phase": "Running", "conditions": ready, "podIP": ""})), waiting("it has no address"));
        assert_eq!(judged(json!({"phase": "Running", "conditions": ready, "podIP": "1.2.3.4"})), Verdict::Ready);
    }

    #[test]
    fn a_rule_can_say_that_waiting_is_in_vain() {
        let policy = policy("a.b", "Lake", "object.status.depth > 3", Some("object.status.dry"), None);
        let judged = |status: Value| policy.judge(&object("a.b/v1", "Lake", &status), &Facts::default());
        assert_eq!(judged(json!({"dry": true})), Verdict::Failed("`object.status.dry` holds".to_owned()));
        assert_eq!(judged(json!({"depth": 4})), Verdict::Ready);
        assert!(matches!(judged(json!({"dry": "yes"})), Verdict::Failed(text) if text.contains("a string")));
    }

    #[test]
    fn what_is_being_deleted_or_not_looked_at_is_not_ready_by_any_rule() {
        let policy = policy("a.b", "Lake", "true", None, None);
        let mut lake = object("a.b/v1", "Lake", &json!({"observedGeneration": 1}));
        lake["metadata"]["generation"] = json!(2);
        let judged = policy.judge(&lake, &Facts::default());
        assert_eq!(judged, waiting("its controller has seen generation 1 of 2"));
    }
}
