//! Traces: found by the id of the request that caused them.

mod spans;
mod traces;

use super::step;
use crate::verify::vocabulary::Entry;

/// The steps, by file.
pub(super) const STEPS: [&[Entry]; 2] = [&traces::STEPS, &spans::STEPS];
