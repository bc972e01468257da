//! Images from the store into the container engine, and the connection to the engine.

use std::io::{self, Write};

use bollard::Docker;
use bollard::query_parameters::{ImportImageOptionsBuilder, RemoveImageOptions};
use bytes::Bytes;
use futures::StreamExt as _;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::content::Raw;
use super::digest::{BUFFER, Digest};
use super::layout::{Descriptor, Layout, MANIFEST};
use super::lock::describe;
use super::reference::Reference;
use crate::error::{Failure, Kind};
use crate::plan::event::Progress;
use crate::plan::graph::interrupted;

mod archive;
mod export;

pub use export::Exported;

/// Why the engine does not do what was asked.
#[derive(Debug, Error)]
pub enum Error {
    /// It can't be reached at all.
    #[error("the container engine at {host} does not answer")]
    Unreachable {
        /// Its address.
        host: String,
        /// Why.
        source: bollard::errors::Error,
    },
    /// A request failed.
    #[error("{doing} failed in the container engine")]
    Request {
        /// What was being done, beginning with a verb in -ing.
        doing: String,
        /// Why.
        source: bollard::errors::Error,
    },
    /// The engine read the image and refused it.
    #[error("the container engine did not take {name}: {why}")]
    Load {
        /// The image's full name.
        name: String,
        /// Its words.
        why: String,
    },
    /// What it gives out can't be kept.
    #[error("what the container engine gives can't be kept in {folder}")]
    Kept {
        /// Where.
        folder: camino::Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it gives out is not what it should be.
    #[error("what the container engine at {host} gives can't be used: {why}")]
    Export {
        /// Its address.
        host: String,
        /// Why.
        why: String,
    },
    /// The image is not for the engine.
    #[error("{name} is not there for {platform}, which the engine runs")]
    Platform {
        /// The image's full name.
        name: String,
        /// What the engine runs.
        platform: String,
    },
    /// The image can't be read from the store.
    #[error("{name} can't be read from the image store")]
    Store {
        /// The image's full name.
        name: String,
        /// Why.
        source: super::layout::Error,
    },
}

impl Error {
    /// A failed request with what was being done.
    pub fn request(doing: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Self {
        move |source| Self::Request { doing: doing.into(), source }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Unreachable { ref source, .. } if is_forbidden(source) => Self::new(Kind::Unavailable, error)
                .hint("This user may not use the engine: `sudo usermod -aG docker \"$USER\"`, then log in anew."),
            Error::Unreachable { .. } => Self::new(Kind::Unavailable, error)
                .hint("Start it, or run `istiolab doctor --fix`, which installs and starts Docker on Debian.")
                .hint("If it listens elsewhere, say where by DOCKER_HOST."),
            Error::Request { .. } if is_connection_lost(&error) => Self::new(Kind::Unavailable, error)
                .hint("The engine went away. Start it again, then run the same command: it goes on from here."),
            Error::Request { .. } | Error::Load { .. } | Error::Export { .. } => Self::new(Kind::Unavailable, error),
            Error::Platform { .. } => Self::new(Kind::BadInput, error),
            Error::Kept { .. } => Self::new(Kind::Unexpected, error)
                .hint("See that there is room, or set ISTIOLAB_CACHE to another folder."),
            Error::Store { name, source } => Self::from(source).context(format!("reading {name} from the image store")),
        }
    }
}

fn is_forbidden(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.to_string().contains("ermission denied"))
}

fn is_connection_lost(error: &Error) -> bool {
    let Error::Request { source, .. } = error else { return false };
    !matches!(source, bollard::errors::Error::DockerResponseServerError { .. })
}

/// Where the engine listens: `DOCKER_HOST`, else the usual socket.
#[must_use]
pub fn host() -> String {
    std::env::var("DOCKER_HOST")
        .ok()
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
}

/// A connection to the engine in the version of the API that both sides speak.
///
/// # Errors
/// [`Error::Unreachable`].
pub async fn connect() -> Result<Docker, Error> {
    connect_to(&host()).await
}

/// As [`connect`], to the engine at `host`, written as in `DOCKER_HOST`.
///
/// # Errors
/// [`Error::Unreachable`].
pub async fn connect_to(host: &str) -> Result<Docker, Error> {
    let unreachable = |source| Error::Unreachable { host: host.to_owned(), source };
    let docker = Docker::connect_with_host(host).map_err(unreachable)?;
    docker.negotiate_version().await.map_err(unreachable)
}

/// The digests by which an engine may know the image: of its configuration, or, where images are
/// kept by containerd, of its manifest.
fn identities(store: &Layout, digest: &Digest, name: &str) -> Result<[String; 2], Error> {
    let stored = |source| Error::Store { name: name.to_owned(), source };
    Ok([store.manifest(digest).map_err(stored)?.config.digest.to_string(), digest.to_string()])
}

/// What the engine runs, as `linux/amd64`.
///
/// # Errors
/// [`Error::Request`].
pub async fn platform(docker: &Docker) -> Result<String, Error> {
    let version = docker.version().await.map_err(Error::request("asking for the version"))?;
    let part = |text: Option<String>, usual: &str| text.filter(|text| !text.is_empty()).unwrap_or(usual.to_owned());
    Ok(format!("{}/{}", part(version.os, "linux"), part(version.arch, "amd64")))
}

/// The manifest of the image for an engine of this platform, as `linux/amd64`, in the store, which knows the image.
///
/// # Errors
/// [`Error::Store`], and [`Error::Platform`] if it is for other platforms only.
pub fn choose(store: &Layout, image: &Reference, platform: &str) -> Result<Digest, Error> {
    let name = image.to_string();
    let stored = |source| Error::Store { name: name.clone(), source };
    let root = store.resolve(&name).map(|root| root.digest);
    let root = root.ok_or_else(|| Error::Platform { name: name.clone(), platform: platform.to_owned() })?;
    let platforms = describe::platforms(&Raw::new(store.read(&root).map_err(stored)?.into(), MANIFEST));
    if platforms.is_empty() {
        return Ok(root);
    }
    // An index may say more of a processor than an engine does: `linux/arm64/v8`.
    let fits = |name: &str| name.strip_prefix(platform).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let found = platforms.into_iter().find(|(name, _)| fits(name)).map(|(_, digest)| digest);
    found.ok_or_else(|| Error::Platform { name: name.clone(), platform: platform.to_owned() })
}

/// Whether the engine has exactly this image under this name.
///
/// # Errors
/// [`Error::Request`], and [`Error::Store`] if its manifest can't be read.
pub async fn has(docker: &Docker, store: &Layout, digest: &Digest, name: &str) -> Result<bool, Error> {
    Ok(id(docker, name).await?.is_some_and(|id| identities(store, digest, name).is_ok_and(|known| known.contains(&id))))
}

/// The id of the image with this name, if the engine has one.
///
/// # Errors
/// [`Error::Request`].
pub async fn id(docker: &Docker, name: &str) -> Result<Option<String>, Error> {
    match docker.inspect_image(name).await {
        Ok(image) => Ok(image.id),
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(source) => Err(Error::request(format!("looking for the image {name}"))(source)),
    }
}

/// The label of images that are made of parts: the part's name.
pub const PART: &str = "istiolab.dev/part";

/// Removes the image with this id, which had a name of ours once, if nobody needs it any more; `true` if it did. One
/// that is not made of a part stays, and so does one that has a name still or of which there is a container.
///
/// # Errors
/// [`Error::Request`].
pub async fn outlived(docker: &Docker, id: &str) -> Result<bool, Error> {
    let image = match docker.inspect_image(id).await {
        Ok(image) => image,
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(false),
        Err(source) => return Err(Error::request(format!("looking for the image {id}"))(source)),
    };
    let named = [&image.repo_tags, &image.repo_digests].into_iter().flatten().any(|names| !names.is_empty());
    let labels = image.config.and_then(|config| config.labels).unwrap_or_default();
    if named || !labels.contains_key(PART) {
        return Ok(false);
    }
    match docker.remove_image(id, None::<RemoveImageOptions>, None).await {
        Ok(_) => Ok(true),
        // Somebody else removed it, or a container is of it.
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(false),
        Err(source) => Err(Error::request(format!("removing the image {id}"))(source)),
    }
}

/// Gives the engine the image of the store under its full name, unless it has exactly this one;
/// `true` if it did not. The image is streamed, no second copy is written by us, and each blob's
/// digest is computed again on the way. The image that had the name before goes if it is [`outlived`].
///
/// # Errors
/// Each variant of [`enum@Error`] as a failure; an interruption.
pub async fn load(
    docker: &Docker,
    store: &Layout,
    digest: &Digest,
    name: &str,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<bool, Failure> {
    let known = identities(store, digest, name)?;
    let former = id(docker, name).await?;
    if former.as_ref().is_some_and(|id| known.contains(id)) {
        return Ok(false);
    }
    progress.status(format!("loading {name} into the engine"));
    tokio::select! {
        () = cancel.cancelled() => return Err(interrupted()),
        result = send(docker, store, digest, name) => result?,
    }
    if let Some(former) = former {
        outlived(docker, &former).await?;
    }
    Ok(true)
}

async fn send(docker: &Docker, store: &Layout, digest: &Digest, name: &str) -> Result<(), Error> {
    let stored = |source| Error::Store { name: name.to_owned(), source };
    let manifest = store.manifest(digest).map_err(stored)?;
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(4);
    let (layout, image) = (store.clone(), name.to_owned());
    let size = fs_err::metadata(store.path(digest)).map_or(0, |file| file.len());
    let top = Descriptor::new(&manifest.media_type, *digest, size);
    let writer = tokio::task::spawn_blocking(move || {
        let mut pipe = io::BufWriter::with_capacity(BUFFER, Pipe(sender.clone()));
        let written = archive::write(&layout, &top, &manifest, &image, &mut pipe);
        if let Err(error) = &written {
            // The engine must not take what came so far for a whole image.
            drop(sender.blocking_send(Err(io::Error::other(error.to_string()))));
        }
        written
    });
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let mut answers = Box::pin(docker.import_image_stream(options, ReceiverStream::new(receiver), None));
    let mut answer = Ok(());
    while let Some(info) = answers.next().await {
        if let Err(source) = info {
            answer = Err(source);
        }
    }
    drop(answers);
    // Our own reason comes first: the engine only sees that the stream broke off.
    match writer.await {
        Ok(Err(archive::Error::Store(source))) => return Err(stored(source)),
        Ok(Ok(()) | Err(archive::Error::Gone)) => {}
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
    answer.map_err(|source| match source {
        bollard::errors::Error::DockerStreamError { error } => Error::Load { name: name.to_owned(), why: error },
        source => Error::Request { doing: format!("loading {name}"), source },
    })?;
    let known = identities(store, digest, name)?;
    match id(docker, name).await? {
        Some(id) if known.contains(&id) => Ok(()),
        Some(id) => {
            Err(Error::Load { name: name.to_owned(), why: format!("it has {id} under that name, not {}", known[0]) })
        }
        None => Err(Error::Load {
            name: name.to_owned(),
            why: "it reported success but has no image of that name".to_owned(),
        }),
    }
}

/// A writer whose bytes come out of a channel.
struct Pipe(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn an_engine_that_is_down_is_said_with_its_address() {
        let error = connect_to("unix:///nonexistent/docker.sock").await.expect_err("nobody there");
        let failure = Failure::from(error);
        assert_eq!(failure.kind, Kind::Unavailable);
        let text = failure.to_string();
        assert!(
            text.starts_with("error: the container engine at unix:///nonexistent/docker.sock does not answer"),
            "{text}"
        );
        assert!(text.contains("doctor --fix"), "{text}");
        assert!(matches!(connect_to("gopher://x").await, Err(Error::Unreachable { .. })));
    }

    #[tokio::test]
    async fn an_engine_that_dies_in_the_middle_is_told_from_one_that_refuses() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let host = format!("tcp://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            // The first question, for the version, is answered; then it dies.
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let body = r#"{"ApiVersion":"1.45"}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.expect("written");
        });
        let docker = connect_to(&host).await.expect("it answered once");
        let failure = Failure::from(id(&docker, "a").await.expect_err("it died"));
        assert_eq!(failure.kind, Kind::Unavailable);
        assert!(failure.hints[0].contains("went away"), "{failure}");
    }
}
