//! Doing a step: once, until it passes, or for as long as it must hold.

use std::any::Any;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use cucumber::gherkin;
use futures::FutureExt as _;

use super::leaks;
use super::look;
use super::record::Status;
use super::unmet::Unmet;
use super::vocabulary::{LIMIT, Matched, When};
use super::world::Scene;
use crate::observe::proxy::cut;

/// How far a try may run over the deadline of its check, so that the last one can end.
const GRACE: Duration = Duration::from_secs(2);
/// The pause after the first try and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));
/// How much of one try the time line shows.
const LINE: usize = 300;

/// Does the step and leaves it on the trail.
///
/// # Errors
/// Why it did not pass, as the trail has it.
pub(super) async fn perform(scene: &mut Scene, step: &gherkin::Step) -> Result<(), String> {
    let trail = scene.trail.clone();
    trail.begin(&step.keyword, scene.fill(&step.value), step.position.line);
    let matched = match scene.shared.vocabulary.find(&step.value) {
        Ok(matched) => matched,
        Err(unknown) => {
            trail.end(Status::Failed, Some(unknown.to_string()));
            return Err(unknown.to_string());
        }
    };
    scene.touched |= leaks::may_leave(&matched.entry);
    let cancel = scene.shared.cancel.clone();
    let (limit, end) = scene.limit;
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Unmet::Interrupted),
        outcome = AssertUnwindSafe(timed(scene, matched, step)).catch_unwind() => {
            outcome.unwrap_or_else(|panic| Err(Unmet::Never(format!("the step is faulty: {}", words(panic.as_ref())))))
        }
        () = tokio::time::sleep_until(end) => Err(Unmet::Never(overdue(limit, trail.last_seen().as_deref()))),
    };
    match outcome {
        Ok(()) => {
            trail.end(Status::Passed, None);
            Ok(())
        }
        Err(Unmet::Interrupted) => {
            trail.interrupt();
            trail.end(Status::Skipped, Some("interrupted".to_owned()));
            Err("interrupted".to_owned())
        }
        Err(unmet) => {
            let text = unmet.text();
            trail.end(Status::Failed, Some(text.clone()));
            Err(text)
        }
    }
}

/// Says that the scenario's time is over, what its step saw last, and what to do.
fn overdue(limit: Duration, seen: Option<&str>) -> String {
    let limit = humantime::format_duration(limit);
    let seen = seen.map_or_else(String::new, |seen| format!("; last seen: {seen}"));
    format!(
        "the scenario's {limit} were over during this step{seen}\ngive it more by a tag such as @deadline(10m), or all \
         scenarios by features.deadline in the lab file"
    )
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}

async fn timed(scene: &mut Scene, matched: Matched, step: &gherkin::Step) -> Result<(), Unmet> {
    let arguments = matched.arguments.with(step, |text| scene.fill(text));
    let run = matched.entry.run;
    match matched.when {
        When::Once(limit) => tokio::time::timeout(limit, run(scene, arguments)).await.unwrap_or_else(|_| {
            let last = scene.trail.last_seen().map_or_else(String::new, |seen| format!(": {seen}"));
            Err(Unmet::Never(format!("it did not end within {}{last}", humantime::format_duration(limit))))
        }),
        When::Eventually { within, times } => {
            let begin = Instant::now();
            let mut line = TimeLine::default();
            let mut pause = PAUSES.0;
            let mut passed = 0;
            loop {
                let left = within.saturating_sub(begin.elapsed()) + GRACE;
                scene.looks.clear();
                let tried = tokio::time::timeout(left, run(scene, arguments.clone()))
                    .await
                    .unwrap_or_else(|_| Err(Unmet::not_yet("the try did not end in time")));
                let unmet = match tried {
                    Ok(()) if passed + 1 == times => return Ok(()),
                    Ok(()) => {
                        passed += 1;
                        Unmet::not_yet(format!("it has passed {passed} of {times} times in a row"))
                    }
                    Err(unmet) => {
                        passed = 0;
                        unmet
                    }
                };
                let text = unmet.text();
                scene.trail.seen(&text);
                line.push(begin.elapsed(), &text);
                if unmet.is_final() {
                    return if line.tries > 1 { Err(Unmet::Never(format!("{text}{line}"))) } else { Err(unmet) };
                }
                let left = within.saturating_sub(begin.elapsed());
                if left.is_zero() {
                    let within = humantime::format_duration(within);
                    return Err(Unmet::Never(format!("not within {within}: {text}{line}")));
                }
                let looks = std::mem::take(&mut scene.looks);
                tokio::select! {
                    () = look::changed(looks) => {}
                    () = tokio::time::sleep(pause.min(left)) => {}
                }
                pause = (pause * 3 / 2).min(PAUSES.1);
            }
        }
        When::Consistently(during) => {
            let begin = Instant::now();
            loop {
                scene.looks.clear();
                let tried = tokio::time::timeout(LIMIT, run(scene, arguments.clone())).await;
                let at = begin.elapsed();
                tried.unwrap_or_else(|_| Err(Unmet::not_yet("the try did not end in time"))).map_err(|unmet| {
                    let during = humantime::format_duration(during);
                    Unmet::Never(format!("not for {during}: after {:.1} s {}", at.as_secs_f64(), unmet.text()))
                })?;
                let left = during.saturating_sub(at);
                if left.is_zero() {
                    return Ok(());
                }
                tokio::time::sleep(PAUSES.1.min(left)).await;
            }
        }
        When::Times(times) => {
            for number in 1..=times {
                scene.looks.clear();
                let tried = tokio::time::timeout(LIMIT, run(scene, arguments.clone())).await;
                tried.unwrap_or_else(|_| Err(Unmet::not_yet("the try did not end in time"))).map_err(|unmet| {
                    Unmet::Never(format!("not {times} times in a row: at time {number} {}", unmet.text()))
                })?;
                if number < times {
                    tokio::time::sleep(PAUSES.0).await;
                }
            }
            Ok(())
        }
    }
}

/// What the tries of a check saw, a line for each change.
#[derive(Debug, Default)]
struct TimeLine {
    tries: usize,
    lines: Vec<(Duration, usize, String)>,
}

impl TimeLine {
    fn push(&mut self, at: Duration, text: &str) {
        self.tries += 1;
        let text = cut(&text.replace('\n', " "), LINE);
        match self.lines.last_mut() {
            Some((_, times, last)) if *last == text => *times += 1,
            _ => self.lines.push((at, 1, text)),
        }
    }
}

impl std::fmt::Display for TimeLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = format!("\ntime line of {} tries:", self.tries);
        let hidden = self.lines.len().saturating_sub(12);
        for (index, (at, times, seen)) in self.lines.iter().enumerate() {
            if hidden > 0 && index == 2 {
                // Writing to a string can't fail.
                let _ = write!(text, "\n  … {hidden} more");
            }
            if index >= 2 && index < 2 + hidden {
                continue;
            }
            let again = if *times > 1 { format!(" ({times} times)") } else { String::new() };
            let _ = write!(text, "\n  at {:.1} s{again}: {seen}", at.as_secs_f64());
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_line_shows_changes_and_counts_the_rest() {
        let mut line = TimeLine::default();
        for (tenths, text) in [(0, "1 of 2"), (1, "1 of 2"), (25, "none\nof 2")] {
            line.push(Duration::from_millis(tenths * 100), text);
        }
        assert_eq!(line.to_string(), "\ntime line of 3 tries:\n  at 0.0 s (2 times): 1 of 2\n  at 2.5 s: none of 2");
    }

    #[test]
    fn a_long_time_line_shows_its_begin_and_end() {
        let mut line = TimeLine::default();
        for number in 0..20 {
            line.push(Duration::from_secs(number), &number.to_string());
        }
        let text = line.to_string();
        assert!(text.contains("at 1.0 s: 1\n  … 8 more\n  at 10.0 s: 10\n"), "{text}");
        assert!(text.ends_with("at 19.0 s: 19"), "{text}");
    }
}
