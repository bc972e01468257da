//! Whether the engine can start a privileged container, found out by starting one. The engine may
//! have no image and no registry to pull from, so the image is made here: one static program of a few
//! instructions that ends with 0.

use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ImportImageOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions,
    StartContainerOptions, WaitContainerOptions,
};
use bollard::{Docker, body_full};
use futures::StreamExt as _;
use serde_json::json;

use crate::cluster::OWNED_LABEL;
use crate::images::digest::Digest;

/// The image's name while it is needed.
const IMAGE: &str = "istiolab.local/doctor-probe:1";
/// How long the container may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Starts a privileged container and waits for its end; removes it and its image again.
///
/// # Errors
/// The engine's words.
pub(super) async fn privileged(docker: &Docker, architecture: &str) -> Result<(), String> {
    let Some(tar) = image(architecture) else {
        return Err(format!("not tried: there is no probe for the processor {architecture}"));
    };
    let tried = tokio::time::timeout(LIMIT, try_it(docker, tar)).await;
    // Left behind by a run that was killed, it does no harm and is overwritten by the next.
    drop(docker.remove_image(IMAGE, None::<RemoveImageOptions>, None).await);
    match tried {
        Ok(result) => result,
        Err(_) => Err(format!("it did not end within {}", humantime::format_duration(LIMIT))),
    }
}

async fn try_it(docker: &Docker, tar: Vec<u8>) -> Result<(), String> {
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let mut loading = Box::pin(docker.import_image(options, body_full(tar.into()), None));
    while let Some(answer) = loading.next().await {
        answer.map_err(|error| format!("loading an image failed: {}", words(&error)))?;
    }
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        labels: Some([(OWNED_LABEL.to_owned(), "true".to_owned())].into()),
        network_disabled: Some(true),
        host_config: Some(HostConfig { privileged: Some(true), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().build();
    let id = docker.create_container(Some(options), body).await.map_err(|error| words(&error))?.id;
    let ended = run(docker, &id).await;
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let removed = docker.remove_container(&id, Some(options)).await.map_err(|error| words(&error));
    ended.and(removed)
}

async fn run(docker: &Docker, id: &str) -> Result<(), String> {
    docker.start_container(id, None::<StartContainerOptions>).await.map_err(|error| words(&error))?;
    let mut waiting = Box::pin(docker.wait_container(id, None::<WaitContainerOptions>));
    match waiting.next().await {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, error })) => {
            Err(format!("its program ended with {code} {error}"))
        }
        Some(Err(error)) => Err(words(&error)),
    }
}

/// The engine's own words, without the library's around them.
fn words(error: &bollard::errors::Error) -> String {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message.clone(),
        bollard::errors::Error::DockerStreamError { error } => error.clone(),
        other => other.to_string(),
    }
}

/// The image in the form that every engine loads; `None` for an unknown processor.
fn image(architecture: &str) -> Option<Vec<u8>> {
    let (program, name) = match architecture {
        "x86_64" | "amd64" => (program(62, &[0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]), "amd64"),
        "aarch64" | "arm64" => (program(183, &[0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4]), "arm64"),
        _ => return None,
    };
    let layer = tar([("probe", 0o755, &program[..])])?;
    let config = json!({
        "architecture": name,
        "os": "linux",
        "config": {"Entrypoint": ["/probe"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
    })
    .to_string();
    let manifest = json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).to_string();
    tar([
        ("config.json", 0o644, config.as_bytes()),
        ("layer.tar", 0o644, &layer[..]),
        ("manifest.json", 0o644, manifest.as_bytes()),
    ])
}

fn tar<const N: usize>(files: [(&str, u32, &[u8]); N]) -> Option<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, mode, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        archive.append_data(&mut header, path, content).ok()?;
    }
    archive.into_inner().ok()
}

/// A static 64-bit little-endian ELF file of one segment with `code`
/// ([elf(5)](https://man7.org/linux/man-pages/man5/elf.5.html)). The code makes the system call
/// `exit(0)`.
fn program(machine: u16, code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let size = HEADERS + code.len() as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Executable, version 1, entry, one program header right behind this one.
    file.extend(2_u16.to_le_bytes());
    file.extend(machine.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend((BASE + HEADERS).to_le_bytes());
    file.extend(64_u64.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.extend(0_u32.to_le_bytes());
    for field in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    // Loaded whole, readable and executable.
    file.extend(1_u32.to_le_bytes());
    file.extend(5_u32.to_le_bytes());
    for field in [0, BASE, BASE, size, size, 0x1000] {
        file.extend(field.to_le_bytes());
    }
    file.extend(code);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_processors_have_a_probe() {
        assert!(image("x86_64").is_some());
        assert!(image("aarch64").is_some());
        assert!(image("riscv64").is_none());
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[tokio::test]
    async fn the_program_runs_here_and_ends_with_0() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("probe");
        fs_err::write(&path, program(62, &[0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05])).expect("writable");
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("ours");
        let run = crate::process::Command::new(&path).run(&tokio_util::sync::CancellationToken::new()).await;
        run.expect("it ends with 0");
    }
}
