//! Images: their store on disk, how they are composed, and how they get to registries and engines.

pub mod bundle;
pub mod compose;
pub mod content;
pub mod copy;
pub mod digest;
pub mod engine;
pub mod layout;
pub mod lock;
pub mod reference;
pub mod registry;
pub mod serve;
