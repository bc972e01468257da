//! What is to be sent, and sending it.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use super::CONTROL;
use crate::error::causes;
use crate::observe::{self, Inside, Service};
use crate::verify::traffic::{Answer, KEPT, Report, Sent};
use crate::verify::unmet::Unmet;
use crate::verify::world::{SYSTEM, Scene, request_id};

/// How long a batch of requests may take.
pub(super) const LIMIT: Duration = Duration::from_mins(1);
/// How the ingress gateway is called where senders are named.
pub(super) const GATEWAY: &str = "the ingress gateway";
/// The ingress gateway's Service.
const INGRESS: &str = "istio-ingressgateway";
/// The header by which a request's trace and log lines are found.
const REQUEST_ID: &str = "x-request-id";

/// What is to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// The absolute URL.
    pub(super) url: String,
    /// The method; empty for `GET`.
    pub(super) method: String,
    /// How many requests.
    pub(super) count: u32,
    /// Headers of every request.
    pub(super) headers: BTreeMap<String, String>,
    /// Their body.
    pub(super) body: Option<String>,
    /// How many may wait for an answer at once; one unless given.
    pub(super) at_a_time: Option<u32>,
    /// How many begin in a second; one after the other unless given.
    pub(super) per_second: Option<u32>,
    /// Whether the proxies give each request an id of its own.
    pub(super) own_ids: bool,
    /// Who a client of the ingress gateway says it is, by a certificate of the scenario's authority.
    pub(super) client: Option<String>,
}

impl Order {
    /// `count` GET requests.
    pub(super) fn new(count: u32, url: &str) -> Self {
        Self { url: url.to_owned(), count, ..Self::default() }
    }

    /// Adds headers.
    pub(super) fn with_headers(mut self, pairs: Vec<(&str, &str)>) -> Self {
        self.headers.extend(pairs.into_iter().map(|(name, value)| (name.to_lowercase(), value.to_owned())));
        self
    }

    /// Reads a table of what is to be sent.
    ///
    /// # Errors
    /// [`Unmet::Misused`] names the row that can't be meant so.
    pub(super) fn of_table(pairs: Vec<(&str, &str)>) -> Result<Self, Unmet> {
        let mut order = Self::new(1, "");
        for (key, value) in pairs {
            let number = || {
                let wrong = || Unmet::Misused(format!("`{key}` is `{value}`, which is not a number from 1"));
                value.parse::<u32>().ok().filter(|number| *number > 0).ok_or_else(wrong)
            };
            match key {
                "to" => value.clone_into(&mut order.url),
                "method" => value.clone_into(&mut order.method),
                "count" => order.count = number()?,
                "body" => order.body = Some(value.to_owned()),
                "at a time" => order.at_a_time = Some(number()?),
                "per second" => order.per_second = Some(number()?),
                "ids" if value == "own" => order.own_ids = true,
                "certificate" => order.client = Some(value.to_owned()),
                _ => match key.strip_prefix("header ") {
                    Some(name) => {
                        order.headers.insert(name.trim().to_lowercase(), value.to_owned());
                    }
                    None => {
                        return Err(Unmet::Misused(format!(
                            "the table's row `{key}` is not known; there are: to, method, count, body, at a time, \
                             per second, ids (own), certificate, and header NAME"
                        )));
                    }
                },
            }
        }
        if order.url.is_empty() { Err(Unmet::Misused("the table has no row `to`".to_owned())) } else { Ok(order) }
    }

    fn method(&self) -> &str {
        if self.method.is_empty() { "GET" } else { &self.method }
    }

    /// What is remembered of it.
    fn sent(&self, from: &str, request_id: String, report: Report) -> Sent {
        let to = format!("{} {}", self.method(), self.url);
        Sent { from: from.to_owned(), to, request_id, report }
    }

    /// The headers with an id, and that id; without one if each request gets its own.
    fn identified(&self) -> (BTreeMap<String, String>, String) {
        let mut headers = self.headers.clone();
        if self.own_ids {
            return (headers, String::new());
        }
        let id = headers.entry(REQUEST_ID.to_owned()).or_insert_with(request_id).clone();
        (headers, id)
    }

    /// The order as the demo application's control port reads it. Fields that older ones do not
    /// know are sent only where they say something.
    fn document(&self, headers: &BTreeMap<String, String>) -> Value {
        let mut document = Map::new();
        document.insert("url".to_owned(), json!(self.url));
        document.insert("count".to_owned(), json!(self.count));
        document.insert("headers".to_owned(), json!(headers));
        document.insert("keep".to_owned(), json!(KEPT.min(self.count as usize)));
        document.insert("method".to_owned(), json!(self.method()));
        let given = [
            ("body", self.body.as_ref().map(|body| json!(body))),
            ("parallel", self.at_a_time.map(|number| json!(number))),
            ("per_second", self.per_second.map(|number| json!(number))),
        ];
        document.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Value::Object(document)
    }

    /// Has a workload send it, with the workload's own identity.
    ///
    /// # Errors
    /// The workload's control port can't be asked, or refuses the order.
    pub(super) async fn send_as(&self, scene: &Scene, from: &str, namespace: &str) -> Result<Sent, Unmet> {
        if self.client.is_some() {
            return Err(Unmet::Misused("in the mesh, a workload's proxy shows the certificate".to_owned()));
        }
        let (headers, id) = self.identified();
        let service = scene.service(namespace, from, CONTROL).limit(LIMIT);
        let report: Report = service.post("/send", &self.document(&headers)).await?.ok()?.json()?;
        Ok(self.sent(from, id, report))
    }

    /// Sends it to the ingress gateway from outside of the mesh, with the URL's host as host header, by TLS
    /// where the URL says so.
    ///
    /// # Errors
    /// [`Unmet::Misused`] for what can't be sent so.
    pub(super) async fn through_gateway(&self, scene: &mut Scene) -> Result<Sent, Unmet> {
        if self.at_a_time.is_some() || self.per_second.is_some() {
            return Err(Unmet::Misused("through the gateway, requests are sent one after the other".to_owned()));
        }
        let text = &self.url;
        let url = url::Url::parse(text).map_err(|error| Unmet::Misused(format!("`{text}` is not a URL: {error}")))?;
        let host = url.host_str().ok_or_else(|| Unmet::Misused(format!("`{text}` has no host")))?;
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let method = Method::from_bytes(self.method().as_bytes())
            .map_err(|error| Unmet::Misused(format!("`{}` is not a method: {error}", self.method)))?;
        let (headers, id) = self.identified();
        let mut pairs: Vec<(&str, &str)> = vec![("host", host)];
        pairs.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let port = url.port_or_known_default().unwrap_or(80);
        let way = Way::new(scene, url.scheme() == "https", host, port, self.client.as_deref()).await?;
        let mut report = Report::default();
        for _ in 0..self.count {
            match way.send(method.clone(), path, &pairs, self.body.clone()).await {
                Ok(answer) => {
                    let elapsed_ms = u64::try_from(answer.elapsed.as_millis()).unwrap_or(u64::MAX);
                    let body = answer.text().into_owned();
                    report.add(Answer { status: answer.status, headers: answer.headers, body, elapsed_ms });
                }
                Err(error) => report.fail(causes(&error).join(": ")),
            }
        }
        let mut sent = self.sent(GATEWAY, id, report);
        // To a gateway we are the outside, whose ids it replaces by its own; the demo application
        // tells which one it got.
        if let (false, Ok(Value::String(id))) = (self.own_ids, sent.field("headers.x-request-id")) {
            sent.request_id = id;
        }
        Ok(sent)
    }
}

/// The way to the ingress gateway.
enum Way {
    /// By the API server's proxy, as plain HTTP.
    Plain(Service),
    /// By TLS from here to the gateway's pod.
    Secure(Inside),
}

impl Way {
    async fn new(scene: &mut Scene, secure: bool, host: &str, port: u16, client: Option<&str>) -> Result<Self, Unmet> {
        if !secure {
            if client.is_some() {
                return Err(Unmet::Misused("a certificate is shown by TLS only: write https://".to_owned()));
            }
            return Ok(Self::Plain(scene.service(SYSTEM, INGRESS, port)));
        }
        let Some(authority) = &scene.authority else {
            return Err(Unmet::Misused(format!(
                "the scenario has made no certificate for {host}, so it trusts no server: begin with `the Secret … \
                 holds a certificate for \"{host}\"`"
            )));
        };
        let tls = authority.client(host, client)?;
        let (pod, port) = scene.behind(INGRESS, SYSTEM, port).await?;
        Ok(Self::Secure(scene.inside(SYSTEM, &pod, port).tls(tls)))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<observe::Answer, observe::Error> {
        match self {
            Self::Plain(service) => service.send(method, path, headers, body).await,
            Self::Secure(inside) => inside.send(method, path, headers, body).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_is_sent() {
        let table = vec![
            ("to", "http://echo:8080/x"),
            ("method", "POST"),
            ("count", "20"),
            ("at a time", "10"),
            ("per second", "5"),
            ("ids", "own"),
            ("body", "hello"),
            ("header End-User", "jason"),
        ];
        let order = Order::of_table(table).expect("it is an order");
        assert_eq!((order.url.as_str(), order.count, order.at_a_time), ("http://echo:8080/x", 20, Some(10)));
        assert_eq!(order.identified(), (BTreeMap::from([("end-user".to_owned(), "jason".to_owned())]), String::new()));
        let document = order.document(&order.headers);
        assert_eq!((&document["method"], &document["keep"]), (&json!("POST"), &json!(20)));
        assert_eq!((&document["parallel"], &document["per_second"]), (&json!(10), &json!(5)));
    }

    #[test]
    fn a_wrong_table_is_refused() {
        let error = |row| Order::of_table(vec![("to", "http://x/"), row]).expect_err("it is wrong").to_string();
        assert_eq!(error(("count", "0")), "`count` is `0`, which is not a number from 1");
        assert!(error(("verb", "GET")).starts_with("the table's row `verb` is not known; there are: to, method"));
        let error = Order::of_table(vec![("count", "1")]).expect_err("no URL").to_string();
        assert_eq!(error, "the table has no row `to`");
    }

    #[test]
    fn requests_share_an_id_unless_they_have_one() {
        let order = Order::new(2, "http://x/");
        let (headers, id) = order.identified();
        assert_eq!((headers[REQUEST_ID].as_str(), id.len()), (id.as_str(), 36));
        let given = order.clone().with_headers(vec![("X-Request-Id", "mine")]);
        assert_eq!(given.identified().1, "mine");
        let document = order.document(&headers);
        assert!(document.get("body").is_none() && document.get("per_second").is_none(), "{document}");
    }
}
