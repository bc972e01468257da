//! When an object is ready, why it is not, and waiting until it is.

mod facts;
mod pods;
mod policy;
mod probe;
mod rules;
mod stand;
mod wait;
mod waiting;
mod watched;

pub use facts::Facts;
pub use pods::{Class, Trouble, trouble};
pub use policy::{Grace, Policy};
pub use rules::{Verdict, judge};
pub use stand::stand;
pub use wait::{wait, wait_with};
