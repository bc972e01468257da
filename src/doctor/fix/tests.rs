use std::sync::Mutex;

use super::super::{Check, Status};
use super::*;

/// A machine that is mended by the right commands.
#[derive(Default)]
struct Fake {
    ran: Mutex<Vec<String>>,
    stubborn: bool,
    failing: bool,
}

impl Fake {
    fn did(&self, line: &str) -> bool {
        self.ran.lock().expect("no poisoned lock").iter().any(|ran| ran == line)
    }
}

fn broken(name: &str, commands: &[&str], automatic: bool) -> Check {
    let remedy = Remedy {
        what: format!("mend {name}"),
        commands: commands.iter().map(|&line| line.to_owned()).collect(),
        automatic,
    };
    Check { name: name.to_owned(), status: Status::Fail, found: "broken".to_owned(), remedy: Some(remedy) }
}

impl Machine for Fake {
    async fn examine(&self) -> Report {
        let mut checks = Vec::new();
        if self.stubborn || !self.did("start dockerd") {
            checks.push(broken("engine", &["install dockerd", "start dockerd"], true));
        } else if !self.did("raise") {
            // Seen only once the engine answers.
            checks.push(broken("inotify", &["raise"], true));
        }
        checks.push(broken("go", &["visit the page"], false));
        Report { checks }
    }

    async fn run(&self, line: &str) -> Result<(), Failure> {
        if self.failing {
            return Err(Failure::new(Kind::Unexpected, "no network"));
        }
        self.ran.lock().expect("no poisoned lock").push(line.to_owned());
        Ok(())
    }

    async fn settle(&self) {}
}

async fn mend(machine: &Fake, agree: impl FnMut(&Remedy) -> bool) -> Result<Report, Failure> {
    fix(machine, &Progress::silent(), &CancellationToken::new(), agree).await
}

#[tokio::test]
async fn what_appears_after_one_remedy_is_mended_too_and_by_hand_is_left() {
    let machine = Fake::default();
    let report = mend(&machine, |_| true).await.expect("all commands work");
    assert_eq!(*machine.ran.lock().expect("no poisoned lock"), ["install dockerd", "start dockerd", "raise"]);
    assert_eq!(report.checks.len(), 1);
    assert!(!report.healthy());
}

#[tokio::test]
async fn a_second_run_does_nothing() {
    let machine = Fake::default();
    mend(&machine, |_| true).await.expect("all commands work");
    let before = machine.ran.lock().expect("no poisoned lock").len();
    mend(&machine, |_| panic!("nothing is left to agree to")).await.expect("nothing to do");
    assert_eq!(machine.ran.lock().expect("no poisoned lock").len(), before);
}

#[tokio::test]
async fn a_remedy_that_does_not_help_is_not_repeated() {
    let machine = Fake { stubborn: true, ..Fake::default() };
    let report = mend(&machine, |_| true).await.expect("all commands work");
    assert_eq!(machine.ran.lock().expect("no poisoned lock").len(), 2);
    assert!(!report.healthy());
}

#[tokio::test]
async fn nothing_runs_without_consent() {
    let machine = Fake::default();
    let mut asked = 0;
    mend(&machine, |_| {
        asked += 1;
        false
    })
    .await
    .expect("nothing runs");
    assert_eq!(asked, 1, "asked once, not again");
    assert!(machine.ran.lock().expect("no poisoned lock").is_empty());
}

#[tokio::test]
async fn a_failed_command_says_what_it_was_for() {
    let machine = Fake { failing: true, ..Fake::default() };
    let failure = mend(&machine, |_| true).await.expect_err("no command works");
    assert_eq!(failure.kind, Kind::Unavailable);
    assert_eq!(failure.lines(), ["could not mend engine", "no network"]);
    assert!(failure.hints[0].contains("log"));
}
