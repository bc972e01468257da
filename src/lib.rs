//! istiolab installs a service-mesh lab from one file, proves with scenarios that it works,
//! teaches with it, and repeats it anywhere, also without internet.
//!
//! Data flows one way: a lab file becomes a plan; the plan's steps make a cluster and bring images
//! to it side by side, then objects, mesh and applications; scenarios question the running lab;
//! everything that happens is an event, and reports are readers of events.

pub mod apps;
pub mod apt;
pub mod cli;
pub mod cluster;
pub mod collect;
pub mod doctor;
pub mod error;
pub mod expression;
pub mod images;
pub mod lab;
pub mod mesh;
pub mod objects;
pub mod observe;
pub mod parts;
pub mod paths;
pub mod plan;
pub mod process;
pub mod report;
pub mod selftest;
pub mod spec;
pub mod verify;
pub mod yaml;
