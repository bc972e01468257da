//! Grafana's HTTP API: health, data sources, dashboards, and the data behind a panel. Old servers
//! (6.x) are asked in their own way, chosen by the version that `/api/health` reports.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::proxy::{Service, query};
use super::{Answer, Error, prometheus};

/// A Grafana server.
#[derive(Clone, Debug)]
pub struct Grafana {
    service: Service,
}

/// What `/api/health` says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// `ok`, or what is wrong with its database.
    pub database: String,
    /// The server's version.
    #[serde(default)]
    pub version: String,
}

impl Health {
    /// Whether the server has `/api/ds/query` (since 8.0); before it was `/api/tsdb/query`.
    #[must_use]
    pub fn is_modern(&self) -> bool {
        // A version that can't be read is a newer one than we know.
        self.version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_none_or(|major| major >= 8)
    }
}

/// A data source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataSource {
    /// Its number, which old servers go by.
    pub id: u64,
    /// Its name for the API; empty on old servers.
    pub uid: String,
    /// Its name for people.
    pub name: String,
    /// The plug-in, such as `prometheus`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is.
    pub url: String,
    /// Whether it can't be changed in the page: it was provisioned. `None` if not told.
    pub read_only: Option<bool>,
    /// Whether panels that name no data source use it.
    pub is_default: bool,
}

/// A dashboard or folder that a search found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Found {
    /// Its name for the API.
    pub uid: String,
    /// Its name for people.
    pub title: String,
    /// `dash-db` or `dash-folder`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The folder that it is in; empty for the one at the root.
    #[serde(default, rename = "folderTitle")]
    pub folder: String,
}

/// A dashboard.
#[derive(Clone, Debug, PartialEq)]
pub struct Dashboard {
    /// Its name for people.
    pub title: String,
    /// Whether it came from a file.
    pub provisioned: bool,
    /// Its panels, also those in rows.
    pub panels: Vec<Panel>,
}

/// A panel of a dashboard.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Its title.
    pub title: String,
    /// Uid or name of its data source; `None` for the default one.
    pub source: Option<String>,
    /// Its queries.
    pub targets: Vec<Target>,
}

/// A query of a panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `A`, `B` …
    pub reference: String,
    /// The `PromQL` expression; empty for other data sources.
    pub expression: String,
}

/// A line of a panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name or its labels.
    pub name: String,
    /// Its values that are numbers, in order of time.
    pub values: Vec<f64>,
}

impl Grafana {
    /// The server behind `service`.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self { service }
    }

    /// Whether the server and its database work.
    ///
    /// # Errors
    /// Those of [`Service::send`], [`Error::Status`], [`Error::Shape`].
    pub async fn health(&self) -> Result<Health, Error> {
        self.service.get("/api/health").await?.ok()?.json()
    }

    /// Every data source.
    ///
    /// # Errors
    /// As [`Grafana::health`].
    pub async fn data_sources(&self) -> Result<Vec<DataSource>, Error> {
        let answer = self.service.get("/api/datasources").await?;
        if answer.status == 403 {
            // An anonymous viewer may not list them, but gets them with the page's settings.
            return from_settings(&self.service.get("/api/frontend/settings").await?.ok()?);
        }
        answer.ok()?.json()
    }

    /// The data source of this name; `None` if there is none.
    ///
    /// # Errors
    /// As [`Grafana::health`].
    pub async fn data_source(&self, name: &str) -> Result<Option<DataSource>, Error> {
        Ok(self.data_sources().await?.into_iter().find(|source| source.name == name))
    }

    /// Dashboards and folders with `words` in their title.
    ///
    /// # Errors
    /// As [`Grafana::health`].
    pub async fn search(&self, words: &str) -> Result<Vec<Found>, Error> {
        self.service.get(&format!("/api/search?{}", query(&[("query", words)]))).await?.ok()?.json()
    }

    /// Every dashboard.
    ///
    /// # Errors
    /// As [`Grafana::health`].
    pub async fn dashboards(&self) -> Result<Vec<Found>, Error> {
        self.service.get("/api/search?type=dash-db&limit=5000").await?.ok()?.json()
    }

    /// The dashboard with exactly this title; `None` if there is none.
    ///
    /// # Errors
    /// As [`Grafana::health`].
    pub async fn dashboard(&self, title: &str) -> Result<Option<Dashboard>, Error> {
        let found = self.search(title).await?;
        let Some(found) = found.into_iter().find(|found| found.kind == "dash-db" && found.title == title) else {
            return Ok(None);
        };
        let answer = self.service.get(&format!("/api/dashboards/uid/{}", found.uid)).await?.ok()?;
        dashboard(&answer).map(Some)
    }

    /// What a panel of `source` would draw for the last five minutes.
    ///
    /// # Errors
    /// As [`Grafana::health`]; [`Error::Refused`] with the data source's words if a query fails.
    pub async fn panel(&self, panel: &Panel, source: &DataSource, modern: bool) -> Result<Vec<Series>, Error> {
        if modern {
            let answer = self.service.post("/api/ds/query", &modern_query(panel, source)).await?;
            frames(&answer)
        } else {
            let answer = self.service.post("/api/tsdb/query", &old_query(panel, source)).await?;
            time_series(&answer)
        }
    }

    /// Evaluates a `PromQL` expression now, through Grafana's data-source proxy.
    ///
    /// # Errors
    /// As [`prometheus::Prometheus::query`].
    pub async fn proxied(&self, source: &DataSource, expression: &str) -> Result<prometheus::Value, Error> {
        let base = if source.uid.is_empty() {
            format!("/api/datasources/proxy/{}", source.id)
        } else {
            format!("/api/datasources/proxy/uid/{}", source.uid)
        };
        let answer = self.service.get(&format!("{base}/api/v1/query?{}", query(&[("query", expression)]))).await?;
        prometheus::value(&answer)
    }
}

fn from_settings(answer: &Answer) -> Result<Vec<DataSource>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Settings {
        datasources: BTreeMap<String, DataSource>,
        #[serde(default)]
        default_datasource: String,
    }
    let settings: Settings = answer.json()?;
    let default = settings.default_datasource;
    let named = |(name, source): (String, DataSource)| {
        let is_default = source.is_default || name == default;
        DataSource { name, read_only: None, is_default, ..source }
    };
    Ok(settings.datasources.into_iter().map(named).collect())
}

fn dashboard(answer: &Answer) -> Result<Dashboard, Error> {
    let body: Value = answer.json()?;
    let title = body["dashboard"]["title"].as_str().ok_or_else(|| answer.unexpected("no dashboard.title"))?;
    let mut panels = Vec::new();
    collect_panels(&body["dashboard"]["panels"], &mut panels);
    // Until version 5 panels were in rows of their own.
    for row in body["dashboard"]["rows"].as_array().into_iter().flatten() {
        collect_panels(&row["panels"], &mut panels);
    }
    Ok(Dashboard { title: title.to_owned(), provisioned: body["meta"]["provisioned"] == true, panels })
}

fn collect_panels(list: &Value, into: &mut Vec<Panel>) {
    for panel in list.as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let targets = panel["targets"].as_array().into_iter().flatten();
        let source = &panel["datasource"];
        into.push(Panel {
            title: text(&panel["title"]),
            // Until version 8 the name, since then an object.
            source: source.as_str().or_else(|| source["uid"].as_str()).map(str::to_owned),
            targets: targets
                .map(|target| Target { reference: text(&target["refId"]), expression: text(&target["expr"]) })
                .collect(),
        });
        collect_panels(&panel["panels"], into);
    }
}

/// Replaces the variables that only a browser knows the values of.
#[must_use]
pub fn without_variables(expression: &str) -> String {
    ["$__rate_interval", "${__rate_interval}", "$__interval", "${__interval}", "$__range"]
        .into_iter()
        .fold(expression.to_owned(), |text, variable| text.replace(variable, "1m"))
}

fn modern_query(panel: &Panel, source: &DataSource) -> Value {
    let queries: Vec<Value> = panel
        .targets
        .iter()
        .map(|target| {
            json!({"refId": target.reference, "expr": target.expression, "range": true, "instant": false,
                "datasource": {"uid": source.uid, "type": source.kind}, "intervalMs": 2000, "maxDataPoints": 300})
        })
        .collect();
    json!({"from": "now-5m", "to": "now", "queries": queries})
}

fn old_query(panel: &Panel, source: &DataSource) -> Value {
    let queries: Vec<Value> = panel
        .targets
        .iter()
        .map(|target| {
            json!({"refId": target.reference, "expr": without_variables(&target.expression), "format": "time_series",
                "datasourceId": source.id, "intervalMs": 2000, "maxDataPoints": 300})
        })
        .collect();
    json!({"from": "now-5m", "to": "now", "queries": queries})
}

/// Reads the answer of `/api/ds/query`: data frames, where a field of type `number` is a line.
fn frames(answer: &Answer) -> Result<Vec<Series>, Error> {
    let body: Value = answer.json()?;
    let results = results(answer, &body)?;
    let mut series = Vec::new();
    for result in results.values() {
        refuse_error(answer, &result["error"])?;
        for frame in result["frames"].as_array().into_iter().flatten() {
            let fields = frame["schema"]["fields"].as_array().into_iter().flatten();
            for (index, field) in fields.enumerate().filter(|(_, field)| field["type"] == "number") {
                let name = field["config"]["displayNameFromDS"]
                    .as_str()
                    .map_or_else(|| field["labels"].to_string(), str::to_owned);
                series.push(Series { name, values: numbers(&frame["data"]["values"][index]) });
            }
        }
    }
    Ok(series)
}

/// Reads the answer of `/api/tsdb/query`: points are pairs of value and time.
fn time_series(answer: &Answer) -> Result<Vec<Series>, Error> {
    let body: Value = answer.json()?;
    let mut lines = Vec::new();
    for result in results(answer, &body)?.values() {
        refuse_error(answer, &result["error"])?;
        for line in result["series"].as_array().into_iter().flatten() {
            let points = line["points"].as_array().into_iter().flatten();
            lines.push(Series {
                name: line["name"].as_str().unwrap_or_default().to_owned(),
                values: points.filter_map(|point| point[0].as_f64()).collect(),
            });
        }
    }
    Ok(lines)
}

fn results<'body>(answer: &Answer, body: &'body Value) -> Result<&'body serde_json::Map<String, Value>, Error> {
    if let Some(results) = body["results"].as_object() {
        return Ok(results);
    }
    if !(200..300).contains(&answer.status) {
        return Err(Error::Status {
            request: answer.request.clone(),
            status: answer.status,
            body: answer.text().into_owned(),
        });
    }
    Err(answer.unexpected("no results"))
}

fn refuse_error(answer: &Answer, error: &Value) -> Result<(), Error> {
    match error.as_str() {
        // The data source may only just be starting, so this is not for good.
        Some(reason) if !reason.is_empty() => Err(answer.unexpected(reason)),
        _ => Ok(()),
    }
}

fn numbers(values: &Value) -> Vec<f64> {
    values.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(body: &'static str) -> Answer {
        Answer {
            request: "POST g.n:3000/x".to_owned(),
            status: 200,
            headers: BTreeMap::new(),
            body: body.into(),
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn the_version_chooses_the_way_to_ask() {
        let version = |text: &str| Health { database: "ok".to_owned(), version: text.to_owned() }.is_modern();
        assert!(!version("6.1.6"));
        assert!(!version("7.5.0"));
        assert!(version("8.0.0"));
        assert!(version("10.0.0-preview"));
        assert!(version(""));
    }

    #[test]
    fn frames_become_lines() {
        let body = r#"{"results":{"A":{"status":200,"frames":[{"schema":{"refId":"A","fields":[
            {"name":"Time","type":"time"},
            {"name":"Value","type":"number","labels":{"code":"200"},"config":{"displayNameFromDS":"200"}}]},
            "data":{"values":[[1700000000000,1700000002000,1700000004000],[1,null,2.5]]}}]}}}"#;
        let lines = frames(&answer(body)).expect("it is an answer of Grafana");
        assert_eq!(lines, [Series { name: "200".to_owned(), values: vec![1.0, 2.5] }]);
    }

    #[test]
    fn a_failed_query_is_told_in_the_data_sources_words() {
        let body = r#"{"results":{"A":{"error":"Post: dial tcp: lookup prometheus: no such host","status":500}}}"#;
        let error = frames(&answer(body)).expect_err("the query failed");
        assert!(error.to_string().contains("no such host"), "{error}");
    }

    #[test]
    fn old_servers_answer_pairs() {
        let body = r#"{"results":{"A":{"refId":"A","series":[{"name":"a","points":[[1,1700000000000],[null,1]]}],"tables":null}}}"#;
        let lines = time_series(&answer(body)).expect("it is an answer of Grafana 6");
        assert_eq!(lines, [Series { name: "a".to_owned(), values: vec![1.0] }]);
    }

    #[test]
    fn panels_in_rows_are_found() {
        let body = r#"{"meta":{"provisioned":true},"dashboard":{"title":"D","panels":[
            {"title":"row","type":"row","panels":[{"title":"in","datasource":{"type":"prometheus","uid":"prometheus"},"targets":[{"refId":"A","expr":"up"}]}]},
            {"title":"out","targets":[{"refId":"A","expr":"rate(a[$__rate_interval])"}]}]}}"#;
        let dashboard = dashboard(&answer(body)).expect("it is an answer of Grafana");
        assert!(dashboard.provisioned);
        let titles: Vec<&str> = dashboard.panels.iter().map(|panel| panel.title.as_str()).collect();
        assert_eq!(titles, ["row", "in", "out"]);
        let source = Some("prometheus".to_owned());
        assert_eq!((&dashboard.panels[1].source, &dashboard.panels[2].source), (&source, &None));
        assert_eq!(without_variables(&dashboard.panels[2].targets[0].expression), "rate(a[1m])");
    }

    #[test]
    fn a_viewers_settings_list_data_sources() {
        let body = r#"{"defaultDatasource":"Prometheus",
            "datasources":{"Prometheus":{"id":1,"uid":"prometheus","type":"prometheus","url":"/api/x"}}}"#;
        let sources = from_settings(&answer(body)).expect("they are settings of Grafana");
        assert_eq!((sources[0].name.as_str(), sources[0].id, sources[0].is_default), ("Prometheus", 1, true));
    }

    #[test]
    fn a_search_tells_the_folder() {
        let body = r#"[{"uid":"a","title":"A","type":"dash-db","folderTitle":"Mesh"},
            {"uid":"b","title":"B","type":"dash-db"}]"#;
        let found: Vec<Found> = answer(body).json().expect("a search's answer");
        assert_eq!((found[0].folder.as_str(), found[1].folder.as_str()), ("Mesh", ""));
    }
}
