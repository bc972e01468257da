//! Report files while a run goes on: valid at every moment, and cheap.

use std::time::{Duration, Instant};

use super::tally::Tally;
use super::target::{Format, Target};
use super::{html, json, junit, messages};
use crate::error::Failure;

/// The least time between two writings of the files.
const PAUSE: Duration = Duration::from_millis(500);
/// Writing may take this part of a run: a long report is written less often.
const SHARE: u32 = 10;

/// The files that a run writes.
pub(super) struct Files {
    targets: Vec<Target>,
    /// Whether there is something that the files do not have.
    behind: bool,
    /// When they may be written next.
    next: Instant,
    /// The first failure; what follows is tried all the same.
    written: Result<(), Failure>,
}

impl Files {
    /// Writes the files for the first time, so that a path that can't be written is known at the begin.
    pub(super) fn begin(targets: Vec<Target>, tally: &Tally) -> Self {
        let mut files = Self { targets, behind: true, next: Instant::now(), written: Ok(()) };
        files.tick(tally);
        files
    }

    /// Something happened that the files should have soon.
    pub(super) fn outdated(&mut self) {
        self.behind = true;
    }

    /// Writes the files if they lack something and it is time.
    pub(super) fn tick(&mut self, tally: &Tally) {
        let begin = Instant::now();
        if !self.behind || self.targets.is_empty() || begin < self.next {
            return;
        }
        self.write(tally);
        self.next = begin + PAUSE.max(begin.elapsed() * SHARE);
    }

    /// Writes the files for the last time.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub(super) fn finish(mut self, tally: &Tally) -> Result<(), Failure> {
        self.write(tally);
        self.written
    }

    fn write(&mut self, tally: &Tally) {
        for target in &self.targets {
            let result = render(target.format, tally).and_then(|text| target.write(&text));
            if self.written.is_ok() {
                self.written = result;
            }
        }
        self.behind = false;
    }
}

fn render(format: Format, tally: &Tally) -> Result<String, Failure> {
    Ok(match format {
        Format::Json => json::render(tally),
        Format::Html => html::render(tally),
        Format::Messages => messages::render(tally),
        Format::Junit => junit::render(tally)?,
    })
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn files_are_written_at_the_begin_now_and_then_and_at_the_end() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = Utf8PathBuf::from_path_buf(dir.path().join("run.json")).expect("its path is UTF-8");
        let gone = || !path.exists() || fs_err::remove_file(&path).is_err();
        let tally = Tally::new(None);
        let mut files = Files::begin(vec![Target { format: Format::Json, path: path.clone() }], &tally);
        assert!(!gone(), "written at the begin");
        for _ in 0..1000 {
            files.outdated();
            files.tick(&tally);
        }
        assert!(gone(), "many events in a moment are no reason to write again");
        std::thread::sleep(PAUSE);
        files.tick(&tally);
        assert!(!gone(), "they are after a while");
        std::thread::sleep(PAUSE);
        files.tick(&tally);
        assert!(gone(), "without news nothing is written");
        files.finish(&tally).expect("it can be written");
        assert!(!gone(), "written at the end");
    }
}
