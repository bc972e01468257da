//! The mesh: Istio's control plane from its own generated manifests, the check that it really
//! injects, and injection by hand.

mod error;
pub mod inject;
mod injected;
mod operator;
pub mod ready;
mod render;
mod webhook;

pub use error::Error;
pub use injected::{Injected, injected};
pub use operator::Images;
pub use render::{Rendered, render};

/// The namespace of the control plane.
pub const NAMESPACE: &str = "istio-system";
