//! The folder that a lab belongs to: where its parts, manifests and features are.

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Failure, Kind};
use crate::paths;

/// The lab file that is used when none is named, below the project's folder.
pub const DEFAULT_LAB: &str = "scenarios/quickstart.yaml";

/// The nearest folder from `start` upward that holds recipes (`parts/`), else the one that this program
/// was built from.
///
/// # Errors
/// [`Kind::BadInput`] if there is none.
pub fn root(start: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
    let sources = Utf8Path::new(paths::SOURCES);
    let is_project = |folder: &&Utf8Path| folder.join("parts/base/part.yaml").is_file();
    start.ancestors().chain([sources]).find(is_project).map(Utf8Path::to_owned).ok_or_else(|| {
        let text =
            format!("neither `{start}` nor a folder above it has recipes in a folder `parts`, nor has {sources}");
        Failure::new(Kind::BadInput, text)
            .hint("Keep a checkout of istiolab where this program was built, or lab files inside one.")
    })
}
