//! `images load`: images into the nodes of a lab that is up.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use camino::Utf8PathBuf;

use super::super::Context;
use super::bundle::locked;
use crate::error::Failure;
use crate::images::bundle::{Stack, Supply};
use crate::images::content::Content;
use crate::images::layout::Layout;
use crate::images::registry::Upstreams;
use crate::lab::load::{Loaded, load};
use crate::lab::site::engine;

/// Bring the lab's images into its nodes without a registry; nodes that have them are left alone.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Bundles that the images come from, the newest first [default: the store for what parts make, the images'
    /// own registries for the rest].
    #[arg(value_name = "BUNDLE")]
    bundles: Vec<Utf8PathBuf>,
    /// What the images are [default: images.lock beside the lab file].
    #[arg(long, value_name = "FILE")]
    lock: Option<Utf8PathBuf>,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let lab = context.lab()?;
        let lock = locked(context, self.lock.as_deref())?;
        let source: Box<dyn Content> = if self.bundles.is_empty() {
            let store = Layout::open(context.paths.cache.join("images"))?;
            Box::new(Supply::new(&lock, store, Arc::new(Upstreams::new(context.access()))))
        } else {
            Box::new(Stack::open(&self.bundles)?)
        };
        let folder = context.paths.lab(&lab.name);
        let (lab, lock, source, folder) = (&lab, &lock, source.as_ref(), &folder);
        let work = |progress| async move {
            load(&engine().await?, lab, folder, lock, source, &progress, &context.cancel).await
        };
        let loaded = context.report(Some(lab), work).await?;
        context.print(&loaded, table(&loaded))
    }
}

fn table(loaded: &BTreeMap<String, Loaded>) -> String {
    let mut text = String::new();
    for (node, Loaded { loaded, unchanged }) in loaded {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{node}: {} images loaded, {} were there", loaded.len(), unchanged.len());
        for image in loaded {
            let _ = writeln!(text, "  {image}");
        }
    }
    text
}
