//! The folder that a lab belongs to: where its parts, manifests and features are.

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Failure, Kind};

/// The lab file that is used when none is named, below the project's folder.
pub const DEFAULT_LAB: &str = "scenarios/quickstart.yaml";

/// The nearest folder from `start` upward that holds recipes (`parts/`).
///
/// # Errors
/// [`Kind::BadInput`] if there is none.
pub fn root(start: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
    start.ancestors().find(|folder| folder.join("parts").is_dir()).map(Utf8Path::to_owned).ok_or_else(|| {
        Failure::new(Kind::BadInput, format!("neither `{start}` nor a folder above it has a folder `parts`"))
            .hint("Keep lab files inside a checkout of istiolab, for example in its folder `scenarios`.")
    })
}
