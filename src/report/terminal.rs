//! The terminal: lines for what ended, spinners for what runs (only where someone looks), the failures
//! of scenarios in full, and at the end a table of phases. All of it goes to standard error.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::style::Style;
use super::tally::Tally;
use super::text::{counted, reason, seconds, totals, tries};
use crate::plan::event::{Event, Outcome, What};
use crate::verify::record::{Scenario, Status};

/// How long a step may be silent where there are no spinners.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// How many objects that a step waits for have a line of their own where lines are repainted.
const OBJECT_LINES: usize = 4;
/// How many of the slowest objects are shown at the end.
const SLOWEST: usize = 5;

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings, failures and totals.
    Quiet,
    /// Also each step and scenario.
    #[default]
    Normal,
    /// Also every status and detail.
    Verbose,
}

/// A report for people.
pub struct Terminal {
    out: Out,
    style: Style,
    verbosity: Verbosity,
    running: BTreeMap<String, Running>,
}

/// A step that runs.
struct Running {
    title: String,
    status: String,
    since: Instant,
    /// When a sign of life was last given.
    told: Instant,
    spinner: Option<ProgressBar>,
    /// What it waits for: each object with its state, and since when.
    objects: BTreeMap<String, (String, Instant)>,
    /// Lines for some of them, below the spinner.
    lines: Vec<ProgressBar>,
}

impl Running {
    /// Gives the first of the objects that are waited for a line below the spinner. The one that the
    /// status names needs none.
    fn repaint(&mut self, multi: &MultiProgress) {
        let Some(spinner) = &self.spinner else { return };
        let others = self.objects.iter().filter(|(object, _)| !self.status.contains(object.as_str()));
        let texts = others
            .take(OBJECT_LINES)
            .map(|(object, (state, since))| format!("    {object}: {state} ({})", seconds(since.elapsed())));
        let texts: Vec<String> = texts.collect();
        while self.lines.len() > texts.len() {
            self.lines.pop().iter().for_each(ProgressBar::finish_and_clear);
        }
        while self.lines.len() < texts.len() {
            let line = multi.insert_after(self.lines.last().unwrap_or(spinner), ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{wide_msg:.dim}") {
                line.set_style(style);
            }
            self.lines.push(line);
        }
        self.lines.iter().zip(texts).for_each(|(line, text)| line.set_message(text));
    }

    fn clear(&self) {
        self.lines.iter().chain(&self.spinner).for_each(ProgressBar::finish_and_clear);
    }
}

enum Out {
    /// A terminal that can be repainted.
    Live(MultiProgress),
    /// A file, a pipe, or the log of a CI job.
    Plain(Box<dyn Write + Send>),
}

impl Terminal {
    /// Repaints spinners on standard error, which must be a terminal.
    #[must_use]
    pub fn live(color: bool, verbosity: Verbosity) -> Self {
        Self::with(Out::Live(MultiProgress::new()), color, verbosity)
    }

    /// Writes line after line to `out`.
    #[must_use]
    pub fn plain(out: Box<dyn Write + Send>, color: bool, verbosity: Verbosity) -> Self {
        Self::with(Out::Plain(out), color, verbosity)
    }

    fn with(out: Out, color: bool, verbosity: Verbosity) -> Self {
        Self { out, style: Style { color }, verbosity, running: BTreeMap::new() }
    }

    /// Shows an event; `tally` has taken it in.
    pub(super) fn event(&mut self, event: &Event, tally: &Tally) {
        let id = event.step.as_deref().unwrap_or_default();
        match &event.what {
            What::StepStarted { title, .. } => self.started(id, title),
            What::Status { text } => self.status(id, text),
            What::Object { object, state, ready, elapsed } => self.object(id, object, state, *ready, *elapsed),
            What::Note { text } => self.line(Verbosity::Normal, text),
            What::Warning { text } => {
                let line = format!("{} {text}", self.style.yellow("warning:"));
                self.line(Verbosity::Quiet, &line);
            }
            What::Detail { text } => {
                let line = self.style.dim(text);
                self.line(Verbosity::Verbose, &line);
            }
            What::StepFinished { outcome, elapsed } => {
                if let Some(running) = self.running.remove(id) {
                    running.clear();
                }
                if let Some(step) = tally.step(event) {
                    self.finished(&step.title, outcome, *elapsed);
                }
            }
            What::Scenario(scenario) => self.scenario(scenario),
            What::Image { name, digest } => self.line(Verbosity::Verbose, &format!("{name} is {digest}")),
            What::Mesh(_) | What::Ended { .. } => {}
        }
    }

    /// Repaints, or gives a sign of life where nothing can be repainted.
    pub(super) fn tick(&mut self) {
        let mut lines = Vec::new();
        for running in self.running.values_mut() {
            if let (Some(spinner), Out::Live(multi)) = (&running.spinner, &self.out) {
                spinner.set_message(message(running));
                spinner.tick();
                running.repaint(multi);
            } else if running.told.elapsed() >= SIGN_OF_LIFE {
                running.told = Instant::now();
                lines.push(format!("… {}", message(running)));
            }
        }
        for line in lines {
            self.line(Verbosity::Normal, &line);
        }
    }

    /// The table of phases and the totals.
    pub(super) fn finish(&mut self, tally: &Tally) {
        std::mem::take(&mut self.running).values().for_each(Running::clear);
        let phases = tally.phases();
        if !phases.is_empty() {
            let width = phases.iter().map(|phase| phase.name.chars().count()).max().unwrap_or_default().max(5);
            let head = format!("{:width$}  {:>8}  {:>8}  {:>8}  steps  changed", "phase", "from", "to", "seconds");
            self.line(Verbosity::Normal, "");
            let head = self.style.dim(&head);
            self.line(Verbosity::Normal, &head);
            for phase in phases {
                let failed = if phase.failed == 0 { String::new() } else { format!("  {} failed", phase.failed) };
                self.line(
                    Verbosity::Normal,
                    &format!(
                        "{:width$}  {:>8.1}  {:>8.1}  {:>8.1}  {:>5}  {:>7}{failed}",
                        phase.name,
                        phase.from.as_secs_f64(),
                        phase.to.as_secs_f64(),
                        phase.to.saturating_sub(phase.from).as_secs_f64(),
                        phase.steps,
                        phase.changed,
                    ),
                );
            }
            let total = tally.elapsed().as_secs_f64();
            self.line(Verbosity::Normal, &format!("{:width$}  {:>8}  {:>8}  {total:>8.1}", "total", "", ""));
        }
        self.slowest(tally);
        if !tally.scenarios.is_empty() {
            let line = format!("{}: {}", counted(tally.scenarios.len(), "scenario"), totals(tally));
            let line = match (tally.count(Status::Failed), tally.count(Status::Flaky)) {
                (0, 0) => self.style.green(&line),
                (0, _) => self.style.yellow(&line),
                _ => self.style.red(&line),
            };
            self.line(Verbosity::Quiet, &line);
        }
    }

    /// What took longest to become ready.
    fn slowest(&mut self, tally: &Tally) {
        let shown = &tally.slowest[..tally.slowest.len().min(SLOWEST)];
        let Some(width) = shown.iter().map(|slow| slow.object.chars().count()).max() else { return };
        let width = width.max(15);
        self.line(Verbosity::Normal, "");
        let head = self.style.dim(&format!("{:width$}  {:>8}  last missing", "slowest objects", "seconds"));
        self.line(Verbosity::Normal, &head);
        for slow in shown {
            let seconds = slow.elapsed.as_secs_f64();
            let line = format!("{:width$}  {seconds:>8.1}  {}", slow.object, slow.state);
            self.line(Verbosity::Normal, line.trim_end());
        }
    }

    fn object(&mut self, id: &str, object: &str, state: &str, ready: bool, elapsed: Duration) {
        let Some(running) = self.running.get_mut(id) else { return };
        let known = running.objects.contains_key(object);
        if ready {
            running.objects.remove(object);
        } else {
            let since = Instant::now().checked_sub(elapsed).unwrap_or_else(Instant::now);
            running.objects.insert(object.to_owned(), (state.to_owned(), since));
        }
        // What was ready when it was first looked at is no news.
        if known || !ready {
            let line = format!("  {object}: {} ({})", if ready { "ready" } else { state }, seconds(elapsed));
            let line = self.style.dim(&line);
            self.line(Verbosity::Verbose, &line);
        }
    }

    fn started(&mut self, id: &str, title: &str) {
        let spinner = match &self.out {
            Out::Live(multi) if self.verbosity > Verbosity::Quiet => {
                let spinner = multi.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                    spinner.set_style(style);
                }
                spinner.set_message(title.to_owned());
                Some(spinner)
            }
            Out::Live(_) | Out::Plain(_) => None,
        };
        if spinner.is_none() {
            self.line(Verbosity::Verbose, &format!("· {title}"));
        }
        let now = Instant::now();
        let running = Running {
            title: title.to_owned(),
            status: String::new(),
            since: now,
            told: now,
            spinner,
            objects: BTreeMap::new(),
            lines: Vec::new(),
        };
        self.running.insert(id.to_owned(), running);
    }

    fn status(&mut self, id: &str, text: &str) {
        let mut line = None;
        if let Some(running) = self.running.get_mut(id) {
            if running.status != text {
                text.clone_into(&mut running.status);
                line = Some(format!("  {}: {text}", running.title));
            }
            if let Some(spinner) = &running.spinner {
                spinner.set_message(message(running));
                line = None;
            }
        }
        if let Some(line) = line {
            let line = self.style.dim(&line);
            self.line(Verbosity::Verbose, &line);
        }
    }

    fn finished(&mut self, title: &str, outcome: &Outcome, elapsed: Duration) {
        let time = self.style.dim(&format!("({})", seconds(elapsed)));
        let (level, line) = match outcome {
            Outcome::Done { what } if what.is_empty() => {
                (Verbosity::Normal, format!("{} {title} {time}", self.style.green("✓")))
            }
            Outcome::Done { what } => (Verbosity::Normal, format!("{} {title}: {what} {time}", self.style.green("✓"))),
            Outcome::Unchanged => (Verbosity::Normal, format!("{} {title} {time}", self.style.green("✓"))),
            Outcome::Failed { error } => (Verbosity::Quiet, format!("{} {title}: {error} {time}", self.style.red("✗"))),
            Outcome::Cancelled => (Verbosity::Normal, format!("{} {title}: stopped", self.style.yellow("-"))),
        };
        self.line(level, &line);
    }

    fn scenario(&mut self, scenario: &Scenario) {
        let time = self.style.dim(&format!("({})", seconds(scenario.elapsed)));
        let name = format!("{}: {}", scenario.feature, scenario.name);
        match scenario.status {
            Status::Passed => {
                let line = format!("{} {name} {time}", self.style.green("✓"));
                self.line(Verbosity::Normal, &line);
            }
            Status::Skipped => {
                let line = format!("{} {name}: skipped", self.style.yellow("-"));
                self.line(Verbosity::Normal, &line);
                self.indented(Verbosity::Normal, &reason(scenario));
            }
            Status::Failed => {
                let line = format!("{} {name} {time}", self.style.red("✗"));
                self.line(Verbosity::Quiet, &line);
                self.indented(Verbosity::Quiet, &format!("{}:{}", scenario.file, scenario.line));
                self.indented(Verbosity::Quiet, &reason(scenario));
                self.tries(scenario);
            }
            Status::Flaky => {
                let line = format!("{} {name} {time}, at try {}", self.style.yellow("~"), scenario.tries.len() + 1);
                self.line(Verbosity::Quiet, &line);
                self.indented(Verbosity::Quiet, &format!("{}:{}", scenario.file, scenario.line));
                self.tries(scenario);
            }
        }
    }

    /// The tries that failed before.
    fn tries(&mut self, scenario: &Scenario) {
        for (heading, tried) in tries(scenario) {
            self.indented(Verbosity::Quiet, &format!("{heading}:"));
            for line in tried.error.lines() {
                self.indented(Verbosity::Quiet, &format!("  {line}"));
            }
        }
    }

    fn indented(&mut self, level: Verbosity, text: &str) {
        for line in text.lines() {
            self.line(level, &format!("    {line}"));
        }
    }

    fn line(&mut self, level: Verbosity, text: &str) {
        if level > self.verbosity {
            return;
        }
        // A terminal that is gone is no reason to stop the run.
        match &mut self.out {
            Out::Live(multi) => multi.suspend(|| drop(writeln!(std::io::stderr().lock(), "{text}"))),
            Out::Plain(out) => drop(writeln!(out, "{text}")),
        }
    }
}

fn message(running: &Running) -> String {
    let time = seconds(running.since.elapsed());
    if running.status.is_empty() {
        format!("{} ({time})", running.title)
    } else {
        format!("{}: {} ({time})", running.title, running.status)
    }
}
