//! Java run-time images.

use super::{Made, Workshop};
use crate::parts::Error;
use crate::parts::recipe::Jlink;
use crate::process::Command;

impl Workshop<'_> {
    /// Makes a run-time image of the host's JDK with only the modules that are named.
    pub(super) async fn jlink(&self, name: &str, jlink: &Jlink) -> Result<Made, Error> {
        let out = self.work.join(name);
        let command = Command::new("jlink")
            .args(["--strip-debug", "--no-man-pages", "--no-header-files", "--add-modules"])
            .args([&jlink.modules.join(","), "--output", out.as_str()]);
        self.run(name, command).await?;
        let version = self.run(name, Command::new("jlink").arg("--version")).await?;
        let made_of = format!("jdk {} ({})", version.stdout.trim(), jlink.modules.join(","));
        Ok(Made::new(out, vec![made_of]))
    }
}
