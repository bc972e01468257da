//! `images bundle`, and `images verify FILE`: a lab's images in one file.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::super::Context;
use super::ends::From;
use super::megabytes;
use crate::error::{Failure, Kind};
use crate::images::bundle::{self, Base, Checked, Request, Stack, Written};
use crate::images::lock::{self, Lock};
use crate::lab::programs::programs;
use crate::lab::site::Site;

/// Write a lab's images into one file, the same lock always as the same bytes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write.
    #[arg(value_name = "BUNDLE")]
    to: Utf8PathBuf,
    /// What the images are [default: images.lock beside the lab file, and the programs that the lab takes].
    #[arg(long, value_name = "FILE")]
    lock: Option<Utf8PathBuf>,
    /// Only these platforms, as linux/amd64; digests stay those of all [default: all that the lock has].
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<String>,
    /// Leave out what this older bundle, or a bundle of this older lock, holds.
    #[arg(long, value_name = "BUNDLE|LOCK")]
    since: Option<Utf8PathBuf>,
    #[command(flatten)]
    from: From,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let inside = if self.lock.is_none() { self.from.inside()? } else { None };
        let lock = match inside {
            Some(inside) => inside,
            None => whole(context, self.lock.as_deref()).await?,
        };
        let base = self.since.as_deref().map(|path| Base::open(path, &self.platform)).transpose()?;
        let (source, _) = self.from.source(context, &lock, lock.images.keys().cloned().collect()).await?;
        let (lock, source) = (&lock, source.as_ref());
        let request = Request { lock, platforms: &self.platform, source, base, to: &self.to };
        let work = |progress| async move { bundle::write(request, &progress, &context.cancel).await };
        let written = context.report(None, work).await?;
        context.print(&written, written_text(&written))
    }
}

/// Reads all of the bundles and compares them with the locks inside, and with the one at `lock`.
pub(super) async fn verify(context: &Context, bundles: &[Utf8PathBuf], lock: Option<&Utf8Path>) -> Result<(), Failure> {
    let lock = lock.map(load).transpose()?;
    let stack = Stack::open(bundles)?;
    let (opened, lock) = (&stack, lock.as_ref());
    let work = |progress| async move { bundle::verify(opened, lock, &progress, &context.cancel).await };
    let checked = context.report(None, work).await?;
    context.print(&checked, checked_table(&checked))?;
    if checked.problems.is_empty() {
        return Ok(());
    }
    let files: Vec<&str> = bundles.iter().map(|path| path.as_str()).collect();
    let count = checked.problems.len();
    let many = if count == 1 { "problem" } else { "problems" };
    Err(Failure::new(Kind::Unexpected, format!("{count} {many} in {}", files.join(", ")))
        .hint("If it was copied here, copy it again; else write it again: `istiolab images bundle`."))
}

/// The lock at `path`, else what the lock beside the lab file says of the lab.
pub(super) fn locked(context: &Context, path: Option<&Utf8Path>) -> Result<Lock, Failure> {
    if let Some(path) = path {
        return load(path);
    }
    let lab = context.lab()?;
    let mut lock = load(&lab.dir.join(lock::FILE))?;
    // Several labs of one folder share a lock.
    lock.images.retain(|_, entry| entry.labs.is_empty() || entry.labs.contains(&lab.name));
    Ok(lock)
}

/// As [`locked`], with the programs that the lab takes, unless the lock is named.
pub(super) async fn whole(context: &Context, path: Option<&Utf8Path>) -> Result<Lock, Failure> {
    let mut lock = locked(context, path)?;
    if path.is_none() {
        let site = Site::open(context.lab()?, &context.paths, context.access())?;
        lock.images.extend(programs(&site, &context.cancel).await?);
    }
    Ok(lock)
}

fn load(path: &Utf8Path) -> Result<Lock, Failure> {
    lock::file::load(path)?.ok_or_else(|| {
        Failure::new(Kind::BadInput, format!("there is no lock {path}")).hint("Run `istiolab images lock`.")
    })
}

fn written_text(written: &Written) -> String {
    let Written { file, images, blobs, .. } = written;
    let mut text = format!("{file}: {images} images, {blobs} blobs, {}\n", megabytes(written.bytes));
    // Writing to a string can't fail.
    let _ = writeln!(text, "lock inside: {}", written.lock);
    if written.reused > 0 {
        let _ = writeln!(text, "gone on with: {} blobs were there from a run before", written.reused);
    }
    if written.elsewhere > 0 {
        let bytes = megabytes(written.elsewhere_bytes);
        let _ = writeln!(text, "left to the older bundle: {} blobs, {bytes}", written.elsewhere);
    }
    text
}

fn checked_table(checked: &Checked) -> String {
    let width = checked.images.iter().map(|row| row.image.to_string().len()).max().unwrap_or_default().max(5);
    let mut text =
        format!("{:<width$}  {:<19}  {:<26} {:>5} {:>10}  STATE\n", "IMAGE", "DIGEST", "PLATFORMS", "BLOBS", "SIZE");
    for row in &checked.images {
        let digest = row.digest.map_or_else(|| "-".to_owned(), |digest| digest.to_string()[..19].to_owned());
        let state = match (row.whole, row.elsewhere) {
            (false, _) => "damaged".to_owned(),
            (true, 0) => "whole".to_owned(),
            (true, count) => format!("whole, with {count} of the older bundle"),
        };
        let (image, platforms, size) = (row.image.to_string(), row.platforms.join(" "), megabytes(row.bytes));
        let _ = writeln!(text, "{image:<width$}  {digest:<19}  {platforms:<26} {:>5} {size:>10}  {state}", row.blobs);
    }
    let _ = writeln!(text, "read {} blobs, {}", checked.blobs, megabytes(checked.bytes));
    if let Some(base) = checked.needs {
        let _ = writeln!(text, "the older bundle that it needs has the lock {base}");
    }
    for problem in &checked.problems {
        let _ = writeln!(text, "{problem}");
    }
    text
}
