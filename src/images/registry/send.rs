//! The one place that sends.

use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::Client;
use super::error::{Error, detail, may_pass};
use super::pace::Turn;
use super::traffic::About;

/// How often a request is tried that failed for a reason that may pass.
const TRIES: u32 = 5;
/// How often one is tried that the registry finds too much: each time it is asked less.
const PATIENT_TRIES: u32 = 10;
/// The longest pause between two tries that we choose ourselves.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause that a registry may ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(2);
/// How many redirects follow one another.
const MOST_HOPS: u32 = 5;
/// How much of an answer that is an error is read.
const LONGEST_COMPLAINT: usize = 64 * 1024;

/// How much may be asked of a registry, as its headers say.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Budget {
    /// So many pulls are allowed in the time.
    pub limit: u64,
    /// So many are left.
    pub remaining: u64,
    /// The time in seconds, if it says so.
    pub seconds: Option<u64>,
}

/// A request that can be sent again.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) about: About,
    /// What a token must allow.
    pub(super) scopes: Vec<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer. Its turn lasts until its body has been read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    /// The method and the path asked for.
    pub(super) line: String,
    pub(super) turn: Turn,
}

impl Request {
    pub(super) fn new(method: Method, url: Url, about: About, scopes: Vec<String>) -> Self {
        Self { method, url, about, scopes, headers: HeaderMap::new(), body: Bytes::new() }
    }

    fn line(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }
}

impl Client {
    /// Sends, and tries again what may pass. The answer has one of the statuses `good`.
    pub(super) async fn send(&self, request: &Request, good: &[StatusCode]) -> Result<Answer, Error> {
        self.send_in_turn(request, good, None).await
    }

    /// As [`Client::send`] for one that has a turn already. Whoever goes on reading what another request
    /// waits for must not wait for a turn: those that have one may be waiting for that very request.
    pub(super) async fn send_in_turn(
        &self,
        request: &Request,
        good: &[StatusCode],
        mut held: Option<Turn>,
    ) -> Result<Answer, Error> {
        let keeps = held.is_some();
        let line = request.line();
        let pace = if matches!(request.method, Method::GET | Method::HEAD) { &self.0.reads } else { &self.0.writes };
        let mut pause = Duration::from_millis(100);
        let (mut tries, mut most_tries) = (0, TRIES);
        let mut challenges = 0;
        loop {
            let mut turn = match held.take() {
                Some(turn) => turn,
                None => pace.turn().await,
            };
            let (result, used) = self.once(request, &line).await;
            let (wait, error) = match result {
                Ok(response) if response.status() == StatusCode::UNAUTHORIZED && challenges < 2 => {
                    challenges += 1;
                    if self.learn(&response, used.as_ref(), &request.scopes)? {
                        held = keeps.then_some(turn);
                        continue;
                    }
                    return Err(self.complaint(response, &line).await);
                }
                Ok(response) if may_pass(response.status()) => {
                    let asked = asked_pause(response.headers());
                    let wait = asked.unwrap_or(pause);
                    if asked.is_some_and(|asked| asked > LONGEST_ASKED) {
                        return Err(Error::Later { base: self.0.base.to_string(), request: line, pause: wait });
                    }
                    if response.status() == StatusCode::TOO_MANY_REQUESTS {
                        most_tries = PATIENT_TRIES;
                        turn.too_much(wait);
                    }
                    (wait, self.complaint(response, &line).await)
                }
                Ok(response) => {
                    turn.good();
                    self.note_budget(response.headers());
                    let response = self.accept(response, &line, good).await?;
                    return Ok(Answer { response, line, turn });
                }
                Err(error) if error.may_pass() => (pause, error),
                Err(error) => return Err(error),
            };
            tries += 1;
            if tries >= most_tries {
                return Err(error);
            }
            held = keeps.then(|| turn.renewed());
            tokio::time::sleep(wait).await;
            pause = (pause * 3).min(LONGEST_PAUSE);
        }
    }

    /// One try, and what it showed for a login. Redirects are followed for what only reads.
    async fn once(&self, request: &Request, line: &str) -> (Result<Response, Error>, Option<HeaderValue>) {
        let used = match self.authorization(&request.scopes).await {
            Ok(used) => used,
            Err(error) => return (Err(error), None),
        };
        (self.hops(request, line, used.as_ref()).await, used)
    }

    async fn hops(&self, request: &Request, line: &str, login: Option<&HeaderValue>) -> Result<Response, Error> {
        let mut url = request.url.clone();
        for _ in 0..=MOST_HOPS {
            let response = self.transmit(request, &url, line, login).await?;
            let reads = matches!(request.method, Method::GET | Method::HEAD);
            if !reads || !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = header(response.headers(), LOCATION.as_str());
            let to = location.and_then(|location| url.join(location).ok());
            let to = to.ok_or_else(|| self.nonsense(line, "it leads elsewhere without saying where"))?;
            self.follow(&self.0.base, &to, line)?;
            self.follow(&url, &to, line)?;
            url = to;
        }
        Err(self.nonsense(line, "it leads from one place to the next without end"))
    }

    async fn transmit(
        &self,
        request: &Request,
        url: &Url,
        line: &str,
        login: Option<&HeaderValue>,
    ) -> Result<Response, Error> {
        let mut sent =
            self.http_for(url)?.request(request.method.clone(), url.clone()).headers(request.headers.clone());
        // Some registries ask for a length even of nothing.
        if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
            sent = sent.header(CONTENT_LENGTH, request.body.len()).body(request.body.clone());
        }
        sent = sent.header(ACCEPT_ENCODING, "identity");
        sent = self.show(sent, url, login);
        self.0.counters.request(&request.method, request.about);
        let answer = sent.send().await.map_err(|source| self.unreachable(line, source));
        if request.about == About::Manifest || request.about == About::Upload {
            self.0.counters.sent(request.body.len());
        }
        answer
    }

    /// Shows the login, to the registry alone.
    pub(super) fn show(
        &self,
        request: reqwest::RequestBuilder,
        url: &Url,
        login: Option<&HeaderValue>,
    ) -> reqwest::RequestBuilder {
        match login {
            Some(login) if url.origin() == self.0.base.origin() => request.header(AUTHORIZATION, login),
            _ => request,
        }
    }

    /// Takes in how the registry found the pace of a request that can't be sent again.
    pub(super) fn heed(&self, mut turn: Turn, answer: &Response, line: &str) -> Result<(), Error> {
        if !may_pass(answer.status()) {
            turn.good();
            return Ok(());
        }
        let pause = asked_pause(answer.headers());
        if let Some(pause) = pause.filter(|pause| *pause > LONGEST_ASKED) {
            return Err(Error::Later { base: self.0.base.to_string(), request: line.to_owned(), pause });
        }
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            turn.too_much(pause.unwrap_or(Duration::from_secs(1)));
        }
        Ok(())
    }

    /// Takes in what the answer 401 asks for; whether trying again makes sense.
    fn learn(&self, response: &Response, used: Option<&HeaderValue>, scopes: &[String]) -> Result<bool, Error> {
        let mut better = false;
        for header in response.headers().get_all(WWW_AUTHENTICATE) {
            if let Ok(text) = header.to_str() {
                better |= self.challenged(text, used, scopes)?;
            }
        }
        Ok(better)
    }

    fn note_budget(&self, headers: &HeaderMap) {
        let read = |name: &str| {
            let text = header(headers, name)?;
            let (count, window) = text.split_once(';').unwrap_or((text, ""));
            let seconds = window.trim().strip_prefix("w=").and_then(|seconds| seconds.parse().ok());
            Some((count.trim().parse::<u64>().ok()?, seconds))
        };
        if let (Some((limit, seconds)), Some((remaining, _))) = (read("ratelimit-limit"), read("ratelimit-remaining")) {
            let budget = Budget { limit, remaining, seconds };
            *self.0.budget.lock().unwrap_or_else(PoisonError::into_inner) = Some(budget);
        }
    }

    /// How much may still be asked, if the registry said so in an answer.
    #[must_use]
    pub fn budget(&self) -> Option<Budget> {
        self.0.budget.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The answer, if its status is one of `good`.
    pub(super) async fn accept(&self, answer: Response, line: &str, good: &[StatusCode]) -> Result<Response, Error> {
        if good.contains(&answer.status()) { Ok(answer) } else { Err(self.complaint(answer, line).await) }
    }

    async fn complaint(&self, answer: Response, line: &str) -> Error {
        let status = answer.status();
        let body = self.beginning(answer, LONGEST_COMPLAINT).await;
        let detail = detail(&String::from_utf8_lossy(&body));
        Error::Answer { base: self.0.base.to_string(), request: line.to_owned(), status, detail }
    }

    async fn beginning(&self, mut answer: Response, most: usize) -> Vec<u8> {
        let mut body = Vec::new();
        while let Ok(Some(piece)) = answer.chunk().await {
            body.extend_from_slice(&piece[..piece.len().min(most - body.len())]);
            if body.len() == most {
                break;
            }
        }
        body
    }

    /// The whole body, which must not be longer than `most` bytes. Nothing is ever unpacked.
    pub(super) async fn whole(&self, mut answer: Response, most: usize, line: &str) -> Result<Bytes, Error> {
        let too_long = || self.nonsense(line, &format!("it is longer than {most} bytes"));
        if answer.content_length().is_some_and(|length| length > most as u64) {
            return Err(too_long());
        }
        let mut body = bytes::BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(|source| self.unreachable(line, source))? {
            if body.len() + piece.len() > most {
                return Err(too_long());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    pub(super) fn unreachable(&self, line: &str, source: reqwest::Error) -> Error {
        // The address is in our message already.
        let source = source.without_url();
        Error::Unreachable { base: self.0.base.to_string(), request: line.to_owned(), source }
    }

    pub(super) fn nonsense(&self, line: &str, why: &str) -> Error {
        Error::Nonsense { base: self.0.base.to_string(), request: line.to_owned(), why: why.to_owned() }
    }

    pub(super) fn url(&self, below: &str) -> Url {
        let mut url = self.0.base.clone();
        url.set_path(&format!("/v2/{below}"));
        url
    }
}

/// The pause that an answer asks for: seconds, or a date.
fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    let text = header(headers, RETRY_AFTER.as_str())?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let pause = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).expect("a header"));
            asked_pause(&headers)
        };
        assert_eq!(pause("3"), Some(Duration::from_secs(3)));
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let later = SystemTime::now() + Duration::from_secs(100);
        let asked = pause(&httpdate::fmt_http_date(later)).expect("a date");
        assert!((95..=100).contains(&asked.as_secs()), "{asked:?}");
        assert_eq!(pause("soon"), None);
    }
}
