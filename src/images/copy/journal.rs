//! Uploads that were begun, on disk, so that a run after one that was killed goes on with them. What the
//! registry says decides; the journal only says what to ask for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::Error;
use crate::images::digest::Digest;

/// Smaller blobs are sent again: asking how far they got takes as long.
pub(super) const SMALLEST: u64 = 1 << 20;

/// The journal of uploads: a line for each that begins, goes on elsewhere, or ends. A line that was half
/// written when the program was killed is passed over.
#[derive(Debug)]
pub struct Journal {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: fs_err::File,
    open: HashMap<Key, Url>,
    _lock: fs_err::File,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Key {
    registry: Url,
    repository: String,
    digest: Digest,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    key: Key,
    /// Where to go on; nothing where the upload has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<Url>,
}

impl Journal {
    /// Opens the journal at `path`, which is made if need be, and leaves out of it what has ended. `None`
    /// if another process has it open: that one may be sending the very same blobs.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn open(path: &Utf8Path) -> Result<Option<Self>, Error> {
        let wrong = |source: std::io::Error| Error::Journal { path: path.to_owned(), source };
        let folder = path.parent().unwrap_or(Utf8Path::new("."));
        fs_err::create_dir_all(folder).map_err(wrong)?;
        let lock = fs_err::OpenOptions::new().create(true).append(true).open(path.with_added_extension("lock"));
        let lock = lock.map_err(wrong)?;
        match lock.file().try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(source)) => return Err(wrong(source)),
        }
        let mut open: HashMap<Key, Url> = HashMap::new();
        let text = match fs_err::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(wrong(error)),
        };
        for line in text.split(|&byte| byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Line { key, location: Some(location) }) => drop(open.insert(key, location)),
                Ok(Line { key, location: None }) => drop(open.remove(&key)),
                Err(_) => {}
            }
        }
        let mut kept = tempfile::NamedTempFile::new_in(folder).map_err(wrong)?;
        for (key, location) in &open {
            write(&mut kept, key, Some(location)).map_err(wrong)?;
        }
        kept.persist(path).map_err(|error| wrong(error.error))?;
        let file = fs_err::OpenOptions::new().append(true).open(path).map_err(wrong)?;
        Ok(Some(Self { state: Mutex::new(State { file, open, _lock: lock }) }))
    }

    /// Where the upload of this blob goes on, if one was begun.
    pub(super) fn find(&self, registry: &Url, repository: &str, digest: &Digest) -> Option<Url> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open.get(&key(registry, repository, digest)).cloned()
    }

    /// Keeps where the upload goes on; `None` when it has ended.
    pub(super) fn set(&self, registry: &Url, repository: &str, digest: &Digest, location: Option<&Url>) {
        let key = key(registry, repository, digest);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = match location {
            Some(location) => state.open.insert(key.clone(), location.clone()).as_ref() != Some(location),
            None => state.open.remove(&key).is_some(),
        };
        if changed {
            // The journal only saves work: where it can't be written, a later run sends more.
            drop(write(&mut state.file, &key, location));
        }
    }
}

fn key(registry: &Url, repository: &str, digest: &Digest) -> Key {
    Key { registry: registry.clone(), repository: repository.to_owned(), digest: *digest }
}

fn write(to: &mut impl std::io::Write, key: &Key, location: Option<&Url>) -> std::io::Result<()> {
    let line = Line { key: key.clone(), location: location.cloned() };
    let mut text = serde_json::to_vec(&line).map_err(std::io::Error::other)?;
    text.push(b'\n');
    to.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_found_after_a_kill() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(dir.path()).expect("UTF-8").join("state/uploads");
        let registry: Url = "http://localhost:5000".parse().expect("an address");
        let at = |text: &str| registry.join(text).expect("an address");
        let (a, b) = (Digest::of("a"), Digest::of("b"));
        let journal = Journal::open(&path).expect("writable").expect("nobody else has it");
        assert!(Journal::open(&path).expect("writable").is_none(), "somebody has it");
        journal.set(&registry, "r", &a, Some(&at("/1")));
        journal.set(&registry, "r", &a, Some(&at("/2")));
        journal.set(&registry, "r", &b, Some(&at("/3")));
        journal.set(&registry, "r", &b, None);
        drop(journal);
        let mut text = fs_err::read(&path).expect("it is there");
        text.extend(b"{\"registry\": \"http://loc");
        fs_err::write(&path, text).expect("writable");
        let journal = Journal::open(&path).expect("writable").expect("nobody else has it");
        assert_eq!(journal.find(&registry, "r", &a), Some(at("/2")));
        assert_eq!(journal.find(&registry, "r", &b), None);
        assert_eq!(journal.find(&registry, "other", &a), None);
        assert_eq!(fs_err::read_to_string(&path).expect("it is there").lines().count(), 1, "it was cleaned up");
    }
}
