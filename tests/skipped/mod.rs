//! What every tier says of a test that can't run.

use std::io::Write as _;

/// Says that a test can't run here, which is an error in CI.
pub(crate) fn skipped(test: &str, why: &str) {
    let reason = format!("SKIPPED {test}: {why}\n");
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    // Past the capture of output, which hides what tests that pass print.
    fs_err::OpenOptions::new()
        .append(true)
        .open("/dev/stderr")
        .and_then(|mut file| file.write_all(reason.as_bytes()))
        .expect("told");
}
