//! `istiolab schema`.

use super::Context;
use super::context::write;
use crate::error::{Failure, Kind};
use crate::spec;

/// Print the JSON Schema of lab files
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

impl Args {
    pub(super) fn run(self, _: &Context) -> Result<(), Failure> {
        let Self {} = self;
        // A schema has one form, whatever `-o` says.
        let text =
            serde_json::to_string_pretty(&spec::schema()).map_err(|error| Failure::new(Kind::Unexpected, error))?;
        write(&text)
    }
}
