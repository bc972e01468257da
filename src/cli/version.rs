//! `istiolab version`.

use serde_json::json;

use super::Context;
use crate::error::Failure;
use crate::spec;

/// Print the version
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let Self {} = self;
        let version = env!("CARGO_PKG_VERSION");
        let data = json!({"version": version, "labApiVersion": spec::API_VERSION});
        context.print(&data, format!("istiolab {version}"))
    }
}
