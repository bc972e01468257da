//! The container engine for real: the lab's registry as a container, images into it and into the
//! engine, and what happens when things are taken, damaged or gone. The registry is the one that labs
//! use, built as the part `registry`.

mod fixture;
mod images;
mod registry;
