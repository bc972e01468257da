//! `istiolab graph`.

use std::fmt::Write as _;
use std::net::SocketAddr;

use clap::ValueEnum;
use istiolab_servicegraph::{self as servicegraph, Ask, Graph, Options};
use serde_json::json;
use tokio::net::TcpListener;

use super::{Context, Output, context};
use crate::error::{Failure, Kind};
use crate::observe::Proxy;
use crate::observe::prometheus::Prometheus;
use crate::plan::event::Progress;

/// Show who calls whom in the mesh, from Prometheus' metrics
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The span whose traffic counts, as Prometheus writes it: 15s, 1m, 1h30m
    #[arg(long, value_name = "TIME", default_value = "5m")]
    window: String,
    /// Only calls with traffic in that span
    #[arg(long)]
    filter_empty: bool,
    /// Only what this namespace's workloads call
    #[arg(long, value_name = "NAMESPACE")]
    source_namespace: Option<String>,
    /// Only what this workload calls
    #[arg(long, value_name = "WORKLOAD")]
    source_workload: Option<String>,
    /// Only calls of this namespace's workloads
    #[arg(long, value_name = "NAMESPACE")]
    destination_namespace: Option<String>,
    /// Only calls of this workload
    #[arg(long, value_name = "WORKLOAD")]
    destination_workload: Option<String>,
    /// Ask this Prometheus instead of the lab's
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// What to print for people; `-o json` prints the graph as /graph does
    #[arg(long = "as", value_enum, default_value_t, value_name = "FORM")]
    form: Form,
    /// Serve the pages of the graph until Ctrl-C, instead of printing it
    #[arg(long)]
    serve: bool,
    /// Where to serve; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8088", requires = "serve")]
    listen: SocketAddr,
}

/// What the graph is printed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One line a call.
    #[default]
    Table,
    /// Graphviz' language.
    Dot,
    /// A drawing.
    Svg,
    /// What /d3graph answers.
    D3,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Some(url) = &self.prometheus else { return self.show(context, of_lab(context).await?).await };
        let prometheus = servicegraph::Prometheus::new(url).map_err(|why| Failure::new(Kind::Usage, why))?;
        self.show(context, prometheus).await
    }

    async fn show(&self, context: &Context, ask: impl Ask) -> Result<(), Failure> {
        let options = self.options();
        options.check().map_err(|error| Failure::new(Kind::Usage, format!("--window: {}", error.reason)))?;
        if self.serve {
            return self.serve(context, ask).await;
        }
        let graph = servicegraph::read(&ask, &options).await.map_err(|error| Failure::new(Kind::Unavailable, error))?;
        match self.form {
            _ if context.global.output == Output::Json => context.print(&graph, ""),
            Form::Table => context::write(&table(&graph)),
            Form::Dot => context::write(&servicegraph::dot(&graph)),
            Form::Svg => context::write(&servicegraph::svg(&graph)),
            Form::D3 => context::write(&servicegraph::d3(&graph)),
        }
    }

    fn options(&self) -> Options {
        Options {
            time_horizon: Some(self.window.clone()),
            filter_empty: self.filter_empty,
            source_namespace: self.source_namespace.clone(),
            source_workload: self.source_workload.clone(),
            destination_namespace: self.destination_namespace.clone(),
            destination_workload: self.destination_workload.clone(),
        }
    }

    async fn serve(&self, context: &Context, ask: impl Ask) -> Result<(), Failure> {
        let taken = |error: std::io::Error| {
            Failure::new(Kind::Unavailable, format!("{} can't be listened on: {error}", self.listen))
                .hint("Choose another address with --listen.")
        };
        let listener = TcpListener::bind(self.listen).await.map_err(taken)?;
        let address = format!("http://{}/", listener.local_addr().map_err(taken)?);
        context.print(&json!({"address": address}), &address)?;
        let work = |progress: Progress| async move {
            progress.note(format!("Serving the service graph: {address}force/forcegraph.html and {address}dotviz"));
            let cancel = context.cancel.clone();
            let end = async move { cancel.cancelled().await };
            let served = axum::serve(listener, servicegraph::router(ask)).with_graceful_shutdown(end).await;
            served.map_err(|error| Failure::new(Kind::Unexpected, error))
        };
        context.report(None, work).await
    }
}

/// The Prometheus of the lab, which must be up.
async fn of_lab(context: &Context) -> Result<Prometheus, Failure> {
    let lab = context.lab()?;
    let hint = "Run `istiolab up` first, or name another Prometheus with --prometheus URL.";
    let config = context.cluster(&lab, hint).await?;
    Ok(Prometheus::of_lab(&Proxy::new(config)?))
}

/// One line a call, in columns.
fn table(graph: &Graph) -> String {
    let wide = |names: &mut dyn Iterator<Item = &String>| names.map(|name| name.chars().count()).max().unwrap_or(0);
    let from = wide(&mut graph.edges.iter().map(|edge| &edge.source)).max("CALLS FROM".len());
    let to = wide(&mut graph.edges.iter().map(|edge| &edge.target)).max("TO".len());
    if graph.edges.is_empty() {
        return "no traffic in this time".to_owned();
    }
    let mut text = format!("{:<from$}  {:<to$}  RATE\n", "CALLS FROM", "TO");
    for edge in &graph.edges {
        let rates: Vec<_> = edge.labels.iter().map(|(unit, rate)| format!("{rate} {unit}")).collect();
        // Writing to a text does not fail.
        let _ = writeln!(text, "{:<from$}  {:<to$}  {}", edge.source, edge.target, rates.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use servicegraph::Edge;

    use super::*;

    #[test]
    fn calls_stand_in_columns() {
        let labels = [("reqs/sec".to_owned(), "0.250000".to_owned())].into();
        let edge = Edge { source: "frontend (frontend)".to_owned(), target: "b".to_owned(), labels };
        let graph = Graph { nodes: [edge.source.clone(), "b".to_owned()].into(), edges: vec![edge] };
        assert_eq!(table(&graph), "CALLS FROM           TO  RATE\nfrontend (frontend)  b   0.250000 reqs/sec\n");
        assert_eq!(table(&Graph::default()), "no traffic in this time");
    }
}
