//! Grafana: health, data sources, dashboards, and the data behind panels.

use super::step;
use crate::observe::grafana::{DataSource, Panel, without_variables};
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 5] = [
    step!("Grafana", Check, "Grafana is healthy", healthy, "Grafana answers and its database works."),
    step!(
        "Grafana",
        Check,
        "Grafana has the provisioned data source {string} of type {string}",
        data_source,
        "There is a data source of this name and type. Where Grafana tells a viewer, it can't be changed in the page."
    ),
    step!(
        "Grafana",
        Check,
        "Grafana has the provisioned dashboard {string}",
        dashboard,
        "A search finds a dashboard with exactly this title, and it came from a file."
    ),
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
];

async fn healthy(scene: &mut Scene, _: Arguments) -> Result<(), Unmet> {
    let health = scene.grafana().health().await?;
    if health.database == "ok" {
        Ok(())
    } else {
        Err(Unmet::not_yet(format!("Grafana's database is not well: {}", health.database)))
    }
}

async fn data_source(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let source = source(scene, arguments.text(0)).await?;
    let wanted = arguments.text(1);
    if source.kind != wanted {
        return Err(Unmet::not_yet(format!("data source {} is of type {}, not {wanted}", source.name, source.kind)));
    }
    if source.read_only == Some(false) {
        return Err(Unmet::not_yet(format!("data source {} can be changed: it was not provisioned", source.name)));
    }
    Ok(())
}

async fn source(scene: &Scene, name: &str) -> Result<DataSource, Unmet> {
    let found = scene.grafana().data_source(name).await?;
    found.ok_or_else(|| Unmet::not_yet(format!("Grafana has no data source named {name:?}")))
}

async fn dashboard(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let title = arguments.text(0);
    match scene.grafana().dashboard(title).await? {
        Some(dashboard) if dashboard.provisioned => Ok(()),
        Some(_) => Err(Unmet::not_yet(format!("dashboard {title:?} was not provisioned"))),
        None => Err(no_dashboard(title)),
    }
}

fn no_dashboard(title: &str) -> Unmet {
    Unmet::not_yet(format!("Grafana has no dashboard titled {title:?}"))
}

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
