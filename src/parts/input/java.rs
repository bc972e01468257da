//! Java run-time images.

use std::time::{Duration, UNIX_EPOCH};

use fs_err as fs;

use super::{Made, Workshop};
use crate::images::compose::TIME;
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
        // With the archive of the platform's own classes a virtual machine starts in half the time.
        // It, and any archive that is made on top, knows the modules by their time.
        let modules = out.join("lib/modules");
        let time = UNIX_EPOCH + Duration::from_secs(TIME);
        let file = fs::File::options().append(true).open(&modules);
        file.and_then(|file| file.set_modified(time)).map_err(|source| Error::write(&modules, source))?;
        self.run(name, Command::new(out.join("bin/java")).args(["-XX:+UseG1GC", "-Xshare:dump"])).await?;
        let version = self.run(name, Command::new("jlink").arg("--version")).await?;
        let source = format!("jdk {} ({})", version.stdout.trim(), jlink.modules.join(","));
        Ok(Made::new(out, vec![source]))
    }
}
