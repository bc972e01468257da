//! What is written down about a cluster, before it is made and after: the proof that it is the lab's.
//!
//! Before anything is made, a random id is written here and then put into every node's container. A
//! cluster is the lab's if its nodes carry that id; one whose making was cut off is recognised so.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{Error, Wanted, config};
use crate::images::digest::{Digest, Hasher};

/// How far making a cluster came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Begun.
    Creating,
    /// Ended well.
    Created,
}

/// What is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The form of this file.
    pub version: u32,
    /// The cluster's name.
    pub cluster: String,
    /// The random id that its nodes carry.
    pub owner: String,
    /// How far it came.
    pub phase: Phase,
    /// The node image's name.
    pub image: String,
    /// The node image's id.
    pub image_id: String,
    /// Over everything else that it was made of.
    pub config: Digest,
    /// Container ids by node names, once it was made.
    #[serde(default)]
    pub nodes: BTreeMap<String, String>,
}

const VERSION: u32 = 1;

impl Record {
    /// For a cluster that is about to be made.
    ///
    /// # Errors
    /// [`Error::State`] if the system gives no random bytes; [`Error::Config`].
    pub fn begun(cluster: &str, wanted: &Wanted) -> Result<Self, Error> {
        Ok(Self {
            version: VERSION,
            cluster: cluster.to_owned(),
            owner: random_id()?,
            phase: Phase::Creating,
            image: wanted.image.clone(),
            image_id: wanted.image_id.clone(),
            config: fingerprint(wanted)?,
            nodes: BTreeMap::new(),
        })
    }

    /// What of `wanted` is not as the cluster was made, as a noun; `None` if all is.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn difference(&self, wanted: &Wanted) -> Result<Option<&'static str>, Error> {
        Ok(if self.image_id != wanted.image_id {
            Some("node image")
        } else if self.config != fingerprint(wanted)? {
            Some("configuration")
        } else {
            None
        })
    }

    /// Reads it; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::State`] if it can't be read or is not of a form that this version knows.
    pub fn load(dir: &Utf8Path) -> Result<Option<Self>, Error> {
        let path = file(dir);
        let wrong = |source| Error::State { path: path.clone(), source };
        let text = match fs_err::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(wrong)?,
        };
        let record: Self = serde_json::from_slice(&text).map_err(|error| wrong(error.into()))?;
        if record.version == VERSION {
            Ok(Some(record))
        } else {
            Err(wrong(std::io::Error::other(format!(
                "it has the form {}, this istiolab knows {VERSION}",
                record.version
            ))))
        }
    }

    /// Writes it so that a power cut leaves either the old or the new one.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn save(&self, dir: &Utf8Path) -> Result<(), Error> {
        let text =
            serde_json::to_vec_pretty(self).map_err(|error| Error::State { path: file(dir), source: error.into() })?;
        write_private(&file(dir), &text)
    }

    /// Deletes it, if it is there.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn delete(dir: &Utf8Path) -> Result<(), Error> {
        delete_file(&file(dir))
    }
}

fn file(dir: &Utf8Path) -> Utf8PathBuf {
    dir.join("cluster.json")
}

fn fingerprint(wanted: &Wanted) -> Result<Digest, Error> {
    let merged = config::merged(wanted, "")?;
    let mut hasher = Hasher::new();
    hasher.field(merged.to_string());
    Ok(hasher.finish())
}

/// 128 random bits as hexadecimal digits.
fn random_id() -> Result<String, Error> {
    let path = "/dev/urandom";
    let mut bytes = [0_u8; 16];
    fs_err::File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|source| Error::State { path: path.into(), source })?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

/// Writes a file that only its owner can read, at once or not at all.
pub(super) fn write_private(path: &Utf8Path, bytes: &[u8]) -> Result<(), Error> {
    let wrong = |source| Error::State { path: path.to_owned(), source };
    let dir = path.parent().unwrap_or(Utf8Path::new("."));
    fs_err::create_dir_all(dir).map_err(wrong)?;
    // Temporary files are made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(wrong)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(wrong)?;
    file.persist(path).map_err(|error| wrong(error.error)).map(drop)
}

/// Deletes a file, if it is there.
pub(super) fn delete_file(path: &Utf8Path) -> Result<(), Error> {
    match fs_err::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::State { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::wanted;
    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = Utf8PathBuf::from_path_buf(dir.path().join("labs/a")).expect("UTF-8");
        (dir, path)
    }

    #[test]
    fn written_and_read_back() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, path) = folder();
        assert_eq!(Record::load(&path).expect("no record is no error"), None);
        let record = Record::begun("a", &wanted()).expect("a record");
        record.save(&path).expect("writable");
        assert_eq!(Record::load(&path).expect("readable"), Some(record));
        let mode = fs_err::metadata(path.join("cluster.json")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Record::delete(&path).expect("removable");
        Record::delete(&path).expect("twice is fine");
        assert_eq!(Record::load(&path).expect("none"), None);
    }

    #[test]
    fn ids_differ() {
        let id = || Record::begun("a", &wanted()).expect("a record").owner;
        assert_ne!(id(), id());
        assert_eq!(id().len(), 32);
    }

    #[test]
    fn what_changed_is_named() {
        let record = Record::begun("a", &wanted()).expect("a record");
        assert_eq!(record.difference(&wanted()).expect("valid"), None);
        let other = Wanted { image_id: "sha256:1".to_owned(), ..wanted() };
        assert_eq!(record.difference(&other).expect("valid"), Some("node image"));
        let other = Wanted { workers: 2, ..wanted() };
        assert_eq!(record.difference(&other).expect("valid"), Some("configuration"));
        let other = Wanted { limit: std::time::Duration::from_secs(1), ..wanted() };
        assert_eq!(record.difference(&other).expect("valid"), None);
    }

    #[test]
    fn a_torn_or_newer_file_is_an_error_that_names_it() {
        let (_dir, path) = folder();
        fs_err::create_dir_all(&path).expect("writable");
        for text in ["{", r#"{"version":9}"#] {
            fs_err::write(path.join("cluster.json"), text).expect("writable");
            let error = Record::load(&path).expect_err("not readable");
            assert!(error.to_string().contains("cluster.json"), "{error}");
        }
    }
}
