//! Requests that are tried again while the cluster is not yet able to answer them.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::error::Error;
use crate::error::causes;
use crate::plan::event::Progress;

/// The first pause between tries; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The shortest pause where the server says that it has too much to do.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// The longest that one try may take. The API server itself gives up after a minute; where nothing
/// comes for longer, the line is dead, and a new one may not be.
const ONE_TRY: Duration = Duration::from_secs(65);

/// How long something may take, and who wants to know how it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit<'a> {
    pub(crate) begin: Instant,
    pub(crate) within: Duration,
    pub(crate) progress: &'a Progress,
    pub(crate) cancel: &'a CancellationToken,
}

impl<'a> Limit<'a> {
    pub(crate) fn new(within: Duration, progress: &'a Progress, cancel: &'a CancellationToken) -> Self {
        Self { begin: Instant::now(), within, progress, cancel }
    }

    pub(crate) fn left(&self) -> Duration {
        self.within.saturating_sub(self.begin.elapsed())
    }

    /// Tries until the answer is not a passing failure. A lasting failure is the inner error, for
    /// the caller knows best what it means.
    pub(crate) async fn tried<T, F>(
        &self,
        doing: impl Fn() -> String,
        mut request: impl FnMut() -> F,
    ) -> Result<Result<T, kube::Error>, Error>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let begin = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut last = "no answer".to_owned();
        let mut unreachable = false;
        loop {
            let answer = tokio::select! {
                () = self.cancel.cancelled() => return Err(Error::Cancelled),
                answer = tokio::time::timeout(self.left().min(ONE_TRY), request()) => answer,
            };
            let mut wait = pause;
            match answer {
                Ok(Err(error)) if passing(&error) => {
                    wait = wait.max(asked_pause(&error));
                    unreachable = !matches!(error, kube::Error::Api(_));
                    last = cause(told(&error));
                }
                Ok(answer) => return Ok(answer),
                Err(_) => {}
            }
            if self.left() <= wait {
                let (doing, elapsed, limit) = (doing(), begin.elapsed(), self.within);
                return Err(if unreachable {
                    Error::Unreachable { doing, last, elapsed }
                } else {
                    Error::Deadline { doing, last, elapsed, limit }
                });
            }
            self.progress.status(format!("{}, trying again: {last}", doing()));
            tokio::select! {
                () = self.cancel.cancelled() => return Err(Error::Cancelled),
                () = tokio::time::sleep(wait) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// What an error says, without the wrapping of the client.
pub(crate) fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if TOO_LARGE.iter().any(|text| status.message.contains(text)) => {
            format!("it is too large for the cluster's store, etcd, which takes 1.5 MiB ({})", status.message)
        }
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("{} {}", status.code, status.reason),
        kube::Error::Service(line) => broken(line.as_ref()),
        kube::Error::HyperError(line) => broken(line),
        kube::Error::ReadEvents(line) => broken(line),
        other => causes(other).join(": "),
    }
}

/// What became of the line to the API server: the innermost causes, for the outer ones are the client's own.
fn broken(line: &(dyn std::error::Error + 'static)) -> String {
    let causes = causes(line);
    let inner = causes.iter().skip(causes.len().saturating_sub(2)).cloned().collect::<Vec<_>>();
    inner.join(": ")
}

/// The pause that the server asks for.
fn asked_pause(error: &kube::Error) -> Duration {
    let kube::Error::Api(status) = error else { return Duration::ZERO };
    let asked = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    // Where too many requests are there at once, it says so in a header that does not come to us.
    let least = if status.code == 429 { BUSY_PAUSE } else { Duration::ZERO };
    Duration::from_secs(asked.into()).max(least)
}

/// What the API server answers with 500 for objects that etcd, or the line to it, has no room for.
const TOO_LARGE: [&str; 2] = ["request is too large", "trying to send message larger than max"];
/// What it answers with 500 for fields that are not in the schema.
const NO_FIELD: &str = "failed to create typed";

/// Conflicts that no other try solves: the object of that name is not the one that was meant, or is
/// already going.
const SETTLED: [&str; 2] = ["Precondition failed: UID", "is ensuring all content is removed from this namespace"];

/// What is told of an answer while it is tried again: of a webhook that can't be asked its name and the last
/// of the causes, in place of a request's whole address.
fn cause(told: String) -> String {
    let Some((_, rest)) = told.split_once("failed calling webhook \"") else { return told };
    let Some((name, why)) = rest.split_once('"') else { return told };
    let why = why.split_once("\": ").map_or(why.trim_start_matches(": "), |(_, why)| why);
    format!("webhook {name} does not answer: {why}")
}

/// Whether the same request may succeed later without anyone changing it.
pub(crate) fn passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            let names_object = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
            match status.code {
                // Webhooks that do not answer yet and an etcd without a leader are told as 500.
                500 => !TOO_LARGE.iter().chain([&NO_FIELD]).any(|text| status.message.contains(text)),
                429 | 502 | 503 | 504 => true,
                // Somebody was faster; a conflict of field managers lists causes and stays.
                409 => !SETTLED.iter().any(|text| status.message.contains(text)) && !has_managers(status),
                // A path that is not served yet, unlike an object that is not there.
                404 => !names_object,
                403 => {
                    status.message.contains("is being terminated")
                        || (status.message.contains("serviceaccount") && status.message.contains("not found"))
                }
                _ => false,
            }
        }
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    }
}

fn has_managers(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "FieldManagerConflict")
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::{Value, json};

    use super::*;

    fn answer(code: u16, message: &str, details: serde_json::Value) -> kube::Error {
        let mut status = json!({"code": code, "message": message});
        status["details"] = details;
        kube::Error::Api(serde_json::from_value::<Status>(status).expect("a status").boxed())
    }

    #[test]
    fn a_webhook_that_does_not_answer_yet_is_passing() {
        assert!(passing(&answer(500, "failed calling webhook \"x\": connection refused", Value::Null)));
        assert!(passing(&answer(429, "too many requests", Value::Null)));
    }

    #[test]
    fn a_webhook_is_named_with_the_cause_alone() {
        let told = "Internal error occurred: failed calling webhook \"validation.istio.io\": failed to call webhook: Post \"https://istiod.istio-system.svc:443/validate?timeout=10s\": dial tcp 10.96.1.1:443: connect: connection refused";
        assert_eq!(
            cause(told.to_owned()),
            "webhook validation.istio.io does not answer: dial tcp 10.96.1.1:443: connect: connection refused"
        );
        let told = "Internal error occurred: failed calling webhook \"a.b\": failed to call webhook: no endpoints available for service \"x\"";
        assert_eq!(
            cause(told.to_owned()),
            "webhook a.b does not answer: failed to call webhook: no endpoints available for service \"x\""
        );
        assert_eq!(cause("etcdserver: no leader".to_owned()), "etcdserver: no leader");
    }

    #[test]
    fn what_the_server_refuses_stays() {
        let typed =
            "failed to create typed patch object (a/b; /v1, Kind=ConfigMap): .daten: field not declared in schema";
        assert!(!passing(&answer(500, typed, Value::Null)));
        assert!(!passing(&answer(422, "spec.replicas: must be positive", Value::Null)));
        assert!(!passing(&answer(403, "admission webhook denied the request", Value::Null)));
        let conflict = json!({"causes": [{"reason": "FieldManagerConflict", "message": "", "field": ".spec"}]});
        assert!(!passing(&answer(409, "Apply failed", conflict)));
        assert!(passing(&answer(409, "the object has been modified", Value::Null)));
    }

    #[test]
    fn a_missing_namespace_stays_and_a_missing_path_passes() {
        let details = json!({"name": "demo"});
        assert!(!passing(&answer(404, "namespaces \"demo\" not found", details)));
        assert!(passing(&answer(404, "404 page not found", Value::Null)));
    }

    #[tokio::test]
    async fn a_server_that_is_never_reached_is_unavailable() {
        let (cancel, progress) = (CancellationToken::new(), Progress::silent());
        let limit = Limit::new(Duration::from_millis(120), &progress, &cancel);
        let refused = || kube::Error::Service(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
        let answer = limit.tried(|| "applying Pod x".to_owned(), || async { Err::<(), _>(refused()) }).await;
        let error = answer.expect_err("nobody is there");
        assert!(error.to_string().starts_with("applying Pod x: the API server could not be reached for"), "{error}");
        assert!(error.to_string().ends_with(": connection refused"), "{error}");
        assert_eq!(crate::error::Failure::from(error).kind, crate::error::Kind::Unavailable);
    }

    #[tokio::test]
    async fn the_last_answer_is_told_when_time_is_over() {
        let cancel = CancellationToken::new();
        let progress = Progress::silent();
        let limit = Limit::new(Duration::from_millis(120), &progress, &cancel);
        let error = limit
            .tried(|| "applying Pod x".to_owned(), || async { Err::<(), _>(answer(503, "not yet", Value::Null)) })
            .await
            .expect_err("it never succeeds");
        assert!(error.to_string().starts_with("applying Pod x did not succeed within"), "{error}");
        assert!(error.to_string().ends_with("the last answer was: not yet"), "{error}");
    }
}
