//! `istiolab completion`.

use clap_complete::Shell;

use super::Context;
use super::context::write;
use crate::error::{Failure, Kind};

/// Print a script that completes istiolab's command line
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell to complete in
    shell: Shell,
}

impl Args {
    pub(super) fn run(self, _: &Context) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "istiolab", &mut script);
        let script = String::from_utf8(script).map_err(|error| Failure::new(Kind::Unexpected, error))?;
        write(&script)
    }
}
