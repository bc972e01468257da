//! Which of a lock's images and platforms go into a bundle.

use super::Error;
use crate::images::lock::{Entry, Lock};

/// The part of `lock` that is for `platforms`, as `linux/amd64`; all of it if none is named. A variant
/// need not be named: `linux/arm64` also means `linux/arm64/v8`.
///
/// # Errors
/// [`Error::Unresolved`] for images without a digest, [`Error::Platform`] for an image that is not for
/// one of the platforms.
pub fn select(lock: &Lock, platforms: &[String]) -> Result<Lock, Error> {
    let unresolved = lock.images.iter().filter(|(_, entry)| !entry.is_resolved());
    let images: Vec<_> = unresolved.map(|(image, _)| image.clone()).collect();
    if !images.is_empty() {
        return Err(Error::Unresolved { images });
    }
    let mut selected = Lock::default();
    for (image, entry) in &lock.images {
        let has = |wanted: &String| entry.platforms.keys().any(|name| covers(wanted, name));
        if let Some(platform) = platforms.iter().find(|wanted| !has(wanted)) {
            let has = entry.platforms.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(Error::Platform { image: image.to_string(), platform: platform.clone(), has });
        }
        let kept = |name: &String| platforms.is_empty() || platforms.iter().any(|wanted| covers(wanted, name));
        let mut entry: Entry = entry.clone();
        entry.platforms.retain(|name, _| kept(name));
        selected.images.insert(image.clone(), entry);
    }
    Ok(selected)
}

fn covers(wanted: &str, name: &str) -> bool {
    name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '@']))
}
