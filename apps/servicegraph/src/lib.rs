//! The service graph: who calls whom in a mesh, and how much, from the metrics of any Prometheus.
//!
//! It answers where Istio's `ServiceGraph` add-on did, in the same JSON shapes, so that what was
//! written for that goes on working:
//!
//! | path | what |
//! |---|---|
//! | `/force/forcegraph.html` | a page with the graph as a picture that moves |
//! | `/dotviz` | a page with the graph as a drawing |
//! | `/dotgraph` | the graph in the DOT language |
//! | `/d3graph` | JSON with links that point to nodes by their index |
//! | `/graph` | JSON with edges that name their nodes |
//!
//! All take the parameters of [`Options`]. The pages need nothing but this program: no script, font
//! or picture comes from elsewhere.

mod ask;
mod d3;
mod dot;
mod graph;
mod layout;
mod options;
mod pages;
mod picture;
mod server;

pub use ask::{Ask, Sample, http::Prometheus, vector};
pub use d3::d3;
pub use dot::dot;
pub use graph::{Edge, Graph};
pub use options::{Options, WrongOption};
pub use picture::svg;
pub use server::{Error, read, router};
