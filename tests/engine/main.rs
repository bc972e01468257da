//! The engine tier: a real registry program, a real container engine, a real cluster. Each test
//! that lacks what it needs is skipped with a printed reason, or fails where `CI` is set.
//!
//! `ISTIOLAB_TEST_REGISTRY` and `ISTIOLAB_TEST_KIND` say where the programs are that were built as parts,
//! `ISTIOLAB_TEST_DEBIAN_REGISTRY` where Debian's registry is, `ISTIOLAB_TEST_LISTING_REGISTRY` where
//! the program of `tests/engine/listing` is, else they are looked for in `PATH`;
//! `ISTIOLAB_TEST_NODE_IMAGE` names a node image, else it is the one that was built. Images that the engine lacks are loaded from the user's store.

mod choice;
mod cluster;
mod copy;
mod doctor;
mod faults;
mod fixture;
mod killed;
mod load;
mod lock;
mod login;
mod referrers;
mod registry;
mod serve;
mod store;
mod tls;
mod token;
