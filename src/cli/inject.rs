//! `istiolab inject`.

use std::fmt::Write as _;
use std::time::Duration;

use camino::Utf8PathBuf;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::Context;
use super::context::{quick_start, write};
use crate::error::{Failure, Kind};
use crate::mesh::inject::{Outcome, inject, remove};
use crate::objects::{self, Api};
use crate::plan::event::Progress;
use crate::{cluster, spec, yaml};

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
    /// The kubeconfig of the cluster whose mesh injects [default: that of the lab]
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: Option<Utf8PathBuf>,
    /// The lab whose mesh injects [default: scenarios/quickstart.yaml here or above]
    #[arg(long, value_name = "FILE", conflicts_with = "kubeconfig")]
    lab: Option<Utf8PathBuf>,
    /// The context in the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let files: Vec<_> = context.global.file.iter().chain(&self.objects).cloned().collect();
        if files.is_empty() {
            return Err(Failure::new(Kind::Usage, "no objects to inject").hint("Name a file with -f FILE, or `-f -`."));
        }
        let all = objects::load(&files)?;
        let outcome = if self.remove {
            remove(all)?
        } else {
            let api = Api::new(self.client(context).await?);
            let limit = context.global.timeout.unwrap_or(LIMIT);
            let work = |progress: Progress| {
                let (api, namespace) = (&api, self.namespace.as_str());
                async move { Ok(inject(api, all, namespace, limit, &progress, &context.cancel).await?) }
            };
            context.report(None, work).await?
        };
        self.tell(context, outcome).await
    }

    async fn client(&self, context: &Context) -> Result<kube::Client, Failure> {
        let file = match (&self.kubeconfig, &self.lab) {
            (Some(file), _) => file.clone(),
            (None, lab) => {
                let file = lab.clone().map_or_else(quick_start, Ok)?;
                context.paths.lab(&spec::load(&file)?.name).join("kubeconfig")
            }
        };
        let Some(name) = &self.context else { return Ok(cluster::client(&file).await?) };
        let unusable = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::new(Kind::Usage, error).context(format!("using the context `{name}` of {file}"))
        };
        let kubeconfig = Kubeconfig::read_from(&file).map_err(|error| unusable(error.into()))?;
        let options = KubeConfigOptions { context: Some(name.clone()), ..KubeConfigOptions::default() };
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
        kube::Client::try_from(config.map_err(|error| unusable(error.into()))?).map_err(|error| unusable(error.into()))
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
        let mut text = String::new();
        for (index, object) in outcome.objects.iter().enumerate() {
            let separator = if index == 0 { "" } else { "---\n" };
            // Writing to a string can't fail.
            let _ = write!(text, "{separator}{}", yaml::to_string(&object.document)?);
        }
        write(&text)
    }
}
