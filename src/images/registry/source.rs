//! Registries as what images are read from.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use futures::stream::StreamExt as _;

use super::{Access, Client, Error, Traffic};
use crate::error::Failure;
use crate::images::content::{Content, Raw, Stream};
use crate::images::digest::Digest;
use crate::images::layout::Descriptor;
use crate::images::reference::Reference;

/// Registries, of which each reference says where in which one its image is.
pub trait Registries: Send + Sync + std::fmt::Debug {
    /// What it is and where, for messages.
    fn about(&self) -> String;

    /// The registry with the image, and the repository there.
    ///
    /// # Errors
    /// As [`Client::of_host`].
    fn place(&self, image: &Reference) -> Result<(Client, String), Failure>;
}

impl<T: Registries> Content for T {
    fn describe(&self) -> String {
        self.about()
    }

    fn manifest<'a>(
        &'a self,
        image: &'a Reference,
        digest: Option<&'a Digest>,
    ) -> BoxFuture<'a, Result<Option<Raw>, Failure>> {
        Box::pin(async move {
            let (client, repository) = self.place(image)?;
            let name = match digest.or(image.digest()) {
                Some(digest) => digest.to_string(),
                None => image.tag_or_default().to_owned(),
            };
            Ok(client.get_manifest(&repository, &name).await?)
        })
    }

    fn blob<'a>(
        &'a self,
        image: &'a Reference,
        blob: &'a Descriptor,
        from: u64,
    ) -> BoxFuture<'a, Result<Stream, Failure>> {
        Box::pin(async move {
            let (client, repository) = self.place(image)?;
            let pieces = client.get_blob(&repository, blob, from).await?;
            Ok(pieces.map(|piece| piece.map_err(Failure::from)).boxed())
        })
    }

    fn referrers<'a>(
        &'a self,
        image: &'a Reference,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Vec<serde_json::Value>, Failure>> {
        Box::pin(async move {
            let (client, repository) = self.place(image)?;
            Ok(client.referrers(&repository, digest).await?.into_descriptors())
        })
    }
}

/// The registry's own images: of a reference the repository counts, its registry is taken to be this one.
impl Registries for Client {
    fn about(&self) -> String {
        format!("the registry at {}", self.base().as_str().trim_end_matches('/'))
    }

    fn place(&self, image: &Reference) -> Result<(Client, String), Failure> {
        Ok((self.clone(), image.repository().to_owned()))
    }
}

/// A registry that holds the images of others, as a lab's own does.
#[derive(Clone, Debug)]
pub struct Mirror {
    client: Client,
    prefix: String,
}

impl Mirror {
    /// The images are under `prefix` (empty, or a path as `team/lab`), then under the name of their
    /// registry, as [`Reference::mirrored_repository`] has it.
    #[must_use]
    pub fn new(client: Client, prefix: &str) -> Self {
        Self { client, prefix: prefix.trim_matches('/').to_owned() }
    }

    /// The mirror at `text`, as `registry.example.com/istiolab`: a host as in references, or the address of
    /// one with `http://` or `https://`; then the path under which the images are.
    ///
    /// # Errors
    /// [`Error::Address`], and as [`Client::with`].
    pub fn at(text: &str, access: &Access) -> Result<Self, Error> {
        let (base, prefix) = Self::parse(text)?;
        let client = if base.contains("://") { Client::with(&base, access) } else { Client::of_host(&base, access) }?;
        Ok(Self::new(client, &prefix))
    }

    /// The host, or address, and the path of a mirror, if they can be those of one.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub fn parse(text: &str) -> Result<(String, String), Error> {
        let wrong = || Error::Address { text: text.to_owned() };
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (format!("{scheme}://"), rest),
            Some(_) => return Err(wrong()),
            None => (String::new(), text),
        };
        let (host, path) = rest.trim_end_matches('/').split_once('/').unwrap_or((rest.trim_end_matches('/'), ""));
        // Both must be what a reference may have.
        let example = format!("{host}/{}x", if path.is_empty() { String::new() } else { format!("{path}/") });
        let reference: Reference = example.parse().map_err(|_| wrong())?;
        if host.is_empty() || reference.registry() != host {
            return Err(wrong());
        }
        Ok((format!("{scheme}{host}"), path.to_owned()))
    }

    /// Its registry.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where it keeps the image.
    #[must_use]
    pub fn repository(&self, image: &Reference) -> String {
        let path = image.mirrored_repository();
        if self.prefix.is_empty() { path } else { format!("{}/{path}", self.prefix) }
    }
}

impl Registries for Mirror {
    fn about(&self) -> String {
        format!("the mirror at {}{}", self.client.base(), self.prefix).trim_end_matches('/').to_owned()
    }

    fn place(&self, image: &Reference) -> Result<(Client, String), Failure> {
        Ok((self.client.clone(), self.repository(image)))
    }
}

/// All registries, each reference at its own.
#[derive(Debug, Default)]
pub struct Upstreams {
    access: Access,
    clients: Mutex<HashMap<String, Client>>,
}

impl Upstreams {
    /// Reached with `access`.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self { access, clients: Mutex::default() }
    }

    /// The client of the registry of `image`; one for each registry.
    ///
    /// # Errors
    /// As [`Client::of_host`].
    pub fn client(&self, image: &Reference) -> Result<Client, Failure> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(image.registry()) {
            return Ok(client.clone());
        }
        let client = Client::of_host(image.registry(), &self.access)?;
        clients.insert(image.registry().to_owned(), client.clone());
        Ok(client)
    }

    /// What went over the wire so far, of all of them.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.values().fold(Traffic::default(), |sum, client| sum.and(&client.traffic()))
    }
}

impl Registries for Upstreams {
    fn about(&self) -> String {
        "the images' own registries".to_owned()
    }

    fn place(&self, image: &Reference) -> Result<(Client, String), Failure> {
        Ok((self.client(image)?, image.repository().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirrors_place_is_a_host_and_a_path() {
        let place = |text: &str| Mirror::parse(text).ok();
        let of = |host: &str, path: &str| Some((host.to_owned(), path.to_owned()));
        assert_eq!(place("localhost:5000"), of("localhost:5000", ""));
        assert_eq!(place("registry.example.com/team/lab/"), of("registry.example.com", "team/lab"));
        assert_eq!(place("http://10.0.0.1:5000/lab"), of("http://10.0.0.1:5000", "lab"));
        for wrong in ["", "lab", "team/lab", "ftp://a.b/c", "a.b/Upper", "a.b/c:tag", "a.b/c@d", "http://"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
