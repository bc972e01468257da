//! What must hold for every input, not only for those that someone thought of.

mod convert;
mod graph;
mod lab;
mod reference;
mod report;
mod yaml;
