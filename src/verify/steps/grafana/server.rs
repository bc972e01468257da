//! Grafana itself: health, data sources, dashboards and their folders.

use std::collections::BTreeSet;

use super::step;
use crate::observe::grafana::{DataSource, Found};
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
        "Grafana's folder {string} has the dashboard {string}",
        in_folder,
        "The folder of this title has a dashboard with exactly this title; the folder at the root is \"General\"."
    ),
    step!(
        "Grafana",
        Check,
        "Grafana's folder {string} has these dashboards:",
        folder,
        "A table of one column: the titles of all dashboards in the folder, and no others."
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

pub(super) async fn source(scene: &Scene, name: &str) -> Result<DataSource, Unmet> {
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

pub(super) fn no_dashboard(title: &str) -> Unmet {
    Unmet::not_yet(format!("Grafana has no dashboard titled {title:?}"))
}

/// What Grafana's pages call the folder at the root.
const ROOT: &str = "General";

/// The titles of the dashboards in a folder.
fn within<'found>(found: &'found [Found], folder: &str) -> BTreeSet<&'found str> {
    let is = |name: &str| name == folder || (name.is_empty() && folder == ROOT);
    found.iter().filter(|dashboard| is(&dashboard.folder)).map(|dashboard| dashboard.title.as_str()).collect()
}

/// Where every dashboard is, in words.
fn places(found: &[Found]) -> String {
    let place = |dashboard: &Found| {
        let folder = if dashboard.folder.is_empty() { ROOT } else { &dashboard.folder };
        format!("{folder}: {}", dashboard.title)
    };
    let places: Vec<String> = found.iter().map(place).collect();
    if places.is_empty() { "there is no dashboard".to_owned() } else { format!("there are {}", places.join(", ")) }
}

async fn in_folder(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let found = scene.grafana().dashboards().await?;
    has(&found, arguments.text(0), arguments.text(1))
}

fn has(found: &[Found], folder: &str, title: &str) -> Result<(), Unmet> {
    if within(found, folder).contains(title) {
        return Ok(());
    }
    Err(Unmet::not_yet(format!("folder {folder:?} has no dashboard titled {title:?}; {}", places(found))))
}

async fn folder(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let titles = arguments.table()?.iter().filter_map(|row| row.first()).map(String::as_str).collect();
    let found = scene.grafana().dashboards().await?;
    is(&found, arguments.text(0), &titles)
}

fn is(found: &[Found], folder: &str, wanted: &BTreeSet<&str>) -> Result<(), Unmet> {
    let there = within(found, folder);
    if there == *wanted {
        return Ok(());
    }
    let listed =
        |titles: Vec<&&str>| titles.into_iter().map(|title| format!("{title:?}")).collect::<Vec<_>>().join(", ");
    let (missing, more) = (wanted.difference(&there).collect(), there.difference(wanted).collect());
    let text =
        format!("folder {folder:?} lacks [{}] and has besides [{}]; {}", listed(missing), listed(more), places(found));
    Err(Unmet::not_yet(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folder: &str, title: &str) -> Found {
        let (uid, kind) = (String::new(), "dash-db".to_owned());
        Found { uid, title: title.to_owned(), kind, folder: folder.to_owned() }
    }

    #[test]
    fn a_dashboard_is_in_one_folder() {
        let all = [found("", "A"), found("Mesh", "B")];
        assert!(has(&all, "General", "A").is_ok() && has(&all, "Mesh", "B").is_ok());
        let text = has(&all, "Mesh", "A").expect_err("it is at the root").to_string();
        assert_eq!(text, "folder \"Mesh\" has no dashboard titled \"A\"; there are General: A, Mesh: B");
        assert!(has(&[], "Mesh", "A").expect_err("nothing").to_string().ends_with("there is no dashboard"));
    }

    #[test]
    fn a_folder_has_these_and_no_others() {
        let all = [found("Mesh", "A"), found("Mesh", "B"), found("", "C")];
        assert!(is(&all, "Mesh", &BTreeSet::from(["A", "B"])).is_ok());
        let text = is(&all, "Mesh", &BTreeSet::from(["A", "D"])).expect_err("it differs").to_string();
        assert!(text.starts_with("folder \"Mesh\" lacks [\"D\"] and has besides [\"B\"]; there are"), "{text}");
    }
}
