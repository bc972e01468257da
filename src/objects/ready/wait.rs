//! Waiting until objects are ready: an early verdict where waiting on would not help, and the last
//! state seen when time is over.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::policy::Policy;
use super::waiting::{Subject, Waiting};
use super::watched;
use crate::objects::api::Api;
use crate::objects::error::{Error, short};
use crate::objects::object::ObjectRef;
use crate::objects::request::Limit;
use crate::plan::event::Progress;

/// How often states are told and troubles looked at.
const TICK: Duration = Duration::from_millis(100);

/// For how many objects that were waited for in vain events are asked for.
const EXPLAINED: usize = 20;

/// Waits until all objects are ready, with the usual grace for troubles.
///
/// # Errors
/// As [`wait_with`].
pub async fn wait(
    api: &Api,
    objects: &[ObjectRef],
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    wait_with(api, objects, Policy::default(), deadline, progress, cancel).await
}

/// Waits until all objects are ready, for at most `deadline`. Kinds that are ready by being there
/// are not asked for, unless the policy has a rule for them. Tells the newest state of each object.
///
/// # Errors
/// [`Error::Failed`] as soon as one object has failed or has been in trouble for longer than its
/// grace, with container, reason, message, last event and limit; [`Error::NotReady`] with the last
/// states when time is over; [`Error::Api`] where discovery fails.
pub async fn wait_with(
    api: &Api,
    objects: &[ObjectRef],
    policy: impl Into<Policy>,
    deadline: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let begin = Instant::now();
    // The server may be restarting just now.
    api.discover(&Limit::new(deadline, progress, cancel)).await?;
    let mut waiting = Waiting::new(api, objects, policy.into(), progress, begin).await?;
    let end = tokio::time::sleep(deadline);
    tokio::pin!(end);
    // What is ready at the first look is not worth telling.
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
    while !waiting.is_over() {
        tokio::select! {
            () = cancel.cancelled() => return Err(Error::Cancelled),
            () = &mut end => {
                let states = waiting.states();
                drop(waiting);
                let elapsed = begin.elapsed();
                let explained = states.into_iter().enumerate().map(async |(index, (object, subject, state))| {
                    let state = if index < EXPLAINED { with_event(api, subject, state).await } else { state };
                    (object, state)
                });
                let waiting = stream::iter(explained).buffered(EXPLAINED).collect().await;
                return Err(Error::NotReady { waiting, elapsed, limit: deadline });
            }
            Some((origin, event)) = waiting.events.next() => waiting.take(origin, event),
            Some((key, answer)) = waiting.probes.next() => waiting.probed(key, answer),
            _ = tick.tick() => {
                waiting.tell();
                if let Some(verdict) = waiting.verdict() {
                    let elapsed = begin.elapsed();
                    drop(waiting);
                    let cause = with_event(api, verdict.subject, verdict.cause).await;
                    let grace = verdict.grace.map(|grace| format!("; {grace}")).unwrap_or_default();
                    let cause = format!("{cause}{grace} (limit {})", short(deadline));
                    return Err(Error::Failed { object: verdict.object.into(), cause, elapsed });
                }
            }
        }
    }
    Ok(())
}

/// Adds the last warning about a subject to what is known.
async fn with_event(api: &Api, subject: Subject, cause: String) -> String {
    match watched::last_warning(api, &subject.namespace, &subject.kind, &subject.name).await {
        // Most events say what the status says.
        Some((reason, message)) if !cause.contains(message.trim_start_matches("Error: ")) => {
            format!("{cause}; last event: {reason}: {message}")
        }
        _ => cause,
    }
}
