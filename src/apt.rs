//! What apt is set up for on this machine: the one archive that Debian packages come from.

use camino::Utf8PathBuf;

/// The variable that names the archive where apt is set up for another distribution's.
pub const VARIABLE: &str = "ISTIOLAB_DEBIAN_ARCHIVE";

/// The address of a Debian archive: the variable's, else the one that serves this machine's Debian,
/// so that a mirror in use is used further. `None` where there is neither.
#[must_use]
pub fn archive() -> Option<String> {
    let set = std::env::var(VARIABLE).ok().filter(|address| !address.is_empty());
    set.or_else(|| archive_in(&sources()))
}

/// All of apt's sources, comments left out.
#[must_use]
pub fn sources() -> String {
    let mut files = vec![Utf8PathBuf::from("/etc/apt/sources.list")];
    if let Ok(folder) = fs_err::read_dir("/etc/apt/sources.list.d") {
        files.extend(folder.flatten().filter_map(|entry| Utf8PathBuf::from_path_buf(entry.path()).ok()));
    }
    files.sort();
    let lines = |path: Utf8PathBuf| {
        let text = fs_err::read_to_string(path).unwrap_or_default();
        text.lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .fold(String::new(), |all, line| all + line + "\n")
    };
    files.into_iter().map(lines).collect()
}

fn archive_in(sources: &str) -> Option<String> {
    let address = |word: &&str| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian");
    sources.split_whitespace().find(address).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_archive_of_debian_counts() {
        let one = "deb http://mirror.lan/debian/ bookworm main\n";
        assert_eq!(archive_in(one).as_deref(), Some("http://mirror.lan/debian/"));
        assert_eq!(archive_in("URIs: http://mirror.lan/debian-security"), None);
        assert_eq!(archive_in("deb http://mirror.lan/ubuntu noble main"), None);
    }
}
