//! The command line as a user meets it: exit code, standard output and standard error together, in a
//! home of its own, with no programs in `PATH` but those that a test puts there.

mod completion;
mod convert;
mod house;
mod lab;
mod lock;
mod mirror;
mod plan;
mod sandbox;
mod schema;
mod selftest;
mod steps;
mod usage;
