//! The mesh during the run: who called whom, and how traffic went.

use istiolab_servicegraph::svg;
use maud::{Markup, PreEscaped, html};

use super::chart;
use crate::observe::snapshot::Snapshot;

pub(super) fn section(snapshot: &Snapshot) -> Markup {
    html! {
        section aria-labelledby="mesh" {
            h2 #mesh { "The mesh during the run" }
            // What comes back is a picture whose texts are escaped.
            div.wide.picture tabindex="0" role="region" aria-label="Service graph" { (PreEscaped(svg(&snapshot.graph))) }
            details {
                summary { "Calls as a table" }
                div.wide tabindex="0" role="region" aria-label="Calls" {
                    table {
                        thead { tr { th scope="col" { "From" } th scope="col" { "to" } th scope="col" { "rate" } } }
                        tbody { @for edge in &snapshot.graph.edges { tr {
                            td { (edge.source) } td { (edge.target) }
                            td { @for (unit, rate) in &edge.labels { (rate) " " (unit) " " } }
                        } } }
                    }
                }
            }
            div.charts { @for one in &snapshot.charts { (chart::chart(one)) } }
        }
    }
}
