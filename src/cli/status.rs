//! `istiolab status`.

use super::Context;
use crate::error::Failure;
use crate::lab;

/// Show how the lab stands; changes nothing
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self {} = self;
        let lab = context.lab()?;
        let docker = lab::site::engine().await?;
        let status = lab::status::status(&docker, &lab, &context.paths.lab(&lab.name)).await?;
        context.print(&status, &status)
    }
}
