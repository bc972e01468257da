//! A blob whose digest is known before its content: what is there of it survives a kill.

use std::io::{self, Write as _};

use super::{BUFFER, Descriptor, Digest, Error, Layout};
use crate::images::digest::Hasher;
use camino::Utf8PathBuf;
use fs_err as fs;

/// A blob that is being brought into a store. Nobody else works on it as long as this value lives.
#[derive(Debug)]
pub struct Partial {
    layout: Layout,
    digest: Digest,
    path: Utf8PathBuf,
    file: fs::File,
    length: u64,
    hasher: Hasher,
}

impl Layout {
    /// Opens what there is of the blob, or begins it; `None` if it is there by now. Waits for another
    /// process that is bringing it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn partial(&self, blob: &Descriptor) -> Result<Option<Partial>, Error> {
        let path = self.dir.join("blobs").join(format!(".part-{}", blob.digest.hex()));
        let wrong = |source| self.io(source);
        loop {
            let opened = fs::OpenOptions::new().create(true).read(true).append(true).open(&path);
            let mut file = opened.map_err(wrong)?;
            file.file().lock().map_err(wrong)?;
            if self.has_whole(blob) {
                // Ours is one that was made after the other had its name.
                remove(&path).map_err(wrong)?;
                return Ok(None);
            }
            if !is_same(&file, &path) {
                continue;
            }
            let mut hasher = Hasher::new();
            let mut length = read_again(&mut file, &mut hasher).map_err(wrong)?;
            if length > blob.size {
                file.set_len(0).map_err(wrong)?;
                (length, hasher) = (0, Hasher::new());
            }
            return Ok(Some(Partial { layout: self.clone(), digest: blob.digest, path, file, length, hasher }));
        }
    }
}

impl Partial {
    /// How many bytes are there.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The hash over what was there when it was opened.
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        self.hasher.clone()
    }

    /// Adds to it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(mut self, bytes: &[u8]) -> Result<Self, Error> {
        self.file.write_all(bytes).map_err(|source| self.layout.io(source))?;
        self.length += bytes.len() as u64;
        Ok(self)
    }

    /// Gives it its name: the caller has compared its digest.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(self) -> Result<(), Error> {
        let done = self.file.sync_data().and_then(|()| fs::rename(&self.path, self.layout.path(&self.digest)));
        done.map_err(|source| self.layout.io(source))
    }

    /// Throws it away.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn discard(self) -> Result<(), Error> {
        remove(&self.path).map_err(|source| self.layout.io(source))
    }
}

fn remove(path: &camino::Utf8Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether the name still leads to the file that we opened: whoever held it before us may have renamed it.
fn is_same(file: &fs::File, path: &camino::Utf8Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(named)) => ours.ino() == named.ino() && ours.dev() == named.dev(),
        _ => false,
    }
}

fn read_again(file: &mut fs::File, hasher: &mut Hasher) -> io::Result<u64> {
    use std::io::Read as _;
    let mut buffer = vec![0; BUFFER];
    let mut length = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(length),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                length += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::layout::LAYER;

    #[test]
    fn what_is_there_is_gone_on_with() {
        let dir = tempfile::tempdir().expect("a folder");
        let layout = Layout::open(Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("UTF-8")).expect("a store");
        let blob = Descriptor::new(LAYER, Digest::of("0123456789"), 10);
        let open = || layout.partial(&blob).expect("it can be opened");
        drop(open().expect("nothing yet").append(b"0123").expect("there is room"));
        let partial = open().expect("a beginning");
        assert_eq!((partial.length(), partial.hasher().finish()), (4, Digest::of("0123")));
        partial.append(b"456789").expect("there is room").finish().expect("named");
        layout.verify(&blob.digest).expect("it is whole");
        assert!(open().is_none());
        assert_eq!(fs::read_dir(layout.dir().join("blobs")).expect("a folder").count(), 1, "no other file is left");
        layout.remove(&blob.digest).expect("removable");
        drop(open().expect("gone").append(b"longer than it is").expect("there is room"));
        open().expect("a new beginning").discard().expect("removable");
        assert_eq!(fs::read_dir(layout.dir().join("blobs")).expect("a folder").count(), 1);
    }
}
