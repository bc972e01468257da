//! Where istiolab keeps things: a cache that can be deleted at any time, and the state of labs.

use std::env;

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Failure, Kind};

/// The checkout that this program was built from: recipes, manifests and scenarios that lab files need not
/// bring themselves.
pub const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

/// The folders of one user. Made once by the command line and handed down, so that nothing else
/// reads the environment.
#[derive(Clone, Debug)]
pub struct Paths {
    /// `$ISTIOLAB_CACHE`, else `$XDG_CACHE_HOME/istiolab`, else `~/.cache/istiolab`. Holds built
    /// images and downloads; deleting it costs time, nothing else.
    pub cache: Utf8PathBuf,
    /// `$ISTIOLAB_STATE`, else `$XDG_STATE_HOME/istiolab`, else `~/.local/state/istiolab`. Holds
    /// each lab's kubeconfig, journal and reports.
    pub state: Utf8PathBuf,
}

impl Paths {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`Kind::Usage`] if a folder is neither given nor derivable from `HOME`, or is not absolute.
    pub fn from_env() -> Result<Self, Failure> {
        Ok(Self {
            cache: folder("ISTIOLAB_CACHE", "XDG_CACHE_HOME", ".cache")?,
            state: folder("ISTIOLAB_STATE", "XDG_STATE_HOME", ".local/state")?,
        })
    }

    /// The state folder of the lab `name`.
    #[must_use]
    pub fn lab(&self, name: &str) -> Utf8PathBuf {
        self.state.join("labs").join(name)
    }
}

fn folder(own: &str, xdg: &str, below_home: &str) -> Result<Utf8PathBuf, Failure> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let path = if let Some(path) = set(own) {
        Utf8PathBuf::from(path)
    } else if let Some(base) = set(xdg) {
        Utf8Path::new(&base).join("istiolab")
    } else if let Some(home) = set("HOME") {
        Utf8Path::new(&home).join(below_home).join("istiolab")
    } else {
        return Err(Failure::new(Kind::Usage, format!("no folder to use: neither {own}, {xdg} nor HOME is set"))
            .hint(format!("Set {own} to an absolute path.")));
    };
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Failure::new(Kind::Usage, format!("`{path}` is not an absolute path"))
            .hint(format!("Set {own} to an absolute path.")))
    }
}
