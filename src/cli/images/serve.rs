//! `images serve`: a registry to pull from, straight from a bundle.

use std::net::SocketAddr;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use super::super::Context;
use crate::error::{Failure, Kind};
use crate::images::bundle::Stack;
use crate::images::content::Shelf;
use crate::images::layout::Layout;
use crate::images::serve::{Server, access_log};

/// Serve bundles as a registry that can be pulled from, until Ctrl-C. Nothing is unpacked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The bundles, the newest first; or the folder of one image layout.
    #[arg(required = true, value_name = "BUNDLE")]
    bundles: Vec<Utf8PathBuf>,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Append the access log, lines of JSON, to this file [default: standard error].
    #[arg(long, value_name = "FILE")]
    access_log: Option<Utf8PathBuf>,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let opened = open(&self.bundles)?;
        let names = opened.names()?;
        let images: usize = names.repositories.values().map(|repository| repository.tags.len()).sum();
        let log = access_log(self.access_log.as_deref())?;
        let server = Server::listen(self.listen).await?;
        let address = format!("http://{}", server.address());
        context.print(&json!({"address": address, "images": images}), &address)?;
        let work = |progress: crate::plan::event::Progress| async move {
            progress.note(format!("Serving {images} images of {}.", opened.describe()));
            Ok(server.run(opened, log, context.cancel.clone()).await?)
        };
        context.report(None, work).await
    }
}

fn open(paths: &[Utf8PathBuf]) -> Result<Arc<dyn Shelf>, Failure> {
    let is_layout = |path: &Utf8Path| path.join("oci-layout").is_file();
    if let [one] = paths
        && is_layout(one)
    {
        return Ok(Arc::new(Layout::open(one)?));
    }
    if let Some(folder) = paths.iter().find(|path| path.is_dir()) {
        let why = if is_layout(folder) { "a layout is served alone" } else { "it is no image layout" };
        return Err(Failure::new(Kind::BadInput, format!("{folder} can't be served: {why}")));
    }
    let stack = Stack::open(paths)?;
    // Better now than when a node pulls.
    stack.complete()?;
    Ok(Arc::new(stack))
}
