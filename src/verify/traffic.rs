//! Traffic that a scenario sent, and what came back.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::path::Path;
use super::unmet::Unmet;

/// How many answers are kept whole.
pub const KEPT: usize = 500;

/// Requests that were sent together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The workload that sent them, or `the ingress gateway`.
    pub from: String,
    /// Their method and URL.
    pub to: String,
    /// The `x-request-id` that all of them had; empty if each had one of its own.
    pub request_id: String,
    /// What came back.
    pub report: Report,
}

/// What came back, as the demo application's control port reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Report {
    /// How many requests, calls or connections there were.
    pub sent: u32,
    /// How many answers had each status.
    pub codes: BTreeMap<u16, u32>,
    /// How many gRPC calls ended with each of gRPC's own statuses.
    pub grpc: BTreeMap<u16, u32>,
    /// How many TCP connections ended how: `answered`, `refused`, `closed`, or an error's text.
    pub connections: BTreeMap<String, u32>,
    /// How many requests got no answer, by error text.
    pub errors: BTreeMap<String, u32>,
    /// The first answers.
    pub answers: Vec<Answer>,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Its status; 0 where the protocol is not HTTP.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
    /// From the request to the end of the answer, in milliseconds.
    pub elapsed_ms: u64,
}

impl Answer {
    /// A field of the JSON body, by its path with dots; a number stands for a place in a list.
    ///
    /// # Errors
    /// The body is not JSON or has no such field.
    pub fn field(&self, path: &str) -> Result<Value, String> {
        let body: Value = serde_json::from_str(&self.body)
            .map_err(|_| format!("the answer is not JSON (status {}): {}", self.status, self.body))?;
        let path_of_it: Path = path.parse().map_err(|unmet: Unmet| unmet.text())?;
        path_of_it.find(&body).cloned().map_err(|_| format!("the answer has no field `{path}`: {}", self.body))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes = self.codes.iter().map(|(code, count)| format!("{count} with status {code}"));
        let grpc = self.grpc.iter().map(|(status, count)| format!("{count} with gRPC's status {}", grpc_name(*status)));
        let connections = self.connections.iter().map(|(how, count)| format!("{count} {how}"));
        let errors = self.errors.iter().map(|(error, count)| format!("{count} without an answer ({error})"));
        let parts: Vec<String> = codes.chain(grpc).chain(connections).chain(errors).collect();
        let none = if self.sent == 0 { "none sent" } else { "none answered" };
        let parts = if parts.is_empty() { none.to_owned() } else { parts.join(", ") };
        write!(f, "of {} requests: {parts}", self.sent)
    }
}

/// gRPC's names of its statuses, by their numbers.
/// <https://grpc.io/docs/guides/status-codes/>
const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name of a status of gRPC, or its number if gRPC has no such.
#[must_use]
pub fn grpc_name(status: u16) -> String {
    GRPC.get(usize::from(status)).map_or_else(|| status.to_string(), |name| (*name).to_owned())
}

impl Report {
    /// Adds one answer; of all answers the first [`KEPT`] are kept.
    pub fn add(&mut self, answer: Answer) {
        self.sent += 1;
        *self.codes.entry(answer.status).or_default() += 1;
        if self.answers.len() < KEPT {
            self.answers.push(answer);
        }
    }

    /// Adds a request that got no answer.
    pub fn fail(&mut self, error: String) {
        self.sent += 1;
        *self.errors.entry(error).or_default() += 1;
    }

    /// How many requests got an HTTP answer.
    #[must_use]
    pub fn answered(&self) -> u32 {
        self.codes.values().sum()
    }
}

impl Sent {
    /// The first answer.
    ///
    /// # Errors
    /// [`Unmet::Never`] if there is none.
    pub fn first(&self) -> Result<&Answer, Unmet> {
        let none = || Unmet::Never(format!("{}: no request was answered; {}", self.to, self.report));
        self.report.answers.first().ok_or_else(none)
    }

    /// A field of the first answer's JSON body, by its path with dots.
    ///
    /// # Errors
    /// [`Unmet::Never`] if there is no answer, it is not JSON, or has no such field.
    pub fn field(&self, path: &str) -> Result<Value, Unmet> {
        self.first()?.field(path).map_err(Unmet::Never)
    }

    /// Every answer.
    ///
    /// # Errors
    /// [`Unmet::Misused`] if some were not kept, because there were too many.
    pub fn answers(&self) -> Result<&[Answer], Unmet> {
        let (kept, answered) = (self.report.answers.len(), self.report.answered() as usize);
        if kept < answered {
            return Err(Unmet::Misused(format!("{answered} requests were answered, but only {kept} answers are kept")));
        }
        Ok(&self.report.answers)
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
        let json = r#"{"sent":3,"grpc":{"0":1,"14":1,"99":1},"connections":{"refused":2}}"#;
        let report: Report = serde_json::from_str(json).expect("it is a report");
        let text = "of 3 requests: 1 with gRPC's status OK, 1 with gRPC's status UNAVAILABLE, \
                    1 with gRPC's status 99, 2 refused";
        assert_eq!(report.to_string(), text);
    }

    #[test]
    fn answers_that_were_not_kept_can_not_be_judged() {
        let json = r#"{"sent":2,"codes":{"200":2},"answers":[{"status":200}]}"#;
        let sent = Sent { report: serde_json::from_str(json).expect("it is a report"), ..Sent::default() };
        let error = sent.answers().expect_err("one is missing").to_string();
        assert_eq!(error, "2 requests were answered, but only 1 answers are kept");
    }
}
