//! Files of Debian packages, resolved and downloaded by an `apt` of our own: nothing of the host's
//! is read or changed, and no right of root's is needed.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use super::{Made, Workshop};
use crate::apt;
use crate::images::compose::Layer;
use crate::parts::Error;
use crate::parts::recipe::Debian;
use crate::process::Command;

/// Folders that Debian has merged into `/usr`; some packages still name the old places.
const MERGED: [&str; 5] = ["bin", "sbin", "lib", "lib32", "lib64"];

impl Workshop<'_> {
    /// Merges the files of packages into one tar, in the order of their names.
    pub(super) async fn debian(&self, name: &str, debian: &Debian) -> Result<Made, Error> {
        let dir = self.folder(&format!("{name}.apt"))?;
        let archives = self.cache.join("downloads/debian");
        configure(&dir, &archives, debian)?;
        let apt = || Command::new("apt-get").env("APT_CONFIG", dir.join("apt.conf")).env("LC_ALL", "C.UTF-8");
        self.run(name, apt().args(["-qq", "update"])).await?;
        let mut install = vec!["-qq", "install"];
        install.extend(debian.packages.iter().map(String::as_str));
        // An empty folder of archives, so that all are listed.
        let list = apt().arg(format!("-oDir::Cache::archives={dir}/none")).arg("--print-uris").args(&install);
        let wanted = packages(&self.run(name, list).await?.stdout);
        self.run(name, apt().arg("--download-only").arg("-y").args(&install)).await?;

        let below: BTreeSet<&str> = self
            .needs
            .iter()
            .filter(|need| Some(&need.name) == debian.above.as_ref())
            .flat_map(|need| need.made_of.iter().filter_map(|made| made.strip_prefix("debian ")?.split(' ').next()))
            .collect();
        let kept = wanted.iter().filter(|(package, _)| {
            !below.contains(package.as_str()) && !debian.without.iter().any(|without| without == *package)
        });
        let mut sources = Vec::new();
        let mut tars = Vec::new();
        for (package, file) in kept {
            let tar = dir.join(format!("{package}.tar"));
            let unpack = r#"dpkg-deb --fsys-tarfile "$1" > "$2""#;
            let deb = archives.join(file);
            self.run(package, Command::new("sh").args(["-c", unpack, "sh", deb.as_str(), tar.as_str()])).await?;
            tars.push(tar);
            let version = file.split('_').nth(1).unwrap_or_default().replace("%3a", ":");
            sources.push(format!("debian {package} {version}"));
        }
        let path = self.work.join(name);
        let (to, base) = (path.clone(), debian.above.is_none());
        tokio::task::spawn_blocking(move || merge(&tars, base, &to))
            .await
            .map_err(|panic| Error::write(&path, panic.into()))??;
        Ok(Made { path, archive: true, sources })
    }
}

/// Writes the configuration of an `apt` that lives in `dir`.
fn configure(dir: &Utf8Path, archives: &Utf8Path, debian: &Debian) -> Result<(), Error> {
    for folder in [&dir.join("etc"), &dir.join("lists/partial"), &dir.join("none/partial"), &archives.join("partial")] {
        fs::create_dir_all(folder).map_err(|source| Error::write(folder, source))?;
    }
    let archive = apt::archive().ok_or(Error::Archive)?;
    let source =
        format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {archive} {} main\n", debian.suite);
    let config = format!(
        r#"Dir "{dir}"; Dir::Etc "{dir}/etc"; Dir::Etc::sourcelist "{dir}/etc/sources.list"; Dir::Etc::sourceparts "/dev/null";
Dir::Etc::parts "/dev/null"; Dir::Etc::preferencesparts "/dev/null"; Dir::State "{dir}"; Dir::State::lists "{dir}/lists"; Dir::State::status "{dir}/status";
Dir::Cache "{dir}"; Dir::Cache::archives "{archives}"; APT::Architecture "amd64"; APT::Architectures "amd64";
APT::Install-Recommends "false"; Acquire::Languages "none"; Acquire::Retries "3"; APT::Sandbox::User "";
"#
    );
    for (file, text) in [("etc/sources.list", source.as_str()), ("status", ""), ("apt.conf", &config)] {
        let path = dir.join(file);
        fs::write(&path, text).map_err(|source| Error::write(&path, source))?;
    }
    Ok(())
}

/// Packages and their files, out of what `apt-get --print-uris` prints:
/// `'http://…/p.deb' p_1%3a2-3_amd64.deb 12345 SHA256:…`.
fn packages(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter_map(|file| Some((file.split_once('_')?.0.to_owned(), file.to_owned())))
        .collect()
}

/// Merges the tars of packages into one. A base has the links that make `/bin` and others parts of
/// `/usr`.
fn merge(tars: &[Utf8PathBuf], base: bool, to: &Utf8Path) -> Result<(), Error> {
    let mut layer = Layer::new();
    for tar in tars {
        layer.archive(tar, "/", |path| Some(merged(path)))?;
    }
    if base {
        for name in MERGED.iter().filter(|name| **name != "lib32") {
            layer.symlink(name, &format!("usr/{name}"));
        }
    }
    let file = fs::File::create(to).map_err(|source| Error::write(to, source))?;
    let mut file = std::io::BufWriter::with_capacity(crate::images::digest::BUFFER, file);
    layer.write_tar(&mut file)?;
    std::io::Write::flush(&mut file).map_err(|source| Error::write(to, source))
}

fn merged(path: &str) -> String {
    let first = path.split('/').next().unwrap_or_default();
    if MERGED.contains(&first) { format!("usr/{path}") } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_apts_list() {
        let text = "'http://deb.example/a/acl/libacl1_2.3.1-3_amd64.deb' libacl1_2.3.1-3_amd64.deb 30604 SHA256:ab\n\
                    'http://deb.example/i/iproute2_6.1.0-3_amd64.deb' iproute2_1%3a6.1.0-3_amd64.deb 1 SHA256:cd\n";
        let found: Vec<String> = packages(text).into_iter().map(|(name, file)| format!("{name} {file}")).collect();
        assert_eq!(found, ["iproute2 iproute2_1%3a6.1.0-3_amd64.deb", "libacl1 libacl1_2.3.1-3_amd64.deb"]);
    }

    #[test]
    fn old_places_are_below_usr() {
        assert_eq!(merged("lib64/ld-linux-x86-64.so.2"), "usr/lib64/ld-linux-x86-64.so.2");
        assert_eq!(merged("libexec/x"), "libexec/x");
    }
}
