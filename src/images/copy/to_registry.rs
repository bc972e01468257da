//! Into a registry.

use std::time::Duration;

use futures::stream::StreamExt as _;
use reqwest::StatusCode;
use url::Url;

use super::checked::{self, Verdict, Wrong};
use super::error::Error;
use super::run::Came;
use super::tree::Parsed;
use super::{Shared, Wanted, journal};
use crate::error::Failure;
use crate::images::content::Raw;
use crate::images::layout::Descriptor;
use crate::images::reference::Reference;
use crate::images::registry::{self, Client, Upload};

/// How often a blob is begun or gone on with.
const TRIES: usize = 6;
/// The pieces in which a blob is sent whose upload was cut, a quarter of that after each further cut, down
/// to the smallest: each that has arrived need not be sent again.
const LARGEST_PIECE: u64 = 16 << 20;
const SMALLEST_PIECE: u64 = 1 << 20;

/// How often a registry is asked how far an upload has come that another run began, and the pause between.
const LOOKS: usize = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// An upload that is under way.
struct Uploading<'a> {
    client: &'a Client,
    wanted: &'a Wanted,
    blob: &'a Descriptor,
    repository: &'a str,
    /// Where to go on, and how many bytes the registry has.
    to: Url,
    at: u64,
}

/// Why an upload stopped.
enum Stopped {
    /// The registry or the way to it; going on may help.
    Target(registry::Error),
    /// The content.
    Content(Wrong),
    /// The source, when it was asked.
    Source(Failure),
}

impl Shared {
    /// Takes the blob over from the repository `home`, or sends it. With `home` equal to `repository`
    /// the registry says whether it has it.
    pub(super) async fn send_to_registry(
        &self,
        client: &Client,
        wanted: &Wanted,
        blob: &Descriptor,
        repository: &str,
        home: &str,
    ) -> Result<Came, Failure> {
        let mut begun = None;
        if home == repository
            && let Some(to) = self.journalled(client, repository, blob)
        {
            begun = settled(client, repository, &to).await?.filter(|(at, _)| *at <= blob.size);
            if begun.is_none() {
                self.keep_upload(client, repository, blob, None);
            }
        }
        let mut cuts = 0;
        for attempt in 1.. {
            let (at, to) = match begun.take() {
                Some(begun) => begun,
                None => match client.start_upload(repository, &blob.digest, home).await? {
                    Upload::Mounted => return Ok(Came::Mounted),
                    Upload::To(to) => (0, to),
                },
            };
            self.keep_upload(client, repository, blob, Some(&to));
            let mut uploading = Uploading { client, wanted, blob, repository, to, at };
            let resumed = at > 0;
            let stopped = match self.upload(&mut uploading, cuts, attempt - 1).await {
                Ok(()) => {
                    self.keep_upload(client, repository, blob, None);
                    return Ok(Came::Sent);
                }
                Err(stopped) => stopped,
            };
            let last = attempt >= TRIES.max(wanted.from.len() + 1);
            match stopped {
                Stopped::Target(error) if error.may_pass() && !last => {
                    cuts += 1;
                    begun = client.upload_state(repository, &uploading.to).await?.filter(|(at, _)| *at <= blob.size);
                }
                // What the registry had was not what we thought: from the beginning.
                Stopped::Target(registry::Error::Answer { status, .. })
                    if status.is_client_error() && (resumed || cuts > 0) && !last => {}
                // Damage on the way may not come again; another place may have it right.
                Stopped::Content(Wrong::Digest(_) | Wrong::Length) if attempt <= wanted.from.len() + 1 => {}
                Stopped::Source(_) | Stopped::Content(Wrong::Source(_)) if attempt <= wanted.from.len() => {}
                stopped => {
                    self.keep_upload(client, repository, blob, None);
                    return Err(self.explained(wanted, blob, stopped));
                }
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Sends what the registry has not: as one request, or in pieces where that was cut before. The source
    /// is asked first: an upload that is opened and then waits for a slow source is closed by the registry.
    async fn upload(&self, uploading: &mut Uploading<'_>, cuts: u32, failed: usize) -> Result<(), Stopped> {
        let Uploading { client, wanted, blob, repository, .. } = *uploading;
        let origin = wanted.place(failed);
        let open = |at: u64| self.source.blob(origin, blob, at);
        if cuts > 0 {
            let piece = (LARGEST_PIECE >> (2 * (cuts - 1)).min(32)).max(SMALLEST_PIECE);
            while blob.size - uploading.at > piece {
                let content = open(uploading.at).await.map_err(Stopped::Source)?;
                let (body, verdict) = checked::part(content, blob, piece);
                let sent =
                    client.continue_upload(repository, &uploading.to, uploading.at, piece, self.counted(wanted, body));
                uploading.to = sent.await.map_err(|error| stopped(&verdict, error))?;
                uploading.at += piece;
                self.keep_upload(client, repository, blob, Some(&uploading.to));
            }
        }
        let (at, length) = (uploading.at, blob.size - uploading.at);
        let content = open(at).await.map_err(Stopped::Source)?;
        // Of one that is gone on with the registry alone has seen all bytes: it compares the digest before
        // it takes the blob, as it does with every upload.
        let (body, verdict) =
            if at == 0 { checked::whole(content, blob) } else { checked::part(content, blob, length) };
        let sent = client.finish_upload(repository, &uploading.to, &blob.digest, length, self.counted(wanted, body));
        sent.await.map_err(|error| stopped(&verdict, error))
    }

    fn counted(&self, wanted: &Wanted, body: registry::Body) -> registry::Body {
        let moved = self.moved.counter(&wanted.image);
        body.inspect(move |piece| moved.add(piece.as_ref().map_or(0, bytes::Bytes::len))).boxed()
    }

    /// The upload of the blob that an earlier run began.
    fn journalled(&self, client: &Client, repository: &str, blob: &Descriptor) -> Option<Url> {
        self.journal.as_ref()?.find(client.base(), repository, &blob.digest)
    }

    fn keep_upload(&self, client: &Client, repository: &str, blob: &Descriptor, location: Option<&Url>) {
        if let Some(journal) = self.journal.as_ref().filter(|_| blob.size >= journal::SMALLEST) {
            journal.set(client.base(), repository, &blob.digest, location);
        }
    }

    fn explained(&self, wanted: &Wanted, blob: &Descriptor, stopped: Stopped) -> Failure {
        match stopped {
            Stopped::Target(error) => error.into(),
            Stopped::Source(failure) => failure,
            Stopped::Content(wrong) => self.wrong(wanted, blob, wrong),
        }
    }

    /// The failure that content gives which is not what it should be.
    pub(super) fn wrong(&self, wanted: &Wanted, blob: &Descriptor, wrong: Wrong) -> Failure {
        let (image, place) = (wanted.image.to_string(), self.source.describe());
        match wrong {
            Wrong::Source(failure) => failure,
            Wrong::Digest(found) => Error::Damaged { blob: blob.digest, image, place, found }.into(),
            Wrong::Length => Error::Length { blob: blob.digest, image, place, size: blob.size }.into(),
        }
    }

    pub(super) async fn put_to_registry(
        &self,
        client: &Client,
        wanted: &Wanted,
        raw: &Raw,
        repository: &str,
        name: &str,
    ) -> Result<(), Failure> {
        let put = client.put_manifest(repository, name, &raw.media_type, raw.bytes.clone()).await;
        let Err(error) = put else { return Ok(()) };
        // Whether it is for missing platforms shows only by what the index names.
        let named = serde_json::from_slice::<Parsed>(&raw.bytes).ok().and_then(|parsed| parsed.manifests);
        match (named, &error) {
            (Some(named), registry::Error::Answer { status, .. }) if *status == StatusCode::BAD_REQUEST => {
                let mut kept = 0;
                for child in &named {
                    let there = client.head_manifest(repository, &child.digest.to_string()).await;
                    kept += usize::from(there.is_ok_and(|there| there.is_some()));
                }
                if kept == named.len() {
                    return Err(error.into());
                }
                let (image, place) = (wanted.image.to_string(), self.target.describe());
                Err(Error::Sparse { image, place, all: named.len(), kept, source: Box::new(error) }.into())
            }
            _ => Err(error.into()),
        }
    }
}

/// How far an upload of an earlier run has come. The registry may still be writing what it had taken in before that
/// run was killed, and what goes on at the wrong byte spoils the whole: it is asked until it tells the same twice.
async fn settled(client: &Client, repository: &str, to: &Url) -> Result<Option<(u64, Url)>, registry::Error> {
    let mut state = client.upload_state(repository, to).await?;
    for _ in 0..LOOKS {
        let Some((at, to)) = state else { break };
        tokio::time::sleep(BETWEEN_LOOKS).await;
        state = client.upload_state(repository, &to).await?;
        if state.as_ref().is_some_and(|(now, _)| *now == at) {
            break;
        }
    }
    Ok(state)
}

impl Wanted {
    /// Where to ask after so many failures: the first place, then the others, the last one again.
    pub(super) fn place(&self, failed: usize) -> &Reference {
        match failed.min(self.from.len()) {
            0 => &self.image,
            number => &self.from[number - 1],
        }
    }
}

fn stopped(verdict: &Verdict, error: registry::Error) -> Stopped {
    verdict.take().map_or(Stopped::Target(error), Stopped::Content)
}
