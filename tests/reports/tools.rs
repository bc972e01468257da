//! Programs that read reports, and where they are.

use std::time::Duration;

use camino::Utf8PathBuf;
use istiolab::process::Command;
use tokio_util::sync::CancellationToken;

use crate::run;
use crate::skipped::skipped;

/// The folder that `tools.sh` fills.
const TOOLS: &str = "ISTIOLAB_TEST_REPORT_TOOLS";
/// How long a program may take to judge a file.
const LIMIT: Duration = Duration::from_mins(2);

/// Has a script of this folder judge report files of [`run`]; each file is one call.
pub(crate) async fn check(test: &str, script: &str, files: &[&str]) {
    let Some(tools) = tools(test) else { return };
    let here = Utf8PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reports"));
    let reports = run::written().await;
    for file in files {
        let judge = Command::new("python3").args([&here.join(script), &tools, &reports.join(file)]).limit(LIMIT);
        if let Err(error) = judge.run(&CancellationToken::new()).await {
            panic!("{error}");
        }
    }
}

/// The folder with the programs, or `None` where there is none: then the test is skipped, which is
/// said and is an error in CI.
fn tools(test: &str) -> Option<Utf8PathBuf> {
    let folder = std::env::var(TOOLS).ok().map(Utf8PathBuf::from);
    if folder.is_none() {
        skipped(test, &format!("{TOOLS} names no folder that tests/reports/tools.sh has filled"));
    }
    folder
}
