//! `istiolab down`.

use super::Context;
use crate::error::{Failure, Kind};

/// Take the lab down: exactly what `up` made
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

impl Args {
    #[expect(clippy::unused_async, reason = "its work is to come")]
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self {} = self;
        let lab = context.lab()?;
        Err(Failure::new(Kind::Unexpected, format!("`down` of `{}` is not there yet", lab.name)))
    }
}
