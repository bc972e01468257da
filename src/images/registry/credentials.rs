//! The user's credentials as docker keeps them
//! ([config.json](https://docs.docker.com/reference/cli/docker/login/#credential-stores)).

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use crate::process::Command;

/// How docker names its own hub in these files.
const HUB: &str = "https://index.docker.io/v1/";
/// How long a helper may take; it may ask the user something.
const HELPER_LIMIT: Duration = Duration::from_mins(1);

/// What to show a registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// Name and password.
    Password(String, String),
    /// A token that is exchanged for others.
    Identity(String),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(…)")
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    auths: BTreeMap<String, Kept>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Kept {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The credentials for the registry `host` (`docker.io`, `localhost:5000`) in docker's `config.json`.
/// `None` without such a file or without an entry.
///
/// # Errors
/// [`Error::Credentials`] if the file is none of docker's or its helper fails.
pub(super) async fn find(config: Option<&Utf8Path>, host: &str) -> Result<Option<Login>, Error> {
    let Some(path) = config else { return Ok(None) };
    let wrong = |why: String| Error::Credentials { host: host.to_owned(), why };
    let text = match fs_err::tokio::read(path).await {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    // Not the parser's own words: they could quote a secret.
    let config: Config = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("{path} is no configuration of docker's (line {})", error.line())))?;
    let names = names(host);
    if let Some(helper) = names.iter().find_map(|name| config.cred_helpers.get(name)).or(config.creds_store.as_ref())
        && let Some(login) = ask(helper, host, &names).await?
    {
        return Ok(Some(login));
    }
    let Some(kept) = names.iter().find_map(|name| config.auths.get(name)) else { return Ok(None) };
    read(kept).map_err(|why| wrong(format!("{path}: {why}")))
}

/// How a host may be written in docker's files.
fn names(host: &str) -> Vec<String> {
    let mut names = vec![host.to_owned(), format!("https://{host}"), format!("http://{host}")];
    names.extend(["v1", "v2"].map(|version| format!("https://{host}/{version}/")));
    if host == crate::images::reference::DEFAULT_REGISTRY {
        names.insert(0, HUB.to_owned());
        names.push("index.docker.io".to_owned());
    }
    names
}

fn read(kept: &Kept) -> Result<Option<Login>, &'static str> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(token) = given(&kept.identitytoken) {
        return Ok(Some(Login::Identity(token)));
    }
    if let (Some(name), Some(password)) = (given(&kept.username), given(&kept.password)) {
        return Ok(Some(Login::Password(name, password)));
    }
    let Some(auth) = given(&kept.auth) else { return Ok(None) };
    let bytes = base64::engine::general_purpose::STANDARD.decode(auth.trim()).map_err(|_| "`auth` is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "`auth` is not text")?;
    let (name, password) = text.split_once(':').ok_or("`auth` is not name:password")?;
    Ok(Some(Login::Password(name.to_owned(), password.trim_end_matches('\0').to_owned())))
}

/// Asks `docker-credential-HELPER`. It says by its own text that it has nothing.
async fn ask(helper: &str, host: &str, names: &[String]) -> Result<Option<Login>, Error> {
    let wrong = |why: String| Error::Credentials { host: host.to_owned(), why };
    // The name becomes a part of a program's name: nothing that leads elsewhere.
    let sound = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if helper.is_empty() || helper.starts_with(['-', '.']) || !helper.chars().all(sound) {
        return Err(wrong(format!("`{helper}` is not the name of a credential helper")));
    }
    let program = Utf8PathBuf::from(format!("docker-credential-{helper}"));
    let asked = if names[0] == HUB { HUB } else { host };
    let run = Command::new(&program).arg("get").stdin(asked).limit(HELPER_LIMIT).run(&CancellationToken::new()).await;
    let output = match run {
        Ok(output) => output.stdout,
        Err(crate::process::Error::Status { output, .. }) if output.iter().any(|line| line.contains("not found")) => {
            return Ok(None);
        }
        // What it printed may hold secrets.
        Err(crate::process::Error::Status { status, .. }) => {
            return Err(wrong(format!("{program} ended with {status}")));
        }
        Err(error) => return Err(wrong(error.to_string())),
    };
    let answer: Answer = serde_json::from_str(&output)
        .map_err(|_| wrong(format!("{program} answered something else than credentials")))?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Login::Identity(answer.secret),
        _ => Login::Password(answer.username, answer.secret),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(config: &str, host: &str) -> Result<Option<Login>, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = Utf8PathBuf::from_path_buf(dir.path().join("config.json")).expect("UTF-8");
        fs_err::write(&path, config).expect("writable");
        find(Some(&path), host).await.map_err(|error| error.to_string())
    }

    fn password(name: &str, password: &str) -> Login {
        Login::Password(name.to_owned(), password.to_owned())
    }

    #[tokio::test]
    async fn entries_are_found_as_docker_writes_them() {
        let config = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "YTpiOmM="},
            "localhost:5000": {"username": "u", "password": "p"},
            "https://x.example": {"identitytoken": "t", "auth": "YTpi"},
            "empty.example": {}
        }}"#;
        assert_eq!(found(config, "docker.io").await, Ok(Some(password("a", "b:c"))));
        assert_eq!(found(config, "localhost:5000").await, Ok(Some(password("u", "p"))));
        assert_eq!(found(config, "x.example").await, Ok(Some(Login::Identity("t".to_owned()))));
        assert_eq!(found(config, "empty.example").await, Ok(None));
        assert_eq!(found(config, "none.example").await, Ok(None));
        assert_eq!(find(None, "docker.io").await.expect("none"), None);
        assert_eq!(find(Some(Utf8Path::new("/nonexistent/config.json")), "docker.io").await.expect("none"), None);
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_without_secrets() {
        let error =
            found(r#"{"auths": {"a.example": {"auth": "secret!"}}}"#, "a.example").await.expect_err("not base64");
        assert!(error.contains("`auth` is not base64") && !error.contains("secret"), "{error}");
        let error = found("no JSON", "a.example").await.expect_err("not JSON");
        assert!(error.contains("no configuration of docker's"), "{error}");
    }

    #[tokio::test]
    async fn a_helper_is_a_plain_name() {
        for name in ["../x", "a/b", "-x", "a b", "", ".x", "a;b"] {
            let config = serde_json::json!({"credHelpers": {"a.example": name}}).to_string();
            let error = found(&config, "a.example").await.expect_err(name);
            assert!(error.contains("not the name of a credential helper"), "{error}");
        }
        let error = found(r#"{"credsStore": "surely-not-there"}"#, "a.example").await.expect_err("no such program");
        assert!(error.contains("docker-credential-surely-not-there"), "{error}");
    }
}
