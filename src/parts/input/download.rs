//! Files from `PyPI` and Maven repositories, through their own clients, checked by SHA-256.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use super::{Made, Workshop};
use crate::images::digest::Digest;
use crate::parts::Error;
use crate::parts::recipe::{Jar, Wheel};
use crate::process::Command;

impl Workshop<'_> {
    /// Downloads a wheel and unpacks it.
    pub(super) async fn wheel(&self, name: &str, wheel: &Wheel) -> Result<Made, Error> {
        let what = format!("{}=={}", wheel.name, wheel.version);
        let file = self
            .downloaded(&what, &wheel.sha256, |dir| {
                Command::new("python3")
                    .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"])
                    .args(["--platform", &wheel.platform, "--dest", dir.as_str(), &what])
            })
            .await?;
        let out = self.folder(name)?;
        let unpack = Command::new("python3").args(["-m", "zipfile", "-e", file.as_str(), out.as_str()]);
        self.run(name, unpack).await?;
        Ok(Made::new(out, vec![format!("pypi {what} sha256:{}", wheel.sha256)]))
    }

    /// Downloads a file from a Maven repository.
    pub(super) async fn jar(&self, jar: &Jar) -> Result<Made, Error> {
        let file = self
            .downloaded(&jar.coordinates, &jar.sha256, |dir| {
                Command::new("mvn")
                    .args(["--batch-mode", "--quiet", "dependency:copy"])
                    .arg(format!("-Dartifact={}", jar.coordinates))
                    .arg(format!("-DoutputDirectory={dir}"))
            })
            .await?;
        Ok(Made::new(file, vec![format!("maven {} sha256:{}", jar.coordinates, jar.sha256)]))
    }

    /// The file with this checksum in `$cache/downloads`, where `client`, which is to put exactly one
    /// file into the folder that it is given, brings it if it is not there or damaged.
    async fn downloaded(
        &self,
        what: &str,
        sha256: &str,
        client: impl FnOnce(&Utf8Path) -> Command,
    ) -> Result<Utf8PathBuf, Error> {
        let wanted = Digest::from_hex(sha256).map_err(|error| self.recipe.wrong(error.to_string()))?;
        let kept = self.cache.join("downloads").join(sha256);
        if kept.is_file() && digest(&kept)? == wanted {
            return Ok(kept);
        }
        // Beside its place, so that it can be renamed.
        fs::create_dir_all(self.cache.join("downloads")).map_err(|source| Error::write(&kept, source))?;
        let dir = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(self.cache.join("downloads"))
            .map_err(|source| Error::write(&kept, source))?;
        let dir = Utf8Path::from_path(dir.path()).unwrap_or(&kept);
        self.run(what, client(dir)).await?;
        let failed = |source| Error::read(dir, source);
        let file = dir.read_dir_utf8().and_then(|mut files| files.next().transpose()).map_err(failed)?;
        let file = file.ok_or_else(|| self.recipe.wrong(format!("nothing came for {what}")))?;
        let found = digest(file.path())?;
        if found != wanted {
            return Err(Error::Checksum { what: what.to_owned(), found, wanted });
        }
        fs::rename(file.path(), &kept).map_err(|source| Error::write(&kept, source))?;
        Ok(kept)
    }
}

fn digest(path: &Utf8Path) -> Result<Digest, Error> {
    let file = fs::File::open(path).map_err(|source| Error::read(path, source))?;
    Ok(Digest::of_reader(file).map_err(|source| Error::read(path, source))?.0)
}
