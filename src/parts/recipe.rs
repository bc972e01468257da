//! Recipes: what a part is made of and which images and files come out, as written in
//! `parts/NAME/part.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::Deserialize;

use super::Error;
use crate::images::digest::Digest;

/// All recipes of a project, every part after those that it needs.
#[derive(Clone, Debug)]
pub struct Recipes {
    parts: Vec<Recipe>,
    /// The folder of the project, in which workspace members are.
    pub(super) project: Utf8PathBuf,
}

/// How one part is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recipe {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    /// The part's name: that of its folder.
    pub name: String,
    /// The real version of what it builds; the tag of its images, unless they have their own.
    pub version: String,
    /// What a person calls it.
    pub title: String,
    /// Its license, as an SPDX expression.
    #[serde(default)]
    pub licenses: String,
    /// Where its source is, for a person to read.
    #[serde(default)]
    pub source: String,
    /// Other parts, whose images or layers are used.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What is built or fetched, by a name that layers refer to.
    #[serde(default)]
    pub inputs: BTreeMap<String, Input>,
    /// Layers, by name.
    #[serde(default)]
    pub layers: BTreeMap<String, Vec<Entry>>,
    /// The images that come out.
    #[serde(default)]
    pub images: Vec<Image>,
    /// Files that come out as they are, such as tools: name → where from, as [`Entry::from`].
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Its folder; set when it is loaded.
    #[serde(skip)]
    pub dir: Utf8PathBuf,
}

/// Something that is built or fetched; it becomes a file or a folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Input {
    /// A program built from Go modules; `go.mod` and `go.sum` are in the part's folder.
    Go(GoProgram),
    /// The folder of a module that the part's `go.mod` requires, as the module cache holds it.
    GoModule(GoModule),
    /// The content of a wheel from `PyPI`, unpacked.
    Wheel(Wheel),
    /// A file from a Maven repository.
    Jar(Jar),
    /// A Java run-time image with these modules, made by `jlink`.
    Jlink(Jlink),
    /// The files of Debian packages as a tar. Maintainer scripts are not run: what they would make
    /// is for the recipe to add.
    Debian(Debian),
    /// A program of this project's workspace, linked statically.
    Cargo(CargoProgram),
    /// The files that a command of the part's own leaves behind.
    Command(Shell),
}

/// See [`Input::Go`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoProgram {
    /// The main package: a folder (`./cmd/kube`) or an import path.
    pub package: String,
    /// Build tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Settings for the linker, beside `-s -w -buildid=`.
    #[serde(default)]
    pub ldflags: Vec<String>,
    /// The input whose folder holds `go.mod`, if it is not the part's.
    pub within: Option<String>,
}

/// See [`Input::GoModule`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoModule {
    /// The module's path.
    pub module: String,
    /// The part whose `go.mod` requires it, if it is not this one.
    pub part: Option<String>,
}

/// See [`Input::Wheel`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// The project on `PyPI`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The platform tag of the wheel, so that every host gets the same.
    pub platform: String,
    /// The SHA-256 of the wheel's file, without `sha256:`.
    pub sha256: String,
}

/// See [`Input::Jar`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jar {
    /// `group:artifact:version[:packaging[:classifier]]`.
    pub coordinates: String,
    /// The SHA-256 of the file, without `sha256:`.
    pub sha256: String,
}

/// See [`Input::Jlink`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jlink {
    /// The modules; what they need comes with them.
    pub modules: Vec<String>,
}

/// See [`Input::Debian`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debian {
    /// The release, as `bookworm`.
    pub suite: String,
    /// The packages; what they depend on comes with them.
    pub packages: Vec<String>,
    /// Packages that others depend on but that stay out: those that only maintainer scripts use.
    #[serde(default)]
    pub without: Vec<String>,
    /// The part on which these packages lie; what is in it stays out.
    pub above: Option<String>,
}

/// See [`Input::Cargo`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CargoProgram {
    /// The workspace member.
    pub package: String,
    /// Its folder in the project, whose files decide whether it must be built again.
    pub path: Utf8PathBuf,
}

/// See [`Input::Command`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shell {
    /// A script for `sh -eu`, run in an empty folder that becomes the input. Other inputs are in
    /// variables of their names (upper case, `-` as `_`), the part's folder in `PART`. What it fetches
    /// it may tell in the file that `MADE_OF` names, a line each, with version and checksum.
    pub run: String,
    /// The inputs that it reads.
    #[serde(default)]
    pub uses: Vec<String>,
    /// Toolchains whose versions decide whether it must be run again: `go`, `java`, `node`.
    #[serde(default)]
    pub toolchains: BTreeSet<Toolchain>,
}

/// A compiler whose version shows in what it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Toolchain {
    /// `go`
    Go,
    /// `jlink` and `java`
    Java,
    /// `npm` and `node`
    Node,
    /// `rustc`
    Rust,
}

/// Something in a layer: exactly one of `from`, `link`, `text`, `folder` and `images` says what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Where it is in the image.
    pub path: String,
    /// An input's name, with or without a path below it (`envoy/envoy/_bin/envoy`), or a file or
    /// folder beside the recipe (`./etc`). A folder's content goes below `path`.
    pub from: Option<String>,
    /// The target of a symbolic link.
    pub link: Option<String>,
    /// The text of a file.
    pub text: Option<String>,
    /// An empty folder.
    #[serde(default)]
    pub folder: bool,
    /// Parts whose images are put here, unpacked: `images/` is an OCI image layout that lacks the
    /// layers, `layers/HEX/` has the content of the layer with that digest, and `parts/PART/LAYER`
    /// is a link to it.
    pub images: Option<Vec<String>>,
    /// Permission bits, as `0755`; 0644 for files and 0755 for folders if not given. The files of
    /// a folder keep theirs if it is not given.
    pub mode: Option<u32>,
    /// User and group, as `[65534, 65534]`; root if not given.
    pub owner: Option<(u64, u64)>,
    /// Patterns of what stays out of a folder.
    #[serde(default)]
    pub omit: Vec<String>,
}

/// An image that comes out of a part.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// Its name without the tag.
    pub name: String,
    /// Its tag, where it is not the part's version.
    pub tag: Option<String>,
    /// The part whose only image lies below it; nothing if not given.
    pub base: Option<String>,
    /// Its layers, the lowest first: of this part, or `part/layer`.
    pub layers: Vec<String>,
    /// The program and its first arguments.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// Arguments that a user may replace.
    #[serde(default)]
    pub cmd: Vec<String>,
    /// Variables. `PATH` is the usual one unless given.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// User and group, as `65532:65532`; root if not given.
    #[serde(default)]
    pub user: String,
    /// The folder in which it starts.
    #[serde(default)]
    pub workdir: String,
    /// Ports that it listens on, as `8080/tcp`.
    #[serde(default)]
    pub ports: Vec<String>,
    /// The signal that asks it to end.
    #[serde(default)]
    pub stop_signal: String,
}

impl Image {
    /// The full name in the part `recipe`.
    #[must_use]
    pub fn full_name(&self, recipe: &Recipe) -> String {
        format!("{}:{}", self.name, self.tag.as_ref().unwrap_or(&recipe.version))
    }
}

impl Input {
    /// The compiler that makes it.
    #[must_use]
    pub fn toolchains(&self) -> BTreeSet<Toolchain> {
        match self {
            Self::Go(_) => [Toolchain::Go].into(),
            Self::Jlink(_) => [Toolchain::Java].into(),
            Self::Cargo(_) => [Toolchain::Rust].into(),
            Self::Command(shell) => shell.toolchains.clone(),
            _ => BTreeSet::new(),
        }
    }

    /// The other inputs that it is made from.
    #[must_use]
    pub fn uses(&self) -> &[String] {
        match self {
            Self::Go(program) => program.within.as_slice(),
            Self::Command(shell) => &shell.uses,
            _ => &[],
        }
    }
}

impl Recipes {
    /// Reads `DIR/*/part.yaml`; folders without one are passed over. `dir` is the folder `parts` of
    /// a project.
    ///
    /// # Errors
    /// [`Error::Read`] if a file can't be read, [`Error::Recipe`] if one is wrong.
    pub fn load(dir: impl Into<Utf8PathBuf>) -> Result<Self, Error> {
        let dir = dir.into();
        let mut found = BTreeMap::new();
        for folder in dir.read_dir_utf8().map_err(|source| Error::read(&dir, source))? {
            let folder = folder.map_err(|source| Error::read(&dir, source))?;
            let file = folder.path().join("part.yaml");
            if file.is_file() {
                let recipe = Recipe::load(&file)?;
                found.insert(recipe.name.clone(), recipe);
            }
        }
        let project = dir.parent().unwrap_or(&dir).to_owned();
        Ok(Self { parts: ordered(found)?, project })
    }

    /// Every part, after those that it needs.
    pub fn iter(&self) -> impl Iterator<Item = &Recipe> {
        self.parts.iter()
    }

    /// The parts called `wanted` and all that they need; all parts if `wanted` is empty.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is no such part.
    pub fn closure(&self, wanted: &[String]) -> Result<Vec<&Recipe>, Error> {
        let names: Vec<&str> = self.iter().map(|part| part.name.as_str()).collect();
        if let Some(unknown) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
            return Err(Error::Unknown { name: unknown.clone(), known: names.join(", ") });
        }
        let mut needed: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        for part in self.parts.iter().rev() {
            if needed.contains(part.name.as_str()) {
                needed.extend(part.needs.iter().map(String::as_str));
            }
        }
        Ok(self.iter().filter(|part| wanted.is_empty() || needed.contains(part.name.as_str())).collect())
    }
}

/// The recipes so that each comes after those that it needs.
fn ordered(mut left: BTreeMap<String, Recipe>) -> Result<Vec<Recipe>, Error> {
    let names: BTreeSet<String> = left.keys().cloned().collect();
    let mut parts: Vec<Recipe> = Vec::new();
    while !left.is_empty() {
        let ready = left.values().find(|part| part.needs.iter().all(|need| !left.contains_key(need)));
        let Some(name) = ready.map(|part| part.name.clone()) else {
            let circle: Vec<String> = left.keys().cloned().collect();
            return Err(Error::Circle { parts: circle.join(", ") });
        };
        if let Some(part) = left.remove(&name) {
            if let Some(need) = part.needs.iter().find(|need| !names.contains(*need)) {
                return Err(part.wrong(format!("it needs `{need}`, which is no part")));
            }
            parts.push(part);
        }
    }
    Ok(parts)
}

impl Recipe {
    /// Reads and checks one recipe.
    ///
    /// # Errors
    /// As [`Recipes::load`].
    pub fn load(file: &Utf8Path) -> Result<Self, Error> {
        let text = fs::read_to_string(file).map_err(|source| Error::read(file, source))?;
        let options = serde_saphyr::options! { legacy_octal_numbers: true };
        let mut recipe: Self = serde_saphyr::from_str_with_options(&text, options)
            .map_err(|error| Error::Recipe { file: file.to_owned(), message: error.to_string() })?;
        recipe.dir = file.parent().unwrap_or(file).to_owned();
        recipe.check()?;
        Ok(recipe)
    }

    fn check(&self) -> Result<(), Error> {
        if self.api_version != "istiolab.dev/v1alpha1" || self.kind != "Part" {
            return Err(self.wrong("`apiVersion: istiolab.dev/v1alpha1` and `kind: Part` are expected"));
        }
        if self.dir.file_name() != Some(&self.name) {
            return Err(self.wrong(format!("its name is `{}`, its folder's is not", self.name)));
        }
        for (name, input) in &self.inputs {
            if let Some(unknown) = input.uses().iter().find(|used| !self.inputs.contains_key(*used)) {
                return Err(self.wrong(format!("the input `{name}` uses `{unknown}`, which is no input")));
            }
            let sum = match input {
                Input::Wheel(wheel) => Some(&wheel.sha256),
                Input::Jar(jar) => Some(&jar.sha256),
                _ => None,
            };
            if let Some(Err(error)) = sum.map(|hex| Digest::from_hex(hex)) {
                return Err(self.wrong(format!("the input `{name}`: {error}")));
            }
            let other = match input {
                Input::Debian(debian) => debian.above.as_ref(),
                Input::GoModule(module) => module.part.as_ref(),
                _ => None,
            };
            other.iter().try_for_each(|part| self.check_need(part))?;
        }
        for (name, entry) in self.layers.iter().flat_map(|(name, layer)| layer.iter().map(move |entry| (name, entry))) {
            let images = entry.images.iter().flatten();
            images.clone().try_for_each(|part| self.check_need(part))?;
            let kinds = [
                entry.from.is_some(),
                entry.link.is_some(),
                entry.text.is_some(),
                entry.folder,
                entry.images.is_some(),
            ];
            if kinds.iter().filter(|is| **is).count() != 1 {
                let path = &entry.path;
                let what =
                    format!("the layer `{name}`: {path} must have one of `from`, `link`, `text`, `folder`, `images`");
                return Err(self.wrong(what));
            }
        }
        let froms = self.layers.values().flatten().filter_map(|entry| entry.from.as_ref()).chain(self.files.values());
        for from in froms {
            let input = from.split('/').next().unwrap_or_default();
            if input != "." && !self.inputs.contains_key(input) {
                return Err(
                    self.wrong(format!("`from: {from}` names neither an input nor a file beside the recipe (`./…`)"))
                );
            }
        }
        for image in &self.images {
            image.base.iter().try_for_each(|base| self.check_need(base))?;
            for layer in &image.layers {
                match layer.split_once('/') {
                    Some((part, _)) => self.check_need(part)?,
                    None if self.layers.contains_key(layer) => {}
                    None => {
                        return Err(self.wrong(format!("`{}` has a layer `{layer}`, which is not there", image.name)));
                    }
                }
            }
        }
        Ok(())
    }

    fn check_need(&self, part: &str) -> Result<(), Error> {
        if self.needs.iter().any(|need| need == part) {
            Ok(())
        } else {
            Err(self.wrong(format!("it uses the part `{part}`, which is not among its `needs`")))
        }
    }

    /// An error in this recipe.
    pub(super) fn wrong(&self, message: impl Into<String>) -> Error {
        Error::Recipe { file: self.dir.join("part.yaml"), message: message.into() }
    }
}

#[cfg(test)]
mod tests;
