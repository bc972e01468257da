//! Which images are meant, where they come from and where they go: what verbs that move images share.

use std::sync::Arc;

use bollard::Docker;
use camino::{Utf8Path, Utf8PathBuf};

use super::super::Context;
use super::bundle;
use super::reach::Reach;
use crate::error::{Failure, Kind};
use crate::images::bundle::{Bundle, Stack, Supply, select as limited};
use crate::images::content::Content;
use crate::images::copy::select::{self, Naming};
use crate::images::copy::{Choice, Target, Wanted};
use crate::images::engine::{self, Exported};
use crate::images::layout::Layout;
use crate::images::lock::Lock;
use crate::images::reference::Reference;
use crate::images::registry::{self, Access, Upstreams};

/// How the container engine is called as a place of images.
const ENGINE: &str = "docker-daemon:";

/// Which images, and where they come from.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// Only these images, whatever their names mean now [default: all of the lock].
    #[arg(value_name = "IMAGE")]
    images: Vec<Reference>,
    /// What the images are [default: images.lock beside the lab file].
    #[arg(long, value_name = "FILE", conflicts_with = "images")]
    lock: Option<Utf8PathBuf>,
    #[command(flatten)]
    from: From,
    /// Only these platforms, as linux/amd64; digests stay those of all [default: all].
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<String>,
    /// Show this platform's image under the tag, as linux/amd64, for registries that take no index of which
    /// platforms are missing. Its digest is another one than that of the whole.
    #[arg(long, value_name = "PLATFORM", conflicts_with = "platform")]
    flatten: Option<String>,
}

/// Where images come from.
#[derive(Debug, clap::Args)]
pub(super) struct From {
    /// Where the images come from: bundles, a folder with an OCI layout, a mirror as HOST[/PREFIX], or docker-daemon:
    /// for the container engine [default: the store for what parts make, the images' own registries for the rest].
    #[arg(long = "from", value_name = "SOURCE")]
    places: Vec<String>,
    #[command(flatten)]
    reach: Reach,
}

/// The two ends.
pub(super) struct Ends {
    pub(super) source: Arc<dyn Content>,
    pub(super) target: Target,
    pub(super) wanted: Vec<Wanted>,
    /// Which platforms, where no lock says it.
    pub(super) choice: Choice,
    /// The images' own registries, if they are asked.
    pub(super) upstreams: Option<Arc<Upstreams>>,
    /// The engine, if what is in the target goes there.
    pub(super) engine: Option<Docker>,
}

impl From {
    /// Whether a place was named.
    pub(super) fn is_given(&self) -> bool {
        !self.places.is_empty()
    }

    /// The bundles that the images come from, if it is bundles.
    fn bundles(&self) -> Result<Option<Stack>, Failure> {
        let files: Vec<Utf8PathBuf> = self.places.iter().map(Utf8PathBuf::from).collect();
        let one_other = files.len() == 1 && !files[0].is_file();
        if files.is_empty() || one_other { Ok(None) } else { Ok(Some(Stack::open(&files)?)) }
    }

    /// What the bundles that the images come from have inside, if it is bundles.
    pub(super) fn inside(&self) -> Result<Option<Lock>, Failure> {
        Ok(self.bundles()?.map(|bundles| inside(&bundles)))
    }

    /// The place that has the images, with their own registries if these are asked.
    pub(super) async fn source(
        &self,
        context: &Context,
        lock: &Lock,
        images: Vec<Reference>,
    ) -> Result<(Arc<dyn Content>, Option<Arc<Upstreams>>), Failure> {
        let access = self.reach.access(context);
        let source: Arc<dyn Content> = match self.places.as_slice() {
            [] => {
                let all = Arc::new(Upstreams::new(access));
                let store = Layout::open(context.paths.cache.join("images"))?;
                return Ok((Arc::new(Supply::new(lock, store, Arc::clone(&all) as Arc<dyn Content>)), Some(all)));
            }
            [one] if one == ENGINE => {
                Arc::new(Exported::new(engine::connect().await?, images, &context.paths.cache.join("work")))
            }
            [one] if !Utf8Path::new(one).exists() => Arc::new(mirror(one, &access)?),
            [one] if Utf8Path::new(one).join("oci-layout").is_file() => Arc::new(Layout::open(one.as_str())?),
            _ => Arc::new(self.bundles()?.unwrap_or(Stack::open(&[])?)),
        };
        Ok((source, None))
    }
}

impl Selection {
    /// Finds both; images go `to` a registry, the engine, or the store.
    pub(super) async fn ends(self, context: &Context, to: Option<&str>) -> Result<Ends, Failure> {
        let engine = if to == Some(ENGINE) { Some(engine::connect().await?) } else { None };
        let to = to.filter(|to| *to != ENGINE);
        let mirror = to.map(|to| mirror(to, &self.from.reach.access(context))).transpose()?;
        let naming = mirror.as_ref().map_or(Naming::Store, Naming::Mirror);
        let mut platforms = self.platform;
        if let Some(docker) = engine.as_ref().filter(|_| platforms.is_empty() && self.flatten.is_none()) {
            platforms.push(engine::platform(docker).await?);
        }
        let inside = if self.images.is_empty() && self.lock.is_none() { self.from.inside()? } else { None };
        let lock = match inside {
            _ if !self.images.is_empty() => Lock::default(),
            // A bundle says itself what is inside.
            Some(inside) => inside,
            // What is made here is taken along; what comes from elsewhere need not be made.
            None if mirror.is_some() && !self.from.is_given() => bundle::whole(context, self.lock.as_deref()).await?,
            None => bundle::locked(context, self.lock.as_deref())?,
        };
        let (wanted, choice) = if self.images.is_empty() {
            let lock = if platforms.is_empty() { lock.clone() } else { limited(&lock, &platforms)? };
            (select::locked(&lock, &naming, self.flatten.as_deref())?, Choice::All)
        } else {
            let images: Vec<Reference> = self.images.into_iter().map(Reference::complete).collect();
            let choice = choice(&images, platforms, self.flatten)?;
            (select::named(&images, &naming), choice)
        };
        if engine.is_some() {
            nameable(&wanted)?;
        }
        let images = wanted.iter().map(|wanted| wanted.image.clone()).collect();
        let (source, upstreams) = self.from.source(context, &lock, images).await?;
        let target = match &mirror {
            Some(mirror) => Target::Registry(mirror.client().clone()),
            None => Target::Store(Layout::open(context.paths.cache.join("images"))?),
        };
        let upstreams = upstreams.filter(|_| !wanted.is_empty());
        Ok(Ends { source, target, wanted, choice, upstreams, engine })
    }
}

fn choice(images: &[Reference], platforms: Vec<String>, flatten: Option<String>) -> Result<Choice, Failure> {
    match flatten {
        Some(platform) => match images.iter().find(|image| image.digest().is_some()) {
            None => Ok(Choice::Flat(platform)),
            Some(image) => {
                let text = format!("{image} says by its digest which image it is; --flatten would show another one");
                Err(Failure::new(Kind::Usage, text)
                    .hint("Name it by its tag, or by the digest of the platform's image."))
            }
        },
        None if platforms.is_empty() => Ok(Choice::All),
        None => Ok(Choice::Only(platforms)),
    }
}

/// Refuses images that an engine can't be given.
fn nameable(wanted: &[Wanted]) -> Result<(), Failure> {
    match wanted.iter().find(|wanted| wanted.image.tag().is_none()) {
        None => Ok(()),
        Some(Wanted { image, .. }) => Err(Failure::new(
            Kind::BadInput,
            format!("{image} has no tag, and an engine is given images by their tags"),
        )),
    }
}

/// The images of all the locks in bundles; where two have the same name, the first one's counts.
fn inside(bundles: &Stack) -> Lock {
    let mut lock = Lock::default();
    for bundle in bundles.bundles().iter().filter_map(Bundle::lock) {
        for (image, entry) in &bundle.images {
            lock.images.entry(image.clone()).or_insert_with(|| entry.clone());
        }
    }
    lock
}

fn mirror(text: &str, access: &Access) -> Result<registry::Mirror, Failure> {
    registry::Mirror::at(text, access)
        .map_err(|error| Failure::new(Kind::Usage, error).hint("Write it as registry.example.com/team/lab."))
}
