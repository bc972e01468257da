//! What istiolab has done for a lab, kept on disk so that the next run goes on from there.

use std::collections::BTreeMap;
use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use thiserror::Error;

use crate::error::{Failure, Kind};

/// Why the journal can't be used.
#[derive(Debug, Error)]
pub enum Error {
    /// Reading or writing failed; the message names the file.
    #[error("can't keep the lab's journal")]
    Io(#[from] std::io::Error),
    /// The file holds something else.
    #[error("`{path}` is not a journal of this version of istiolab")]
    Format {
        /// The file.
        path: Utf8PathBuf,
        /// Where reading stopped.
        source: serde_json::Error,
    },
    /// Another process works on the same lab.
    #[error("another istiolab is at work on this lab: `{path}` is locked")]
    Busy {
        /// The lock file.
        path: Utf8PathBuf,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Io(_) => Self::new(Kind::Unexpected, error),
            Error::Format { path, .. } => {
                let hint = format!(
                    "Take the lab down with the version that made it, or delete `{path}` if its cluster is gone."
                );
                Self::new(Kind::BadInput, error).hint(hint)
            }
            Error::Busy { .. } => Self::new(Kind::Refused, error).hint("Wait for it to end, or stop it with Ctrl-C."),
        }
    }
}

/// A small store of named entries in the lab's state folder. Each write replaces the file in one
/// step, so that a kill at any moment leaves the old or the new one. The lock that [`Journal::open`]
/// takes is given back when the journal is dropped or the process dies.
#[derive(Debug)]
pub struct Journal {
    path: Utf8PathBuf,
    entries: BTreeMap<String, Value>,
    _lock: fs_err::File,
}

impl Journal {
    /// Opens the journal in `folder`, which is made if need be, and locks it.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process holds it; else each variant.
    pub fn open(folder: &Utf8Path) -> Result<Self, Error> {
        fs_err::create_dir_all(folder)?;
        let lock_path = folder.join("lock");
        let lock = fs_err::File::create(&lock_path)?;
        match lock.file().try_lock() {
            Ok(()) => (),
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Busy { path: lock_path }),
            Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        let entries = read(folder)?;
        Ok(Self { path: folder.join("journal.json"), entries, _lock: lock })
    }

    /// The entry `name`; `None` if it is not there or is of another shape, which is the same to a
    /// caller: it does the work again.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.entries.get(name).and_then(|value| serde_json::from_value(value.clone()).ok())
    }

    /// Sets an entry and writes the file, unless nothing changes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set<T: Serialize>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        let value = serde_json::to_value(value).map_err(std::io::Error::other)?;
        if self.entries.get(name) != Some(&value) {
            self.entries.insert(name.to_owned(), value);
            self.write()?;
        }
        Ok(())
    }

    /// Removes an entry and writes the file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        if self.entries.remove(name).is_some() {
            self.write()?;
        }
        Ok(())
    }

    fn write(&self) -> Result<(), Error> {
        let folder = self.path.parent().unwrap_or(Utf8Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, &self.entries).map_err(std::io::Error::other)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// The entries of the journal in `folder`, without the lock: for commands that only look.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`].
pub fn read(folder: &Utf8Path) -> Result<BTreeMap<String, Value>, Error> {
    let path = folder.join("journal.json");
    match fs_err::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| Error::Format { path, source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("a UTF-8 path");
        (dir, path)
    }

    #[test]
    fn entries_survive() {
        let (_dir, path) = folder();
        let mut journal = Journal::open(&path).expect("a new journal");
        journal.set("cluster", &vec!["node-1"]).expect("it is written");
        drop(journal);
        let journal = Journal::open(&path).expect("the same journal");
        assert_eq!(journal.get::<Vec<String>>("cluster"), Some(vec!["node-1".to_owned()]));
        assert_eq!(journal.get::<u64>("cluster"), None);
    }

    #[test]
    fn a_second_process_is_told() {
        let (_dir, path) = folder();
        let _journal = Journal::open(&path).expect("a new journal");
        assert!(matches!(Journal::open(&path), Err(Error::Busy { .. })));
    }

    #[test]
    fn something_else_is_not_overwritten() {
        let (_dir, path) = folder();
        fs_err::write(path.join("journal.json"), "not a journal").expect("the file is written");
        assert!(matches!(Journal::open(&path), Err(Error::Format { .. })));
        assert_eq!(fs_err::read_to_string(path.join("journal.json")).expect("it is there"), "not a journal");
    }
}
