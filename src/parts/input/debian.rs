//! Root file systems of Debian packages.

use super::{Made, Workshop};
use crate::parts::Error;
use crate::parts::recipe::Debian;
use crate::process::Command;

impl Workshop<'_> {
    /// Installs packages of a Debian release into an empty folder.
    pub(super) async fn debian(&self, name: &str, debian: &Debian) -> Result<Made, Error> {
        let out = self.folder(name)?;
        let mut command = Command::new("debootstrap").args(["--variant=minbase", "--arch=amd64"]);
        if !debian.packages.is_empty() {
            command = command.arg(format!("--include={}", debian.packages.join(",")));
        }
        self.run(name, command.args([debian.suite.as_str(), out.as_str()])).await?;
        let query = Command::new("dpkg-query")
            .arg(format!("--admindir={out}/var/lib/dpkg"))
            .args(["--show", "--showformat=debian ${Package} ${Version}\\n"]);
        let packages = self.run(name, query).await?;
        Ok(Made { path: out, made_of: packages.stdout.lines().map(str::to_owned).collect() })
    }
}
