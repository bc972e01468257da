//! Which cluster a verb talks to: that of a kubeconfig, or that of a lab.

use camino::Utf8PathBuf;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::Context;
use super::context::quick_start;
use crate::error::{Failure, Kind};
use crate::{cluster, spec};

/// Which cluster is meant.
#[derive(Debug, clap::Args)]
pub(super) struct Reach {
    /// The kubeconfig of the cluster [default: that of the lab]
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: Option<Utf8PathBuf>,
    /// The lab whose cluster it is [default: scenarios/quickstart.yaml here or above]
    #[arg(long, value_name = "FILE", conflicts_with = "kubeconfig")]
    lab: Option<Utf8PathBuf>,
    /// The context in the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl Reach {
    /// A client of the cluster that is meant. Asks it nothing yet.
    ///
    /// # Errors
    /// There is no such lab, kubeconfig or context.
    pub(super) async fn client(&self, context: &Context) -> Result<kube::Client, Failure> {
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
}
