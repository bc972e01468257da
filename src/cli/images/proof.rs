//! `images verify --lab`: what a lab runs, compared with its lock.

use camino::Utf8PathBuf;

use super::super::Context;
use super::bundle::locked;
use crate::error::{Failure, Kind};
use crate::images::bundle::Stack;
use crate::lab::proof::{Question, prove as compare};
use crate::lab::site::engine;

/// Compares every place with the lock beside the lab file.
pub(super) async fn prove(context: &Context, bundles: &[Utf8PathBuf], offline: bool) -> Result<(), Failure> {
    let lab = context.lab()?;
    let lock = locked(context, None)?;
    let stack = if bundles.is_empty() { None } else { Some(Stack::open(bundles)?) };
    let folder = context.paths.lab(&lab.name);
    let upstream = if offline { None } else { Some(context.access()) };
    let question = Question { lab: &lab, folder: &folder, lock: &lock, bundles: stack.as_ref(), upstream };
    let question = &question;
    let work = |progress| async move { compare(&engine().await?, question, &progress).await };
    let proof = context.report(None, work).await?;
    let problems = proof.problems();
    context.print(&proof, format!("{proof}{}", problems.join("\n")))?;
    if problems.is_empty() {
        return Ok(());
    }
    let count = problems.len();
    let many = if count == 1 { "image is" } else { "images are" };
    Err(Failure::new(Kind::Unexpected, format!("{count} {many} not as the lock says"))
        .hint("If the lab changed, `istiolab images lock` and `up` bring them together again."))
}
