//! Watches that notice when the line is dead, and that are back soon after the API server is.

use std::fmt::Debug;
use std::time::Duration;

use futures::Stream;
use kube::api::Api as KubeApi;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use serde::de::DeserializeOwned;

/// After this many seconds the server ends a watch, and it is begun anew where it ended. A watch
/// that lasts longer is on a dead line. The usual 290 are longer than most waits of a lab.
const SECONDS: u32 = 30;
/// The first pause after an error; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause. The usual half a minute is for controllers, for which nobody waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Watches objects; goes on by itself after an error, which is told in between.
pub(crate) fn watch<K>(
    requests: KubeApi<K>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher::watcher(requests, config.timeout(SECONDS)).backoff(Pauses { next: FIRST_PAUSE })
}

/// Pauses between tries, each twice as long as the one before.
struct Pauses {
    next: Duration,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.next = FIRST_PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_begin_anew() {
        let mut pauses = Pauses { next: FIRST_PAUSE };
        let all: Vec<_> = pauses.by_ref().take(7).map(|pause| pause.as_millis()).collect();
        assert_eq!(all, [100, 200, 400, 800, 1600, 2000, 2000]);
        pauses.reset();
        assert_eq!(pauses.next(), Some(FIRST_PAUSE));
    }
}
