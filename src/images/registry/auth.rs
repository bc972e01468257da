//! Logging in: basic, or bearer tokens
//! ([token.md](https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/token.md)).
//! Nothing is shown to a registry before it asked for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use camino::Utf8PathBuf;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::Client;
use super::challenge::{self, Challenge};
use super::credentials::{self, Login};
use super::error::Error;
use super::traffic::About;

/// The longest answer of a token service.
const LONGEST_TOKEN: usize = 1 << 20;
/// How long a token holds that does not say so.
const USUAL: Duration = Duration::from_mins(1);
/// So much before its end a token is not used any more: a request takes time too.
const MARGIN: Duration = Duration::from_secs(10);

/// How one registry is logged into.
#[derive(Debug, Default)]
pub(super) struct Auth {
    /// Docker's `config.json`.
    config: Option<Utf8PathBuf>,
    /// The registry's name in there.
    host: String,
    /// What it asks for, once it has.
    scheme: Mutex<Option<Scheme>>,
    login: tokio::sync::OnceCell<Option<Login>>,
    /// The tokens by what they allow. Each has a lock, so that one request gets it for all.
    tokens: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Token>>>>>,
}

#[derive(Clone, Debug)]
enum Scheme {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    until: Instant,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Auth {
    /// With the credentials for `host` in docker's `config`, which are read when they are needed.
    pub(super) fn new(config: Option<Utf8PathBuf>, host: String) -> Self {
        Self { config, host, ..Self::default() }
    }
}

impl Client {
    /// What to write into `Authorization` for a request that needs `scopes`; `None` while the registry
    /// has not asked for anything, or we have nothing to show.
    pub(super) async fn authorization(&self, scopes: &[String]) -> Result<Option<HeaderValue>, Error> {
        let scheme = self.0.auth.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match scheme {
            None => Ok(None),
            Some(Scheme::Basic) => match self.login().await? {
                Some(Login::Password(name, password)) => Ok(Some(basic(name, password))),
                _ => Ok(None),
            },
            Some(Scheme::Bearer { realm, service }) => {
                let token = {
                    let mut tokens = self.0.auth.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                    Arc::clone(tokens.entry(scopes.join(" ")).or_default())
                };
                let mut token = token.lock().await;
                if let Some(token) = token.as_ref().filter(|token| token.until > Instant::now()) {
                    return Ok(Some(token.header.clone()));
                }
                let new = self.token(&realm, service.as_deref(), scopes).await?;
                Ok(Some(token.insert(new).header.clone()))
            }
        }
    }

    /// Takes in what the registry asks for; `false` if that is nothing that could be done better.
    pub(super) fn challenged(
        &self,
        header: &str,
        used: Option<&HeaderValue>,
        scopes: &[String],
    ) -> Result<bool, Error> {
        let found = challenge::parse(header);
        let scheme = found.iter().find_map(|one| self.scheme(one).transpose()).transpose()?;
        let Some(scheme) = scheme else { return Ok(false) };
        let bearer = matches!(scheme, Scheme::Bearer { .. });
        *self.0.auth.scheme.lock().unwrap_or_else(PoisonError::into_inner) = Some(scheme);
        if used.is_none() {
            return Ok(true);
        }
        // A token that has run out early or was taken back; a password does not get better.
        self.0.auth.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(&scopes.join(" "));
        Ok(bearer)
    }

    fn scheme(&self, challenge: &Challenge) -> Result<Option<Scheme>, Error> {
        match challenge.scheme.as_str() {
            "basic" => Ok(Some(Scheme::Basic)),
            "bearer" => {
                let Some(realm) = challenge.parameters.get("realm").and_then(|realm| Url::parse(realm).ok()) else {
                    return Ok(None);
                };
                self.follow(&self.0.base, &realm, "asking for a token")?;
                Ok(Some(Scheme::Bearer { realm, service: challenge.parameters.get("service").cloned() }))
            }
            _ => Ok(None),
        }
    }

    async fn login(&self) -> Result<Option<&Login>, Error> {
        let auth = &self.0.auth;
        let find = || credentials::find(auth.config.as_deref(), &auth.host);
        Ok(auth.login.get_or_try_init(find).await?.as_ref())
    }

    /// Asks the token service. Its own answer decides what is allowed: without credentials it gives a
    /// token too, that reads what is public.
    async fn token(&self, realm: &Url, service: Option<&str>, scopes: &[String]) -> Result<Token, Error> {
        let login = self.login().await?;
        let http = self.http_for(realm)?;
        let all = scopes.join(" ");
        let service = service.map(|service| ("service", service));
        let (method, request) = match login {
            Some(Login::Identity(token)) => {
                // All scopes as one here
                // (https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/oauth.md).
                let mut pairs = vec![("grant_type", "refresh_token"), ("client_id", "istiolab"), ("scope", &all)];
                pairs.push(("refresh_token", token));
                pairs.extend(service);
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                let body = form.extend_pairs(&pairs).finish();
                let kind = "application/x-www-form-urlencoded";
                (Method::POST, http.post(realm.clone()).header(reqwest::header::CONTENT_TYPE, kind).body(body))
            }
            login => {
                let pairs = scopes.iter().map(|scope| ("scope", scope.as_str())).chain(service);
                let mut url = realm.clone();
                url.query_pairs_mut().extend_pairs(pairs);
                let mut request = http.get(url);
                if let Some(Login::Password(name, password)) = login {
                    request = request.header(reqwest::header::AUTHORIZATION, basic(name, password));
                }
                (Method::GET, request)
            }
        };
        let line = format!("{method} {}", realm.path());
        self.0.counters.request(&method, About::Token);
        let answer = request.send().await.map_err(|source| self.unreachable(&line, source))?;
        let answer = self.accept(answer, &line, &[reqwest::StatusCode::OK]).await?;
        let body = self.whole(answer, LONGEST_TOKEN, &line).await?;
        let nonsense = |why: &str| self.nonsense(&line, why);
        let granted: Granted = serde_json::from_slice(&body).map_err(|_| nonsense("it is no token"))?;
        let token = granted.token.or(granted.access_token).ok_or_else(|| nonsense("it has no token"))?;
        let mut header =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| nonsense("its token can't be sent"))?;
        header.set_sensitive(true);
        let lasts = granted.expires_in.map_or(USUAL, Duration::from_secs).saturating_sub(MARGIN);
        Ok(Token { header, until: Instant::now() + lasts })
    }
}

/// Pulling from a repository.
pub(super) fn pull(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

/// Pushing into a repository, and looking what is there.
pub(super) fn push(repository: &str) -> String {
    format!("repository:{repository}:pull,push")
}

fn basic(name: &str, password: &str) -> HeaderValue {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    // Base64 is always a valid header.
    let mut header =
        HeaderValue::from_str(&format!("Basic {text}")).unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    header.set_sensitive(true);
    header
}
