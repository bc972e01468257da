//! The tar of a bundle: its headers as they are written, and the table of its files as it is read from
//! headers alone. A file from elsewhere is not trusted: whatever makes two readers see different
//! files, or leads out of the bundle, is refused.

use std::collections::HashSet;
use std::io;

use tar::{EntryType, Header};

/// What a tar consists of, in bytes.
pub(super) const BLOCK: u64 = 512;
/// A header, as bytes.
pub(super) type Head = [u8; 512];
/// A block of nothing: where a header will be, and what fills up a last block.
pub(super) const ZEROS: Head = [0; 512];
/// The end of a tar: two blocks of zeros.
pub(super) const END: u64 = 2 * BLOCK;
/// More files than this are not a bundle: the largest registries' images have some hundred blobs each.
const MOST_FILES: usize = 200_000;
/// More than this in a header of extensions is not one.
const MOST_EXTENSIONS: u64 = 64 * 1024;

/// The header of the file `name` with `size` bytes. Nothing in it depends on when, where or by whom it
/// is written.
pub(super) fn head(name: &str, size: u64) -> io::Result<Head> {
    let mut header = Header::new_ustar();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// How far the next header is from the beginning of a file's content.
pub(super) fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK).saturating_mul(BLOCK)
}

/// A file of a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Its name, without `./` before it.
    pub(super) name: String,
    /// Where its content begins.
    pub(super) offset: u64,
    /// How many bytes there are.
    pub(super) size: u64,
}

/// The files of a tar of `length` bytes. `read` fills its buffer from an offset on.
///
/// # Errors
/// What is wrong with it, with the place; or why it can't be read.
pub(super) fn files(
    length: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<Result<Vec<File>, String>> {
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    let mut at = 0;
    loop {
        // Checked before reading: a tar that was cut off has no end.
        if length.saturating_sub(at) < END {
            return Ok(Err(format!("it ends at byte {length} without the mark that ends a tar; it was cut off")));
        }
        let mut block = ZEROS;
        read(at, &mut block)?;
        if block == ZEROS {
            return Ok(Ok(files));
        }
        let entry = match entry(&block, at, length) {
            Ok(entry) => entry,
            Err(why) => return Ok(Err(format!("{why}, at byte {at}"))),
        };
        let offset = at + BLOCK;
        at = offset + padded(entry.size);
        match entry.what {
            What::Folder => {}
            What::Extensions => {
                let mut text = vec![0; usize::try_from(entry.size).unwrap_or_default()];
                read(offset, &mut text)?;
                if let Err(why) = harmless(&text) {
                    return Ok(Err(format!("{why}, at byte {offset}")));
                }
            }
            What::File => {
                if !seen.insert(entry.name.clone()) {
                    return Ok(Err(format!("it has `{}` twice, at byte {}", entry.name, offset - BLOCK)));
                }
                if files.len() == MOST_FILES {
                    return Ok(Err(format!("it has more than {MOST_FILES} files")));
                }
                files.push(File { name: entry.name, offset, size: entry.size });
            }
        }
    }
}

enum What {
    File,
    Folder,
    Extensions,
}

struct Entry {
    name: String,
    size: u64,
    what: What,
}

fn entry(block: &Head, at: u64, length: u64) -> Result<Entry, String> {
    let header = Header::from_byte_slice(block);
    if header.cksum().ok() != Some(checksum(block)) {
        return Err("a header's checksum is wrong".to_owned());
    }
    let size = header.entry_size().map_err(|_| "a header has no valid size".to_owned())?;
    let room = length - at - BLOCK;
    // The end of the tar comes after it.
    if size > room || padded(size).saturating_add(END) > room {
        return Err(format!("a file says that it has {size} bytes, the bundle has {room} more"));
    }
    let name = String::from_utf8(header.path_bytes().into_owned()).map_err(|_| "a name is not UTF-8".to_owned())?;
    let what = match header.entry_type() {
        EntryType::Regular => What::File,
        EntryType::Directory if size == 0 => What::Folder,
        EntryType::XHeader | EntryType::XGlobalHeader if size <= MOST_EXTENSIONS => What::Extensions,
        EntryType::Link | EntryType::Symlink => return Err(format!("`{name}` is a link")),
        EntryType::Char | EntryType::Block | EntryType::Fifo => return Err(format!("`{name}` is a device")),
        other => return Err(format!("`{name}` is of a kind that bundles do not have ({})", other.as_byte())),
    };
    if matches!(what, What::Extensions) {
        return Ok(Entry { name, size, what });
    }
    Ok(Entry { name: plain(&name)?, size, what })
}

/// The sum of a header's bytes, its own field read as spaces.
fn checksum(block: &Head) -> u32 {
    let field = 148..156;
    block.iter().enumerate().map(|(at, byte)| u32::from(if field.contains(&at) { b' ' } else { *byte })).sum()
}

/// A name that stays inside: relative, without `..`, in one spelling only.
fn plain(name: &str) -> Result<String, String> {
    let short = name.strip_prefix("./").unwrap_or(name);
    let short = short.strip_suffix('/').unwrap_or(short);
    let inside = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    // The folder itself, as `tar -C folder .` writes it.
    if matches!(name, "." | "./") || short.split('/').all(inside) {
        Ok(short.to_owned())
    } else {
        Err(format!("the name `{}` leads out of the bundle", name.escape_debug()))
    }
}

/// Extensions that say nothing about where the next file is, what it is called and how long it is: a
/// reader that knows them and one that does not must see the same files.
fn harmless(text: &[u8]) -> Result<(), String> {
    let mut rest = text;
    while !rest.is_empty() {
        let wrong = || "a header of extensions makes no sense".to_owned();
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let length: usize = std::str::from_utf8(&rest[..space]).ok().and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
        if length <= space + 1 || length > rest.len() || rest[length - 1] != b'\n' {
            return Err(wrong());
        }
        let record = &rest[space + 1..length];
        let key = record.split(|byte| *byte == b'=').next().unwrap_or_default();
        if !matches!(key, b"mtime" | b"atime" | b"ctime" | b"uid" | b"gid" | b"uname" | b"gname" | b"comment") {
            let key = String::from_utf8_lossy(key);
            return Err(format!("an extension changes a file's `{}`", key.escape_debug()));
        }
        rest = &rest[length..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(tar: &[u8]) -> Result<Vec<File>, String> {
        let read = |offset: u64, buffer: &mut [u8]| {
            let from = usize::try_from(offset).expect("it fits");
            buffer.copy_from_slice(&tar[from..from + buffer.len()]);
            Ok(())
        };
        files(tar.len() as u64, read).expect("memory is readable")
    }

    fn tar_of(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, kind, content) in entries {
            let mut header = Header::new_ustar();
            // Not by `set_path`, which refuses what is tested here.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_entry_type(*kind);
            header.set_cksum();
            tar.extend_from_slice(header.as_bytes());
            tar.extend_from_slice(content);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    fn refused(entries: &[(&str, EntryType, &[u8])]) -> String {
        table(&tar_of(entries)).expect_err("it is refused")
    }

    #[test]
    fn what_is_written_is_read_back_by_us_and_by_others() {
        let mut tar = head("blobs/a", 3).expect("short").to_vec();
        tar.extend_from_slice(b"abc");
        tar.resize(2048 + 512 - 512, 0);
        assert_eq!(table(&tar), Ok(vec![File { name: "blobs/a".into(), offset: 512, size: 3 }]));
        let mut archive = tar::Archive::new(&tar[..]);
        let entry = archive.entries().expect("a tar").next().expect("one").expect("whole");
        assert_eq!((entry.path().expect("UTF-8").to_str(), entry.size()), (Some("blobs/a"), 3));
        // Beyond what octal digits hold.
        let size = 9 << 30;
        let header = head("blobs/large", size).expect("short");
        assert_eq!(Header::from_byte_slice(&header).entry_size().expect("a size"), size);
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["../a", "a/../../b", "/etc/passwd", "a//b", "./../a", "..", "a/./b", "a\\..\\b"] {
            assert!(refused(&[(name, EntryType::Regular, b"")]).contains("leads out"), "{name}");
        }
        let fine = [("./", EntryType::Directory, &b""[..]), ("./a", EntryType::Regular, b"1")];
        assert_eq!(table(&tar_of(&fine)).expect("fine")[0].name, "a");
    }

    #[test]
    fn links_devices_and_other_kinds_are_refused() {
        for (kind, word) in [
            (EntryType::Symlink, "link"),
            (EntryType::Link, "link"),
            (EntryType::Char, "device"),
            (EntryType::Block, "device"),
            (EntryType::Fifo, "device"),
            (EntryType::GNUSparse, "kind"),
            (EntryType::GNULongName, "kind"),
            (EntryType::Continuous, "kind"),
        ] {
            let why = refused(&[("a", kind, b"")]);
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn a_file_is_there_once() {
        let why = refused(&[("a", EntryType::Regular, b"1"), ("./a", EntryType::Regular, b"2")]);
        assert_eq!(why, "it has `a` twice, at byte 1024");
    }

    #[test]
    fn a_size_beyond_the_end_is_refused() {
        for size in [1025, 1 << 40, u64::MAX >> 1] {
            let mut tar = tar_of(&[("a", EntryType::Regular, b"1")]);
            let mut header = Header::new_ustar();
            header.set_path("a").expect("short");
            header.set_size(size);
            header.set_cksum();
            tar[..512].copy_from_slice(header.as_bytes());
            assert!(table(&tar).expect_err("it is refused").contains("bytes, the bundle has"), "{size}");
        }
    }

    #[test]
    fn one_that_was_cut_off_is_refused() {
        let tar = tar_of(&[("a", EntryType::Regular, b"1")]);
        for length in [0, 100, 511, 512, 1024, 1536] {
            assert!(table(&tar[..length]).is_err(), "{length}");
        }
        let mut damaged = tar.clone();
        damaged[5] ^= 1;
        assert_eq!(table(&damaged), Err("a header's checksum is wrong, at byte 0".to_owned()));
    }

    #[test]
    fn extensions_may_not_move_a_file() {
        let fine = [("pax", EntryType::XHeader, &b"20 mtime=1700000000\n"[..]), ("a", EntryType::Regular, b"1")];
        assert_eq!(table(&tar_of(&fine)).expect("fine").len(), 1);
        for text in [&b"9 path=b\n"[..], b"9 size=9\n", b"17 GNU.sparse.a=1\n", b"99 mtime=1\n", b"0 \n", b"x"] {
            table(&tar_of(&[("pax", EntryType::XHeader, text)])).expect_err("it is refused");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            drop(table(&bytes));
        }

        #[test]
        fn no_spoilt_header_makes_it_panic(at in 0_usize..1536, byte in any::<u8>(), fix in any::<bool>()) {
            let mut tar = tar_of(&[("a", EntryType::Regular, b"1"), ("pax", EntryType::XHeader, b"9 path=b\n")]);
            tar[at] = byte;
            if fix {
                let mut block: [u8; 512] = tar[..512].try_into().expect("a block");
                let sum = format!("{:06o}\0 ", checksum(&block));
                block[148..156].copy_from_slice(sum.as_bytes());
                tar[..512].copy_from_slice(&block);
            }
            if let Ok(files) = table(&tar) {
                for file in files {
                    prop_assert!(file.offset + file.size <= tar.len() as u64);
                }
            }
        }
    }
}
