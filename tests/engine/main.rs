//! The engine tier: a real registry program, a real container engine, a real cluster. Each test
//! that lacks what it needs is skipped with a printed reason, or fails where `CI` is set.
//!
//! `ISTIOLAB_TEST_REGISTRY` and `ISTIOLAB_TEST_KIND` say where the programs are that were built as
//! parts; `ISTIOLAB_TEST_NODE_IMAGE` names a node image that the engine has.

mod cluster;
mod doctor;
mod fixture;
mod load;
mod push;
