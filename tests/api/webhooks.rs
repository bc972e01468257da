//! Admission webhooks that hang, answer late, or refuse.

use std::time::{Duration, Instant};

use istiolab::error::{Failure, Kind};
use istiolab::objects::{Api, Applied, Error, Options, SetName, apply};
use istiolab::plan::event::{Progress, What};
use tokio_util::sync::CancellationToken;

use crate::hook::{Answer, Hook};
use crate::server::{api, applied, objects, shared};

/// A namespace with a webhook that is in force, for whose answer the server waits this many seconds.
pub(crate) async fn hooked(test: &str, name: &str, seconds: u32) -> Option<(Api, Hook)> {
    let api = api(test).await?;
    let hook = Hook::start(shared(test).await?, Answer::Deny("not yet".to_owned())).await;
    applied(&api, &format!("{name}-hook"), &hook.objects(name, seconds)).await.expect("applied");
    let begin = Instant::now();
    // The server takes a moment until it asks a new webhook.
    for number in 0.. {
        let probe =
            format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: probe-{number}, namespace: {name}}}}}");
        if send(&api, name, &probe, Duration::from_secs(10)).await.0.is_err() {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "the webhook is never asked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Some((api, hook))
}

/// Applies, and gives back what was told meanwhile.
async fn send(api: &Api, name: &str, text: &str, deadline: Duration) -> (Result<Applied, Error>, Vec<String>) {
    let (progress, mut events) = Progress::channel();
    let options = Options { deadline, prune: false, ..Options::default() };
    let set = SetName::new(format!("{name}-set"), "default");
    let result = apply(api, &set, &objects(text), &options, &progress, &CancellationToken::new()).await;
    drop(progress);
    let mut told = Vec::new();
    while let Some(event) = events.recv().await {
        if let What::Status { text } = event.what {
            told.push(text);
        }
    }
    (result, told)
}

fn config_map(name: &str, namespace: &str) -> String {
    format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}}}}}")
}

#[tokio::test]
async fn a_webhook_that_hangs_is_named_meanwhile_and_at_the_end() {
    let Some((api, hook)) = hooked("hanging webhook", "hanging", 1).await else { return };
    hook.answers(Answer::Hang);
    let begin = Instant::now();
    let (result, told) = send(&api, "hanging", &config_map("a", "hanging"), Duration::from_secs(4)).await;
    let error = result.expect_err("it never answers");
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    let message = error.to_string();
    assert!(message.starts_with("applying ConfigMap hanging/a did not succeed within"), "{message}");
    assert!(message.contains("webhook hanging.hook.test does not answer: "), "{message}");
    assert_eq!(Failure::from(error).kind, Kind::TimedOut);
    assert!(told.iter().any(|state| state.contains("trying again") && state.contains("hanging.hook.test")), "{told:?}");
}

#[tokio::test]
async fn a_webhook_that_hangs_at_first_is_waited_for() {
    let Some((api, hook)) = hooked("webhook that comes", "coming", 1).await else { return };
    hook.answers(Answer::Hang);
    let come = async {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        hook.answers(Answer::Allow);
    };
    let text = config_map("a", "coming");
    let ((result, told), ()) = tokio::join!(send(&api, "coming", &text, Duration::from_secs(30)), come);
    assert_eq!(result.expect("it is allowed in the end").created.len(), 1);
    assert!(told.iter().any(|state| state.contains("trying again")), "{told:?}");
}

#[tokio::test]
async fn a_webhook_that_answers_late_is_no_trouble() {
    let Some((api, hook)) = hooked("late webhook", "late", 1).await else { return };
    hook.answers(Answer::Late(Duration::from_millis(600)));
    let (result, told) = send(&api, "late", &config_map("a", "late"), Duration::from_secs(30)).await;
    assert_eq!(result.expect("it is allowed").created.len(), 1);
    assert!(!told.iter().any(|state| state.contains("trying again")), "{told:?}");
}

#[tokio::test]
async fn a_webhook_that_refuses_is_told_at_once() {
    let Some((api, hook)) = hooked("refusing webhook", "refusing", 1).await else { return };
    hook.answers(Answer::Deny("config maps are not for you".to_owned()));
    let begin = Instant::now();
    let (result, _) = send(&api, "refusing", &config_map("a", "refusing"), Duration::from_secs(30)).await;
    let error = result.expect_err("it refuses");
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
    let message = error.to_string();
    assert!(message.starts_with("test.yaml:1: ConfigMap refusing/a is refused: "), "{message}");
    assert!(message.contains("refusing.hook.test") && message.contains("config maps are not for you"), "{message}");
    assert_eq!(Failure::from(error).kind, Kind::BadInput);
}
