//! `istiolab inject`.

use std::time::Duration;

use camino::Utf8PathBuf;

use super::Context;
use super::context::write;
use super::reach::Reach;
use crate::error::Failure;
use crate::mesh::inject::{Outcome, inject, remove};
use crate::objects::{self, Api};
use crate::plan::event::Progress;
use crate::yaml::stream;

/// How long istiod may take to answer, where `--timeout` says nothing.
const LIMIT: Duration = Duration::from_secs(30);

/// Inject proxies by hand into the objects of --file: YAML in, YAML out
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// More files or folders with objects, `-` for standard input
    #[arg(value_name = "OBJECTS")]
    objects: Vec<Utf8PathBuf>,
    /// Undo an injection
    #[arg(long)]
    remove: bool,
    /// The namespace of objects that name none
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,
    #[command(flatten)]
    reach: Reach,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let files = context.objects(&self.objects, "inject")?;
        let all = objects::load(&files)?;
        let outcome = if self.remove {
            remove(all)?
        } else {
            let api = Api::new(self.reach.client(context).await?);
            let limit = context.global.timeout.unwrap_or(LIMIT);
            let work = |progress: Progress| {
                let (api, namespace) = (&api, self.namespace.as_str());
                async move { Ok(inject(api, all, namespace, limit, &progress, &context.cancel).await?) }
            };
            context.report(None, work).await?
        };
        self.tell(context, outcome).await
    }

    async fn tell(&self, context: &Context, outcome: Outcome) -> Result<(), Failure> {
        let notes = outcome.notes;
        let tell = |progress: Progress| async move {
            for note in notes {
                progress.note(format!("{note}."));
            }
            Ok(())
        };
        context.report(None, tell).await?;
        write(&stream(outcome.objects.iter().map(|object| &object.document))?)
    }
}
