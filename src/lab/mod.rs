//! A lab as a whole: what it needs, making it, looking at it, taking it down.

pub mod demand;
pub mod project;
pub mod site;
pub mod up;
