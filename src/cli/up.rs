//! `istiolab up`.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::Context;
use super::collect::Rescue;
use crate::error::{Failure, Kind};
use crate::images::bundle::Stack;
use crate::lab::site::{Bundles, Site, Supply};
use crate::lab::up::{Options, up};
use crate::lab::{gate, lock, plan};
use crate::plan::event::{Progress, What};
use crate::spec::Lab;

/// How long a step may take, where `--timeout` does not bound the whole.
const STEP_LIMIT: Duration = Duration::from_mins(5);

/// Bring the lab up; on a lab that is up, change nothing
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    making: Making,
    #[command(flatten)]
    rescue: Rescue,
}

/// How a lab is made; shared with `run`.
#[derive(Debug, clap::Args)]
pub(super) struct Making {
    /// Replace what can't be changed in place: the cluster, if it was made differently or lost nodes, with all
    /// that is in it; the lab's objects, if fields differ that can't be changed
    #[arg(long)]
    recreate: bool,
    /// Fetch nothing: what is not here or in a bundle is refused, and nodes that ask others than the lab's
    /// registry for images make the run fail
    #[arg(long)]
    offline: bool,
    /// Refuse unless images.lock says what every image is, and what was built is that
    #[arg(long)]
    frozen: bool,
    /// Make the lab of what is in this bundle (`istiolab images bundle`) alone; again for the older bundles that
    /// it builds upon
    #[arg(long, value_name = "BUNDLE")]
    bundle: Vec<Utf8PathBuf>,
}

/// What a caller needs to use a lab.
#[derive(Debug, Serialize)]
struct Access {
    lab: String,
    kubeconfig: String,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let lab = context.lab()?;
        let (making, made) = (self.making, &lab);
        let work = |progress| async move { making.make(made, context, &progress).await };
        self.rescue.report(&lab, context, |()| Ok(()), work).await?;
        let kubeconfig = context.paths.lab(&lab.name).join("kubeconfig").into_string();
        let text = format!("export KUBECONFIG={kubeconfig}");
        context.print(&Access { lab: lab.name, kubeconfig }, text)
    }
}

impl Making {
    /// Builds what is missing and brings the lab up.
    pub(super) async fn make(&self, lab: &Lab, context: &Context, progress: &Progress) -> Result<(), Failure> {
        let site = Arc::new(Site::open(lab.clone(), &context.paths, context.access())?);
        plan::check(&site, &context.cancel).await?;
        let supply = match (self.bundle.as_slice(), self.offline) {
            ([], true) => Supply::Here,
            ([], false) => Supply::Open,
            (bundles, _) => {
                let stack = Stack::open(bundles)?;
                stack.complete()?;
                Supply::Given(Bundles { content: Arc::new(stack), files: absolute(bundles)?, program: program()? })
            }
        };
        let stock = site.stock(&supply, progress, &context.cancel).await?;
        if self.frozen {
            lock::frozen(&site, &lock::beside(&site), progress, &context.cancel).await?;
        }
        for (name, digest) in &stock.images {
            progress.emit(What::Image { name: name.clone(), digest: digest.to_string() });
        }
        let limit = context.global.timeout.unwrap_or(STEP_LIMIT);
        let options = Options { recreate: self.recreate, offline: self.offline, limit };
        up(site, stock, options, progress, &context.cancel).await?;
        self.verdict(lab, context).await
    }

    /// Fails if the lab is to be offline and its nodes asked others for images.
    pub(super) async fn verdict(&self, lab: &Lab, context: &Context) -> Result<(), Failure> {
        gate::verdict(lab, &context.paths, self.offline).await
    }
}

/// The bundles as the engine is to find them.
fn absolute(bundles: &[Utf8PathBuf]) -> Result<Vec<Utf8PathBuf>, Failure> {
    let absolute = |path: &Utf8PathBuf| {
        let found = path.canonicalize_utf8();
        found.map_err(|error| Failure::new(Kind::BadInput, error).context(format!("looking for {path}")))
    };
    bundles.iter().map(absolute).collect()
}

/// The file of this program.
fn program() -> Result<Utf8PathBuf, Failure> {
    let found = std::env::current_exe();
    let found =
        found.map_err(|error| Failure::new(Kind::Unexpected, error).context("looking for this program's file"))?;
    Utf8PathBuf::from_path_buf(found)
        .map_err(|path| Failure::new(Kind::Unexpected, format!("{} is not UTF-8", path.display())))
}
