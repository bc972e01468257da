//! A lab as a whole: what it needs, making it, looking at it, taking it down.

pub mod altered;
pub mod collect;
pub mod demand;
pub mod down;
pub mod gate;
pub mod load;
pub mod lock;
pub mod plan;
pub mod programs;
pub mod project;
pub mod proof;
pub mod references;
mod sets;
pub mod site;
pub mod status;
pub mod up;
mod work;
