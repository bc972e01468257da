//! Finding out what an image is: from its registry, else from an alternate that has the same digest.

use std::collections::BTreeSet;

use futures::future::BoxFuture;

use super::describe::{describe, descriptor};
use super::error::{Error, Tried};
use super::{Entry, Lock};
use crate::error::{Failure, Kind};
use crate::images::content::{Content, Raw};
use crate::images::digest::Digest;
use crate::images::reference::Reference;
use crate::images::registry::Upstreams;

/// Where images are asked for: the registries that references name.
pub trait Upstream: Content {
    /// The digest that the tag of `image` names now; `None` if there is no such tag. Cheaper than the
    /// manifest: registries with limits count those alone.
    fn current<'a>(&'a self, image: &'a Reference) -> BoxFuture<'a, Result<Option<Digest>, Failure>>;
}

impl Upstream for Upstreams {
    fn current<'a>(&'a self, image: &'a Reference) -> BoxFuture<'a, Result<Option<Digest>, Failure>> {
        Box::pin(async move {
            let client = self.client(image)?;
            Ok(client.head_manifest(image.repository(), image.tag_or_default()).await?)
        })
    }
}

/// How an image is resolved.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// What the lock says already.
    pub known: Entry,
    /// Asks the tag again, though the lock has a digest.
    pub update: bool,
    /// Other places that should have the same image.
    pub alternates: Vec<Reference>,
    /// An alternate may say what the image is, if nobody else does.
    pub trust_first_use: bool,
    /// The platforms that are wanted; all if empty.
    pub platforms: Vec<String>,
}

impl Wish {
    /// Whether the platforms that are known are those that are wanted.
    fn has_platforms(&self) -> bool {
        let wanted: BTreeSet<&String> = self.platforms.iter().collect();
        wanted.is_empty() || wanted == self.known.platforms.keys().collect()
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The entry for the lock.
    pub entry: Entry,
    /// What the user should know, full sentences.
    pub warnings: Vec<String>,
}

/// Resolves `image`. What the lock knows stays: a digest that is known is what is asked for, and an
/// entry that says everything costs no request unless its alternates changed.
///
/// # Errors
/// [`Error::Nowhere`], [`Error::Untrusted`], [`Error::Differs`], [`Error::Mismatch`], [`Error::Manifest`] as failures.
pub async fn resolve(upstream: &dyn Upstream, image: &Reference, wish: &Wish) -> Result<Resolved, Failure> {
    let Wish { known, alternates, .. } = wish;
    let enough = known.is_resolved() && !wish.update && wish.has_platforms();
    if enough && known.from == *alternates {
        return Ok(Resolved { entry: known.clone(), warnings: Vec::new() });
    }
    let mut entry = known.clone();
    if !enough {
        let found = root(upstream, image, wish).await?;
        entry.platforms = describe(upstream, &found.image, &found.raw, &wish.platforms).await?;
        entry.root = Some(descriptor(&found.raw));
        entry.pinned = None;
        // Once the image's own registry has confirmed it, it is no longer a matter of trust.
        entry.trusted_on_first_use = found.trusted
            || (known.trusted_on_first_use && found.image != *image && known.digest() == Some(&found.raw.digest));
    }
    let mut warnings = Vec::new();
    entry.from = Vec::new();
    for alternate in alternates {
        match has(upstream, image, &entry, alternate).await {
            Ok(()) => entry.from.push(alternate.clone()),
            Err(failure) if failure.kind == Kind::Refused => return Err(failure),
            // Nothing was said against it. What was checked for this very digest stays.
            Err(_) if known.from.contains(alternate) && known.digest() == entry.digest() => {
                entry.from.push(alternate.clone());
            }
            Err(failure) => warnings.push(format!(
                "The alternate {alternate} of {image} could not be checked and is left out: {}.",
                failure.lines().join(": ")
            )),
        }
    }
    Ok(Resolved { entry, warnings })
}

/// The manifest that an image's name stands for, and who had it.
struct Root {
    image: Reference,
    raw: Raw,
    trusted: bool,
}

async fn root(upstream: &dyn Upstream, image: &Reference, wish: &Wish) -> Result<Root, Failure> {
    let known = wish.known.digest().filter(|_| !wish.update);
    let digest = image.digest().or(known).copied();
    let mut tried = Vec::new();
    match ask(upstream, image, digest.as_ref()).await {
        Ok(raw) => return Ok(Root { image: image.clone(), raw, trusted: false }),
        Err(failure) if failure.kind == Kind::Refused => return Err(failure),
        Err(failure) => tried.push(Tried { image: image.clone(), why: failure.lines().join(": ") }),
    }
    // An update that the image's own registry does not answer is none: an alternate can only confirm.
    let digest = digest.or(wish.known.digest().copied());
    for alternate in &wish.alternates {
        match ask(upstream, alternate, digest.as_ref()).await {
            Ok(raw) => {
                let trusted = digest.is_none();
                if trusted && !wish.trust_first_use {
                    return Err(Error::Untrusted {
                        image: Box::new(image.clone()),
                        alternate: Box::new(alternate.clone()),
                        tried,
                    }
                    .into());
                }
                return Ok(Root { image: alternate.clone(), raw, trusted });
            }
            Err(failure) if failure.kind == Kind::Refused => return Err(failure),
            Err(failure) => tried.push(Tried { image: alternate.clone(), why: failure.lines().join(": ") }),
        }
    }
    Err(Error::Nowhere { image: Box::new(image.clone()), tried }.into())
}

async fn ask(upstream: &dyn Upstream, image: &Reference, digest: Option<&Digest>) -> Result<Raw, Failure> {
    let raw = upstream.manifest(image, digest).await?;
    let missing = || {
        let asked = digest.map_or_else(|| "no such image".to_owned(), |digest| format!("no {digest}"));
        Failure::new(Kind::Unavailable, format!("there is {asked}"))
    };
    let raw = raw.ok_or_else(missing)?;
    if let Some(digest) = digest.or(image.digest()) {
        same(image, upstream, digest, &raw)?;
    }
    Ok(raw)
}

/// Whether an alternate has the entry's root, byte for byte.
async fn has(upstream: &dyn Upstream, image: &Reference, entry: &Entry, alternate: &Reference) -> Result<(), Failure> {
    let Some(digest) = entry.digest() else { return Ok(()) };
    if let Some(raw) = upstream.manifest(alternate, Some(digest)).await? {
        return Ok(same(alternate, upstream, digest, &raw)?);
    }
    let found = upstream.current(alternate).await?;
    Err(Error::Differs {
        image: Box::new(image.clone()),
        alternate: Box::new(alternate.clone()),
        digest: *digest,
        found,
    }
    .into())
}

/// What came must be what was asked for.
pub(super) fn same(image: &Reference, from: &dyn Content, digest: &Digest, raw: &Raw) -> Result<(), Error> {
    let found = Digest::of(&raw.bytes);
    if found == *digest {
        return Ok(());
    }
    Err(Error::Mismatch { image: Box::new(image.clone()), origin: from.describe(), digest: *digest, found })
}

impl Lock {
    /// Takes over what was found out for the lab `lab`: `entries` are all its images. What no lab refers
    /// to any more goes; what only other labs of the folder refer to stays.
    pub fn adopt(&mut self, lab: &str, entries: impl IntoIterator<Item = (Reference, Entry)>) {
        for entry in self.images.values_mut() {
            entry.labs.remove(lab);
        }
        for (image, mut entry) in entries {
            if let Some(before) = self.images.get(&image) {
                entry.labs.extend(before.labs.iter().cloned());
            }
            entry.labs.insert(lab.to_owned());
            // One part is one thing: what was just read of it holds for the images of other labs too.
            if let Some(part) = &entry.part {
                let same = self.images.values_mut().filter_map(|other| other.part.as_mut());
                same.filter(|other| other.name == part.name).for_each(|other| other.clone_from(part));
            }
            self.images.insert(image, entry);
        }
        self.images.retain(|_, entry| !entry.labs.is_empty());
    }
}
