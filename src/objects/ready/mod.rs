//! When an object is ready, why it is not, and waiting until it is.

mod facts;
mod pods;
mod probe;
mod rules;
mod wait;
mod watched;

pub use facts::Facts;
pub use pods::{Class, Trouble, trouble};
pub use rules::{Verdict, judge};
pub use wait::{Grace, wait, wait_with};
