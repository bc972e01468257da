//! How many requests are under way at once: more as long as all goes well, half as many when the
//! registry says that it is too much, nothing while it asks for a pause. As with TCP the number doubles with
//! each round trip until the registry complains for the first time; from then on it grows by one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How many are allowed at first: enough that a round trip of 20 ms costs little, and few enough that
/// buffers stay small.
const FIRST: usize = 16;
/// The most that are ever allowed.
const MOST: usize = 64;

/// The pace of one kind of action at one registry. Turns are given in the order they were asked for.
#[derive(Clone, Debug)]
pub(super) struct Pace(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    turns: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How many are allowed.
    window: usize,
    /// How many turns that are under way must not be given again.
    debt: usize,
    /// Good answers since the window last grew.
    good: usize,
    /// Counts the times that the window was cut: requests that began before the last one say nothing
    /// of what is allowed now.
    epoch: u64,
    /// Nothing is asked before.
    not_before: Option<Instant>,
}

/// The right to have one request under way.
#[derive(Debug)]
pub(super) struct Turn {
    pace: Pace,
    permit: Option<OwnedSemaphorePermit>,
    epoch: u64,
}

impl Default for Pace {
    fn default() -> Self {
        let state = State { window: FIRST, debt: 0, good: 0, epoch: 0, not_before: None };
        Self(Arc::new(Shared { turns: Arc::new(Semaphore::new(FIRST)), state: Mutex::new(state) }))
    }
}

impl Pace {
    /// Waits until one more request is allowed.
    pub(super) async fn turn(&self) -> Turn {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.0.turns).acquire_owned().await.ok();
        loop {
            let not_before = self.state().not_before;
            match not_before {
                Some(time) if time > Instant::now() => tokio::time::sleep_until(time).await,
                _ => break,
            }
        }
        let epoch = self.state().epoch;
        Turn { pace: self.clone(), permit, epoch }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn window(&self) -> usize {
        self.state().window
    }
}

impl Turn {
    /// The same turn for another request, which begins now.
    pub(super) fn renewed(mut self) -> Self {
        self.epoch = self.pace.state().epoch;
        self
    }

    /// The registry answered as it should.
    pub(super) fn good(&self) {
        let mut state = self.pace.state();
        state.good += 1;
        let enough = if state.epoch == 0 { 1 } else { state.window };
        if state.good >= enough && state.window < MOST && self.epoch == state.epoch {
            state.good = 0;
            state.window += 1;
            if state.debt > 0 {
                state.debt -= 1;
            } else {
                self.pace.0.turns.add_permits(1);
            }
        }
    }

    /// The registry said that it is too much, and perhaps how long to wait.
    pub(super) fn too_much(&mut self, pause: Duration) {
        let mut state = self.pace.state();
        let until = Instant::now() + pause;
        state.not_before = Some(state.not_before.map_or(until, |time| time.max(until)));
        // All that were under way at the time complain; the first one has been heard.
        if self.epoch != state.epoch {
            return;
        }
        let smaller = (state.window / 2).max(1);
        let fewer = state.window - smaller;
        let gone = self.pace.0.turns.forget_permits(fewer);
        state.debt += fewer - gone;
        state.window = smaller;
        state.good = 0;
        state.epoch += 1;
        drop(state);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.pace.state();
        if state.debt > 0
            && let Some(permit) = self.permit.take()
        {
            state.debt -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_cut_for_all_that_complain_at_once() {
        let pace = Pace::default();
        let mut turns = Vec::new();
        for _ in 0..FIRST {
            turns.push(pace.turn().await);
        }
        for turn in &mut turns {
            turn.too_much(Duration::ZERO);
        }
        assert_eq!(pace.window(), FIRST / 2);
        drop(turns);
        assert_eq!(pace.0.turns.available_permits(), FIRST / 2);
        // What began later is heard.
        pace.turn().await.too_much(Duration::ZERO);
        assert_eq!(pace.window(), FIRST / 4);
        for _ in 0..10 {
            pace.turn().await.too_much(Duration::ZERO);
        }
        assert_eq!((pace.window(), pace.0.turns.available_permits()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn it_doubles_at_first_and_grows_by_one_after_a_complaint() {
        let pace = Pace::default();
        for _ in 0..FIRST {
            pace.turn().await.good();
        }
        assert_eq!(pace.window(), 2 * FIRST);
        pace.turn().await.too_much(Duration::ZERO);
        for _ in 0..FIRST {
            pace.turn().await.good();
        }
        assert_eq!(pace.window(), FIRST + 1);
        for _ in 0..10_000 {
            pace.turn().await.good();
        }
        assert_eq!((pace.window(), pace.0.turns.available_permits()), (MOST, MOST));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_for_everybody() {
        let pace = Pace::default();
        let begin = Instant::now();
        pace.turn().await.too_much(Duration::from_secs(7));
        drop(pace.turn().await);
        assert_eq!(begin.elapsed(), Duration::from_secs(7));
    }
}
