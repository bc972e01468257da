//! Programs and folders out of Go modules.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Made, Workshop};
use crate::parts::Error;
use crate::parts::recipe::{GoModule, GoProgram};
use crate::process::Command;

impl Workshop<'_> {
    /// Builds a program so that the same modules and the same compiler give the same bytes.
    pub(super) async fn go(
        &self,
        name: &str,
        program: &GoProgram,
        made: &BTreeMap<String, Made>,
    ) -> Result<Made, Error> {
        let out = self.work.join(name);
        let mut ldflags = vec!["-s".to_owned(), "-w".to_owned(), "-buildid=".to_owned()];
        ldflags.extend(program.ldflags.iter().cloned());
        let within = program.within.as_ref().and_then(|input| made.get(input));
        let dir = within.map_or(&self.recipe.dir, |made| &made.path);
        let mut command = self
            .go_command()
            .dir(dir)
            // `-v` names each package as it is compiled, which is the progress that there is.
            .args(["build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false"]);
        if !program.tags.is_empty() {
            command = command.arg("-tags").arg(program.tags.join(","));
        }
        let command = command.arg("-ldflags").arg(ldflags.join(" ")).arg("-o").arg(&out).arg(&program.package);
        self.run(name, command).await?;
        let version = self.go_command().args(["version", "-m", out.as_str()]);
        let output = self.run(name, version).await?;
        Ok(Made::new(out, modules(&output.stdout)))
    }

    /// Downloads a module, unless the module cache holds it, and names its folder.
    pub(super) async fn go_module(&self, wanted: &GoModule) -> Result<Made, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Module {
            path: String,
            version: String,
            dir: camino::Utf8PathBuf,
            sum: String,
        }
        let mut command = self.go_command().args(["mod", "download", "-json", &wanted.module]);
        if let Some(part) = &wanted.part {
            command = command.dir(&self.project.join("parts").join(part));
        }
        let output = self.run(&wanted.module, command).await?;
        let module: Module = serde_json::from_str(&output.stdout)
            .map_err(|error| self.recipe.wrong(format!("`go mod download -json {}`: {error}", wanted.module)))?;
        Ok(Made::new(module.dir, vec![format!("{}@{} {}", module.path, module.version, module.sum)]))
    }

    /// `go` with nothing of the user's settings that would change what comes out.
    fn go_command(&self) -> Command {
        [
            ("GOFLAGS", ""),
            ("GOWORK", "off"),
            ("GO111MODULE", "on"),
            ("GOTOOLCHAIN", "local"),
            ("GOOS", "linux"),
            ("GOARCH", "amd64"),
            ("GOAMD64", "v1"),
            ("GOEXPERIMENT", ""),
            ("CGO_ENABLED", "0"),
        ]
        .into_iter()
        .fold(Command::new("go").dir(&self.recipe.dir), |command, (name, value)| command.env(name, value))
    }
}

/// The modules in a program, out of what `go version -m` prints: path, version and checksum, those
/// that were replaced by what replaced them.
fn modules(text: &str) -> Vec<String> {
    let mut modules: Vec<String> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["dep", path, version, rest @ ..] => modules.push(format!("{path}@{version} {}", rest.join(" "))),
            ["=>", path, version, rest @ ..] => {
                modules.pop();
                modules.push(format!("{path}@{version} {}", rest.join(" ")));
            }
            _ => {}
        }
    }
    modules.iter().map(|module| module.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_modules_are_named_by_what_replaced_them() {
        let text = "/x/kube: go1.26.8\n\tpath\tistiolab.dev/parts/kubernetes/cmd/kube\n\tmod\tistiolab.dev/parts/kubernetes\t(devel)\t\n\
                    \tdep\tgithub.com/a/b\tv1.2.3\th1:abc=\n\tdep\tk8s.io/api\tv0.0.0\n\t=>\tk8s.io/api\tv0.34.4\th1:def=\n\tbuild\t-trimpath=true\n";
        assert_eq!(modules(text), ["github.com/a/b@v1.2.3 h1:abc=", "k8s.io/api@v0.34.4 h1:def="]);
    }
}
