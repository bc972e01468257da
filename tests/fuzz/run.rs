//! Running a target.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::mutate::{Random, Words, mutated};

/// An input that takes longer is a failure.
const SLOW: Duration = Duration::from_secs(1);
/// One that takes longer than this is not waited for.
const HANGS: Duration = Duration::from_secs(10);
/// The most memory that the process may ever have, in kB.
const MOST_MEMORY: u64 = 512 * 1024;
/// The most inputs that are kept for being changed further.
const MOST_KEPT: usize = 1000;

/// The input that is being read, and since when.
type Current = Arc<Mutex<(Instant, Vec<u8>)>>;

#[derive(Default)]
struct Counts {
    inputs: u64,
    accepted: u64,
    kept: usize,
}

/// Gives `target` changed `seeds` until the time is over. It returns what it found wrong with an input; inputs that
/// are refused for a new reason, or accepted, are changed further. Its panics are failures.
pub(crate) fn fuzz(
    name: &str,
    seeds: &[Vec<u8>],
    words: &Words,
    target: impl FnMut(&[u8]) -> Result<(), String> + Send,
) {
    let seconds = std::env::var("ISTIOLAB_FUZZ_SECONDS").map_or(2, |text| text.parse().expect("a number of seconds"));
    let current: Current = Arc::new(Mutex::new((Instant::now(), Vec::new())));
    let counts = std::thread::scope(|scope| {
        let shared = Arc::clone(&current);
        let worker = scope.spawn(move || work(Duration::from_secs(seconds), seeds, words, target, &shared));
        while !worker.is_finished() {
            std::thread::sleep(Duration::from_millis(50));
            let (since, input) = &*lock(&current);
            if since.elapsed() > HANGS && !worker.is_finished() {
                // The thread can't be stopped: the whole process ends.
                tell(&format!("fuzz {name}: it hangs on {}", input.escape_ascii()));
                std::process::abort();
            }
        }
        worker.join()
    });
    let Ok(counts) = counts else { panic!("{name}: it panics on {}", lock(&current).1.escape_ascii()) };
    let memory = most_memory();
    assert!(memory < MOST_MEMORY, "{name}: the process had {memory} kB");
    let Counts { inputs, accepted, kept } = counts;
    tell(&format!("fuzz {name}: {inputs} inputs, {accepted} of them accepted, {kept} kept, in {seconds} s"));
}

fn work(
    time: Duration,
    seeds: &[Vec<u8>],
    words: &Words,
    mut target: impl FnMut(&[u8]) -> Result<(), String>,
    current: &Current,
) -> Counts {
    for seed in seeds {
        assert_eq!(target(seed), Ok(()), "the seed {} is refused", seed.escape_ascii());
    }
    let mut inputs = seeds.to_vec();
    let mut reasons = HashSet::new();
    let mut random = Random::new(0x0015_7101_AB00_0000);
    let (begin, mut counts) = (Instant::now(), Counts::default());
    while begin.elapsed() < time {
        let input = mutated(&mut random, &inputs, seeds.len(), words);
        *lock(current) = (Instant::now(), input.clone());
        let before = Instant::now();
        let result = target(&input);
        if before.elapsed() > SLOW {
            // A busy machine may have been slow once.
            let again = Instant::now();
            drop(target(&input));
            assert!(again.elapsed() < SLOW, "it takes {:?}", again.elapsed());
        }
        counts.inputs += 1;
        counts.accepted += u64::from(result.is_ok());
        let new = match &result {
            Ok(()) => random.below(50) == 0,
            Err(why) => reasons.insert(reason(why)),
        };
        if new && inputs.len() < MOST_KEPT {
            inputs.push(input);
        }
    }
    counts.kept = inputs.len() - seeds.len();
    counts
}

/// Why an input was refused, without what belongs to this one alone: what is quoted, numbers.
fn reason(why: &str) -> u64 {
    let mut plain: String = why.split(['`', '"']).step_by(2).collect();
    plain.retain(|c| !c.is_ascii_digit());
    BuildHasherDefault::<DefaultHasher>::default().hash_one(plain.chars().take(80).collect::<String>())
}

fn lock(current: &Current) -> std::sync::MutexGuard<'_, (Instant, Vec<u8>)> {
    current.lock().expect("nobody panics while holding it")
}

/// The most memory that the process has had so far, in kB; none where the system doesn't say.
fn most_memory() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// Straight to the stream: the test harness would keep it to itself.
fn tell(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("standard error is open");
}
