//! From a lab file to steps, and their execution: a graph of steps, typed events, a journal.

pub mod event;
pub mod graph;
pub mod journal;
