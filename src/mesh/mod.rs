//! The mesh: Istio's control plane from its own generated manifests, the check that it really
//! injects, and injection by hand.

mod deploy;
mod error;
pub mod inject;
mod operator;
mod ready;
mod render;
mod webhook;

pub use deploy::deploy;
pub use error::Error;
pub use operator::Images;
pub use ready::ready;
pub use render::render;

/// The namespace of the control plane.
pub const NAMESPACE: &str = "istio-system";
