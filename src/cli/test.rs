//! `istiolab test`.

use super::Context;
use crate::error::{Failure, Kind};

/// Run the lab's scenarios
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

impl Args {
    #[expect(clippy::unused_async, reason = "its work is to come")]
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self {} = self;
        let lab = context.lab()?;
        Err(Failure::new(Kind::Unexpected, format!("`test` of `{}` is not there yet", lab.name)))
    }
}
