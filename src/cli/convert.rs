//! `istiolab convert`.

use camino::Utf8PathBuf;
use serde_json::{Value, json};

use super::context::write;
use super::reach::Reach;
use super::{Context, Output};
use crate::error::Failure;
use crate::objects::convert::{Conversion, Release, Target, convert_all};
use crate::objects::{self, Api};
use crate::plan::event::Progress;
use crate::yaml::stream;

/// Convert the objects of --file to API versions that a cluster serves: YAML in, YAML out
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// More files or folders with objects, `-` for standard input
    #[arg(value_name = "OBJECTS")]
    objects: Vec<Utf8PathBuf>,
    /// Convert for this release of Kubernetes, such as 1.34, instead of asking a cluster
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["lab", "context"])]
    to: Option<Release>,
    #[command(flatten)]
    reach: Reach,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let files = context.objects(&self.objects, "convert")?;
        let (all, repeats) = objects::load_with_repeats(&files)?;
        let work = |progress: Progress| {
            let (all, this) = (&all, &self);
            async move {
                let target = match this.to {
                    Some(release) => Target::Release(release),
                    None => this.cluster(context).await.map_err(|failure| {
                        failure.hint("Or name a release of Kubernetes instead of a cluster: --to 1.34.")
                    })?,
                };
                for repeat in repeats {
                    progress.warn(format!("{repeat}: the last one counts, as for kubectl."));
                }
                let done = convert_all(all, &target)?;
                tell(&progress, done.iter().map(|(_, conversion)| conversion.as_ref()));
                Ok(done.into_iter().map(|(object, _)| object.into_owned().document).collect::<Vec<_>>())
            }
        };
        let documents = context.report(None, work).await?;
        match context.global.output {
            Output::Text => write(&stream(&documents)?),
            Output::Json => context.print(&one(documents), ""),
        }
    }

    async fn cluster(&self, context: &Context) -> Result<Target, Failure> {
        Ok(Api::new(self.reach.client(context).await?).target().await?)
    }
}

/// Says what was done, and what is lost by it.
fn tell<'a>(progress: &Progress, conversions: impl Iterator<Item = Option<&'a Conversion>>) {
    let (mut all, mut converted) = (0, 0);
    for conversion in conversions {
        all += 1;
        converted += usize::from(conversion.is_some());
        conversion.iter().flat_map(|conversion| conversion.lines()).for_each(|line| progress.note(line));
    }
    progress.note(format!(
        "{converted} of {all} converted. The files are as they were; their comments are not in what is printed."
    ));
}

/// One JSON document: the object, or a list of them as kubectl writes it.
fn one(mut documents: Vec<Value>) -> Value {
    if documents.len() == 1 {
        return documents.remove(0);
    }
    json!({"apiVersion": "v1", "kind": "List", "items": documents})
}
