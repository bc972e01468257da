//! Custom resource definitions: when what they define can be used.

use std::time::Duration;

use kube::discovery::Discovery;
use serde_json::Value;

use super::api::{self, Api};
use super::error::Error;
use super::plan::Member;
use super::ready::{Facts, Verdict, judge};
use super::request::Limit;

/// The pause between looks at discovery.
const PAUSE: Duration = Duration::from_millis(100);
/// How many looks pass before the definition itself is asked what is wrong with it.
const PATIENCE: u32 = 20;

/// Waits until every kind of these definitions is served. Discovery lists a kind once its definition
/// is established, and is a hundredth of the size of the definitions, which a watch would send again
/// with each change of their status.
pub(super) async fn served(
    api: &Api,
    definitions: impl Iterator<Item = &Member>,
    limit: &Limit<'_>,
) -> Result<(), Error> {
    let mut waiting: Vec<_> = definitions.collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let (mut discovery, _) = api.discovery().await?;
    for look in 1_u32.. {
        waiting.retain(|member| !is_served(&discovery, &member.document["spec"]));
        let Some(first) = waiting.first() else { break };
        limit.progress.status(format!("{} definitions are not served yet, {} for one", waiting.len(), first.reference));
        let mut last = "it is not listed by discovery".to_owned();
        if look % PATIENCE == 0 || limit.left() < PAUSE * 2 {
            last = state(api, first, limit).await?;
        }
        if limit.left() < PAUSE {
            return Err(Error::Deadline {
                doing: format!("waiting until {} is served", first.reference),
                last,
                elapsed: limit.begin.elapsed(),
                limit: limit.within,
            });
        }
        tokio::select! {
            () = limit.cancel.cancelled() => return Err(Error::Cancelled),
            () = tokio::time::sleep(PAUSE) => {}
        }
        discovery = api.rediscover(limit).await?;
    }
    Ok(())
}

/// Whether discovery lists every version that the definition says is served.
fn is_served(discovery: &Discovery, spec: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, kind) = (text(&spec["group"]), text(&spec["names"]["kind"]));
    let mut versions = spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] == true);
    versions.all(|version| api::find(discovery, &group, &text(&version["name"]), &kind).is_some())
}

/// What the definition says of itself; an error if it says that it will never be served.
async fn state(api: &Api, member: &Member, limit: &Limit<'_>) -> Result<String, Error> {
    let requests = api.requests(&member.served, None);
    let Ok(object) = requests.get(&member.reference.name).await else { return Ok("it can't be read".to_owned()) };
    // A map with text as keys becomes JSON without fail.
    let object = serde_json::to_value(object).unwrap_or_default();
    match judge(&object, &Facts::default()) {
        Verdict::Ready => Ok("established, but not listed by discovery".to_owned()),
        Verdict::Waiting(state) | Verdict::Ailing(state) => Ok(state),
        Verdict::Failed(cause) => {
            Err(Error::Failed { object: member.reference.clone().into(), cause, elapsed: limit.begin.elapsed() })
        }
    }
}
