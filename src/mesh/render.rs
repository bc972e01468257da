//! The mesh's objects, by `istioctl manifest generate`, kept by the content of what they are made of.

use std::fmt::Write as _;
use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::operator::{self, Images};
use crate::objects::{self, Object};
use crate::plan::event::Progress;
use crate::process::Command;
use crate::{spec, yaml};

/// What the objects' places are told as.
const SOURCE: &str = "istioctl manifest generate";

/// The mesh's objects, in the two parts in which they are applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// Definitions, istiod, its configuration and webhooks.
    pub control_plane: Vec<Object>,
    /// Ingress and egress gateways: proxies, which do nothing until istiod serves them.
    pub gateways: Vec<Object>,
}

impl Rendered {
    fn new(objects: Vec<Object>) -> Self {
        let component = |object: &Object| {
            let label = &object.document["metadata"]["labels"]["operator.istio.io/component"];
            label.as_str().unwrap_or_default().to_owned()
        };
        let (gateways, control_plane) = objects.into_iter().partition(|object| component(object).ends_with("Gateways"));
        Self { control_plane, gateways }
    }
}

/// An object as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    line: u64,
    document: Value,
}

/// Renders the mesh: `istioctl` with our operator file, the lab's over it, what stock proxies need
/// over that, and the lab's `set`. The result is kept below `cache`, by the istioctl and everything
/// that it is given; rendering takes about a second, reading it back some milliseconds.
///
/// # Errors
/// [`Error::Generate`] with istioctl's own words, where the lab's operator file or values are wrong.
pub async fn render(
    istioctl: &Utf8Path,
    mesh: &spec::Mesh,
    images: &Images,
    cache: &Utf8Path,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Rendered, Error> {
    let mut files = vec![("base", yaml::to_string(&operator::base(&mesh.profile, images))?)];
    if let Some(path) = &mesh.operator {
        files.push(("lab", fs_err::read_to_string(path).map_err(objects::Error::Read)?));
    }
    if matches!(images, Images::Parts { .. }) {
        files.push(("stock-envoy", yaml::to_string(&operator::stock_envoy())?));
    }
    let key = key(istioctl, &files, mesh)?;
    let folder = cache.join("mesh");
    let kept = folder.join(format!("{key}.json"));
    if let Some(objects) = read(&kept) {
        return Ok(Rendered::new(objects));
    }
    progress.status("istioctl manifest generate");
    fs_err::create_dir_all(&folder).map_err(Error::Cache)?;
    // The files stay beside the result: they are what one wants to see when it is not as expected.
    let mut command = Command::new(istioctl.as_str()).args(["manifest", "generate"]);
    for (name, text) in &files {
        let path = folder.join(format!("{key}-{name}.yaml"));
        write(&path, text.as_bytes())?;
        command = command.arg("-f").arg(path.as_str());
    }
    for (name, value) in &mesh.set {
        command = command.arg("--set").arg(format!("{name}={value}"));
    }
    let output = command.run(cancel).await.map_err(Error::Generate)?;
    let objects = objects::parse(&output.stdout, SOURCE)?;
    let list: Vec<_> =
        objects.iter().map(|object| Kept { line: object.line, document: object.document.clone() }).collect();
    let text = serde_json::to_vec(&list).map_err(|error| Error::Cache(error.into()))?;
    write(&kept, &text)?;
    Ok(Rendered::new(objects))
}

/// What the result depends on. istioctl itself counts by its path, size and time, for hashing its
/// 90 MB would take longer than most of what else an unchanged `up` does.
fn key(istioctl: &Utf8Path, files: &[(&str, String)], mesh: &spec::Mesh) -> Result<String, Error> {
    let program = fs_err::metadata(istioctl).map_err(Error::Cache)?;
    let mut hash = Sha256::new();
    hash.update(format!("{istioctl}\0{}\0{:?}\0", program.len(), program.modified().ok()));
    for (name, text) in files {
        hash.update(format!("{name}\0{text}\0"));
    }
    for (name, value) in &mesh.set {
        hash.update(format!("{name}={value}\0"));
    }
    Ok(hash.finalize().iter().take(16).fold(String::new(), |mut hex, byte| {
        // Writing to a string can't fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

/// What was kept; nothing if it is not there or was damaged, for then it is made again.
fn read(path: &Utf8Path) -> Option<Vec<Object>> {
    let text = fs_err::read(path).ok()?;
    let kept: Vec<Kept> = serde_json::from_slice(&text).ok()?;
    kept.into_iter().map(|kept| Object::new(kept.document, SOURCE, kept.line).ok()).collect()
}

/// Writes a file whole or not at all.
fn write(path: &Utf8PathBuf, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::Cache)?;
    file.write_all(bytes).map_err(Error::Cache)?;
    file.persist(path).map_err(|error| Error::Cache(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// An istioctl that counts its runs and prints its arguments into an object.
    fn fake(folder: &Utf8Path) -> Utf8PathBuf {
        let path = folder.join("istioctl");
        let script = format!(
            "#!/bin/sh\necho run >> {folder}/runs\nprintf 'apiVersion: v1\\nkind: ConfigMap\\nmetadata: {{name: x}}\\ndata: {{args: \"%s\"}}\\n' \"$*\"\n"
        );
        fs_err::write(&path, script).expect("written");
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        path
    }

    #[tokio::test]
    async fn rendering_is_kept_by_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let istioctl = fake(folder);
        let images = Images::Parts { hub: "h".to_owned(), tag: "t".to_owned() };
        let mut mesh = spec::Mesh {
            version: "1.31".to_owned(),
            profile: "default".to_owned(),
            operator: None,
            set: BTreeMap::new(),
            objects: Vec::new(),
        };
        let cancel = CancellationToken::new();
        let runs = || fs_err::read_to_string(folder.join("runs")).expect("it ran").lines().count();
        let first = render(&istioctl, &mesh, &images, folder, &Progress::silent(), &cancel).await.expect("rendered");
        let again = render(&istioctl, &mesh, &images, folder, &Progress::silent(), &cancel).await.expect("rendered");
        assert_eq!((first.clone(), runs()), (again, 1));
        let args = first.control_plane[0].document["data"]["args"].as_str().expect("text").to_owned();
        assert!(args.starts_with("manifest generate -f ") && args.ends_with("-stock-envoy.yaml"), "{args}");

        mesh.set.insert("values.pilot.traceSampling".to_owned(), "1".to_owned());
        let changed = render(&istioctl, &mesh, &images, folder, &Progress::silent(), &cancel).await.expect("rendered");
        assert_eq!(runs(), 2);
        let args = changed.control_plane[0].document["data"]["args"].as_str().expect("text");
        assert!(args.ends_with("--set values.pilot.traceSampling=1"), "{args}");
    }

    #[test]
    fn gateways_are_told_from_the_control_plane() {
        let object = |name: &str, component: &str| {
            let labels = json!({"operator.istio.io/component": component});
            let document = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels}});
            Object::new(document, "x", 1).expect("whole")
        };
        let rendered =
            Rendered::new(vec![object("istiod", "Pilot"), object("istio-ingressgateway", "IngressGateways")]);
        assert_eq!(rendered.control_plane[0].name(), "istiod");
        assert_eq!(rendered.gateways[0].name(), "istio-ingressgateway");
    }
}
