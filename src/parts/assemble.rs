//! From inputs to layers, images and files in the store. Everything here blocks.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::input::Made;
use super::recipe::{Entry, Image};
use super::record::{Record, keep_file};
use super::{Error, Recipe};
use crate::images::compose::{self, Layer, RunConfig, Source, Tree};
use crate::images::digest::Digest;
use crate::images::engine::PART;
use crate::images::layout::{self, Descriptor, ImageIndex, Layout, REF_NAME};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an assembly works with.
pub(super) struct Assembly<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) layout: &'a Layout,
    pub(super) cache: &'a Utf8Path,
    pub(super) inputs: &'a BTreeMap<String, Made>,
    pub(super) needs: &'a [Record],
    pub(super) key: Digest,
}

impl Assembly<'_> {
    /// Puts all that comes out of the part into its place, and returns the record, which is not
    /// saved yet.
    pub(super) fn run(&self) -> Result<Record, Error> {
        let mut made_of: Vec<String> = self.inputs.values().flat_map(|made| made.sources.clone()).collect();
        for part in self.recipe.layers.values().flatten().filter_map(|entry| entry.images.as_ref()).flatten() {
            made_of.extend(self.need(part)?.images.iter().map(|(name, image)| format!("{name}@{}", image.digest)));
        }
        made_of.sort();
        made_of.dedup();
        let mut layers = BTreeMap::new();
        for (name, entries) in &self.recipe.layers {
            layers.insert(name.clone(), self.layer(entries)?);
        }
        let mut images = BTreeMap::new();
        for image in &self.recipe.images {
            images.insert(image.full_name(self.recipe), self.image(image, &layers, &made_of)?);
        }
        let mut blobs: BTreeMap<Digest, u64> = layers.values().map(|layer| (layer.digest, layer.size)).collect();
        for image in images.values() {
            blobs.insert(image.digest, image.size);
            blobs.extend(self.layout.manifest(&image.digest)?.blobs().map(|blob| (blob.digest, blob.size)));
        }
        Ok(Record {
            name: self.recipe.name.clone(),
            version: self.recipe.version.clone(),
            key: self.key,
            seconds: 0.0,
            images,
            layers,
            blobs,
            files: self.files()?,
            made_of,
        })
    }

    fn layer(&self, entries: &[Entry]) -> Result<Descriptor, Error> {
        let mut layer = Layer::new();
        for entry in entries {
            self.add(&mut layer, entry)?;
        }
        Ok(layer.write(self.layout)?)
    }

    fn add(&self, layer: &mut Layer, entry: &Entry) -> Result<(), Error> {
        let path = &entry.path;
        if let Some(target) = &entry.link {
            layer.symlink(path, target);
        } else if let Some(text) = &entry.text {
            layer.file(path, Source::Bytes(text.clone().into_bytes()), entry.mode.unwrap_or(0o644));
        } else if let Some(from) = &entry.from {
            let source = self.source(from)?;
            let how = Tree { omit: entry.omit.clone(), mode: entry.mode };
            if self.inputs.get(from).is_some_and(|made| made.archive) {
                layer.archive(&source, path, |name| (!how.omits(name)).then(|| name.to_owned()))?;
            } else if source.is_dir() {
                layer.tree(&source, path, &how)?;
            } else {
                layer.file(path, Source::Path(source), entry.mode.unwrap_or(0o644));
            }
        } else if let Some(parts) = &entry.images {
            for part in parts {
                self.unpack(layer, path, self.need(part)?)?;
            }
            self.index(layer, path, parts)?;
        } else {
            layer.folder(path, entry.mode.unwrap_or(0o755));
        }
        if let Some((uid, gid)) = entry.owner {
            layer.owner(path, uid, gid);
        }
        Ok(())
    }

    /// Puts the images of a part below `at`, their layers unpacked.
    fn unpack(&self, layer: &mut Layer, at: &str, part: &Record) -> Result<(), Error> {
        let blobs = format!("{at}/images/blobs/sha256");
        for image in part.images.values() {
            let manifest = self.layout.manifest(&image.digest)?;
            for digest in [image.digest, manifest.config.digest] {
                layer.file(&format!("{blobs}/{}", digest.hex()), Source::Path(self.layout.path(&digest)), 0o644);
            }
            for inner in &manifest.layers {
                let to = format!("{at}/layers/{}", inner.digest.hex());
                if !layer.has(&to) {
                    // What goes into another image must not carry damage on.
                    self.layout.verify(&inner.digest)?;
                    layer.folder(&to, 0o755);
                    layer.archive(&self.layout.path(&inner.digest), &to, |name| Some(name.to_owned()))?;
                }
            }
        }
        for (name, inner) in &part.layers {
            let to = format!("{at}/layers/{}", inner.digest.hex());
            if layer.has(&to) {
                layer.symlink(
                    &format!("{at}/parts/{}/{name}", part.name),
                    &format!("../../layers/{}", inner.digest.hex()),
                );
            }
        }
        Ok(())
    }

    /// Adds the index of the images of `parts` below `at`.
    fn index(&self, layer: &mut Layer, at: &str, parts: &[String]) -> Result<(), Error> {
        let mut index = ImageIndex::default();
        for part in parts {
            for (name, image) in &self.need(part)?.images {
                let mut image = image.clone();
                // containerd takes the name from here.
                image.annotations.insert("io.containerd.image.name".to_owned(), name.clone());
                image.annotations.insert(REF_NAME.to_owned(), name.clone());
                index.manifests.push(image);
            }
        }
        let json = |source| layout::Error::Json { path: at.into(), source };
        let text = serde_json::to_vec(&index).map_err(json)?;
        layer.file(&format!("{at}/images/index.json"), Source::Bytes(text), 0o644);
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#;
        layer.file(&format!("{at}/images/oci-layout"), Source::Bytes(marker.to_vec()), 0o644);
        Ok(())
    }

    /// The file or folder that a recipe's `from` means.
    fn source(&self, from: &str) -> Result<Utf8PathBuf, Error> {
        let (input, below) = from.split_once('/').unwrap_or((from, ""));
        let root = if input == "." { Some(&self.recipe.dir) } else { self.inputs.get(input).map(|made| &made.path) };
        let path = root.map(|root| if below.is_empty() { root.clone() } else { root.join(below) });
        match path {
            Some(path) if path.exists() => Ok(path),
            _ => Err(self.recipe.wrong(format!("`from: {from}` is not there"))),
        }
    }

    fn image(
        &self,
        image: &Image,
        own: &BTreeMap<String, Descriptor>,
        made_of: &[String],
    ) -> Result<Descriptor, Error> {
        let mut layers = Vec::new();
        let mut made_of = made_of.to_vec();
        if let Some(base) = &image.base {
            let (name, base) =
                self.need(base)?.images.first_key_value().ok_or_else(|| {
                    self.recipe.wrong(format!("the part `{base}` makes no image that could be a base"))
                })?;
            made_of.push(format!("{name}@{}", base.digest));
            layers.extend(self.layout.manifest(&base.digest)?.layers);
        }
        for name in &image.layers {
            let other = name.split_once('/');
            let layer = match other {
                Some((part, layer)) => self.need(part)?.layers.get(layer),
                None => own.get(name),
            };
            let layer = layer.cloned().ok_or_else(|| self.recipe.wrong(format!("there is no layer `{name}`")))?;
            if other.is_some() {
                made_of.push(format!("{name}@{}", layer.digest));
            }
            layers.push(layer);
        }
        let version = image.tag.as_ref().unwrap_or(&self.recipe.version);
        let mut env: Vec<String> = image.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !image.env.contains_key("PATH") {
            env.insert(0, format!("PATH={PATH}"));
        }
        let facts = [
            ("org.opencontainers.image.title", self.recipe.title.clone()),
            ("org.opencontainers.image.version", version.clone()),
            ("org.opencontainers.image.licenses", self.recipe.licenses.clone()),
            ("org.opencontainers.image.source", self.recipe.source.clone()),
            (PART, self.recipe.name.clone()),
            ("istiolab.dev/made-of", serde_json::Value::from(made_of).to_string()),
        ];
        let config = RunConfig {
            user: image.user.clone(),
            exposed_ports: image.ports.iter().cloned().collect(),
            env,
            entrypoint: image.entrypoint.clone(),
            cmd: image.cmd.clone(),
            working_dir: image.workdir.clone(),
            labels: facts
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            stop_signal: image.stop_signal.clone(),
        };
        Ok(compose::image(self.layout, &layers, &config)?)
    }

    fn need(&self, part: &str) -> Result<&Record, Error> {
        let found = self.needs.iter().find(|need| need.name == part);
        found.ok_or_else(|| self.recipe.wrong(format!("the part `{part}` is not among its `needs`")))
    }

    /// Copies the part's files to where they stay.
    fn files(&self) -> Result<BTreeMap<String, (Utf8PathBuf, u64)>, Error> {
        let kept = |(name, from): (&String, &String)| {
            Ok((name.clone(), keep_file(self.cache, &self.recipe.name, &self.key, name, &self.source(from)?)?))
        };
        self.recipe.files.iter().map(kept).collect()
    }
}
