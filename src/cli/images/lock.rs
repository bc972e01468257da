//! `images lock`: which bytes every image of a lab is.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use clap::ValueEnum;
use serde::Serialize;

use super::super::Context;
use super::super::context::write;
use super::reach::Reach;
use crate::error::{Failure, Kind};
use crate::images::lock::check::Finding;
use crate::images::lock::{Error, Upstream, file, imgpkg};
use crate::images::reference::Reference;
use crate::images::registry::Upstreams;
use crate::lab::lock::{self as lab, Locked, Options, Row, State};
use crate::lab::site::Site;
use crate::parts;
use crate::plan::event::Progress;

/// Record which bytes every image of the lab is, in `images.lock` beside the lab file.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// Change nothing: tell what the lock and the lab do not agree in, and fail if there is anything.
    #[arg(long)]
    check: bool,
    /// Change nothing and ask nobody: fail unless the lock says what every image is.
    #[arg(long, conflicts_with = "check")]
    frozen: bool,
    /// With --check: ask no registry.
    #[arg(long, requires = "check", conflicts_with_all = ["update", "trust_first_use", "platform", "import", "export"])]
    offline: bool,
    /// Ask every tag again, also those whose digests are in the lock.
    #[arg(long, conflicts_with_all = ["check", "frozen"])]
    update: bool,
    /// Take what the alternates of this image have, though nobody recorded its digest; the lock will say so.
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["check", "frozen"])]
    trust_first_use: Vec<Reference>,
    /// Keep only these platforms of images from registries, as linux/amd64 [default: all].
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',', conflicts_with_all = ["check", "frozen"])]
    platform: Vec<String>,
    /// Take digests over from a lock of imgpkg.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["check", "frozen"])]
    import: Option<Utf8PathBuf>,
    /// Write what the lock says in the form of another tool to standard output; change nothing.
    #[arg(long, value_name = "FORM", value_enum, conflicts_with_all = ["check", "frozen", "update", "trust_first_use", "platform", "import"])]
    export: Option<Form>,
    /// The lock [default: images.lock beside the lab file].
    #[arg(long, value_name = "FILE")]
    lock: Option<Utf8PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

/// Forms of locks of other tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// `kind: ImagesLock` of imgpkg.
    Imgpkg,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let site = Site::open(context.lab()?, &context.paths, context.access())?;
        let path = self.lock.clone().unwrap_or_else(|| lab::beside(&site));
        if self.export == Some(Form::Imgpkg) {
            return export(context, &path).await;
        }
        if self.check {
            return self.compare(context, &site, &path).await;
        }
        if self.frozen {
            let (subject, lock) = (&site, &path);
            let work = |progress| async move { lab::frozen(subject, lock, &progress, &context.cancel).await };
            context.report(None, work).await?;
            return agreed(context, &site, &path, &[]);
        }
        let imported = match &self.import {
            None => Vec::new(),
            Some(file) => {
                let unreadable = |source| Error::Io { path: file.clone(), source };
                imgpkg::import(&fs_err::read_to_string(file).map_err(unreadable)?, file)?
            }
        };
        let upstream = Upstreams::new(self.reach.access(context));
        let options = Options {
            update: self.update,
            trust: self.trust_first_use.into_iter().map(Reference::complete).collect(),
            platforms: self.platform,
            imported,
        };
        let work =
            |progress| async move { lab::make(&site, &path, &options, &upstream, &progress, &context.cancel).await };
        let locked = context.report(None, work).await?;
        context.print(&Made::of(&locked), made_table(&locked))?;
        lab::unresolved(locked.failures).map_or(Ok(()), Err)
    }

    async fn compare(&self, context: &Context, site: &Site, path: &Utf8Path) -> Result<(), Failure> {
        let upstream = if self.offline { None } else { Some(Upstreams::new(self.reach.access(context))) };
        let asked = upstream.as_ref().map(|upstream| upstream as &dyn Upstream);
        let work = |progress| async move { lab::compare(site, path, asked, &progress, &context.cancel).await };
        let findings = context.report(None, work).await?;
        agreed(context, site, path, &findings)
    }
}

/// Tells in what lock and lab do not agree, and fails if there is anything.
fn agreed(context: &Context, site: &Site, path: &Utf8Path, findings: &[Finding]) -> Result<(), Failure> {
    if findings.is_empty() {
        let text = format!("{} says what every image of {} is.", short(path), site.lab.name);
        return context.print(&findings, text);
    }
    context.print(&findings, findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n"))?;
    Err(Error::Check(findings.len()).into())
}

/// A path as the user would write it from here.
fn short(path: &Utf8Path) -> String {
    let here = std::env::current_dir().ok().and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok());
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).to_string()
}

async fn export(context: &Context, path: &Utf8Path) -> Result<(), Failure> {
    let lock = file::load(path)?.ok_or_else(|| {
        Failure::new(Kind::BadInput, format!("there is no lock {}", short(path))).hint("Run `istiolab images lock`.")
    })?;
    let (text, left_out) = imgpkg::export(&lock)?;
    let tell = |progress: Progress| async move {
        for image in left_out {
            progress.warn(format!("{image} is left out: no registry is known to have it."));
        }
        Ok(())
    };
    context.report(None, tell).await?;
    write(&text)
}

/// What is told to programs.
#[derive(Serialize)]
struct Made<'a> {
    lock: &'a Utf8Path,
    changed: bool,
    images: &'a [Row],
    inside: &'a std::collections::BTreeMap<Reference, Reference>,
}

impl<'a> Made<'a> {
    fn of(locked: &'a Locked) -> Self {
        Self { lock: &locked.file, changed: locked.changed, images: &locked.images, inside: &locked.inside }
    }
}

fn made_table(locked: &Locked) -> String {
    let width = locked.images.iter().map(|row| row.image.to_string().len()).max().unwrap_or_default().max(5);
    let mut text = format!("{:<width$}  {:<19}  {:>9}  {:<22}  {}\n", "IMAGE", "DIGEST", "SIZE", "FROM", "STATE");
    for row in &locked.images {
        let digest = row.digest.map_or_else(|| "-".to_owned(), |digest| digest.to_string()[..19].to_owned());
        let size = if row.size == 0 { "-".to_owned() } else { super::megabytes(row.size) };
        let from = match (&row.part, row.platforms.as_slice()) {
            (Some(part), _) => format!("part {part}"),
            (None, []) if row.image.registry() == parts::REGISTRY => "no recipe".to_owned(),
            (None, []) => "registry".to_owned(),
            (None, [only]) => format!("registry, {only}"),
            (None, several) => format!("registry, {} platforms", several.len()),
        };
        let state = match row.state {
            State::Kept => "as before",
            State::New => "new",
            State::Changed => "changed",
            State::Unresolved if row.part.is_some() => "not built",
            State::Unresolved => "unresolved",
        };
        let trust = if row.trusted_on_first_use { ", trusted on first use" } else { "" };
        // Writing to a string can't fail.
        let _ =
            writeln!(text, "{:<width$}  {digest:<19}  {size:>9}  {from:<22}  {state}{trust}", row.image.to_string());
    }
    let pulled = |image: &Reference| locked.images.iter().any(|row| row.image == *image);
    let inside = locked.inside.keys().filter(|image| !pulled(image)).count();
    if inside > 0 {
        let _ = writeln!(text, "{inside} more are inside the node image and never pulled (-o json names them).");
    }
    let written = if locked.changed { "written" } else { "as it was" };
    let _ = writeln!(text, "{}: {written}", short(&locked.file));
    text
}
