//! How fast images moved the last time, for an estimate of how long the next copy takes.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;
use fs_err as fs;

/// A copy of fewer bytes, or one that was sooner done, says more of round trips than of the way's width.
const LEAST_BYTES: u64 = 8_000_000;
const LEAST_TIME: Duration = Duration::from_millis(200);
/// How many ways are remembered.
const MOST: usize = 100;

/// Rates by the way, from a source to a target, as both describe themselves.
#[derive(Clone, Debug)]
pub struct Rates {
    path: Utf8PathBuf,
}

impl Rates {
    /// Kept in this file, which need not exist.
    #[must_use]
    pub fn new(path: Utf8PathBuf) -> Self {
        Self { path }
    }

    /// Bytes a second of the last copy on this way, if there was one that tells.
    #[must_use]
    pub fn get(&self, from: &str, to: &str) -> Option<u64> {
        self.read().remove(&way(from, to)).filter(|rate| *rate > 0)
    }

    /// Takes in a copy. Where the file can't be written there is no estimate.
    pub fn took(&self, from: &str, to: &str, bytes: u64, time: Duration) {
        if bytes < LEAST_BYTES || time < LEAST_TIME {
            return;
        }
        let mut rates = self.read();
        let rate = u128::from(bytes) * 1000 / time.as_millis().max(1);
        rates.insert(way(from, to), u64::try_from(rate).unwrap_or(u64::MAX));
        while rates.len() > MOST {
            rates.pop_first();
        }
        if let Ok(text) = serde_json::to_vec_pretty(&rates)
            && let Some(folder) = self.path.parent()
            && fs::create_dir_all(folder).is_ok()
            && let Ok(mut file) = tempfile::NamedTempFile::new_in(folder)
            && std::io::Write::write_all(&mut file, &text).is_ok()
        {
            drop(file.persist(&self.path));
        }
    }

    fn read(&self) -> BTreeMap<String, u64> {
        fs::read(&self.path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }
}

fn way(from: &str, to: &str) -> String {
    format!("{from} -> {to}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_copy_that_tells_counts() {
        let dir = tempfile::tempdir().expect("a folder");
        let rates = Rates::new(Utf8PathBuf::from_path_buf(dir.path().join("state/rates.json")).expect("UTF-8"));
        assert_eq!(rates.get("a", "b"), None);
        rates.took("a", "b", 100_000_000, Duration::from_secs(2));
        rates.took("a", "b", 1000, Duration::from_secs(2));
        assert_eq!((rates.get("a", "b"), rates.get("b", "a")), (Some(50_000_000), None));
        fs::write(&rates.path, "no JSON").expect("writable");
        assert_eq!(rates.get("a", "b"), None);
        rates.took("a", "b", 10_000_000, Duration::from_secs(1));
        assert_eq!(rates.get("a", "b"), Some(10_000_000));
    }
}
