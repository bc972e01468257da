//! The data behind panels.

use super::server::{no_dashboard, source};
use super::step;
use crate::observe::grafana::{DataSource, Grafana, Panel, Series, without_variables};
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 5] = [
    step!(
        "Grafana",
        Check,
        "panel {string} of dashboard {string} shows data from {string}",
        panel_shows,
        "What the panel would draw of the last five minutes has at least one number. Asks as the server's version \
         wants it: /api/ds/query since 8.0, /api/tsdb/query before."
    ),
    step!(
        "Grafana",
        Check,
        "the query of panel {string} of dashboard {string} gives data through the proxy of data source {string}",
        proxied,
        "Each query of the panel, sent through Grafana's data-source proxy, gives at least one sample."
    ),
    step!(
        "Grafana",
        Check,
        "every panel of dashboard {string} shows data",
        every_panel,
        "What each panel with queries would draw of the last five minutes has at least one number. Each is asked of its \
         own data source; those that show nothing are listed with the reason."
    ),
    step!(
        "Grafana",
        Check,
        "panel {string} of dashboard {string} shows at least {float}",
        value_at_least,
        "The newest value of one of the panel's lines is this number or more."
    ),
    step!(
        "Grafana",
        Check,
        "panel {string} of dashboard {string} shows between {float} and {float}",
        value_between,
        "The newest value of each of the panel's lines is one of these numbers or between them; there is at least one."
    ),
];

async fn panel(scene: &Scene, arguments: &Arguments) -> Result<Panel, Unmet> {
    let (wanted, title) = (arguments.text(0), arguments.text(1));
    let dashboard = scene.grafana().dashboard(title).await?.ok_or_else(|| no_dashboard(title))?;
    let titles: Vec<&str> = dashboard.panels.iter().map(|panel| panel.title.as_str()).collect();
    let missing =
        || Unmet::not_yet(format!("dashboard {title:?} has no panel {wanted:?}; it has {}", titles.join(", ")));
    dashboard.panels.iter().find(|panel| panel.title == wanted).cloned().ok_or_else(missing)
}

async fn panel_shows(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let panel = panel(scene, &arguments).await?;
    let source = source(scene, arguments.text(2)).await?;
    let grafana = scene.grafana();
    let modern = grafana.health().await?.is_modern();
    let series = grafana.panel(&panel, &source, modern).await?;
    if series.iter().any(|line| !line.values.is_empty()) {
        Ok(())
    } else {
        Err(Unmet::not_yet(format!("panel {:?} shows no number, in {} lines", panel.title, series.len())))
    }
}

async fn proxied(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let panel = panel(scene, &arguments).await?;
    let source = source(scene, arguments.text(2)).await?;
    for target in &panel.targets {
        let value = scene.grafana().proxied(&source, &without_variables(&target.expression)).await?;
        if value.is_empty() {
            return Err(Unmet::not_yet(format!("query {} gives no sample: {}", target.reference, target.expression)));
        }
    }
    if panel.targets.is_empty() { Err(Unmet::not_yet("the panel has no queries")) } else { Ok(()) }
}

/// The data source that a panel names by uid or name, or the default one.
fn of<'sources>(panel: &Panel, sources: &'sources [DataSource]) -> Result<&'sources DataSource, String> {
    let named = |source: &&DataSource| match &panel.source {
        Some(name) => source.uid == *name || source.name == *name,
        None => source.is_default,
    };
    sources.iter().find(named).ok_or_else(|| match &panel.source {
        Some(name) => format!("there is no data source {name:?}"),
        None => "there is no default data source".to_owned(),
    })
}

/// What a panel would draw, or why it can't.
async fn drawn(grafana: &Grafana, panel: &Panel, sources: &[DataSource], modern: bool) -> Result<Vec<Series>, String> {
    let series = grafana.panel(panel, of(panel, sources)?, modern).await.map_err(|error| error.to_string())?;
    if series.iter().any(|line| !line.values.is_empty()) {
        Ok(series)
    } else {
        Err(format!("no number in {} lines", series.len()))
    }
}

async fn every_panel(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let title = arguments.text(0);
    let grafana = scene.grafana();
    let dashboard = grafana.dashboard(title).await?.ok_or_else(|| no_dashboard(title))?;
    let (sources, modern) = (grafana.data_sources().await?, grafana.health().await?.is_modern());
    let panels: Vec<&Panel> = dashboard.panels.iter().filter(|panel| !panel.targets.is_empty()).collect();
    let mut empty = Vec::new();
    for panel in &panels {
        if let Err(reason) = drawn(&grafana, panel, &sources, modern).await {
            empty.push(format!("panel {:?}: {reason}", panel.title));
        }
    }
    if panels.is_empty() {
        return Err(Unmet::not_yet(format!("dashboard {title:?} has no panel with a query")));
    }
    if empty.is_empty() {
        return Ok(());
    }
    Err(Unmet::not_yet(format!("{} of {} panels show nothing:\n{}", empty.len(), panels.len(), empty.join("\n"))))
}

/// The newest value of each of a panel's lines.
async fn newest(scene: &Scene, arguments: &Arguments) -> Result<Vec<f64>, Unmet> {
    let panel = panel(scene, arguments).await?;
    let grafana = scene.grafana();
    let (sources, modern) = (grafana.data_sources().await?, grafana.health().await?.is_modern());
    let series = drawn(&grafana, &panel, &sources, modern)
        .await
        .map_err(|reason| Unmet::not_yet(format!("panel {:?}: {reason}", panel.title)))?;
    Ok(series.iter().filter_map(|line| line.values.last().copied()).collect())
}

async fn value_at_least(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: f64 = arguments.number(2)?;
    let values = newest(scene, &arguments).await?;
    if values.iter().any(|value| *value >= wanted) { Ok(()) } else { Err(seen(&values)) }
}

async fn value_between(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let (least, most): (f64, f64) = (arguments.number(2)?, arguments.number(3)?);
    let values = newest(scene, &arguments).await?;
    if values.iter().all(|value| (least..=most).contains(value)) { Ok(()) } else { Err(seen(&values)) }
}

fn seen(values: &[f64]) -> Unmet {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    Unmet::not_yet(format!("the newest values of its lines are {}", values.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panels_data_source_is_found_by_uid_name_or_default() {
        let source = |name: &str, uid: &str, is_default| DataSource {
            name: name.to_owned(),
            uid: uid.to_owned(),
            is_default,
            ..DataSource::default()
        };
        let sources = [source("Zipkin", "z", false), source("Prometheus", "p", true)];
        let found = |name: Option<&str>| {
            let panel = Panel { title: String::new(), source: name.map(str::to_owned), targets: Vec::new() };
            of(&panel, &sources).map(|source| source.name.clone())
        };
        assert_eq!(found(Some("z")).as_deref(), Ok("Zipkin"));
        assert_eq!(found(Some("Prometheus")).as_deref(), Ok("Prometheus"));
        assert_eq!(found(None).as_deref(), Ok("Prometheus"));
        assert_eq!(found(Some("loki")), Err("there is no data source \"loki\"".to_owned()));
    }

    #[test]
    fn values_are_shown() {
        assert_eq!(seen(&[0.0, 2.5]).to_string(), "the newest values of its lines are 0, 2.5");
    }
}
