//! A lab as a whole: what it needs, making it, looking at it, taking it down.

pub mod collect;
pub mod demand;
pub mod down;
pub mod gate;
pub mod load;
pub mod lock;
pub mod programs;
pub mod project;
pub mod proof;
pub mod references;
pub mod site;
pub mod status;
pub mod up;
mod work;
