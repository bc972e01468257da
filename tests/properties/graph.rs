//! The graph of steps: every step runs once, after those that it waits for, within the weight limit,
//! and after a failure nothing begins.

use std::sync::{Arc, Mutex};

use istiolab::error::{Failure, Kind};
use istiolab::plan::event::{Outcome, Progress};
use istiolab::plan::graph::Graph;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

/// What the steps of a graph saw.
#[derive(Default)]
struct Seen {
    begun: Vec<usize>,
    ended: Vec<usize>,
    weight: u32,
    most: u32,
    begun_after_failure: Option<usize>,
    failed: bool,
}

/// Steps with, for each, the earlier steps that it waits for and its weight.
fn steps() -> impl Strategy<Value = Vec<(Vec<usize>, u32)>> {
    proptest::collection::vec((proptest::collection::vec(any::<prop::sample::Index>(), 0..3), 0..4_u32), 1..16)
        .prop_map(|steps| {
            let after = |index: usize, picks: &[prop::sample::Index]| {
                if index == 0 { Vec::new() } else { picks.iter().map(|pick| pick.index(index)).collect() }
            };
            steps.iter().enumerate().map(|(index, (picks, weight))| (after(index, picks), *weight)).collect()
        })
}

fn run(steps: &[(Vec<usize>, u32)], limit: u32, failing: Option<usize>) -> (Result<usize, Failure>, Seen) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut graph = Graph::new();
    for (index, (after, weight)) in steps.iter().enumerate() {
        let after: Vec<String> = after.iter().map(ToString::to_string).collect();
        let after: Vec<&str> = after.iter().map(String::as_str).collect();
        let shared = Arc::clone(&seen);
        let weight = *weight;
        graph.add_weighted(&index.to_string(), "test", "step", &after, weight, move |_| async move {
            {
                let mut seen = shared.lock().expect("no poisoned lock");
                if seen.failed {
                    seen.begun_after_failure = Some(index);
                }
                seen.begun.push(index);
                seen.weight += weight.min(limit);
                seen.most = seen.most.max(seen.weight);
            }
            tokio::task::yield_now().await;
            let mut seen = shared.lock().expect("no poisoned lock");
            seen.weight -= weight.min(limit);
            seen.ended.push(index);
            if failing == Some(index) {
                seen.failed = true;
                return Err(Failure::new(Kind::Unexpected, "as planned"));
            }
            Ok(Outcome::Unchanged)
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let result = runtime.block_on(graph.run(limit, &Progress::silent(), &CancellationToken::new()));
    let seen = Arc::try_unwrap(seen).ok().expect("every step has ended").into_inner().expect("no poisoned lock");
    (result.map(|summary| summary.steps.len()), seen)
}

proptest! {
    #[test]
    fn every_step_runs_once_in_order_and_within_the_limit(steps in steps(), limit in 1..4_u32) {
        let (result, seen) = run(&steps, limit, None);
        prop_assert_eq!(result.ok(), Some(steps.len()));
        let mut once = seen.begun.clone();
        once.sort_unstable();
        prop_assert_eq!(once, (0..steps.len()).collect::<Vec<_>>());
        prop_assert!(seen.most <= limit, "{} at once of {limit}", seen.most);
        let place = |list: &[usize], step: usize| list.iter().position(|&other| other == step);
        for (step, (after, _)) in steps.iter().enumerate() {
            for &before in after {
                prop_assert!(place(&seen.begun, before) < place(&seen.begun, step));
            }
        }
    }

    #[test]
    fn after_a_failure_only_what_ran_already_ends(steps in steps(), limit in 1..4_u32, failing in any::<prop::sample::Index>()) {
        let failing = failing.index(steps.len());
        let (result, seen) = run(&steps, limit, Some(failing));
        prop_assert_eq!(result.err().map(|failure| failure.lines()), Some(vec!["step".to_owned(), "as planned".to_owned()]));
        for (step, (after, _)) in steps.iter().enumerate() {
            if after.contains(&failing) {
                prop_assert!(!seen.begun.contains(&step), "{step} began although {failing} had failed");
            }
        }
    }
}
