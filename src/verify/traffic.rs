//! Traffic that a scenario sent, and what came back.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::path::Path;
use super::unmet::Unmet;

/// Requests that were sent together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The workload that sent them, or `the ingress gateway`.
    pub from: String,
    /// Their method and URL.
    pub to: String,
    /// The `x-request-id` that all of them had.
    pub request_id: String,
    /// What came back.
    pub report: Report,
}

/// What came back, as the demo application's control port reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Report {
    /// How many requests were sent.
    pub sent: u32,
    /// How many answers had each status.
    pub codes: BTreeMap<u16, u32>,
    /// How many requests got no answer, by error text.
    pub errors: BTreeMap<String, u32>,
    /// The first answers.
    pub answers: Vec<Answer>,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes = self.codes.iter().map(|(code, count)| format!("{count} with status {code}"));
        let errors = self.errors.iter().map(|(error, count)| format!("{count} without an answer ({error})"));
        let parts: Vec<String> = codes.chain(errors).collect();
        write!(
            f,
            "of {} requests: {}",
            self.sent,
            if parts.is_empty() { "none sent".to_owned() } else { parts.join(", ") }
        )
    }
}

impl Report {
    /// Adds one answer.
    pub fn add(&mut self, answer: Answer) {
        self.sent += 1;
        *self.codes.entry(answer.status).or_default() += 1;
        if self.answers.is_empty() {
            self.answers.push(answer);
        }
    }
}

impl Sent {
    /// A field of the first answer's JSON body, by its path with dots.
    ///
    /// # Errors
    /// [`Unmet::Never`] if there is no answer, it is not JSON, or has no such field.
    pub fn field(&self, path: &str) -> Result<Value, Unmet> {
        let answer = self
            .report
            .answers
            .first()
            .ok_or_else(|| Unmet::Never(format!("{}: no request was answered; {}", self.to, self.report)))?;
        let body: Value = serde_json::from_str(&answer.body)
            .map_err(|_| Unmet::Never(format!("the answer is not JSON (status {}): {}", answer.status, answer.body)))?;
        let found = path.parse::<Path>()?.find(&body).cloned();
        found.map_err(|_| Unmet::Never(format!("the answer has no field `{path}`: {}", answer.body)))
    }
}

/// The caller's URI in an `x-forwarded-client-cert` header: of the last element, which the proxy
/// next to the server wrote.
#[must_use]
pub fn caller(header: &str) -> Option<&str> {
    let element = header.rsplit(',').next()?;
    element.split(';').find_map(|field| field.trim().strip_prefix("URI="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(body: &str) -> Sent {
        let mut sent = Sent { to: "GET http://x/".to_owned(), ..Sent::default() };
        sent.report.add(Answer { status: 200, body: body.to_owned(), ..Answer::default() });
        sent
    }

    #[test]
    fn a_field_is_found_by_its_path() {
        let sent = sent(r#"{"backend":{"list":[{"name":"b"}]}}"#);
        assert_eq!(sent.field("backend.list.0.name").expect("it is there"), "b");
        let error = sent.field("backend.none").expect_err("it is not there").to_string();
        assert!(error.starts_with("the answer has no field `backend.none`: {"), "{error}");
    }

    #[test]
    fn an_answer_that_is_not_json_is_shown() {
        let error = sent("upstream connect error").field("name").expect_err("it is no JSON").to_string();
        assert_eq!(error, "the answer is not JSON (status 200): upstream connect error");
    }

    #[test]
    fn the_caller_is_the_last_proxys_word() {
        let header = "By=spiffe://a;URI=spiffe://td/ns/x/sa/forged,By=spiffe://td/ns/demo/sa/backend;Hash=1;\
                      Subject=\"\";URI=spiffe://td/ns/demo/sa/frontend";
        assert_eq!(caller(header), Some("spiffe://td/ns/demo/sa/frontend"));
        assert_eq!(caller("By=a;Hash=b"), None);
    }

    #[test]
    fn a_report_reads_as_a_sentence() {
        let json = r#"{"sent":3,"codes":{"200":2},"errors":{"connection reset":1},"elapsed_ms":4,"answers":[]}"#;
        let report: Report = serde_json::from_str(json).expect("it is a report");
        assert_eq!(report.to_string(), "of 3 requests: 2 with status 200, 1 without an answer (connection reset)");
    }
}
