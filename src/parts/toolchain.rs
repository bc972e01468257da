//! Versions of compilers, remembered so that a build with nothing to do starts no program.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::time::{Duration, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Error;
use super::recipe::Toolchain;
use super::record::{read_json, write_json};
use crate::process::Command;

/// What a compiler said about itself, and the program that said it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    path: Utf8PathBuf,
    size: u64,
    modified: u128,
    version: String,
}

impl Toolchain {
    fn program(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Java => "jlink",
            Self::Node => "npm",
            Self::Rust => "rustc",
        }
    }

    fn question(self) -> &'static str {
        match self {
            Self::Go => "version",
            Self::Java | Self::Node | Self::Rust => "--version",
        }
    }
}

/// The versions of the compilers in `wanted`. A program that did not change since it was last asked
/// is not asked again.
pub(super) async fn versions(
    wanted: &BTreeSet<Toolchain>,
    cache: &Utf8Path,
    cancel: &CancellationToken,
) -> Result<BTreeMap<Toolchain, String>, Error> {
    let file = cache.join("toolchains.json");
    let mut known: BTreeMap<String, Known> = read_json(&file).unwrap_or_default();
    let mut versions = BTreeMap::new();
    let mut asked = false;
    for &toolchain in wanted {
        let program = toolchain.program();
        let path = find(program).ok_or_else(|| Error::Tool { program: program.to_owned() })?;
        let meta = fs::metadata(&path).map_err(|source| Error::read(&path, source))?;
        let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let mut now = Known { path, size: meta.len(), modified: modified.as_nanos(), version: String::new() };
        if let Some(before) = known.get(program) {
            now.version.clone_from(&before.version);
            if *before == now {
                versions.insert(toolchain, now.version);
                continue;
            }
        }
        let output = Command::new(program).arg(toolchain.question()).limit(Duration::from_mins(1)).run(cancel).await?;
        output.stdout.trim().clone_into(&mut now.version);
        versions.insert(toolchain, now.version.clone());
        known.insert(program.to_owned(), now);
        asked = true;
    }
    if asked {
        write_json(&file, &known)?;
    }
    Ok(versions)
}

/// The program in `PATH`, links followed.
pub(super) fn find(program: &str) -> Option<Utf8PathBuf> {
    let path = env::var_os("PATH")?;
    let found = env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())?;
    Utf8PathBuf::from_path_buf(found.canonicalize().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_asked_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let cache = Utf8Path::from_path(dir.path()).expect("UTF-8");
        let wanted = [Toolchain::Rust].into();
        let cancel = CancellationToken::new();
        let first = versions(&wanted, cache, &cancel).await.expect("rustc is here");
        assert!(first[&Toolchain::Rust].starts_with("rustc "), "{first:?}");
        // A cancelled run can't ask.
        cancel.cancel();
        assert_eq!(versions(&wanted, cache, &cancel).await.expect("it is remembered"), first);
    }
}
