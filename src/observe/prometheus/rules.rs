//! The rules that Prometheus evaluates: series that it records and alerts that it raises.
//! <https://prometheus.io/docs/prometheus/latest/querying/api/#rules>

use std::fmt;

use serde::Deserialize;

use super::{Error, Prometheus, opened};

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// `recording` or `alerting`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The recorded series' or the alert's name.
    pub name: String,
    /// The `PromQL` expression.
    pub query: String,
    /// `ok`, `err`, or `unknown` (not evaluated yet).
    pub health: String,
    /// Why the last evaluation failed; empty if it did not.
    #[serde(default)]
    pub last_error: String,
    /// Of an alert `inactive`, `pending` or `firing`; empty for what is recorded.
    #[serde(default)]
    pub state: String,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rule {}", self.kind, self.name)?;
        if !self.state.is_empty() {
            write!(f, " is {}", self.state)?;
        }
        if self.health != "ok" {
            write!(f, ", health {}", self.health)?;
        }
        if self.last_error.is_empty() { Ok(()) } else { write!(f, " ({})", self.last_error) }
    }
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

impl Prometheus {
    /// The rules of all groups, in their order.
    ///
    /// # Errors
    /// As [`Prometheus::query`].
    pub async fn rules(&self) -> Result<Vec<Rule>, Error> {
        let groups: Groups = opened(&self.service.get("/api/v1/rules").await?)?;
        Ok(groups.groups.into_iter().flat_map(|group| group.rules).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_both_kinds_are_read() {
        let json = r#"{"groups":[{"name":"mesh","file":"/etc/prometheus/rules.yml","interval":2,"rules":[
            {"type":"recording","name":"a:b","query":"sum(up)","health":"ok","evaluationTime":0.1},
            {"type":"alerting","name":"Down","query":"up == 0","state":"firing","duration":5,"labels":{},
             "annotations":{},"alerts":[],"health":"err","lastError":"many-to-many"}]}]}"#;
        let groups: Groups = serde_json::from_str(json).expect("an answer of Prometheus");
        let texts: Vec<String> = groups.groups[0].rules.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["recording rule a:b", "alerting rule Down is firing, health err (many-to-many)"]);
    }
}
