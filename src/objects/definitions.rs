//! Custom resource definitions: when what they define can be used.

use std::time::Duration;

use kube::discovery::Discovery;
use serde_json::Value;

use super::api::{self, Api};
use super::error::Error;
use super::ready::{Facts, Verdict, judge};
use super::request::Limit;
use super::resolve::Member;

/// The pause between looks at discovery.
const PAUSE: Duration = Duration::from_millis(100);
/// How many looks pass before the definition itself is asked what is wrong with it.
const PATIENCE: u32 = 20;

/// Definitions that were applied and whose kinds are not served yet. Discovery lists a kind once its
/// definition is established, and is a hundredth of the size of the definitions, which a watch would
/// send again with each change of their status.
#[derive(Default)]
pub(super) struct Unserved<'a> {
    waiting: Vec<(usize, &'a Member)>,
    looks: u32,
    looking: bool,
}

impl<'a> Unserved<'a> {
    pub(super) fn add(&mut self, index: usize, definition: &'a Member) {
        self.waiting.push((index, definition));
    }

    /// Whether there is nothing to be found out: all are served, or a look is under way.
    pub(super) fn is_settled(&self) -> bool {
        self.looking || self.waiting.is_empty()
    }

    /// Takes out those that are served by what discovery said last.
    pub(super) async fn take_served(&mut self, api: &Api) -> Result<Vec<usize>, Error> {
        let (discovery, _) = api.discovery().await?;
        let (served, waiting) =
            self.waiting.drain(..).partition(|(_, definition)| is_served(&discovery, &definition.document["spec"]));
        self.waiting = waiting;
        let served: Vec<(usize, &Member)> = served;
        Ok(served.into_iter().map(|(index, _)| index).collect())
    }

    /// The definition to look for next, and the number of that look.
    pub(super) fn next_look(&mut self) -> Option<(&'a Member, u32)> {
        let (_, first) = self.waiting.first()?;
        self.looking = true;
        self.looks += 1;
        Some((*first, self.looks))
    }

    /// A look has ended.
    pub(super) fn looked(&mut self) {
        self.looking = false;
    }
}

/// Asks discovery again, after a pause. `first` is one of those that are waited for.
pub(super) async fn look(api: &Api, first: &Member, look: u32, limit: &Limit<'_>) -> Result<(), Error> {
    limit.progress.status(format!("waiting until {} is served", first.reference));
    let mut last = "it is not listed by discovery".to_owned();
    if look.is_multiple_of(PATIENCE) || limit.left() < PAUSE * 2 {
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
    api.rediscover(limit).await.map(drop)
}

/// Whether discovery lists every version that the definition says is served.
fn is_served(discovery: &Discovery, spec: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, kind) = (text(&spec["group"]), text(&spec["names"]["kind"]));
    let mut versions = spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] == true);
    versions.all(|version| {
        // Another definition may have the kind's name.
        api::find(discovery, &group, &text(&version["name"]), &kind)
            .is_some_and(|served| spec["names"]["plural"] == served.resource.plural)
    })
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
