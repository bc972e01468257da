//! Objects of any kind: what they are like, what is told of them, and changing them.

pub(super) mod apply;
pub(super) mod change;
pub(super) mod events;
pub(super) mod state;
