//! The key of a part: what is the same, is not built again.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use super::recipe::{Input, Toolchain};
use super::record::Record;
use super::{Error, Recipe};
use crate::images::digest::{Digest, Hasher};

/// Raised when the builder makes something else of the same recipe.
const BUILDER: &str = "istiolab builder 2";

/// The key of a part: over the builder, every file of the part's folder, the versions of the
/// compilers that it uses, and what came out of the parts that it needs.
pub(super) fn of(
    recipe: &Recipe,
    project: &Utf8Path,
    versions: &BTreeMap<Toolchain, String>,
    needs: &[Record],
) -> Result<Digest, Error> {
    let mut hasher = begun(recipe, project)?;
    for toolchain in toolchains(recipe) {
        hasher.field(versions.get(&toolchain).map_or("", String::as_str));
    }
    for need in needs {
        hasher.field(&need.name);
        hasher.field(need.key.to_string());
        for (name, descriptor) in need.images.iter().chain(&need.layers) {
            hasher.field(name);
            hasher.field(descriptor.digest.to_string());
        }
    }
    Ok(hasher.finish())
}

/// The key of a part by what it is to be made of alone, `needs` being those of the parts that it needs: the
/// same on every machine, whatever compilers it has, so that machines without any find what others built.
pub(super) fn of_recipe(recipe: &Recipe, project: &Utf8Path, needs: &[Digest]) -> Result<Digest, Error> {
    let mut hasher = begun(recipe, project)?;
    hasher.field("by its recipe alone");
    for need in needs {
        hasher.field(need.to_string());
    }
    Ok(hasher.finish())
}

/// What both keys begin with.
fn begun(recipe: &Recipe, project: &Utf8Path) -> Result<Hasher, Error> {
    let mut hasher = Hasher::new();
    hasher.field(BUILDER);
    hash_folder(&mut hasher, &recipe.dir)?;
    for input in recipe.inputs.values() {
        if let Input::Cargo(program) = input {
            hash_folder(&mut hasher, &project.join(&program.path))?;
            let lock = project.join("Cargo.lock");
            let text = fs::read_to_string(&lock).map_err(|source| Error::read(&lock, source))?;
            for package in locked(&text, &program.package) {
                hasher.field(package);
            }
        }
    }
    Ok(hasher)
}

/// The compilers that a part uses.
pub(super) fn toolchains(recipe: &Recipe) -> BTreeSet<Toolchain> {
    recipe.inputs.values().flat_map(Input::toolchains).collect()
}

/// The entries of a `Cargo.lock` that the package `root` is made of: the rest of the workspace may
/// change without a new build.
fn locked<'a>(lock: &'a str, root: &str) -> BTreeSet<&'a str> {
    let entries: Vec<&str> = lock.split("[[package]]").skip(1).map(str::trim).collect();
    let value = |entry: &'a str, key: &str| {
        entry.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
    };
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(wanted) = open.pop() {
        // `name`, or `name version` where the lock has several.
        let mut words = wanted.split(' ');
        let (name, version) = (words.next(), words.next());
        for entry in &entries {
            let fits = value(entry, "name") == name && (version.is_none() || value(entry, "version") == version);
            if fits && found.insert(*entry) {
                let dependencies = entry.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\","));
                open.extend(dependencies);
            }
        }
    }
    found
}

/// Every file below `dir`, hidden ones aside, with its path, in order.
fn hash_folder(hasher: &mut Hasher, dir: &Utf8Path) -> Result<(), Error> {
    let mut files = BTreeMap::new();
    let mut open = vec![Utf8PathBuf::new()];
    while let Some(folder) = open.pop() {
        let here = dir.join(&folder);
        for item in here.read_dir_utf8().map_err(|source| Error::read(&here, source))? {
            let item = item.map_err(|source| Error::read(&here, source))?;
            if item.file_name().starts_with('.') || item.file_name() == "target" {
                continue;
            }
            let relative = folder.join(item.file_name());
            if item.path().is_dir() {
                open.push(relative);
            } else {
                files.insert(relative, item.path().to_owned());
            }
        }
    }
    files.iter().try_for_each(|(relative, path)| hash_file(hasher, relative.as_str(), path))
}

fn hash_file(hasher: &mut Hasher, name: &str, path: &Utf8Path) -> Result<(), Error> {
    hasher.field(name);
    hasher.field(fs::read(path).map_err(|source| Error::read(path, source))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_package_is_made_of_counts() {
        let lock = r#"
version = 4

[[package]]
name = "app"
version = "0.1.0"
dependencies = [
 "both 2.0.0",
]

[[package]]
name = "both"
version = "1.0.0"

[[package]]
name = "both"
version = "2.0.0"
dependencies = [
 "deep",
]

[[package]]
name = "deep"
version = "0.3.0"
checksum = "ab"

[[package]]
name = "other"
version = "9.0.0"
"#;
        let found = locked(lock, "app");
        let names: Vec<&str> = found.iter().filter_map(|entry| entry.lines().next()).collect();
        assert_eq!(names, [r#"name = "app""#, r#"name = "both""#, r#"name = "deep""#]);
        assert!(
            found.iter().any(|entry| entry.contains("2.0.0")) && !found.iter().any(|entry| entry.contains("1.0.0"))
        );
    }
}
