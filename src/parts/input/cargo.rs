//! Programs of this project's own workspace.

use camino::Utf8PathBuf;

use super::{Made, Workshop};
use crate::parts::Error;
use crate::parts::recipe::CargoProgram;
use crate::process::Command;

/// The only platform that images are built for.
const TARGET: &str = "x86_64-unknown-linux-gnu";

impl Workshop<'_> {
    /// Builds a workspace member without any shared library, so that it runs in an empty image.
    pub(super) async fn cargo(&self, program: &CargoProgram) -> Result<Made, Error> {
        let target: Utf8PathBuf = self.cache.join("cargo");
        let flags = format!("-C target-feature=+crt-static --remap-path-prefix={}=.", self.project);
        let command = Command::new("cargo")
            .dir(self.project)
            .args(["build", "--release", "--locked", "--package", &program.package, "--bin", &program.package])
            // A target is named so that the flags don't apply to build scripts and macros.
            .args(["--target", TARGET, "--target-dir", target.as_str()])
            .env("RUSTFLAGS", flags)
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        self.run(&program.package, command).await?;
        let path = target.join(TARGET).join("release").join(&program.package);
        Ok(Made::new(path, vec![format!("{} of this project's Cargo.lock", program.package)]))
    }
}
