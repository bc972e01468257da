//! The bundle while it is written: everything passes through the redactor, and there are bounds to
//! size and time.

use std::future::Future;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::redact::Redactor;
use super::summary::{File, Missing};
use crate::plan::event::Progress;
use crate::yaml;

/// The most that one file holds, in bytes.
const LARGEST_FILE: usize = 16 << 20;
/// The most that all files hold together, before they are compressed.
const LARGEST: usize = 256 << 20;
/// How long collecting one thing may take.
const ONE: Duration = Duration::from_secs(15);

/// A bundle that is being written. It is there under its name only when it is finished.
pub(super) struct Bundle<'a> {
    root: String,
    path: Utf8PathBuf,
    end: Instant,
    cancel: &'a CancellationToken,
    progress: &'a Progress,
    redactor: Redactor,
    archive: Mutex<Archive>,
    missing: Mutex<Vec<Missing>>,
}

struct Archive {
    tar: tar::Builder<GzEncoder<NamedTempFile>>,
    files: Vec<File>,
    size: usize,
    failed: Option<std::io::Error>,
}

impl<'a> Bundle<'a> {
    /// A bundle for `path` whose files lie in the folder `root`; `limit` is the time for all of it.
    pub(super) fn new(
        path: &Utf8Path,
        root: &str,
        limit: Duration,
        progress: &'a Progress,
        cancel: &'a CancellationToken,
    ) -> Result<Self, Error> {
        let folder = path.parent().filter(|folder| !folder.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
        // For its owner alone, as temporary files are.
        let made = fs_err::create_dir_all(folder).and_then(|()| NamedTempFile::new_in(folder));
        let file = made.map_err(|source| Error::Write { path: path.to_owned(), source })?;
        let tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        Ok(Self {
            root: root.to_owned(),
            path: path.to_owned(),
            end: Instant::now() + limit,
            cancel,
            progress,
            redactor: Redactor::default(),
            archive: Mutex::new(Archive { tar, files: Vec::new(), size: 0, failed: None }),
            missing: Mutex::default(),
        })
    }

    /// Where secrets are learnt, before anything is written.
    pub(super) fn redactor(&mut self) -> &mut Redactor {
        &mut self.redactor
    }

    /// What was removed, by its kind.
    pub(super) fn removed(&self) -> std::collections::BTreeMap<String, usize> {
        self.redactor.counts().into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
    }

    /// Adds a text; of one that is too long, the end. Gives back the text without what was removed.
    pub(super) fn text(&self, path: &str, text: &str) -> String {
        // Before it is cut, which would hide where a key begins.
        let clean = self.redactor.text(text);
        let begin = clean.len().saturating_sub(LARGEST_FILE);
        let begin = (begin..=clean.len()).find(|&index| clean.is_char_boundary(index)).unwrap_or(clean.len());
        if begin == 0 {
            self.put(path, clean.as_bytes());
        } else {
            self.put(path, format!("[the first {begin} bytes are left out]\n{}", &clean[begin..]).as_bytes());
        }
        clean
    }

    /// Adds a text that may be JSON, which is then cleaned as such and made readable.
    pub(super) fn answer(&self, path: &str, text: &str) {
        match serde_json::from_str::<Value>(text) {
            Ok(document) => self.document(path, document),
            Err(_) => drop(self.text(path, text)),
        }
    }

    /// Adds a JSON document.
    pub(super) fn document(&self, path: &str, mut document: Value) {
        self.redactor.document(&mut document);
        self.put(path, format!("{document:#}\n").as_bytes());
    }

    /// Adds objects as one YAML file.
    pub(super) fn objects(&self, path: &str, objects: Vec<Value>) {
        let mut text = String::new();
        for mut object in objects {
            self.redactor.document(&mut object);
            match yaml::to_string(&object) {
                Ok(object) => text = text + "---\n" + &object,
                Err(error) => self.missing(path, error.to_string()),
            }
        }
        self.put(path, text.as_bytes());
    }

    /// Cleans a document that is not written as it is.
    pub(super) fn clean(&self, document: &mut Value) {
        self.redactor.document(document);
    }

    /// Writes bytes that are clean.
    pub(super) fn put(&self, path: &str, bytes: &[u8]) {
        let mut archive = self.archive.lock().unwrap_or_else(PoisonError::into_inner);
        if archive.size + bytes.len() > LARGEST {
            drop(archive);
            return self.missing(path, format!("the bundle would be larger than {} MiB", LARGEST >> 20));
        }
        archive.size += bytes.len();
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(bytes.len() as u64);
        header.set_mtime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()));
        let name = format!("{}/{path}", self.root);
        match archive.tar.append_data(&mut header, name, bytes) {
            Ok(()) => archive.files.push(File { path: path.to_owned(), bytes: bytes.len() }),
            Err(error) => drop(archive.failed.get_or_insert(error)),
        }
    }

    /// Remembers that something could not be collected.
    pub(super) fn missing(&self, what: impl Into<String>, why: impl Into<String>) {
        let missing = Missing { what: what.into(), why: why.into() };
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).push(missing);
    }

    /// Does one thing, within its time and what is left of the whole. What fails is remembered.
    pub(super) async fn attempt<T>(
        &self,
        what: impl Into<String>,
        work: impl Future<Output = Result<T, String>>,
    ) -> Option<T> {
        let what = what.into();
        let limit = self.end.saturating_duration_since(Instant::now()).min(ONE);
        if limit.is_zero() || self.cancel.is_cancelled() {
            self.missing(what, "the time for collecting was over");
            return None;
        }
        self.progress.status(what.clone());
        let done = tokio::select! {
            () = self.cancel.cancelled() => return None,
            done = tokio::time::timeout(limit, work) => done,
        };
        match done {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(why)) => self.missing(what, why),
            Err(_) => self.missing(what, format!("not done within {} s", limit.as_secs())),
        }
        None
    }

    /// What was written, and what could not be collected.
    pub(super) fn contents(&self) -> (Vec<File>, Vec<Missing>) {
        let mut files = self.archive.lock().unwrap_or_else(PoisonError::into_inner).files.clone();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        (files, self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Puts the finished bundle in its place. Gives back its size in bytes.
    pub(super) fn finish(self) -> Result<u64, Error> {
        if self.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let path = self.path;
        let archive = self.archive.into_inner().unwrap_or_else(PoisonError::into_inner);
        let finished = || {
            if let Some(error) = archive.failed {
                return Err(error);
            }
            let mut file = archive.tar.into_inner()?.finish()?;
            file.flush()?;
            let size = file.as_file().metadata()?.len();
            file.persist(&path).map_err(|error| error.error)?;
            Ok(size)
        };
        finished().map_err(|source| Error::Write { path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn unpacked(path: &Utf8Path) -> Vec<(String, String)> {
        let file = fs_err::File::open(path).expect("the bundle");
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
        let read = |mut entry: tar::Entry<'_, _>| {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut entry, &mut text).expect("text");
            (entry.path().expect("a path").display().to_string(), text)
        };
        archive.entries().expect("a tar").map(|entry| read(entry.expect("an entry"))).collect()
    }

    #[tokio::test]
    async fn everything_is_cleaned_on_its_way_in_and_what_fails_is_remembered() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(dir.path()).expect("UTF-8").join("new/b.tar.gz");
        let (progress, cancel) = (Progress::silent(), CancellationToken::new());
        let mut bundle = Bundle::new(&path, "b", Duration::from_secs(30), &progress, &cancel).expect("it begins");
        bundle.redactor().remember("c4n4ry");
        bundle.redactor().seal();
        bundle.text("log", "a c4n4ry sings");
        bundle.answer("answer.json", r#"{"password": "x", "b": "c4n4ry"}"#);
        bundle.document("d.json", json!({"a": ["c4n4ry"]}));
        bundle.objects("o.yaml", vec![json!({"kind": "Secret", "data": {"a": "YWJjZGVm"}}), json!({"b": "c4n4ry"})]);
        assert_eq!(bundle.attempt("one", async { Err::<(), _>("no".to_owned()) }).await, None);
        assert_eq!(bundle.attempt("two", async { Ok(2) }).await, Some(2));
        let (files, missing) = bundle.contents();
        assert_eq!(files.len(), 4);
        assert_eq!((missing.len(), missing[0].what.as_str(), missing[0].why.as_str()), (1, "one", "no"));
        bundle.finish().expect("it is written");
        let files = unpacked(&path);
        assert_eq!(files[0], ("b/log".to_owned(), "a [removed] sings".to_owned()));
        assert!(files.iter().all(|(_, text)| !text.contains("c4n4ry") && !text.contains("YWJj")), "{files:?}");
        assert!(files[3].1.starts_with("---\nkind: Secret\ndata:\n  a: "), "{files:?}");
    }

    #[tokio::test]
    async fn nothing_stays_of_a_bundle_that_was_interrupted() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(dir.path()).expect("UTF-8").join("b.tar.gz");
        let (progress, cancel) = (Progress::silent(), CancellationToken::new());
        let bundle = Bundle::new(&path, "b", Duration::from_secs(30), &progress, &cancel).expect("it begins");
        cancel.cancel();
        assert_eq!(bundle.attempt("one", async { Ok(1) }).await, None);
        assert!(matches!(bundle.finish(), Err(Error::Interrupted)));
        assert_eq!(fs_err::read_dir(dir.path()).expect("the folder").count(), 0);
    }
}
