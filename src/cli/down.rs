//! `istiolab down`.

use super::Context;
use crate::error::Failure;
use crate::lab;
use crate::plan::event::Outcome;
use crate::plan::graph::Graph;

/// Take the lab down: cluster, registry and state go; built images stay in the cache
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self {} = self;
        let lab = context.lab()?;
        let folder = context.paths.lab(&lab.name);
        let work = |progress| async move {
            let docker = lab::site::engine().await?;
            let mut graph = Graph::new();
            let title = format!("taking down the lab `{}`", lab.name);
            graph.add("down", "down", &title, &[], move |context| async move {
                let removed = lab::down::down(&docker, &lab, &folder, &context.progress).await?;
                Ok(if removed { Outcome::done("") } else { Outcome::Unchanged })
            });
            graph.run(1, &progress, &context.cancel).await
        };
        context.report(None, work).await.map(drop)
    }
}
