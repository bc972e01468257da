//! Targets that read a text.

use camino::Utf8Path;
use istiolab::images::lock::{file, imgpkg};
use istiolab::images::reference::Reference;
use istiolab::images::registry::challenge;

/// A lock with everything that one can have.
pub(crate) const LOCK: &str = r"apiVersion: istiolab.dev/v1alpha1
kind: ImageLock
images:
  docker.io/library/web:1:
    digest: DIGEST
    mediaType: application/vnd.oci.image.index.v1+json
    size: 100
    trustedOnFirstUse: true
    from: [mirror.example/web:1]
    labs: [a, b]
    platforms:
      linux/amd64:
        manifest: {digest: DIGEST, mediaType: application/vnd.oci.image.manifest.v1+json, size: 10}
        config: {digest: DIGEST, mediaType: application/vnd.oci.image.config.v1+json, size: 1}
        layers:
        - {digest: DIGEST, mediaType: application/vnd.oci.image.layer.v1.tar, size: 1000000}
  istiolab.local/istio/pilot:1.31-dev:
    part: istio
  quay.io/a/b@DIGEST:
    digest: DIGEST
parts:
  istio:
    version: 1.31-dev
    madeOf: [istio 1.31 DIGEST]
";

/// What imgpkg writes.
pub(crate) const IMGPKG: &str = r"apiVersion: imgpkg.carvel.dev/v1alpha1
kind: ImagesLock
images:
- image: docker.io/library/web@DIGEST
  annotations:
    kbld.carvel.dev/id: web:1
";

/// What is printed is read back as the same, and so are the forms derived from it.
pub(crate) fn reference(bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    let read = |text: &str| text.parse::<Reference>().map_err(|error| error.to_string());
    let reference = read(&text)?;
    let again = |reference: &Reference| assert_eq!(read(&reference.to_string()).as_ref(), Ok(reference));
    again(&reference);
    again(&reference.clone().complete());
    if let Some(digest) = reference.digest() {
        again(&reference.pinned(*digest));
    }
    let mirrored = reference.mirrored_repository();
    assert!(mirrored.split('/').all(|part| !matches!(part, "" | "." | "..")), "{mirrored}");
    Ok(())
}

/// A challenge that was understood is understood in the same way when it is written plainly.
pub(crate) fn challenge(bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    let found = challenge::parse(&text);
    assert!(found.len() <= text.len(), "more challenges than characters");
    let plain = |one: &challenge::Challenge| {
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
        let parameters = one.parameters.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value)));
        format!("{} {}", one.scheme, parameters.collect::<Vec<_>>().join(","))
    };
    let written = found.iter().map(plain).collect::<Vec<_>>().join(", ");
    // Longer headers are not looked at.
    if written.len() <= 8 * 1024 {
        assert_eq!(challenge::parse(&written), found, "{written}");
    }
    if found.is_empty() {
        Err(format!("nothing in it, {} bytes", text.len().checked_ilog2().unwrap_or_default()))
    } else {
        Ok(())
    }
}

/// A lock that is accepted is written, and read back as the same. What is not a lock may be imgpkg's.
pub(crate) fn lock(bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    let imported = imgpkg::import(&text, Utf8Path::new("images.yml"));
    match file::parse(&text, "images.lock") {
        Ok(lock) => {
            let written = file::text(&lock).expect("what was read agrees with itself");
            assert_eq!(file::parse(&written, "written").expect("what was written is read"), lock, "{written}");
            Ok(())
        }
        Err(error) => imported.map(drop).map_err(|other| {
            let cause =
                |error: &dyn std::error::Error| error.source().map_or_else(|| error.to_string(), ToString::to_string);
            format!("{} {}", cause(&error), cause(&other))
        }),
    }
}
